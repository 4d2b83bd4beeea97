"""Which block of lessons an endpoint gets: its own choice where it was probed, else that of the prompt set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Protocol

from experience_db import Library
from experience_db.library import TURNS, place_of
from tfgrpo.backends.endpoints import Endpoints
from tfgrpo.prompting import templates
from tfgrpo.prompting.templates import Prompts
from tfgrpo.prompting.transcript import CHARS_PER_TOKEN

BLOCKS: tuple[str, ...] = ("default, system", "default, user_end", "small, user_end", "small, system")
"""Prompt set and place, the safest and cheapest first: fenced, in the part of the prompt that all problems share."""
PREFILL, RATES, WINDOW = "prefill", "follows", "window"
"""Names of the stored facts: whether an endpoint goes on with the assistant's words, its follow rates by block, and
the tokens of prompt and reply that one call may have."""
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


def window(store: Facts, line: Endpoints) -> int | None:
    """Return the tokens of prompt and reply that one call may have, as a probe found; None where nobody knows."""
    said = store.endpoint_fact(fact_key(line), line.model, WINDOW)
    return int(said) if said and said.isdecimal() else None


def room_note(line: Endpoints, prompts: Prompts, room: int) -> str:
    """Return a sentence when the prompt that asks for lessons leaves no room for attempts; '' when it does."""
    bare = prompts.size("contrast/group") // CHARS_PER_TOKEN
    if bare <= room // 2:
        return ""
    return (
        f"{line.model} has room for {room} tokens of prompt and reply, and the prompt that asks for lessons has about "
        f"{bare} before any attempt is shown: take --prompts small, or give it more room"
    )


def place_note(line: Endpoints, library: Library, prompts: Prompts) -> str:
    """Return a sentence when lessons stand elsewhere than the model's own prompt set puts them; '' when they do not.

    For endpoints that were not probed: a place that suits large models may be one that a small model does not read.
    """
    wanted = place_of(prompts.block())
    if library.place == wanted:
        return ""
    return (
        f"the lessons of library {library.name!r} stand at {library.place}, the prompt set of {line.model} puts them "
        f"at {wanted}: `tfgrpo models probe` says which it follows, `tfgrpo lessons block --place {wanted}` moves them"
    )


def rates(store: Facts, line: Endpoints) -> dict[str, float]:
    """Return the follow rates that a probe of the endpoint found; empty where it was not probed."""
    said = store.endpoint_fact(fact_key(line), line.model, RATES)
    return dict(json.loads(said)) if said else {}


def probed_template(store: Facts, line: Endpoints) -> str | None:
    """Return the template of the block that suits the endpoint best; None where nobody knows."""
    best = choose_block(rates(store, line))
    return None if best is None else template_of(best)


def block_line(store: Facts, line: Endpoints, template: str) -> str:
    """Return in words which block the lessons stand in, and what is known of how the endpoint follows it."""
    own, found = name_of(template), rates(store, line)
    said = f"lessons stand in the block {own}" if own else "lessons stand in a block of the library's own"
    if own not in found:
        return f"{said}; how often {line.model} follows it was not measured"
    return f"{said}; {line.model} followed canary lessons there in {found[own]:.0%} of replies"


def name_of(template: str) -> str:
    """Return which of BLOCKS a template is; '' where it is none of them."""
    # Libraries of before examples could be turns have the same words.
    bare = template.replace(TURNS, "")
    return next((name for name in BLOCKS if template_of(name).replace(TURNS, "") == bare), "")


def warning(store: Facts, line: Endpoints, template: str) -> str:
    """Return a sentence when the endpoint is known not to follow lessons in this block; '' when all is well."""
    found = rates(store, line)
    own = name_of(template)
    if own not in found or found[own] >= LOW:
        return ""
    best = choose_block(found)
    if best is None:
        return f"`tfgrpo models probe` found no block of lessons that {line.model} follows; lessons may change nothing"
    name, _, place = best.partition(", ")
    return (
        f"{line.model} followed canary lessons in this library's block ({own}) in {found[own]:.0%} of replies, in the "
        f"block {best} in {found[best]:.0%}; `tfgrpo lessons block --prompts {name} --place {place}` changes it"
    )
