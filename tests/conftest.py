"""Fixtures for every test; this folder makes `support` importable."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings
from support.server import Server

pytest_plugins = ("pytester", "support.named_skips")

# A shell starts what runs in the background with SIGINT ignored, and every child of a test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A deadline per example fails on a busy machine; pytest-timeout bounds the test as a whole.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are processors: a third of the time tests wait, for a process or for a deadline."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


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
