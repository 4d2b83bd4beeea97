"""How far one version of the library may move: so many edits, and so much change of the log-prob of stored rollouts.

PPO (arXiv 1707.06347) bounds each update, because an estimate made under the old policy is trusted near it only. Edits
of one batch were proposed, and are proved, under one version of the library; the more enter together, the less each
one's proof speaks of the whole. What does not fit waits for the next version untested and keeps its claim.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from experience_db import Edit, Library
from tfgrpo.edit_scores.kl import kl
from tfgrpo.learning.run import Run
from tfgrpo.types import Proposal, Verdict

HELD = "untested: beyond the trust region"
"""How the reason of an edit begins that waits for the next version."""
STORED = 16
"""Stored rollouts that a move is measured on, at most: the first of each of the newest groups."""


async def within_region(
    run: Run, library: Library, proposals: Sequence[Proposal], accepted: Sequence[Edit]
) -> tuple[tuple[Proposal, ...], tuple[Proposal, ...]]:
    """Return the proposals that may meet the gate now, as many as the version has room for, and those that may not yet.

    Rivals of one subject are one: at most one of them enters. Without `gate.max_edits` and `gate.max_kl` all may. What
    meets the gate together stays within `max_kl` if all of it enters; one edit may always go, as an update has a size.
    """
    most = run.config.gate.max_edits
    if most is None:
        return await _within_kl(run, library, proposals, accepted)
    room, named, now, held = most - len(accepted), set[str](), list[Proposal](), list[Proposal]()
    for place, proposal in enumerate(proposals):
        subject = proposal.subject or f"#{place}"
        if subject in named or len(named) < room:
            named.add(subject)
            now.append(proposal)
        else:
            held.append(proposal)
    near, far = await _within_kl(run, library, now, accepted)
    return near, (*far, *held)


async def _within_kl(
    run: Run, library: Library, proposals: Sequence[Proposal], accepted: Sequence[Edit]
) -> tuple[tuple[Proposal, ...], tuple[Proposal, ...]]:
    """Return the proposals that together move the version by `gate.max_kl` at most, in their order, and the others."""
    limit = run.config.gate.max_kl
    if limit is None or run.likelihood is None:
        return tuple(proposals), ()
    first, now, held = dict[str, Edit](), list[Proposal](), list[Proposal]()
    for place, proposal in enumerate(proposals):
        subject = proposal.subject or f"#{place}"
        others = [edit for name, edit in first.items() if name != subject]
        candidate = library.with_edits((*accepted, *others, proposal.edit))
        if (accepted or others) and await version_kl(run, library, candidate) > limit:
            held.append(proposal)
        else:
            first.setdefault(subject, proposal.edit)
            now.append(proposal)
    return tuple(now), tuple(held)


async def version_kl(run: Run, library: Library, candidate: Library) -> float:
    """Return KL(library || candidate) on stored rollouts, in nats per token; 0 where none can be scored.

    The k3 estimate of arXiv 2402.03300, Eq. 4, with the roles of an edit: the stored rollouts are the old side's.
    """
    if run.likelihood is None:
        return 0.0
    whole = [(g.problem, r) for g in reversed(run.groups) for r in g.rollouts_G[:1] if r.failure is None]
    pairs = whole[:STORED]
    old = await run.likelihood.log_probs(library, pairs)
    new = await run.likelihood.log_probs(candidate, pairs)
    found = kl(old, new)
    return 0.0 if math.isnan(found) else found


def put_off(proposal: Proposal) -> Verdict:
    """Return the verdict on an edit that waits: nothing has spoken for or against it."""
    return Verdict("untested", (proposal.edit,), f"{HELD} of this version; it comes again with the next one")
