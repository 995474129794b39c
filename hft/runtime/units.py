"""The systemd units of an installation, as text: templates of scripts/systemd, and what the topology adds.

Order: a service starts after its readers, one after the other; systemd stops in the reverse of that order, so
that writers drain before readers. CPUs: ``AllowedCPUs`` is enforced by the kernel's cpuset, ``CPUAffinity``
is where a process begins.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from hft.runtime import cpus, topology

UNIT_FOLDER = "etc/systemd/system"
CONFIG_FILE = "etc/hft/hft.ini"
SYSUSERS_FILE = "etc/sysusers.d/hft.conf"

MARK = (
    "# Written by scripts/install-systemd; changes are lost at the next install: use a drop-in of your own.\n"
)
"""First line of every file that an install owns."""

SYSTEM_UID_LIMIT = 1000
"""Users from here on are people's: logind removes their shared memory when they log out."""

HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
"""Folders that ProtectHome and PrivateTmp hide from the services."""


def render(
    templates: Mapping[str, str],
    *,
    user: str,
    python: Path,
    root: Path,
    mode: str,
    services: Sequence[str],
    placed: Mapping[str, tuple[int, ...]],
    ranks: Mapping[str, int],
) -> dict[str, str]:
    """Path below / → text of every file that an install writes, but for the settings.

    ``templates``: name → text of scripts/systemd; ``services``: in the order in which they are stopped;
    ``placed``: service → its CPUs, none for any; ``ranks``: service → its real-time priority, where it has
    one. ``KeyError`` when a template is missing.
    """
    values = {"@user@": user, "@python@": str(python), "@root@": str(root)}

    def filled(name: str) -> str:
        text = MARK + templates[name]
        for word, value in values.items():
            text = text.replace(word, value)
        return text

    units = UNIT_FOLDER
    files = {f"{units}/{name}": filled(name) for name in ("hft.target", "hft-shm.service", "hft@.service")}
    files[SYSUSERS_FILE] = filled("sysusers.conf")
    for unit in ("hft-shm.service", "hft@.service"):
        files[f"{units}/{unit}.d/50-hardening.conf"] = filled("hardening.conf")
        if mode == "paper":
            files[f"{units}/{unit}.d/60-paper.conf"] = filled("paper.conf")
    wanted = " ".join(["hft-shm.service", *(f"hft@{name}.service" for name in services)])
    files[f"{units}/hft.target.d/10-services.conf"] = f"{MARK}[Unit]\nWants={wanted}\n"
    for name, reader in itertools.pairwise(services):
        text = f"{MARK}# Writers after readers.\n[Unit]\nAfter=hft@{reader}.service\n"
        files[f"{units}/hft@{name}.service.d/10-order.conf"] = text
    for name in services:
        if placed.get(name):
            files[f"{units}/hft@{name}.service.d/20-cpus.conf"] = _cpu_lines(placed[name])
        if name in ranks:
            text = f"{MARK}# After the hardening, which forbids it.\n[Service]\nRestrictRealtime=no\n"
            text += f"LimitRTPRIO={ranks[name]}\n"
            files[f"{units}/hft@{name}.service.d/70-real-time.conf"] = text
    return files


def services_of(mode: str, optional: Collection[str] = ()) -> list[str]:
    """Services of a mode in the order in which they are stopped; the local cluster is for paper alone."""
    return [spec.name for spec in topology.services(mode, optional)]


def _cpu_lines(numbers: tuple[int, ...]) -> str:
    listed = cpus.format_list(numbers)
    return f"{MARK}[Service]\nCPUAffinity={listed}\nAllowedCPUs={listed}\n"


def objections(python: Path, uid: int | None) -> list[str]:
    """Why services could not run like that; empty when they can. A virtual environment's interpreter is a
    link to another, which they must see too.

    ``uid``: of the user they are to run as, ``None`` when there is none yet.
    """
    found = []
    for program in dict.fromkeys((python, python.resolve())):
        hidden = [folder for folder in HIDDEN if program.is_relative_to(folder)]
        if hidden:
            found.append(
                f"{program} is in {hidden[0]}, which ProtectHome and PrivateTmp hide from the services: "
                "put the checkout in /opt/hft, say, its .venv made with a Python of the system's, and "
                "install from there"
            )
    if uid is not None and uid >= SYSTEM_UID_LIMIT:
        found.append(
            f"--user is a person's (uid {uid}): logind's RemoveIPC deletes its shared memory at logout; "
            f"name a system user (uid below {SYSTEM_UID_LIMIT}), or one that does not exist yet"
        )
    return found
