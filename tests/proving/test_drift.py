"""A model that changes while it is measured: it is told, and moves both sides of a pair alike."""

import itertools

import pytest
from proving.conftest import data, luck
from support.script import ASKED, text_of

from tfgrpo.proving.drift import drift

CALLS = 128
"""The model has become another one after so many."""


def fading(first, last, text="double the figure"):
    """A model that is right with a chance that goes from `first` to `last` over the calls, and surely with a text."""
    met = itertools.count()

    def said(request):
        place = next(met)
        figure = int(ASKED.search(text_of(request))[2])
        chance = first + (last - first) * min(place / CALLS, 1.0)
        right = luck(place, figure) < chance or text in request.messages[0]["content"]
        return f"Answer: {2 * figure if right else figure}"

    return said


@pytest.mark.parametrize(("first", "last"), [(0.95, 0.05), (0.05, 0.95)])
def test_a_model_that_drifts_is_told_and_makes_no_verdict(prove, model, first, last):
    """A text that does nothing gets no verdict from a model that gets worse, or better; the drift is told with a p."""
    model.roles["prove"] = fading(first, last)
    found = data(prove("idle.md", "--pairs", 96, "--json"))
    assert found["verdict"] in ("no-worth", "cannot-tell")
    assert found["drift"]["p"] < 0.01
    assert (found["drift"]["first"] > found["drift"]["last"]) == (first > last)
    assert "drift: the baseline drifted; first half" in prove("idle.md", "--pairs", 96).stdout


def test_a_text_that_helps_is_found_in_a_drift(prove, model):
    """What helps throughout is said to, although the model without it gets better all the time."""
    model.roles["prove"] = fading(0.05, 0.6)
    assert data(prove("good.md", "--json"))["verdict"] == "helps"


def test_arms_one_after_the_other_would_be_fooled():
    """The same fading rewards, first all of one side and then all of the other, look like harm; in turns not."""
    chances = [0.95 - 0.9 * place / 192 for place in range(192)]
    rewards = [float(luck("drift", place) < chance) for place, chance in enumerate(chances)]
    after = sum(rewards[96:]) - sum(rewards[:96])
    beside = sum(rewards[1::2]) - sum(rewards[::2])
    assert after < -30
    assert abs(beside) < 15
    told = drift(rewards[::2])
    assert told is not None
    assert told["p"] < 0.01
