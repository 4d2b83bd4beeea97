"""An acceptance rule for gepa, DSPy and MLflow: a candidate is accepted when a test says that it is better.

gepa's default takes a candidate whose sum of three scores is larger; of candidates that do nothing it takes one in
five. This rule keeps that comparison as a screen, at no further cost, and puts what passes to the sequential test of
`tfgrpo prove` on fresh examples, until it can say. The minibatch is no evidence: the candidate was written from it.

    adapter = MyAdapter()
    gepa.optimize(..., adapter=adapter, acceptance_criterion=Acceptance.of_adapter(adapter, trainset))

It implements `gepa.strategies.acceptance.AcceptanceCriterion` by its shape and imports nothing of gepa.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from tfgrpo.errors import UsageError
from tfgrpo.gates.sequential import Answer
from tfgrpo.proving.judge import LOOK, Course, Design
from tfgrpo.proving.pairs import Pair, Side

Evaluate = Callable[[Mapping[str, str], Sequence[Any]], Sequence[float]]
"""Scores of a candidate (component -> text) on examples, one each, in order."""


class Adapter(Protocol):
    """What is needed of a `gepa.GEPAAdapter`."""

    def evaluate(self, batch: list[Any], candidate: dict[str, str], capture_traces: bool = False) -> Any:
        """Return an `EvaluationBatch` with `scores`."""
        ...


@dataclass(slots=True)
class Acceptance:
    """Accepts a candidate when it is shown to be better than its parent; asks for more examples until it can say."""

    evaluate: Evaluate | None = None
    """Scores a candidate on examples; None decides on the minibatch alone, which must then be large.

    The candidate was written from the minibatch, so without fresh examples `alpha` is a threshold and no guarantee.
    """
    examples: Sequence[Any] = ()
    """Where fresh examples come from, best the training set; those of the minibatch are left out."""
    alpha: float = 0.05
    """Chance at most that a candidate which passed the screen and is no better is accepted."""
    pairs: int = 128
    """Examples per candidate at most; fewer examples are visited up to four times."""
    detect: float | None = None
    """Gain that should be seen; sets `pairs`."""
    screen: bool = True
    """Refuse at once, as gepa does, what is not better on the minibatch."""
    range: tuple[float, float] = (0.0, 1.0)
    """Least and largest possible score."""
    seed: int = 0
    reasons: dict[int, str] = field(default_factory=dict)
    """What was said of each proposal, by its identity."""
    calls: int = 0
    """Metric calls that the test made, both sides."""

    @classmethod
    def of_adapter(cls, adapter: Adapter, examples: Sequence[Any], **options: Any) -> Acceptance:
        """Return a rule that evaluates through a gepa adapter."""

        def evaluate(candidate: Mapping[str, str], batch: Sequence[Any]) -> Sequence[float]:
            scores: Sequence[float] = adapter.evaluate(list(batch), dict(candidate), capture_traces=False).scores
            return scores

        return cls(evaluate, examples, **options)

    def bound(self, evaluate: Evaluate, examples: Sequence[Any]) -> Acceptance:
        """Return the same rule with what an optimizer evaluates by; a rule that has its own keeps it."""
        return self if self.evaluate is not None else replace(self, evaluate=evaluate, examples=examples, reasons={})

    def should_accept(self, proposal: Any, state: Any) -> bool:
        """Say whether `proposal` is shown to be better than its parent; counts its metric calls in `state`.

        Raises:
            UsageError: scores outside `range`, or an evaluation that returned another number of scores.
        """
        before = list(proposal.subsample_scores_before or [])
        after = list(proposal.subsample_scores_after or [])
        if self.screen and not sum(after) > sum(before):
            return self._told(proposal, False, f"not better on the minibatch ({sum(before):g} -> {sum(after):g})")
        if self.evaluate is None or not self.examples:
            answer, told = self._on_minibatch(before, after)
        else:
            parent = state.program_candidates[proposal.parent_program_ids[0]]
            answer, told = self._on_fresh(proposal, parent, state)
        return self._told(proposal, answer is Answer.HELPS, told)

    def reject_reason(self, proposal: Any, state: Any) -> str:
        """Return why a proposal was refused, for the optimizer's log."""
        return self.reasons.get(id(proposal), "not asked")

    def _told(self, proposal: Any, accepted: bool, told: str) -> bool:
        self.reasons[id(proposal)] = told
        return accepted

    def _on_minibatch(self, before: Sequence[float], after: Sequence[float]) -> tuple[Answer, str]:
        there = max(len(before), 1)
        course = Course(Design(there, self.alpha, pairs=there).plan())
        return _answer(course.looked(self._pairs(range(len(before)), before, after, 0)))

    def _on_fresh(self, proposal: Any, parent: Mapping[str, str], state: Any) -> tuple[Answer, str]:
        known = set(proposal.subsample_indices or ())
        order = [i for i in range(len(self.examples)) if i not in known]
        if not order:
            return Answer.OPEN, "no example is left that the candidate was not written from"
        random.Random(f"{self.seed}/{getattr(state, 'i', 0)}/{sorted(proposal.candidate.items())}").shuffle(order)
        design = Design(len(order), self.alpha, self.detect, None if self.detect else self.pairs)
        course, pairs = Course(design.plan()), list[Pair]()
        for visit in range(design.passes):
            end = design.horizon if design.passes == 1 else len(order)
            for start in range(0, end, LOOK):
                look = order[start : min(start + LOOK, end)]
                fresh = self._measured(parent, proposal.candidate, look, visit, state)
                pairs += fresh
                course = course if visit else course.looked(fresh)
                if not visit and course.state().answer is not Answer.OPEN:
                    return _answer(course)
            if visit:
                course = course.again(pairs, len(order))
            if course.state().answer is not Answer.OPEN:
                break
        return _answer(course)

    def _measured(
        self, parent: Mapping[str, str], candidate: Mapping[str, str], look: Sequence[int], visit: int, state: Any
    ) -> list[Pair]:
        """Return the pairs of one look; both sides are evaluated now, since a baseline that is kept favours luck."""
        assert self.evaluate is not None
        batch = [self.examples[i] for i in look]
        before, after = self.evaluate(parent, batch), self.evaluate(candidate, batch)
        if not len(before) == len(after) == len(batch):
            raise UsageError(f"the evaluation returned {len(before)} and {len(after)} scores for {len(batch)} examples")
        self.calls += 2 * len(batch)
        if hasattr(state, "increment_evals"):
            state.increment_evals(2 * len(batch))
        return self._pairs(look, before, after, visit)

    def _pairs(self, ids: Sequence[int], before: Sequence[float], after: Sequence[float], visit: int) -> list[Pair]:
        return [
            Pair(str(i), "", Side(self._scaled(b)), Side(self._scaled(a)), visit)
            for i, b, a in zip(ids, before, after, strict=True)
        ]

    def _scaled(self, score: float) -> float:
        low, high = self.range
        if not low <= score <= high:
            raise UsageError(
                f"a score of {score:g} is outside of {low:g} to {high:g}; give Acceptance(range=(LOW, HIGH))"
            )
        return (score - low) / (high - low)


def _answer(course: Course) -> tuple[Answer, str]:
    state = course.state()
    return state.answer, f"{state.answer.value}: {state.reason or 'not clear with the examples there are'}"
