"""Which block of lessons an endpoint gets: its own choice where it was probed, else that of the prompt set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol

from tfgrpo.backends.endpoints import Endpoints
from tfgrpo.prompting import templates

BLOCKS: tuple[str, ...] = ("default, system", "default, user_end", "small, user_end", "small, system")
"""Prompt set and place, the safest and cheapest first: fenced, in the part of the prompt that all problems share."""
PREFILL, RATES = "prefill", "follows"
"""Names of the stored facts: whether an endpoint goes on with the assistant's words, and its follow rates by block."""
MARGIN = 0.1
"""A block must be followed so much more often than a safer one to be preferred to it."""
LOW = 0.15
"""A block that is followed less often, while another is followed more often by MARGIN, is worth a warning."""


class Facts(Protocol):
    """Where facts of endpoints are kept; `experience_db.Store` is one."""

    def endpoint_fact(self, endpoint: str, model: str, name: str, /) -> str | None:
        """Return what was found out, or None."""
        ...


def fact_key(line: Endpoints) -> str:
    """Return how an endpoint is called in the store."""
    return ", ".join(line.urls) or line.model


def template_of(block: str) -> str:
    """Return the template of one of BLOCKS."""
    name, _, place = block.partition(", ")
    return templates.load(name).block(place)


def choose_block(follows: Mapping[str, float]) -> str | None:
    """Return the safest block whose follow rate is within MARGIN of the best; None where none is followed."""
    best = max(follows.values(), default=0.0)
    if best < LOW:
        return None
    return next(name for name in BLOCKS if follows.get(name, 0.0) >= best - MARGIN)


def rates(store: Facts, line: Endpoints) -> dict[str, float]:
    """Return the follow rates that a probe of the endpoint found; empty where it was not probed."""
    said = store.endpoint_fact(fact_key(line), line.model, RATES)
    return dict(json.loads(said)) if said else {}


def probed_template(store: Facts, line: Endpoints) -> str | None:
    """Return the template of the block that suits the endpoint best; None where nobody knows."""
    best = choose_block(rates(store, line))
    return None if best is None else template_of(best)


def warning(store: Facts, line: Endpoints, template: str) -> str:
    """Return a sentence when the endpoint is known not to follow lessons in this block; '' when all is well."""
    found = rates(store, line)
    own = next((name for name in BLOCKS if name in found and template_of(name) == template), None)
    if own is None or found[own] >= LOW:
        return ""
    best = choose_block(found)
    if best is None:
        return f"`tfgrpo models probe` found no block of lessons that {line.model} follows; lessons may change nothing"
    name, _, place = best.partition(", ")
    return (
        f"{line.model} followed canary lessons in this library's block ({own}) in {found[own]:.0%} of replies, in the "
        f"block {best} in {found[best]:.0%}; `tfgrpo lessons block --prompts {name} --place {place}` changes it"
    )
