"""Running again: nothing is paid twice, nothing is lost, and what decides about a run decides about its id."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

import pytest
from support.script import ASKED, SMALL, TOPICS, Model, edits, learn, lesson, play, rows, solve, text_of

import tfgrpo
from experience_db import Journal, Store
from tfgrpo.types import Reply, Request, Usage


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A database file that is not there yet."""
    return tmp_path / "x.db"


def exported(db: Path, name: str = "default") -> str:
    """The library as `lessons export` writes it, without the times at which it was made."""

    def timeless(value: object) -> object:
        if isinstance(value, dict):
            return {k: timeless(v) for k, v in value.items() if k not in ("created", "exported", "started")}
        return [timeless(v) for v in value] if isinstance(value, list) else value

    with Store.open(db, readonly=True) as store:
        return json.dumps(timeless(store.export(name)), sort_keys=True)


def tables(db: Path) -> dict[str, list[tuple]]:
    """All rows of all tables without their times."""
    with sqlite3.connect(db) as connection:
        names = [n for (n,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {}
        for name in sorted(names):
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
            kept = [c for c in columns if c not in ("created", "started", "finished", "seconds", "summary")]
            found[name] = sorted(map(repr, connection.execute(f"SELECT {', '.join(kept)} FROM {name}")))
    connection.close()
    return found


def test_same_seed_and_replies_give_byte_equal_libraries(tmp_path):
    """Two runs in different files export the same bytes, times aside."""
    exports = []
    for name in ("a.db", "b.db"):
        learn(Model(), rows(8), tmp_path / name, batch_size=3, epochs=2, seed=5)
        exports.append(exported(tmp_path / name))
    assert exports[0] == exports[1]


def test_another_seed_draws_other_batches(tmp_path):
    """The seed decides the order of the problems."""
    order = []
    for seed in (0, 1):
        result = learn(Model(), rows(8), tmp_path / f"{seed}.db", seed=seed)
        order.append([g.problem.id for g in result.steps[0].groups_P])
    assert order[0] != order[1]
    assert sorted(order[0]) == sorted(order[1])


def test_a_finished_command_repeats_without_a_call_or_a_change(db):
    """The second execution replays everything: no request, the same result, the same tables."""
    settings = {"heldout": rows(32, 100), "gate": "paired", "batch_size": 3}
    first = learn(Model(), rows(5), db, **settings)
    before = tables(db)
    model = Model()
    again = learn(model, rows(5), db, **settings)
    assert model.requests == []
    assert tables(db) == before
    assert again.library == first.library
    assert {k: v for k, v in again.summary.items() if k not in ("calls", "seconds")} == {
        k: v for k, v in first.summary.items() if k not in ("calls", "seconds")
    }
    assert all(entry["new"] == 0 for entry in again.summary["calls"].values())


async def cancelled_after(count: int, model: Model, problems: list, db: Path, **settings: object) -> None:
    """Learn until `count` rollouts were asked for, then cancel the task."""
    left = iter(range(count))

    def say(request: Request) -> str:
        if next(left, None) is None:
            task.cancel()
        return solve(request)

    async def run() -> None:
        async for _ in tfgrpo.learn(problems, model=play(model, "model"), db=db, **SMALL | settings):
            pass

    model.roles["rollout"] = say
    task = asyncio.create_task(run())
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("count", [1, 7, 9, 14, 30])
def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(tmp_path, count):
    """Cancelled anywhere, the same command goes on, asks no finished call again, and ends in the same library."""
    whole, cut, settings = tmp_path / "whole.db", tmp_path / "cut.db", {"batch_size": 2, "epochs": 2}
    uninterrupted, model = Model(), Model()
    learn(uninterrupted, rows(4), whole, **settings)
    asyncio.run(cancelled_after(count, Model(), rows(4), cut, **settings))
    with Store.open(cut, readonly=True) as store:
        assert store.runs()[0].status == "interrupted"
        finished = len(Journal(store))
    learn(model, rows(4), cut, **settings)
    assert finished > 0
    assert len(model.requests) == len(uninterrupted.requests) - finished
    assert exported(cut) == exported(whole)


@pytest.mark.parametrize(
    "changed",
    [
        {"epochs": 2},
        {"group_size": 3},
        {"seed": 1},
        {"rollout__temperature": 0.5},
        {"lessons__max_words": 20},
        {"method": "training-free-grpo"},
    ],
    ids="-".join,
)
def test_a_changed_setting_starts_a_new_run(db, changed):
    """What decides about the questions decides about the run."""
    first = learn(Model(), rows(4), db).summary["run"]
    assert learn(Model(), rows(4), db, **changed).summary["run"] != first


def test_a_changed_dataset_template_or_agent_starts_a_new_run(db, tmp_path):
    """A row, a template and an agent belong to a run's identity as well."""

    async def agent(problem: tfgrpo.Problem, lessons: str) -> str:
        return "Answer: 1"

    folder = tmp_path / "mine" / "solve"
    folder.mkdir(parents=True)
    (folder / "system.md.jinja").write_text("Be brief.")
    names = [learn(Model(), problems, db, **changed).summary["run"] for problems, changed in (
        (rows(4), {}),
        (rows(5), {}),
        ([*rows(3), {**rows(4)[3], "answer": "9"}], {}),
        (rows(4), {"prompts": tmp_path / "mine"}),
        (rows(4), {"environment": agent}),
        (rows(4), {"concurrency": 3, "engine__timeout": 9}),
    )]  # fmt: skip
    assert len(set(names)) == 5
    assert names[-1] == names[0]


def test_a_named_run_goes_on_under_its_name(db):
    """--run names a run; other settings under the same name are another run of that name."""
    first = learn(Model(), rows(4), db, run="mine")
    again = learn(Model(), rows(4), db, run="mine")
    other = learn(Model(), rows(4), db, run="mine", epochs=2)
    assert first.summary["run"] == again.summary["run"] == other.summary["run"] == "mine"
    with Store.open(db, readonly=True) as store:
        assert len(store.runs()) == 2


@pytest.mark.parametrize("calls", [0, 1, 3, 16, 20, 21, 23])
def test_a_budget_of_n_calls_never_sends_call_n_plus_1(db, calls):
    """The run ends at the budget with a usable library, and a larger budget goes on to where no budget would end."""
    model, more = Model(), Model()
    cut = learn(model, rows(4), db, epochs=2, budget_calls=calls)
    assert len(model.requests) == calls
    assert "the same command with a larger budget goes on" in cut.summary["stopped"]
    assert cut.summary["lessons"] == len(cut.library) == (4 if calls > 20 else 0)
    whole = learn(more, rows(4), db, epochs=2, budget_calls=1000)
    assert whole.summary["stopped"] is None
    assert len(more.requests) == 37 - calls
    other = db.with_name("other.db")
    learn(Model(), rows(4), other, epochs=2)
    assert exported(db) == exported(other)


def test_the_same_budget_again_sends_nothing(db):
    """What a run used up stays used up, however often the command is given."""
    learn(Model(), rows(4), db, budget_calls=10)
    model = Model()
    again = learn(model, rows(4), db, budget_calls=10)
    assert model.requests == []
    assert again.summary["stopped"]
    larger = Model()
    learn(larger, rows(4), db, budget_calls=13)
    assert len(larger.requests) == 3


def test_a_budget_that_ends_in_the_gate_leaves_edits_undecided(db):
    """A gate cut short decides nothing, and says so."""
    result = learn(Model(), rows(4), db, heldout=rows(32, 100), gate="paired", budget_calls=70)
    (step,) = result.steps
    assert {v.decision for v in step.verdicts} == {"undecided"}
    assert "budget" in step.verdicts[0].reason
    assert result.library.version == 0
    with Store.open(db, readonly=True) as store:
        assert store.runs()[0].status == "budget"


def test_token_budget_counts_what_endpoints_report(db):
    """Tokens are settled by usage; the run stops once no further call fits."""
    model = Model(rollout=lambda r: Reply(solve(r), usage=Usage(100, 20)))
    result = learn(model, rows(4), db, budget_tokens=1000, rollout__max_tokens=50)
    assert 2 <= len(model.requests) < 9
    assert "tokens is reached" in result.summary["stopped"]


def test_what_a_budget_paid_for_is_kept(db):
    """Calls under way when the budget ends are waited for and recorded: none of them is ever sent again."""

    async def slowly(request: Request) -> str:
        await asyncio.sleep(0.001 * (request.sampling.seed % 7))
        return solve(request)

    held = {"heldout": rows(32, 100), "gate": "paired"}
    cut, rest, whole = Model(evaluate=slowly, gate=slowly), Model(), Model()
    learn(cut, rows(4), db, budget_calls=70, **held)
    learn(rest, rows(4), db, budget_calls=10_000, **held)
    learn(whole, rows(4), db.with_name("whole.db"), **held)
    assert len(cut.requests) == 70
    assert len(cut.requests) + len(rest.requests) == len(whole.requests)


def test_a_lesson_that_contradicts_two_others_waits_and_comes_again(tmp_path):
    """Both others meet the gate first; then it does, in the place of both."""
    bridge = "When the topic is maple or granite, triple the figure before you answer."

    def two(request):
        return edits(
            {"op": "ADD", "text": lesson(ASKED.search(text_of(request))[1]), "attempts": [1, 2]},
            {"op": "ADD", "text": bridge, "attempts": [1]},
        )

    found = learn(Model(contrast=two), rows(8), tmp_path / "x.db", epochs=2, batch_size=8)
    first = {v.edits[0].text: v.decision for v in found.steps[0].verdicts if v.edits}
    assert first == {**{lesson(topic): "accepted" for topic in TOPICS}, bridge: "untested"}
    (again,) = [v for v in found.steps[1].verdicts if v.edits and v.edits[0].text == bridge]
    assert (again.edits[0].op.value, again.edits[0].ids) == ("MERGE", (1, 2))
