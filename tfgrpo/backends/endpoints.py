"""Ways to a model: a name and perhaps some addresses become bare backends and what the endpoint calls the model."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from tfgrpo import config as configuration
from tfgrpo import registry
from tfgrpo.backends.adaptive_rate import Pace
from tfgrpo.backends.base import Backend
from tfgrpo.backends.faults import without_secrets
from tfgrpo.backends.limited import Ledger
from tfgrpo.backends.pricing import Price, known_price
from tfgrpo.backends.scripted import Scripted
from tfgrpo.config import BudgetConfig
from tfgrpo.config.engine import EndpointConfig, EngineConfig
from tfgrpo.errors import UsageError
from tfgrpo.system.open_files import room_for


@dataclass(frozen=True, slots=True)
class Endpoints:
    """One way to a model: the backend, and what the endpoint calls the model."""

    backend: Backend
    model: str
    price: Price | None = None
    """What a call may cost at most, for reservations; None where any endpoint's price is unknown."""
    others: tuple[Backend, ...] = ()
    """Further endpoints of the same model, which share the load."""
    joining: str | None = None
    """The address of an endpoint that may take several choices in one request."""
    weights: tuple[float, ...] = ()
    """Shares of the load; empty is equal ones."""
    urls: tuple[str, ...] = ()
    """Where it leads, for people; empty for a model inside this process."""

    @property
    def backends(self) -> tuple[Backend, ...]:
        """All endpoints."""
        return (self.backend, *self.others)

    @property
    def shares(self) -> tuple[float, ...]:
        """The part of the load that each endpoint gets; they sum up to 1."""
        weights = self.weights or (1.0,) * len(self.backends)
        return tuple(weight / sum(weights) for weight in weights)


def refuses_setting(line: Endpoints, setting: str) -> bool:
    """Say whether an endpoint of the line has refused a setting so far, which is then no longer sent."""
    dialects = [d for backend in line.backends for d in getattr(backend, "dialects", {}).values()]
    return any(setting in dialect.dropped for dialect in dialects)


def endpoints_of(model: str, base_urls: Sequence[str], engine: EngineConfig, *, token_ids: bool = False) -> Endpoints:
    """Return the bare backends for a model name.

    Those of `engine.endpoints` that serve it come first. Without any, `tiny` is the embedded model; `local/NAME` and
    `local/PATH.gguf` run weights on this machine;
    `scripted/package.module:function` asks a function, `scripted/package.module:Class` makes a backend;
    with a base URL, or as `openai/NAME`, the OpenAI protocol is spoken; everything else goes through litellm.

    Raises:
        UsageError: the name cannot be understood, or an endpoint of the configuration cannot be used.
    """
    if not model:
        raise UsageError(
            "no model named; use --model tiny, local/NAME, openai/NAME or a provider/model that litellm knows"
        )
    if engine.endpoints and base_urls:
        raise UsageError("--base-url and engine.endpoints both say where the model is; give one of them")
    if serving := [way for way in engine.endpoints if way.serves in ("", model)]:
        return _listed(model, serving, engine, token_ids=token_ids)
    if model == "tiny" and not base_urls:
        from tfgrpo.backends.tiny.backend import Tiny  # noqa: PLC0415 - loads numpy

        return Endpoints(Tiny(), model, Price(0.0, 0.0))
    if model.startswith("local/") and not base_urls:
        from tfgrpo.backends.local import Local  # noqa: PLC0415 - not on every system

        way = Local(model, engine.local, timeout=engine.timeout, transport=engine.transport)
        # Its port changes from run to run, the model behind it does not.
        return Endpoints(way, model, Price(0.0, 0.0), joining=model if engine.join else None)
    if model.startswith("scripted/"):
        said = registry.resolve("backends", model.removeprefix("scripted/"))
        return Endpoints(said() if isinstance(said, type) else Scripted(said), model, Price(0.0, 0.0))
    if base_urls or model.startswith("openai/"):
        return _openai(model, base_urls, engine, token_ids=token_ids)
    price = price_of(model, engine)
    if price is None:  # a name on the price list has its provider there
        require_provider(model)
    return Endpoints(_litellm(engine, price), model, price)


def require_provider(model: str) -> None:
    """Refuse a name that litellm knows no provider for.

    Raises:
        UnusableModel: nobody could be asked.
    """
    from tfgrpo.backends import litellm  # noqa: PLC0415 - 2.4 s when it is used

    litellm.require_provider(model)


def _litellm(engine: EngineConfig, price: Price | None, **place: Any) -> Backend:
    """Return a client of litellm; `place` says where and under which name."""
    from tfgrpo.backends.litellm import LiteLLM  # noqa: PLC0415 - 2.4 s when it is used

    limits: dict[str, Any] = {"most_bytes": engine.body_bytes, "most_characters": engine.reply_characters}
    return LiteLLM(timeout=engine.timeout, price=price, **limits, **place)


def _openai(model: str, base_urls: Sequence[str], engine: EngineConfig, *, token_ids: bool) -> Endpoints:
    from tfgrpo.backends.openai import OpenAI  # noqa: PLC0415 - only where it is used

    url = base_urls[0] if base_urls else configuration.environment("OPENAI_BASE_URL")
    key = configuration.environment("OPENAI_API_KEY")
    if key is None and url is None:
        raise UsageError(
            "OPENAI_API_KEY is not set; export it, name your own endpoint with --base-url, or take a model that needs "
            "no key: `tfgrpo models list`"
        )
    # An endpoint of one's own has no list price: what it costs is unknown, which is not zero.
    price = price_of(model, engine, listed=url is None)
    asked: Sequence[str | None] = list(dict.fromkeys(base_urls)) or [url]
    how = _how(engine, token_ids=token_ids)
    first, *others = (OpenAI(url, key, price=price, **how) for url in asked)
    urls = tuple(without_secrets(backend.base_url) for backend in (first, *others))
    joining = ", ".join(urls) if engine.join else None
    return Endpoints(first, model.removeprefix("openai/"), price, tuple(others), joining, urls=urls)


def _how(engine: EngineConfig, *, token_ids: bool) -> dict[str, Any]:
    """How an OpenAI-compatible endpoint is asked."""
    return {
        "transport": engine.transport,
        "timeout": engine.timeout,
        "token_ids": token_ids,
        "patience": engine.patience,
        "most_bytes": engine.body_bytes,
        "most_characters": engine.reply_characters,
    }


def _listed(model: str, ways: Sequence[EndpointConfig], engine: EngineConfig, *, token_ids: bool) -> Endpoints:
    """Return the line over endpoints of the configuration."""
    if any(way.client == "router" for way in ways):
        return _routed(model, ways, engine)
    found = [_one(model, way, engine, token_ids=token_ids) for way in ways]
    spoken = [client_of(way) == "openai" for way in ways]
    urls = tuple(way.url or way.model or model for way in ways)
    prices = [line.price for line in found]
    return replace(
        found[0],
        # Without a litellm endpoint among them the name is as the OpenAI protocol has it.
        model=model.removeprefix("openai/") if all(spoken) else model,
        price=None if None in prices else _dearest([p for p in prices if p is not None]),
        others=tuple(line.backend for line in found[1:]),
        joining=", ".join(urls) if engine.join and all(spoken) else None,
        weights=tuple(way.weight for way in ways),
        urls=urls,
    )


def _routed(model: str, ways: Sequence[EndpointConfig], engine: EngineConfig) -> Endpoints:
    """Return the line through litellm's Router, to which all endpoints of the model then belong."""
    from tfgrpo.backends.routed import Deployment, Routed  # noqa: PLC0415 - only where it is used

    if others := [way for way in ways if way.client != "router"]:
        raise UsageError(
            f'engine.endpoints: some endpoints of {model} say client = "router" and {others[0].url or others[0].model} '
            "does not; give all of them the router, or none"
        )
    for way in ways:
        _check(way)
    prices = [price_of(model, engine, way.model or model, listed=not way.url) for way in ways]
    price = None if None in prices else _dearest([p for p in prices if p is not None])
    places = [Deployment(way.model or model, way.url or None, _key(model, way), way.weight) for way in ways]
    urls = tuple(way.url or way.model or model for way in ways)
    return Endpoints(Routed(model, places, price=price, timeout=engine.timeout), model, price, urls=urls)


def _key(model: str, way: EndpointConfig) -> str | None:
    """Return the key of an endpoint, None where it names none."""
    key = configuration.environment(way.key) if way.key else None
    if way.key and key is None:
        raise UsageError(
            f"engine.endpoints: the environment variable that `key` names for {way.url or way.model or model} is not "
            "set; export it. A configuration is stored with the run, so write the variable's name, never the key"
        )
    return key


def _one(model: str, way: EndpointConfig, engine: EngineConfig, *, token_ids: bool) -> Endpoints:
    """Return one endpoint of the configuration."""
    _check(way)
    key = _key(model, way)
    name = way.model or model
    if client_of(way) == "litellm":
        price = price_of(model, engine, name, listed=not way.url)
        return Endpoints(_litellm(engine, price, base_url=way.url or None, api_key=key, model=name), model, price)
    from tfgrpo.backends.openai import OpenAI  # noqa: PLC0415 - only where it is used

    key = key or configuration.environment("OPENAI_API_KEY")
    if key is None and not way.url:
        raise UsageError(f"OPENAI_API_KEY is not set, and the endpoint of {name} has neither `url` nor `key`")
    price = price_of(model, engine, name, listed=not way.url)
    how = _how(engine, token_ids=token_ids)
    return Endpoints(OpenAI(way.url or None, key, model=name.removeprefix("openai/"), price=price, **how), model, price)


def price_of(model: str, engine: EngineConfig, name: str = "", *, listed: bool = True) -> Price | None:
    """Return what the configuration says of `model`, else the list price of `name` (or `model`) where one may count.

    Raises:
        UsageError: what the configuration says is no price.
    """
    given = engine.prices.get(model, engine.prices.get(model.removeprefix("openai/")))
    if given is None:
        return known_price(name or model) if listed else None
    known = isinstance(given, Mapping) and {"prompt", "completion"} <= set(given) <= {"prompt", "completion", "cached"}
    if not known or not all(isinstance(v, int | float) and v >= 0 for v in given.values()):
        raise UsageError(
            f"engine.prices of {model} is {given!r}; write {{prompt = 0.2, completion = 0.8}} in US dollars"
        )
    return Price(**{part: float(value) for part, value in given.items()})


def require_prices(budget: BudgetConfig, lines: Sequence[Endpoints]) -> None:
    """Refuse a budget in US dollars where it could not be kept.

    Raises:
        UsageError: the price of a model is unknown; the message says how to give one.
    """
    unknown = next((line.model for line in lines if line.price is None), None)
    if budget.usd is not None and unknown:
        raise UsageError(
            f"the price of {unknown} is unknown, so --budget-usd cannot be kept; give it in US dollars per million "
            f"""tokens, -s 'engine.prices={{"{unknown}"={{prompt=0.2, completion=0.8}}}}', or use --budget-tokens"""
        )


def client_of(way: EndpointConfig) -> str:
    """Return what an endpoint is asked through."""
    return way.client or ("openai" if way.url else "litellm")


def _check(way: EndpointConfig) -> None:
    """Refuse an endpoint that cannot be asked or that holds a secret; the configuration is stored with the run."""
    if not (math.isfinite(way.weight) and way.weight > 0):
        raise UsageError(f"engine.endpoints: weight is {way.weight:g}; give a number above 0")
    if way.client not in ("", "openai", "litellm", "router"):
        raise UsageError(f"engine.endpoints: client is {way.client!r}; there are: openai, litellm, router")
    if way.key and not re.fullmatch(r"[A-Za-z_]\w*", way.key):
        raise UsageError("engine.endpoints: `key` is the name of an environment variable, never the key itself")
    parts = urlsplit(way.url)
    if parts.username or parts.password or parts.query:
        raise UsageError(
            f"engine.endpoints: the URL of {parts.hostname} holds a user, a password or a query; put the key into an "
            "environment variable and its name into `key`"
        )


def _dearest(prices: Sequence[Price]) -> Price:
    """Return a price that none of `prices` exceeds."""
    cached = [p.prompt if p.cached is None else p.cached for p in prices]
    return Price(max(p.prompt for p in prices), max(p.completion for p in prices), max(cached))


def endpoint_paces(lines: Sequence[Endpoints], engine: EngineConfig, ledger: Ledger) -> tuple[Pace, ...]:
    """Return a pace for each endpoint of the longest line, which all lines share; it gets its share of the slots."""
    longest = max(lines, key=lambda line: len(line.backends))
    calls, tokens = engine.requests_per_minute, engine.tokens_per_minute
    slots = room_for(engine.concurrency)
    return tuple(
        Pace(
            math.ceil(slots * share - 1e-9),
            per_minute=calls,
            tokens_per_minute=tokens,
            sleep=ledger.sleep,
        )
        for share in longest.shares
    )
