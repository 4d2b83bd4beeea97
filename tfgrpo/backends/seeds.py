"""Which noise a call draws: a function of problem, seed, attempt and role, and of nothing else.

A paired comparison needs the same noise for two libraries on the same problem, and fresh noise for every attempt and
problem. Endpoints only know a `seed`, so all four go into that one number. The system message, where the library is,
stays out of it. Attempts count up from a common base, because vLLM gives choice j of a request the seed plus j: one
request with `n` and n requests with one choice each then draw the same.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b

from tfgrpo.types import Message, Request

_ATTEMPTS = 2**20
_SEEDS = 2**31
"""Several servers keep 32 bits of a seed, with a sign."""


def call_seed(request: Request) -> int:
    """Seed of one call, in [0, 2**31): a base for (sampling seed, last user message, role), plus the attempt.

    An unset sampling seed counts as 0. Attempts below 2**20 stay in range.
    """
    base = hash_words(request.sampling.seed or 0, last_user_text(request.messages), request.role)
    return base % (_SEEDS - _ATTEMPTS) + request.attempt


def last_user_text(messages: Sequence[Message]) -> str:
    """Text of the last message of role `user`: the problem, whatever the system message says."""
    return next((message.get("content") or "" for message in reversed(messages) if message.get("role") == "user"), "")


def hash_words(*words: int | str) -> int:
    """64 bits of BLAKE2b over the JSON list of the words."""
    return int.from_bytes(blake2b(json.dumps(words).encode(), digest_size=8).digest(), "big")
