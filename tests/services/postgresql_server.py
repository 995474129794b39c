"""A PostgreSQL server of the tests' own: a fresh cluster in a temporary folder, on a Unix socket alone."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import psycopg

USERS = ("postgres", "nobody")
"""Whose the server is when the tests run as root, which it refuses."""
PORT = 5432
"""Names the socket's file; no port is opened."""


def find_programs() -> Path | None:
    """The folder with initdb and pg_ctl, the newest version's; None when there is none."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    asked = shutil.which("pg_config")
    if asked is not None:
        told = subprocess.run([asked, "--bindir"], capture_output=True, text=True, check=False).stdout.strip()
        folders.insert(0, Path(told))
    return next((folder for folder in reversed(folders) if (folder / "initdb").exists()), None)


class Server:
    """One cluster; ``database`` makes an empty one in it."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="hft-pg-"))
        self._databases = 0
        self._user = next((pwd.getpwnam(name) for name in USERS if _known(name)), None)
        if os.getuid() == 0 and self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self._run("initdb", "--auth=trust", "--username=hft", "--no-sync", "-E", "UTF8", "--locale=C")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self.folder / "data"), *arguments]
        if os.getuid() == 0 and self._user is not None:
            ids = f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}"
            command = ["setpriv", *ids, "--clear-groups", *command]
        with (self.folder / "programs.log").open("ab") as log:
            subprocess.run(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True
            )

    def start(self) -> None:
        """Returns when it answers."""
        options = f"-k {self.folder} -h '' -p {PORT} -c max_connections=20 -c shared_buffers=1MB -c fsync=off"
        self._run("pg_ctl", "-w", "-l", str(self.folder / "server.log"), "-o", options, "start")

    def stop(self) -> None:
        """At once, as in a crash: connections break, nothing is flushed in order."""
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def dsn(self, database: str, password: str = "") -> str:
        secret = f":{quote(password, safe='')}" if password else ""
        return f"postgresql://hft{secret}@/{database}?host={quote(str(self.folder), safe='')}&port={PORT}"

    def database(self) -> str:
        """The DSN of a new, empty database."""
        self._databases += 1
        name = f"ledger_{self._databases}"
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.dsn(name)

    def remove(self) -> None:
        if (self.folder / "data" / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def _known(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
