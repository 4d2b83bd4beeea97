"""The order in which edits meet the gate: what scores it rests on, what it leaves for later, and what it never does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from support.script import Model, learn, rows

from experience_db import Edit, Op, Source
from tfgrpo import build, config, datasets
from tfgrpo.edit_scores import Clip, gspo
from tfgrpo.errors import UsageError
from tfgrpo.learning.gate_queue import FIRST, Queue, best_of_each, in_order, score_edits
from tfgrpo.learning.run import Run
from tfgrpo.learning.setup import Setup
from tfgrpo.lessons.summarize import Contrast
from tfgrpo.types import Problem, Proposal

WORLDS = Path(__file__).parents[2] / "examples" / "tiny_model" / "worlds.py"
MEANINGS = ("diff", "product", "max", "next")
"""The first is right in this world."""


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> tuple[tuple[Problem, ...], tuple[Problem, ...], list[str]]:
    """Learning problems, the gate's pool and the true lessons of a world with two operators."""
    folder = tmp_path_factory.mktemp("world")
    command = [sys.executable, WORLDS, "--seed", 31, "--problems", 8, "--heldout", 16, "--operators", 2]
    told = [*command, "--truth", folder / "truth", "-o", folder]
    subprocess.run([str(part) for part in told], check=True, stdout=subprocess.DEVNULL)
    truth = (folder / "truth").read_text().splitlines()
    return datasets.load(folder / "problems.jsonl"), datasets.load(folder / "heldout.jsonl"), truth


@pytest.fixture
async def run(world, tmp_path: Path) -> AsyncIterator[Run]:
    """A run whose queue is ordered by scores; nothing of it was executed yet."""
    learning, pool, _ = world
    wanted = config.load("default", None, ["edit_score.order=on", "edit_score.rollouts=2"])
    async with AsyncExitStack() as stack:
        made = Setup(model="tiny", grader="exact", db=tmp_path / "x.db", config=wanted)
        yield build.open_run(made, learning, pool, stack)


def rivals(world, *, subject: str = "") -> list[Proposal]:
    """Every meaning of the first operator, each said to come from all problems there are."""
    learning, _, truth = world
    operator = truth[0].split()[1]
    sources = tuple(Source(p.id) for p in learning)
    texts = [f"Treat {operator} as {meaning}." for meaning in MEANINGS]
    return [Proposal(Edit(Op.ADD, text, sources=sources), subject=subject) for text in texts]


async def queue_of(run: Run, proposals: Sequence[Proposal], **changes: object) -> Queue:
    """The queue under a changed `edit_score` table."""
    run.config = replace(run.config, edit_score=replace(run.config.edit_score, **changes))  # type: ignore[arg-type]
    return await in_order(run, run.library, proposals, lambda _: run.pools.proving)


@pytest.mark.slow
async def test_every_edit_is_scored_on_rollouts_that_no_gate_draws_and_once_per_version(run, world):
    """All source problems barred, each edit has a score; the rollouts have seeds of their own and are drawn once."""
    edits = rivals(world)
    scored = await score_edits(run, run.library, edits, lambda _: run.pools.proving)
    assert all(s.score == s.score for s in scored)
    drawn = [r.index for g in run.pilots.values() for r in g.rollouts_G]
    assert min(drawn) == FIRST
    assert max(drawn) == FIRST + 1
    assert FIRST > 20_000 + 1_000, "beyond passes, members, races and looks elsewhere"
    pilots = run.tally["pilot"].new
    assert pilots == 2 * len(run.pilots)
    assert run.tally["score"].new > 0
    await score_edits(run, run.library, edits[:2], lambda _: run.pools.proving)
    assert run.tally["pilot"].new == pilots
    later = replace(run.library.with_edits((edits[0].edit,)), version=1)
    await score_edits(run, later, edits[1:3], lambda _: run.pools.proving)
    assert run.tally["pilot"].new > pilots, "another version has rollouts of its own"
    assert len({key for key, _ in run.pilots}) == 1, "those of an older version are let go"


@pytest.mark.slow
async def test_the_right_meaning_comes_first_and_what_is_clearly_behind_waits_without_a_verdict(run, world):
    """Of rivals the right one goes on; the others are untested and may come again, none is rejected."""
    _, _, truth = world
    queue = await queue_of(run, rivals(world, subject="the operator"))
    assert queue.going[0].edit.text == truth[0]
    assert {v.decision for v in queue.waiting} == {"untested"}
    assert len(queue.going) + len(queue.waiting) == len(MEANINGS)
    assert queue.waiting
    assert {p.beaten for p in queue.going} == {len(queue.waiting)}
    assert all("may come again" in v.reason for v in queue.waiting)
    assert all(v.evidence[0].kind == "edit-score" and v.evidence[0].estimate is None for v in queue.waiting)
    # Without rivals nothing is left out, however low it scores.
    alone = await queue_of(run, rivals(world))
    assert len(alone.going) == len(MEANINGS)
    assert alone.going[0].edit.text == truth[0]


@pytest.mark.slow
async def test_keep_cuts_the_tail_and_the_size_bound_prunes_whole_edits(run, world):
    """`keep` counts what may enter together, and an edit that moves too much is left out with its size."""
    first = await queue_of(run, rivals(world), keep=2)
    assert len(first.going) == 2
    assert all("2 of higher score went first" in v.reason for v in first.waiting)
    sizes = sorted(e.detail["size"] for e in first.evidence.values())
    bound = sizes[1]
    second = await queue_of(run, rivals(world), keep=None, max_size=bound)
    assert len(second.going) == 2
    assert all("nats per token" in v.reason for v in second.waiting)


@pytest.mark.parametrize(("order", "kept"), [("on", "diff"), ("off", "next")])
async def test_of_sampled_candidates_the_best_scored_goes_on_though_another_was_said_more_often(
    run, world, order, kept
):
    """The model's own log-probs on pilot rollouts choose; without them what most draws say, here the wrong one."""
    lessons = replace(run.config.lessons, proposer="sampled", per_group=1)
    run.config = replace(run.config, lessons=lessons, edit_score=replace(run.config.edit_score, order=order))
    drawn = Contrast(tuple(reversed(rivals(world))))
    (found,) = await best_of_each(run, run.library, [drawn], lambda _: run.pools.proving)
    assert [p.edit.text.split()[-1] for p in found.proposals] == [f"{kept}."]
    assert [v.decision for v in found.dropped] == ["untested"] * 3
    assert ("pilot" in run.tally) == (order == "on")


async def test_a_single_edit_and_a_queue_in_the_order_of_support_cost_nothing(run, world):
    """Nothing is drawn where there is nothing to order, or where order is off."""
    one = await queue_of(run, rivals(world)[:1])
    off = await queue_of(run, rivals(world), order="off")
    assert len(one.going) == 1
    assert [p.edit.text for p in off.going] == [p.edit.text for p in rivals(world)]
    assert "pilot" not in run.tally


def test_where_scores_cannot_be_had_order_falls_back_and_says_so_once(tmp_path):
    """`auto` leaves the order to support and warns; `on` ends before anything is asked."""
    model = Model()
    result = learn(model, rows(8), tmp_path / "a.db", heldout=rows(12, 50), gate="paired", edit_score__order="auto")
    said = [w for w in result.summary["warnings"] if "order of their support" in w]
    assert len(said) == 1
    assert "cannot score" in said[0]
    assert "pilot" not in model.calls
    assert result.summary["edits"]["proposed"] > 0
    silent = Model()
    with pytest.raises(UsageError, match="cannot score"):
        learn(silent, rows(8), tmp_path / "b.db", heldout=rows(12, 50), gate="paired", edit_score__order="on")
    assert not silent.calls


def test_a_clip_that_bites_hides_how_much_better_an_edit_is():
    """Two edits of which one moves right rollouts twice as far are the same under the published width, not without."""
    old = [(-1.0, -1.0), (-1.0, -1.0)]
    little, much = [(-0.8, -0.8), (-1.2, -1.2)], [(-0.6, -0.6), (-1.4, -1.4)]
    narrow, none = Clip(3e-4, 4e-4), Clip(float("inf"), float("inf"))
    assert gspo(little, old, (1.0, -1.0), narrow).gain == pytest.approx(gspo(much, old, (1.0, -1.0), narrow).gain)
    assert gspo(much, old, (1.0, -1.0), none).gain > 1.5 * gspo(little, old, (1.0, -1.0), none).gain
