"""A real nats-server, pipelines, processes and a small disk for the tests of this room."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sidecar_support import Pipeline

from hft.runtime.nats_server import NatsServer
from hft.runtime.settings import Config


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    """A running server on a free port, its store in the test's folder."""
    made = NatsServer(tmp_path / "nats")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def pipeline(tmp_path: Path) -> Iterator[Callable[..., Pipeline]]:
    """Makes pipelines that are removed with the test."""
    made: list[Pipeline] = []

    def make(nats_url: str, config: Config | None = None, state_dir: Path | None = None) -> Pipeline:
        made.append(Pipeline(state_dir or tmp_path, nats_url, config))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Mounts a file system of the given size (such as 2m), or changes the size of the one there is."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(size: str) -> Path:
        again = ["-o", f"remount,size={size}"] if folder.is_mount() else ["-t", "tmpfs", "-o", f"size={size}"]
        mounted = subprocess.run(
            ["mount", *again, "tmpfs", folder], capture_output=True, text=True, check=False
        )
        if mounted.returncode:
            pytest.skip(f"no tmpfs may be mounted here: {mounted.stderr.strip()}")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", "-l", folder], check=True)
