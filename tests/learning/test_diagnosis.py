"""A run that learned nothing says what became of its groups, and what is likeliest to mend it."""

# ruff: noqa: E501  (rows of a table, one a line)

from __future__ import annotations

import re

import pytest
from support.script import SMALL, Model, play, rows

import tfgrpo
from experience_db import Edit, Evidence, Op
from tfgrpo.learning import diagnosis
from tfgrpo.types import Group, GroupStatus, Problem, Rollout, Score, Step, Verdict


def summary(**more) -> dict:
    """The summary of a run without lessons."""
    told = {
        "run": "r", "library": "default", "lessons": 0, "groups": {"kept": 4, "flat": 0, "failed": 0, "filtered": 0},
        "edits": {"proposed": 4, "accepted": 0, "rejected": 0, "undecided": 0, "untested": 0, "malformed": 0},
        "failures": {}, "heldout": None,
    }  # fmt: skip
    return told | more


def step(rewards, *verdicts: Verdict) -> Step:
    """One step whose groups have these rewards in all rollouts."""
    groups = tuple(
        Group(Problem(f"p{i}", "q"), (Rollout("p", 0),) * 2, (Score(r),) * 2, (r, r), (0.0, 0.0), GroupStatus.FLAT, 0)
        for i, r in enumerate(rewards)
    )
    return Step(0, 0, groups, (), verdicts, (), 0, 0)


def verdict(decision: str, reason: str, *, tested: bool) -> Verdict:
    """A verdict on one edit."""
    evidence = (Evidence("gate", 0.0),) if tested else ()
    return Verdict(decision, (Edit(Op.ADD, "text"),), reason, evidence)


@pytest.mark.parametrize(
    ("told", "steps", "said", "remedy"),
    [
        (summary(groups={"kept": 0, "flat": 4, "failed": 0, "filtered": 0}), step([1.0] * 4), "4 of 4 groups were right throughout", "harder problems"),
        (summary(groups={"kept": 0, "flat": 4, "failed": 0, "filtered": 0}), step([0.0] * 4), "4 of 4 groups were wrong throughout", "--dry-run"),
        (summary(groups={"kept": 0, "flat": 1, "failed": 3, "filtered": 0}, failures={"timeout": 6}), step([0.5] * 4), "3 of 4 groups could not be graded \\(6 timeout\\)", "tfgrpo runs show r"),
        (summary(), step([0.5] * 4, *[verdict("rejected", "it states the answer of 12", tested=False)] * 3), "3 of 4 edits were refused before any test: it states the answer of 12", "tfgrpo lessons log"),
        (summary(), step([0.5] * 4, verdict("undecided", "not clear", tested=True)), "1 of 1 tested edits stayed undecided", "--heldout 0.5"),
        (summary(), step([0.5] * 4, verdict("rejected", "not worth it", tested=True)), "did not help", "--summarizer-model"),
        (summary(edits={**summary()["edits"], "proposed": 0}), step([0.5] * 4), "only 0 edits came of them", "--summarizer-model"),
        (summary(lessons=2, heldout={"diff": 0.1, "ci": (-0.1, 0.3), "n": 18, "before": 0.5}), step([0.5] * 4), "18 held-out problems show only large effects", "tfgrpo eval FILE --library default"),
    ],
)  # fmt: skip
def test_the_likeliest_cause_comes_first_with_its_remedy(told, steps, said, remedy):
    """Whatever stands in the way: the data, the grader, the checks, the gate, the writer of lessons."""
    assert diagnosis.needs_explaining(told)
    found = diagnosis.likely_causes(told, [steps])
    assert 1 <= len(found) <= 3
    assert re.search(said, found[0].said), found
    assert remedy in found[0].remedy


def test_an_effect_that_is_clear_needs_no_explanation():
    """Lessons whose held-out effect excludes zero, or was not measured."""
    assert not diagnosis.needs_explaining(summary(lessons=1))
    assert not diagnosis.needs_explaining(
        summary(lessons=1, heldout={"diff": 0.2, "ci": (0.1, 0.3), "n": 9, "before": 0.5})
    )


def test_the_funnel_counts_what_is_left_at_each_stage(tmp_path):
    """From groups to accepted edits, never more than before."""
    result = tfgrpo.learn_sync(rows(4), model=play(Model()), db=tmp_path / "x.db", **SMALL)
    found = diagnosis.funnel(result.summary, result.steps)
    assert found.groups >= found.kept
    assert found.proposed >= found.checked >= found.tested
    assert str(found).startswith(f"{found.groups} groups -> {found.kept} disagreed")
