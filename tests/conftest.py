"""Fixtures for every test; this folder makes `support` importable."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from support.server import Server

pytest_plugins = ("pytester", "support.named_skips")

# A deadline per example fails on a busy machine; pytest-timeout bounds the test as a whole.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture
def server() -> Iterator[Server]:
    """A running server; give it a `reply` or `faults` at any time."""
    with Server() as running:
        yield running


@pytest.fixture(scope="session")
def tiny_url() -> Iterator[str]:
    """Base URL of the served embedded model."""
    from tfgrpo.backends.tiny.model import load
    from tfgrpo.serve.endpoint import build_app
    from tfgrpo.system.http_server import serve_in_background

    with serve_in_background(lambda: build_app(load())) as url:
        yield f"{url}/v1"
