"""Fixtures for every test; this folder makes `support` importable."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.server import Server


@pytest.fixture
def server() -> Iterator[Server]:
    """A running server; give it a `reply` or `faults` at any time."""
    with Server() as running:
        yield running
