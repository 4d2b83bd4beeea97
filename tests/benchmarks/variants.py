"""Poisoned proposals and other gates, by name, for `learning.py`: `scripted/variants:Poisoned`, `variants:single`, ...

A poisoned contrast says something about an operator of its problem that is drawn at random, whatever it had to say:
one contrast in five, and the lesson is wrong seven times of eight.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from experience_db import Library
from tfgrpo.backends.tiny.backend import Tiny
from tfgrpo.gates import MeanGate, PairedGate, Trial
from tfgrpo.types import Proposal, Reply, Request, Verdict

SHARE = 0.2
MEANINGS = ("sum", "diff", "product", "max", "min", "gap", "twice", "next")
_ASKED = re.compile(r"^Problem: .*?\d+ ([a-z]+) \d+", re.MULTILINE)


class Poisoned(Tiny):
    """The embedded model, but for one contrast in five."""

    async def complete(self, request: Request) -> Reply:
        """Answer as the embedded model does, or poison the contrast."""
        reply = await super().complete(request)
        if request.role != "contrast":
            return reply
        asked = str(request.messages[-1]["content"])
        found, rng = _ASKED.search(asked), random.Random(asked)
        if found is None or rng.random() >= SHARE:
            return reply
        edit = {"op": "ADD", "text": f"Treat {found[1]} as {rng.choice(MEANINGS)}."}
        return Reply(json.dumps({"edits": [edit]}), usage=reply.usage)


@dataclass(slots=True)
class Single:
    """The paired gate without bundles: every edit alone, in its turn."""

    gate: PairedGate = field(default_factory=PairedGate)

    async def __call__(self, library: Library, proposals: Sequence[Proposal], trial: Trial) -> tuple[Verdict, ...]:
        """Return one verdict per proposal."""
        verdicts: list[Verdict] = []
        for proposal in proposals:
            verdicts += await self.gate(library, [proposal], trial)
            if verdicts[-1].decision == "accepted":
                library = library.with_edits((proposal.edit,))
        return tuple(verdicts)


def single(*, seed: int) -> Single:
    """Return the paired gate that tests one edit at a time."""
    return Single(PairedGate(seed))


def mean(*, seed: int) -> MeanGate:
    """Return the naive gate: the larger mean of ten held-out problems wins."""
    return MeanGate(10, seed)
