"""Ways to a model: a name and perhaps some addresses become bare backends and what the endpoint calls the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tfgrpo import config as configuration
from tfgrpo import registry
from tfgrpo.backends.base import Backend
from tfgrpo.backends.scripted import Scripted
from tfgrpo.config import EngineConfig
from tfgrpo.errors import UsageError
from tfgrpo.pricing import Price, known_price


@dataclass(frozen=True, slots=True)
class Line:
    """One way to a model: the backend, and what the endpoint calls the model."""

    backend: Backend
    model: str
    price: Price | None = None
    others: tuple[Backend, ...] = ()
    """Further endpoints of the same model, which share the load."""
    joining: str | None = None
    """The address of an endpoint that may take several choices in one request."""

    @property
    def backends(self) -> tuple[Backend, ...]:
        """All endpoints."""
        return (self.backend, *self.others)


def endpoint(model: str, base_urls: Sequence[str], engine: EngineConfig, *, token_ids: bool = False) -> Line:
    """Return the bare backend for a model name.

    `tiny` is the embedded model; `scripted/package.module:function` asks a function; with a base URL, or as
    `openai/NAME`, the OpenAI protocol is spoken; everything else goes through litellm.

    Raises:
        UsageError: the name cannot be understood.
    """
    if not model:
        raise UsageError("no model named; use --model tiny, openai/NAME or any provider/model that litellm knows")
    if model == "tiny" and not base_urls:
        from tfgrpo.backends.tiny.backend import Tiny  # noqa: PLC0415 - loads numpy

        return Line(Tiny(), model, Price(0.0, 0.0))
    if model.startswith("scripted/"):
        return Line(Scripted(registry.resolve("backends", model.removeprefix("scripted/"))), model, Price(0.0, 0.0))
    if base_urls or model.startswith("openai/"):
        return _openai(model, base_urls, engine, token_ids=token_ids)
    from tfgrpo.backends.litellm import LiteLLM  # noqa: PLC0415 - 2.4 s when it is used

    return Line(LiteLLM(timeout=engine.timeout), model, known_price(model))


def _openai(model: str, base_urls: Sequence[str], engine: EngineConfig, *, token_ids: bool) -> Line:
    from tfgrpo.backends.openai import OpenAI  # noqa: PLC0415 - only where it is used

    url = base_urls[0] if base_urls else configuration.environment("OPENAI_BASE_URL")
    key = configuration.environment("OPENAI_API_KEY")
    if key is None and url is None:
        raise UsageError("OPENAI_API_KEY is not set; export it, or name your own endpoint with --base-url")
    # An endpoint of one's own has no list price: what it costs is unknown, which is not zero.
    price = known_price(model) if url is None else None
    urls: Sequence[str | None] = list(dict.fromkeys(base_urls)) or [url]
    how: dict[str, Any] = {"transport": engine.transport, "timeout": engine.timeout, "token_ids": token_ids}
    first, *others = (OpenAI(url, key, price=price, **how) for url in urls)
    joining = ", ".join([first.base_url, *(other.base_url for other in others)]) if engine.join else None
    return Line(first, model.removeprefix("openai/"), price, tuple(others), joining)
