"""One capture of a real local cluster, made once by the real commands."""

import re
import signal
from pathlib import Path

import pytest
from replay_support import hft, until


@pytest.fixture(scope="session")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Some 1,200 account versions of a lively market, ended by Ctrl-C."""
    folder = tmp_path_factory.mktemp("captured")
    file = folder / "market.capture"
    cluster = hft("simnet", "--port", "0", "--set", "simnet.swaps_per_second=200")
    try:
        assert cluster.stdout is not None
        found = None
        while found is None:
            line = cluster.stdout.readline()
            assert line, "the local cluster ended"
            found = re.search(r"listening on http://(127\.0\.0\.1:\d+)", line)
        place = found[1]
        urls = ("--rpc-url", f"http://{place}", "--ws-url", f"ws://{place}")
        recorder = hft("capture", "-o", str(file), "--state-dir", str(folder), "--duration", "60", *urls)
        until(lambda: (file.exists() and file.stat().st_size > 400_000) or recorder.poll() is not None)
        recorder.send_signal(signal.SIGINT)
        told, _ = recorder.communicate(timeout=60)
        assert recorder.returncode == 0, told
        assert f"→ {file}" in told
    finally:
        cluster.send_signal(signal.SIGTERM)
        cluster.communicate(timeout=60)
    return file
