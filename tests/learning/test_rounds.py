"""Rivals before the gate: each gets its turn where the one before it fell, and what was close comes again."""

from __future__ import annotations

from importlib import import_module

import pytest
from support.script import Model, edits, learn, rows

from experience_db import Evidence
from tfgrpo.gates.rival_race import Race
from tfgrpo.types import Verdict

LEFT, RIGHT, MIDDLE = "Start with the left one.", "Start with the right one.", "Start with the middle one."
SHOWN = {LEFT: 0.5, RIGHT: 0.4, MIDDLE: 0.1}
"""What each shows in a race, in whose evidence it stands as the paired gate writes it."""
ASKED: list[list[str]] = []


class Racing:
    """A gate that races rivals by what they show and lets in the texts it was told to."""

    races = True

    def __init__(self, right: str) -> None:
        self.right = right

    async def __call__(self, library, proposals, trial):
        """Test the best of several rivals, and a lone one at once."""
        ASKED.append([p.edit.text for p in proposals])
        best = max(proposals, key=lambda p: SHOWN[p.edit.text])
        return tuple(self._verdict(p.edit, tested=p is best, raced=len(proposals) > 1) for p in proposals)

    def _verdict(self, edit, *, tested, raced):
        texts = sorted(SHOWN, key=SHOWN.__getitem__, reverse=True)
        found = Race((0, 1, 2), tuple(SHOWN[text] for text in texts), ((16, 0),) * 3)
        race = (found.evidence(texts.index(edit.text), edit),) if raced else ()
        if not tested:
            return Verdict("untested", (edit,), "untested: lost the race", race)
        accepted = edit.text == self.right
        return Verdict("accepted" if accepted else "rejected", (edit,), "tested", (Evidence("gate", 0.3), *race))


class Hesitant:
    """A gate that leans to yes and never comes to an answer."""

    def __init__(self, leaning: float) -> None:
        self.leaning = leaning

    async def __call__(self, library, proposals, trial):
        """Leave all undecided."""
        ASKED.append([p.edit.text for p in proposals])
        own = Evidence("gate", self.leaning, verdict="undecided")
        return tuple(Verdict("undecided", (p.edit,), "undecided: not clear", (own,)) for p in proposals)


def leans(*, seed=0):
    """Return a gate that leans to yes."""
    return Hesitant(0.3)


def leans_not(*, seed=0):
    """Return a gate that leans nowhere."""
    return Hesitant(0.05)


def left_wins(*, seed=0):
    """Return a gate for which the favourite is right."""
    return Racing(LEFT)


def right_wins(*, seed=0):
    """Return a gate for which the second is right."""
    return Racing(RIGHT)


@pytest.fixture
def asked():
    """What the gate is asked, round by round; the configuration names it by this module's full name."""
    found = import_module("tests.learning.test_rounds").ASKED
    found.clear()
    return found


def taught(tmp_path, gate):
    """Learn from one problem that suggests all three; consolidation keeps one of them."""
    model = Model(
        contrast=lambda _: edits(*({"op": "ADD", "text": t, "attempts": [1]} for t in (LEFT, RIGHT, MIDDLE))),
        consolidate=lambda _: edits({"op": "ADD", "text": MIDDLE, "attempts": [1, 2, 3]}),
        rollout=lambda r: "Answer: 400" if r.attempt % 2 else "Answer: 1",
    )
    return learn(
        model, rows(1), tmp_path / "x.db", heldout=rows(8, 100), gate=f"tests.learning.test_rounds:{gate}",
        overrides=["lessons.per_group=3"], epochs=1,
    )  # fmt: skip


def test_where_the_favourite_falls_the_next_one_is_tested(tmp_path, asked):
    """In the same step; what came in far behind stays untested and is listed."""
    result = taught(tmp_path, "right_wins")
    assert [sorted(texts) for texts in asked] == [sorted([LEFT, RIGHT, MIDDLE]), [RIGHT]]
    assert [x.text for x in result.library] == [RIGHT]
    assert result.summary["edits"]["untested"] == 1


def test_what_came_in_close_meets_the_winner_in_a_last_step(tmp_path, asked):
    """As an UPDATE of its lesson, so that the two are never active together."""
    result = taught(tmp_path, "left_wins")
    assert [x.text for x in result.library] == [LEFT]
    assert asked[1:] == [[RIGHT]]
    last = result.steps[-1]
    assert last.groups_P == ()
    assert [(v.decision, v.edits[0].op.value, v.edits[0].ids) for v in last.verdicts] == [("rejected", "UPDATE", (1,))]


@pytest.mark.parametrize(("gate", "times"), [("leans", 3), ("leans_not", 1)])
def test_what_leans_to_yes_comes_again_once_an_epoch_although_nothing_changed(tmp_path, asked, gate, times):
    """Nobody proposes it again and the library stays as it is; an effect that is none does not come again."""
    model = Model(
        contrast=lambda _: edits({"op": "ADD", "text": LEFT, "attempts": [1]}),
        rollout=lambda r: "Answer: 400" if r.attempt % 2 or r.attempt >= 4 else "Answer: 1",
    )
    result = learn(
        model, rows(1), tmp_path / "x.db", heldout=rows(8, 100), gate=f"tests.learning.test_rounds:{gate}", epochs=3
    )
    assert [texts for texts in asked if texts] == [[LEFT]] * times
    assert model.calls["contrast"] == 1
    assert [x.text for x in result.library] == []
