"""Fixtures of the venue tests."""

from pathlib import Path

import pytest
from venue_vectors import Pools


@pytest.fixture(scope="session")
def pools(shared_data: Path) -> Pools:
    """Pools of the chain data."""
    return Pools(shared_data)
