"""One batch ahead: what a batch begun early sees, and that the same is learned however often and whenever it runs."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from support.script import Model, learn, lesson, play, rows

import tfgrpo
from experience_db import Edit, Lesson, Library, Op, Store
from tfgrpo import build
from tfgrpo.datasets import from_rows
from tfgrpo.errors import UsageError
from tfgrpo.learning.overlap import drop_stale
from tfgrpo.types import Proposal

SETTINGS = {"batch_size": 4, "engine__overlap": 1}


class Patient(Model):
    """A model whose consolidation waits until problems of the batch after it have been attempted."""

    def __init__(self, first: int, patience: float) -> None:
        super().__init__()
        self.first, self.patience, self.more = first, patience, asyncio.Event()
        self.waited: list[bool] = []

    async def __call__(self, request):
        """Answer, a consolidation after waiting."""
        said = super().__call__(request)
        if self.calls["rollout"] > self.first:
            self.more.set()
        if request.role == "consolidate":
            try:
                async with asyncio.timeout(self.patience):
                    await self.more.wait()
            except TimeoutError:
                pass
            self.waited.append(self.more.is_set())
        return said


@pytest.mark.parametrize("overlap", [0, 1])
def test_the_next_batch_starts_while_this_one_is_judged(tmp_path, overlap):
    """Its rollouts go out before the consolidation has its reply; without overlap they wait for the commit."""
    model = Patient(first=16, patience=60.0 if overlap else 0.1)
    learn(model, rows(8), tmp_path / "x.db", batch_size=4, engine__overlap=overlap)
    assert model.waited[0] is bool(overlap)


def test_each_rollout_records_the_version_it_saw(tmp_path):
    """The second batch sees the library of the first, the third that of the second; an epoch starts with the newest."""
    result = learn(Model(), rows(12), tmp_path / "x.db", epochs=2, **SETTINGS)
    seen = [{group.version for group in step.groups_P} for step in result.steps]
    stood = [step.version_before for step in result.steps]
    assert seen[0] == seen[1] == {0}
    assert seen[2] == {stood[1]} != {0}
    assert seen[3] == {stood[3]}
    with Store.open(tmp_path / "x.db", readonly=True) as store:
        stored = {(g["step"], g["version"]) for g in store.groups(store.runs()[0].id)}
        uses = store.uses("default", store.runs()[0].id)
    assert stored == {(i, version) for i, (version,) in enumerate(seen)}
    assert set(uses.values()) == {4 * 4 * 4}


def test_an_overlapped_run_repeats_without_a_call(tmp_path):
    """The same command again replays every call and ends in the same version."""
    first = learn(Model(), rows(12), tmp_path / "x.db", "again", **SETTINGS)
    model = Model()
    again = learn(model, rows(12), tmp_path / "x.db", "again", **SETTINGS)
    assert model.requests == []
    assert again.library == first.library


@pytest.mark.parametrize("budget", [10, 20, 21, 25, 40])
def test_an_overlapped_run_cut_short_ends_like_a_whole_one(tmp_path, budget):
    """A budget that ends it anywhere, then the same command with more: the same library."""
    whole = learn(Model(), rows(12), tmp_path / "whole.db", "cut", **SETTINGS)
    cut = learn(Model(), rows(12), tmp_path / "cut.db", "cut", budget_calls=budget, **SETTINGS)
    assert cut.summary["stopped"]
    ended = learn(Model(), rows(12), tmp_path / "cut.db", "cut", **SETTINGS)
    assert ended.library.lessons == whole.library.lessons
    assert [s.version_before for s in ended.steps] == [s.version_before for s in whole.steps]


def test_overlap_is_another_run(tmp_path):
    """It changes what rollouts see, so the run starts anew and says why."""
    learn(Model(), rows(4), tmp_path / "x.db", "same", run="night")

    async def told() -> str:
        async with AsyncExitStack() as stack:
            asked = tfgrpo.api.setup(
                model=play(Model(), "same"), grader="exact", gate="open", heldout=0, epochs=1, group_size=4,
                db=tmp_path / "x.db", run="night", engine__overlap=1, engine__timeout=5,
            )  # fmt: skip
            return build.open_run(asked, from_rows(rows(4)), (), stack).continuation

    assert "engine.overlap was 0 and is 1" in asyncio.run(told())


def test_one_batch_ahead_is_the_most():
    """A larger overlap is refused."""
    with pytest.raises(UsageError, match=r"engine\.overlap is 2; 1 is the most"):
        tfgrpo.api.setup(model="tiny", grader="exact", engine__overlap=2)


def test_an_edit_of_words_that_changed_meanwhile_is_set_aside():
    """What was written for words that stand no more is rejected with that reason; everything else is kept."""
    old, new = (Lesson(i, lesson(topic), 0, 0) for i, topic in ((1, "maple"), (2, "velvet")))
    seen = Library("l", 3, (old, new))
    now = Library("l", 4, (Lesson(1, "Double it.", 0, 4),))
    edits = [
        Edit(Op.ADD, "Check twice."),
        Edit(Op.UPDATE, "Triple it.", (1,)),
        Edit(Op.MERGE, "Both.", (2, 1)),
        Edit(Op.DELETE, None, (2,)),
    ]
    kept, stale = drop_stale([Proposal(edit) for edit in edits], seen, now)
    assert [p.edit for p in kept] == edits[:1]
    assert [v.reason for v in stale] == [
        "lesson 1 changed after version 3, which these rollouts saw",
        "lesson 2 left after version 3, which these rollouts saw",
        "lesson 2 left after version 3, which these rollouts saw",
    ]
    assert drop_stale([Proposal(edit) for edit in edits], seen, seen)[1] == ()
