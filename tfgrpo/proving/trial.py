"""A proof under way: its questions by the error they share, and whom those texts hurt that hurt the set."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from tfgrpo.gates.sequential import Answer
from tfgrpo.proving.arm_rollouts import ArmRollouts
from tfgrpo.proving.judge import Course, Design, Question, apply_holm
from tfgrpo.proving.proof import Finding
from tfgrpo.proving.texts import Text, join_texts
from tfgrpo.types import Problem


@dataclass(slots=True)
class Trial:
    """A proof under way."""

    bench: ArmRollouts
    design: Design
    order: tuple[Problem, ...]
    """All problems, in the order in which they are met."""
    baseline: str
    floor: int
    courses: dict[Question, Course]
    controls: dict[Question, Course]
    """Questions that share an error of their own."""
    texts: tuple[Text, ...] = ()
    """What may hurt one another; () where that is not asked."""
    beside: dict[Question, Course] = field(default_factory=dict)
    """A text next to one other against that other alone; filled once a text was found to hurt the set."""
    cases: dict[Question, list[tuple[Problem, int]]] = field(default_factory=dict)
    stopped: str = ""

    @property
    def open(self) -> list[Question]:
        """Questions that are not answered."""
        return [q for group in self.groups for q, c in group.items() if c.state().answer is Answer.OPEN]

    @property
    def groups(self) -> tuple[dict[Question, Course], ...]:
        """The questions, those that share an error together."""
        return (self.courses, self.controls, self.beside)

    def group(self, question: Question) -> dict[Question, Course]:
        """Return the questions that share an error with this one."""
        return next(group for group in self.groups if question in group)


def ask_whom(trial: Trial) -> None:
    """Ask of each text that hurts the set which one other it hurts.

    With two texts the set without one is the other alone, so that is answered. Where the set harms and none was shown
    to be the cause, two of them may do the same harm, and leaving one out changes nothing: then all are asked. Which
    are asked was chosen by what was seen; so the error is that of all ordered pairs there are, whichever are asked.
    """
    if len(trial.texts) < 3:
        return
    said = {question: state.answer for question, state in apply_holm(trial.courses, trial.design.alpha).items()}
    names = [q.name for q, a in said.items() if q.kind == "leave-one-out" and a is Answer.HARMS]
    if not names and any(q.kind == "together" and a is Answer.HARMS for q, a in said.items()):
        names = [text.name for text in trial.texts]
    arms, plan = dict(trial.bench.arms), trial.design.plan(ordered(trial.texts))
    for one, other in itertools.permutations(trial.texts, 2):
        if one.name in names:
            both = f"{one.name} beside {other.name}"
            # In the order in which they were given, as in the set.
            arms[both] = join_texts([t for t in trial.texts if t in (one, other)], both).library
            trial.beside[Question(one.name, other.name, "beside", both)] = Course(plan)
    trial.bench.arms = arms


def ordered(texts: Sequence[Text]) -> int:
    """Return how many ordered pairs there are."""
    return len(texts) * (len(texts) - 1)


def of_two(trial: Trial, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Of two texts the set without one is the other, so leaving one out has already said who hurts whom."""
    if len(trial.texts) != 2:
        return ()
    other = {trial.texts[0].name: trial.texts[1].name, trial.texts[1].name: trial.texts[0].name}
    return tuple(replace(f, kind="beside", against=other[f.name]) for f in findings if f.kind == "leave-one-out")
