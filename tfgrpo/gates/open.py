"""The open gate lets everything in, for `--gate open`: nothing is measured, so there is no evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from experience_db import Library
from tfgrpo.gates.base import Trial
from tfgrpo.types import Proposal, Verdict


@dataclass(frozen=True, slots=True)
class OpenGate:
    """Accepts each edit unseen."""

    async def __call__(self, library: Library, proposals: Sequence[Proposal], trial: Trial) -> tuple[Verdict, ...]:
        """Return `accepted` for each proposal; makes no rollout."""
        return tuple(Verdict("accepted", (proposal.edit,), "the gate is open") for proposal in proposals)
