"""Several objectives: one must improve, none may be shown worse."""

import math
import random

import pytest

from experience_db import Library
from tfgrpo.errors import UsageError
from tfgrpo.gates import Missing, Observation, PairedGate
from tfgrpo.gates.factory import paired_gate
from tfgrpo.gates.objectives import objective_difference

from .tables import Table, add, worded_pool

LESSON = "Treat glorp as max."


async def ask(with_it, without, seed=0, objectives=("correct", "tokens"), pool=256):
    """Put a lesson to the gate; both sides give (chance of being right, tokens)."""
    rng = random.Random(seed)

    def measured(texts, problem, index):
        chance, tokens = with_it if LESSON in texts else without
        right = float(rng.random() < chance)
        return Observation(right, None, {"correct": right, "tokens": tokens})

    trial = Table(measured, worded_pool(pool))
    return (await PairedGate(objectives=objectives)(Library("o"), [add(LESSON)], trial))[0]


async def test_tokens_saved_at_equal_accuracy_are_worth_a_lesson():
    """A lesson that saves nine tokens of ten and changes nothing else enters, for what it saved."""
    verdict = await ask((1.0, 20), (1.0, 200))
    assert verdict.decision == "accepted"
    assert verdict.reason.startswith("better: tokens improved and nothing got worse on 64 problems: correct +0.000")
    assert verdict.evidence[0].detail["objectives"]["tokens"]["estimate"] == pytest.approx(0.9)
    alone = await ask((1.0, 20), (1.0, 200), objectives=())
    assert alone.decision == "rejected"


async def test_brevity_bought_with_correctness_does_not_enter():
    """A lesson that saves nine tokens of ten and loses .25 of the right answers is never accepted."""
    decided = [(await ask((0.45, 20), (0.7, 200), seed)).decision for seed in range(12)]
    assert "accepted" not in decided
    assert decided.count("rejected") >= 6


async def test_doubt_about_correctness_is_met_with_more_pairs():
    """After 64 pairs a loss of .10 looks much like none: what saved tokens goes on until the two are told apart."""
    equal = [await ask((0.7, 20), (0.7, 200), seed) for seed in range(20)]
    assert sum(verdict.decision == "accepted" for verdict in equal) >= 17
    pairs = {verdict.evidence[0].detail["pairs"] for verdict in equal if verdict.decision == "accepted"}
    assert min(pairs) == 64
    assert max(pairs) == 256


async def test_what_improves_nothing_is_refused():
    """A lesson that changes no objective is not worth it."""
    verdict = await ask((1.0, 100), (1.0, 100))
    assert verdict.decision == "rejected"
    assert verdict.reason.startswith("not worth it: no objective improved")


async def test_correctness_alone_may_improve():
    """The other objectives only have to hold."""
    verdict = await ask((0.9, 100), (0.3, 100))
    assert verdict.decision == "accepted"
    assert verdict.reason.startswith("better: correct improved")


async def test_an_objective_that_no_rollout_has_is_named():
    """A wrong name ends the gate with the setting to look at."""
    with pytest.raises(UsageError, match=r"'brevity' has no value.*gate\.options\.objectives"):
        await ask((1.0, 1), (1.0, 1), objectives=("correct", "brevity"))


def test_differences_of_objectives():
    """Tokens count by the share saved; a text's own fault is 0 where the other side was scored, an outage nothing."""
    old, new = Observation(1.0, None, {"a": 0.5, "tokens": 200}), Observation(1.0, None, {"a": 1.0, "tokens": 50})
    assert objective_difference("a", old, new) == 0.5
    assert objective_difference("tokens", old, new) == 0.75
    assert objective_difference("tokens", new, old) == -0.75
    cut = Observation(missing=Missing.OWN_FAULT, objectives={"tokens": 400})
    assert objective_difference("a", old, cut) == -0.5
    assert objective_difference("tokens", old, cut) == -0.5
    assert math.isnan(objective_difference("a", old, Observation(missing=Missing.OUTAGE)))


@pytest.mark.parametrize("wrong", [3, [1], {"a": 1}, [""]])
def test_objectives_are_names(wrong):
    """Anything but a list of names is a usage error; one name stands for a list of it."""
    with pytest.raises(UsageError, match=r"gate\.options\.objectives"):
        paired_gate(objectives=wrong)
    assert paired_gate(objectives="tokens").objectives == ("tokens",)
