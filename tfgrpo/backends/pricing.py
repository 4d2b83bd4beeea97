"""What tokens cost. A price that nobody knows is None, never zero."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tfgrpo.types import Usage

PRICE_MAP = "model_prices_and_context_window_backup.json"
CACHED_KEY = "cache_read_input_token_cost"


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens."""

    prompt: float
    completion: float
    cached: float | None = None
    """Prompt tokens served from the prefix cache; None charges them like the others."""

    def usd(self, usage: Usage) -> float:
        """Return what `usage` costs in US dollars."""
        cached = self.prompt if self.cached is None else self.cached
        fresh = usage.prompt_tokens - usage.cached_tokens
        return (fresh * self.prompt + usage.cached_tokens * cached + usage.completion_tokens * self.completion) / 1e6


def known_price(model: str) -> Price | None:
    """Return the list price of `provider/model` or `model`, or None when it is in no list.

    The list is the one inside the litellm package, read without importing litellm (tens of milliseconds, once).
    """
    prices = _price_map()
    entry = prices.get(model) or prices.get(model.partition("/")[2])
    if entry is None:
        return None
    prompt, completion, cached = (
        _per_million(entry.get(key)) for key in ("input_cost_per_token", "output_cost_per_token", CACHED_KEY)
    )
    # The list also says 0 where nobody looked, so two zeros are no price.
    return Price(prompt or 0.0, completion or 0.0, cached) if prompt or completion else None


def _per_million(usd: float | None) -> float | None:
    return None if usd is None else round(float(usd) * 1e6, 9)


@cache
def _price_map() -> Mapping[str, Mapping[str, Any]]:
    spec = find_spec("litellm")
    if spec is None or spec.origin is None:
        return {}
    path = Path(spec.origin).with_name(PRICE_MAP)
    return json.loads(path.read_text("utf-8")) if path.is_file() else {}
