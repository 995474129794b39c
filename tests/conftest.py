"""Shared fixtures: where the real chain data lies, if it is there."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def shared_folder() -> Path:
    """The folder with real chain data (``HFT_SHARED``, else beside the checkout); it may not exist."""
    return Path(os.environ.get("HFT_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Path of the chain-data folder; the test is skipped by name where it is absent."""
    data = shared_folder() / "data"
    if not data.is_dir():
        pytest.skip("chain data folder is absent (set HFT_SHARED)")
    return data
