"""Evaluation: means over problems, pass@k over rollouts, failures apart, and controls that change one thing only."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from experience_db import Lesson, Library
from tfgrpo.backends import Scripted
from tfgrpo.environments import SingleTurn
from tfgrpo.errors import NothingLearned, ProviderError, UsageError
from tfgrpo.evaluation import measure
from tfgrpo.executors import Local
from tfgrpo.graders import Exact
from tfgrpo.prompting import templates
from tfgrpo.rollout import Actor
from tfgrpo.types import Problem, Sampling

PROBLEMS = tuple(Problem(f"p{i}", f"question {i}", "yes") for i in range(4))
LIBRARY = Library(
    "x", 1, (Lesson(1, "When asked a question, say yes at once.", 1, 1), Lesson(2, "Be kind to all.", 1, 1))
)


def actor(script: object) -> Actor:
    """An actor over a script."""
    return Actor(SingleTurn(Scripted(script), "m", templates.load()), Exact(), Local())  # type: ignore[arg-type]


async def evaluated(script: object, k: int = 1) -> measure.Evaluation:
    """All problems, k times."""
    return await measure.evaluate(actor(script), LIBRARY, PROBLEMS, Sampling(), k)


async def test_mean_and_pass_at_k_are_over_problems():
    """Each problem counts once, however many of its rollouts were scored."""
    found = await evaluated(lambda r: "yes" if r.attempt < int(r.messages[-1]["content"][-1]) else "no", k=4)
    assert found.means_P == (0.0, 0.25, 0.5, 0.75)
    told = measure.summary(found, 4, seed=0)
    assert told["mean"] == 0.375
    assert told["ci"][0] < 0.375 < told["ci"][1]
    assert told["pass_at"]["1"] == told["pass_hat"]["1"] == 0.375
    assert told["pass_at"]["4"] == 0.75
    assert told["pass_hat"]["4"] == 0.0


async def test_failed_rollouts_are_left_out_and_counted():
    """A problem without any scored rollout has no mean; it is not 0."""

    def say(request: object) -> object:
        number = int(request.messages[-1]["content"][-1])  # type: ignore[attr-defined]
        if number == 3 or (number == 2 and request.attempt == 0):  # type: ignore[attr-defined]
            raise ProviderError("gone")
        return "yes"

    found = await evaluated(say, k=2)
    assert found.means_P[:3] == (1.0, 1.0, 1.0)
    assert math.isnan(found.means_P[3])
    told = measure.summary(found, 2, seed=0)
    assert (told["mean"], told["failures"], told["problems"]) == (1.0, {"provider": 3}, 4)
    assert set(told["pass_at"]) == {"1"}


async def test_nothing_scored_is_an_error_with_the_reason():
    """There is no mean of nothing."""

    def say(request: object) -> str:
        raise ProviderError("the endpoint is ill")

    with pytest.raises(NothingLearned, match="nothing could be measured on 4 problems: the endpoint is ill"):
        await evaluated(say)


def test_a_control_changes_one_thing():
    """Empty takes the lessons, filler their meaning and words, shuffled only their order; ids and lengths stay."""
    texts = templates.load()
    empty, filler, shuffled = (measure.control_library(name, LIBRARY, texts, 0) for name in measure.CONTROLS[:3])
    assert empty.lessons == ()
    for changed in (filler, shuffled):
        assert [x.id for x in changed] == [1, 2]
        assert [len(x.text.split()) for x in changed] == [len(x.text.split()) for x in LIBRARY]
        assert [x.text for x in changed] != [x.text for x in LIBRARY]
    assert [Counter(x.text.split()) for x in shuffled] == [Counter(x.text.split()) for x in LIBRARY]
    assert measure.control_library("shuffled", LIBRARY, texts, 0) == shuffled
    assert measure.control_library("shuffled", LIBRARY, texts, 1) != shuffled


def test_an_unknown_control_is_refused():
    """The message lists what there is."""
    with pytest.raises(UsageError, match="no control 'placebo'; there are: empty, filler, shuffled"):
        measure.control_library("placebo", LIBRARY, templates.load(), 0)


async def test_a_difference_is_paired_and_has_the_right_sign():
    """Library minus control: positive where the library is better."""
    better = await evaluated(lambda r: "yes")
    worse = await evaluated(lambda r: "yes" if r.messages[-1]["content"].endswith("0") else "no")
    told = measure.control_result(better, worse, seed=0)
    assert (told["mean"], told["diff"]) == (0.25, 0.75)
    assert measure.control_result(worse, better, seed=0)["diff"] == -0.75
