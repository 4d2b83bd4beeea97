"""Right when the final answer equals the reference as text, after both are normalised."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tfgrpo.graders.base import judged, no_reference, reference_of
from tfgrpo.graders.extract import final_answer, normalise
from tfgrpo.types import Problem, Rollout, Score

WORD = re.compile(r"[^\W_]+")
DENIALS = frozenset({"not", "no", "never", "neither", "nor", "without", "isn", "than"})
DENIAL_REACH = 3
"""Words before a label among which a denial counts."""


@dataclass(frozen=True, slots=True)
class Exact:
    """1 when the final answer equals the reference or one of `metadata["answer_aliases"]`, else 0.

    What counts as the final answer is in `extract.final_answer`; what is ignored is in `extract.normalise`. With a
    label set, an answer that is a sentence counts as the one label that it names.
    """

    labels: Sequence[str] = ()
    """All labels that an answer may give; empty compares the whole answer."""

    async def __call__(self, problem: Problem, rollouts: Sequence[Rollout]) -> tuple[Score, ...]:
        """Score every rollout; all stay unscored when the problem has no reference answer."""
        reference = reference_of(problem)
        if reference is None:
            return (no_reference(problem),) * len(rollouts)
        wanted = {normalise(final_answer(answer)) for answer in _accepted(problem) if answer.strip()}
        labels = {normalise(label): label for label in self.labels}
        return tuple(_score(rollout, wanted, reference, labels) for rollout in rollouts)


def _score(rollout: Rollout, wanted: set[str], shown: str, labels: Mapping[str, str]) -> Score:
    """Compare one answer."""
    got = final_answer(rollout.answer)
    if labels and normalise(got) not in wanted:
        got = labels.get(named_label(normalise(got), tuple(labels)), got)
    return judged(normalise(got) in wanted and bool(got), got, shown)


def named_label(answer: str, labels: Sequence[str]) -> str:
    """Return the one label that a normalised answer names and does not deny; '' where it names none or several."""
    rest, found = f" {' '.join(WORD.findall(answer))} ", []
    for label in sorted(labels, key=len, reverse=True):
        words = f" {' '.join(WORD.findall(label))} "
        if not words.strip() or words not in rest:
            continue
        before = rest.partition(words)[0].split()[-DENIAL_REACH:]
        found.append("" if DENIALS & set(before) else label)
        # A longer label that holds a shorter one, as "not urgent" does, has used its words up.
        rest = rest.replace(words, " | ")
    return found[0] if len(found) == 1 else ""


def _accepted(problem: Problem) -> list[str]:
    """The reference and its aliases."""
    aliases = problem.metadata.get("answer_aliases", ())
    extra = [alias for alias in aliases if isinstance(alias, str)] if isinstance(aliases, list | tuple) else []
    return [problem.answer or "", *extra]
