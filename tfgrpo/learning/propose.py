"""The proposers that read a whole batch, and what the agent among them may have measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from experience_db import Edit, Library, Op
from tfgrpo.config import LearnConfig
from tfgrpo.edit_scores.teacher_forced import Likelihood
from tfgrpo.graders import grade
from tfgrpo.lessons.agentic import Desk, investigate
from tfgrpo.lessons.map_reduce import map_reduce
from tfgrpo.lessons.summarize import Contrast, Effects
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.methods.method import Memory, with_earlier
from tfgrpo.rollout import Actor, measure
from tfgrpo.types import Group, GroupStatus, Message, Problem, Proposal, Rollout, Sampling, Verdict

OVER_BATCH = ("map-reduce", "agentic")
"""Proposers that wait for all groups of a batch."""
FIRST_TRY = 50_000
"""Seed indices from here on belong to tries of the agent: no learning rollout and no test has them."""
TRIES = 1_000
"""Indices that a step's tries may take."""


@dataclass(frozen=True, slots=True)
class BatchConditions:
    """What all problems of a step share."""

    actor: Actor
    teacher: Teacher
    config: LearnConfig
    library: Library
    sampling: Sampling
    epoch: int
    step: int
    refused: tuple[Verdict, ...]
    """Refused edits that the summarizer is told of."""
    effects: Effects
    memory: Memory
    proposed: Callable[[Sequence[Proposal]], None] | None = None
    """Is told what each contrast proposes."""
    spare: tuple[Problem, ...] = ()
    """Problems whose turn comes later in this epoch, for dynamic sampling."""
    likelihood: Likelihood | None = None
    """Scores stored rollouts, where the run can."""
    asks: bool = True
    """Whether groups are contrasted; without, a batch is its rollouts and grades."""


async def propose_over_batch(given: BatchConditions, groups: Sequence[Group]) -> list[Contrast]:
    """Return one contrast per group; what the proposer found stands in that of the first group that teaches."""
    found = [Contrast() for _ in groups]
    teaching = [i for i, group in enumerate(groups) if group.status is GroupStatus.KEPT]
    if not teaching:
        return found
    shown = [with_earlier(groups[i], given.config, given.memory) for i in teaching]
    common = (given.refused, given.effects, given.step)
    if given.config.lessons.proposer == "agentic":
        own = await investigate(given.teacher, shown, given.library, _desk(given), *common)
    else:
        own = await map_reduce(given.teacher, shown, given.library, *common)
    for i in teaching:
        found[i] = replace(found[i], asked=("",))
    found[teaching[0]] = replace(own, asked=("",))
    if given.proposed is not None:
        given.proposed(own.proposals)
    return found


def _desk(given: BatchConditions) -> Desk:
    actor, start = given.actor, FIRST_TRY + given.step * TRIES

    async def graded(problem: Problem, answer: str) -> str:
        said: Message = {"role": "assistant", "content": answer}
        (score,) = await grade(actor.grader, problem, (Rollout(problem.id, 0, (said,), answer),))
        value = "no score" if score.value is None else f"{score.value:.2f}"
        return f"{value} {score.failure.message if score.failure else score.why}".strip()

    async def attempted(problem: Problem, lesson: str, number: int) -> str:
        library = given.library.with_edits((Edit(Op.ADD, lesson),))
        (found,) = await measure(actor, library, [(problem, start + number)], given.sampling, "try")
        if found.rollout.failure:
            return f"the try failed: {found.rollout.failure.message}"
        return f"reward {found.reward:.2f}; the attempt ended with:\n{found.rollout.answer}"

    return Desk(graded, attempted)
