"""Prices are known or None."""

from __future__ import annotations

import pytest

from tfgrpo.backends.pricing import Price, known_price
from tfgrpo.types import Usage


def test_a_listed_model_has_a_price_with_and_without_its_provider():
    """The prefix is optional, as in litellm's list, and output costs more than input."""
    price = known_price("openai/gpt-4o-mini")
    assert price == known_price("gpt-4o-mini")
    assert price is not None
    assert 0 < price.prompt < price.completion


def test_an_unlisted_model_has_none():
    """Unknown is never zero."""
    assert known_price("openai/no-such-model") is None


def test_cached_tokens_have_their_own_price():
    """A million of each: fresh prompt, cached prompt, completion."""
    usage = Usage(2_000_000, 1_000_000, 1_000_000)
    assert Price(1.0, 3.0, 0.25).usd(usage) == pytest.approx(1.0 + 0.25 + 3.0)
    assert Price(1.0, 3.0).usd(usage) == pytest.approx(2.0 + 3.0)
