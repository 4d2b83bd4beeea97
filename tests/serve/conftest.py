"""Clients of a real endpoint."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import openai
import pytest

from tfgrpo.backends.tiny.model import TinyLM, load


@pytest.fixture(scope="session")
def model() -> TinyLM:
    """The model in the package."""
    return load()


@pytest.fixture(scope="session")
def base_url(tiny_url: str) -> str:
    """Base URL of a running endpoint."""
    return tiny_url


@pytest.fixture(scope="session")
def client(base_url: str) -> Iterator[openai.OpenAI]:
    """OpenAI's own client; a repeated call would hide a fault, so it never retries."""
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=60) as made:
        yield made


@pytest.fixture(scope="session")
def http(base_url: str) -> Iterator[httpx.Client]:
    """A bare client at the root of the endpoint."""
    with httpx.Client(base_url=base_url.removesuffix("/v1"), timeout=60) as made:
        yield made
