"""The Python face: the same arguments as the command line, objects where those take names, values as results."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.script import SMALL, TOPICS, Model, learn, lesson, play, rows, write

import tfgrpo
from experience_db import Lesson, Library, Store
from tfgrpo.api import setup
from tfgrpo.errors import BadRow, NothingLearned, UnknownKey, UnknownPlugin, UsageError
from tfgrpo.studies.grade_file import grade_file


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A database file that is not there yet."""
    return tmp_path / "x.db"


@pytest.mark.parametrize("kind", ["path", "str", "dicts", "problems"])
def test_problems_come_as_a_file_or_as_objects(db, tmp_path, kind):
    """All forms are the same dataset, hence the same run."""
    file = write(tmp_path / "p.jsonl", rows(2))
    given = {
        "path": file,
        "str": str(file),
        "dicts": rows(2),
        "problems": [tfgrpo.Problem(r["id"], r["question"], r["answer"]) for r in rows(2)],
    }
    first = learn(Model(), rows(2), db)
    model = Model()
    again = learn(model, given[kind], db)
    assert model.requests == []
    assert again.summary["run"] == first.summary["run"]


async def test_steps_are_yielded_once_they_are_committed(db):
    """Who reads the file while learning goes on sees what the step says."""
    seen = []
    async for step in tfgrpo.learn(rows(4), model=play(Model()), db=db, batch_size=2, **SMALL):
        with Store.open(db, readonly=True) as store:
            seen.append((step.index, step.version_after, store.library("default").version))
    assert seen == [(0, 1, 1), (1, 2, 2)]


async def test_a_caller_that_stops_early_leaves_a_run_that_goes_on(db):
    """Breaking out of the loop is an interruption, no failure."""
    name = play(Model(), "early")
    steps = tfgrpo.learn(rows(4), model=name, db=db, batch_size=2, **SMALL)
    async for _ in steps:
        break
    await steps.aclose()
    with Store.open(db, readonly=True) as store:
        assert store.runs()[0].status == "interrupted"
        assert store.library("default").version == 1
    left = Model()
    name = play(left, "early")
    assert [s.version_after async for s in tfgrpo.learn(rows(4), model=name, db=db, batch_size=2, **SMALL)] == [1, 2]
    assert 0 < len(left.requests) < 12


def test_options_have_short_and_full_names(db):
    """`group_size=8` and `rollout__group_size=8` are the same; both reach the configuration."""
    asked = {"model": "tiny", "grader": "exact", "db": db}
    short, full = setup(**asked, group_size=8), setup(**asked, rollout__group_size=8)
    assert short.config == full.config
    assert short.config.rollout.group_size == 8
    assert setup(**asked, overrides=["rollout.group_size=8"]).config == full.config


@pytest.mark.parametrize(("option", "error"), [({"grop_size": 3}, UnknownKey), ({"method": "magic"}, UsageError)])
def test_a_slip_is_refused(option, error):
    """An option that does not exist is not ignored."""
    with pytest.raises(error):
        setup(model="tiny", grader="exact", **option)


def full_marks(problem: tfgrpo.Problem, rollout: tfgrpo.Rollout) -> float:
    """An own grader by dotted path."""
    return 1.0 if rollout.answer.endswith(str(problem.answer)) else 0.0


class Strict:
    """An own grader that sees the whole group."""

    async def __call__(self, problem, rollouts):
        """Give the first rollout the point."""
        return tuple(tfgrpo.Score(float(i == 0)) for i, _ in enumerate(rollouts))


@pytest.mark.parametrize(
    "grader",
    ["exact", "test_api:full_marks", full_marks, Strict, Strict()],
    ids=["name", "path", "function", "class", "object"],
)
def test_a_grader_is_a_name_a_path_a_function_or_an_object(db, grader):
    """All of them grade."""
    result = learn(Model(), rows(1), db, grader=grader)
    assert result.summary["groups"]["kept"] == 1


@pytest.mark.parametrize("grader", [42, None])
def test_a_grader_that_cannot_be_called_is_refused(db, grader):
    """Before anything happens."""
    with pytest.raises(UsageError, match="is not callable; give a function"):
        learn(Model(), rows(1), db, grader=grader)
    with pytest.raises(UnknownPlugin):
        learn(Model(), rows(1), db, grader="nothing")


def test_an_own_agent_learns_and_its_rollouts_are_counted(db):
    """The agent gets the lessons; its calls are on the bill as rollouts of unknown price, and are not run twice."""
    seen = []

    async def agent(problem: tfgrpo.Problem, lessons: str) -> str:
        seen.append(lessons)
        right = lesson(problem.question.split()[2].rstrip(":")) in lessons or len(seen) % 2
        return f"Answer: {problem.answer if right else 0}"

    result = learn(Model(), rows(4), db, environment=agent, epochs=2)
    assert result.summary["reward"] == {"first": 0.5, "last": 1.0}
    assert result.summary["calls"]["rollout"] == {"new": 32, "replayed": 0}
    assert result.summary["usage"]["usd"] is None
    again = learn(Model(), rows(4), db, environment=agent, epochs=2)
    assert again.summary["calls"]["rollout"] == {"new": 0, "replayed": 32}
    assert len(seen) == 32
    assert again.library == result.library


def test_an_agent_that_raises_everywhere_fails_the_run_with_its_reason(db):
    """The message names the agent, the problem and the exception."""

    async def agent(problem: tfgrpo.Problem, lessons: str) -> str:
        raise ValueError("no browser")

    with pytest.raises(NothingLearned, match=r"agent .*agent on problem \S+ raised ValueError: no browser"):
        learn(Model(), rows(1), db, environment=agent)


def test_evaluation_takes_a_library_by_name_version_or_value(db):
    """NAME, NAME@VERSION, a Library made by hand, or none."""
    learn(Model(), rows(4), db)
    by_hand = Library("hand", 0, tuple(Lesson(i, lesson(t), 0, 0) for i, t in enumerate(TOPICS[:2], 1)))
    asked = {"model": play(Model(), "eval"), "grader": "exact", "db": db}
    means = [
        tfgrpo.evaluate_sync(rows(8, 70), library=library, **asked).summary["mean"]
        for library in ("default", "default@0", by_hand, "")
    ]
    assert means == [1.0, 0.0, 0.5, 0.0]


def test_evaluation_costs_nothing_twice(db):
    """The same look is replayed; with more rollouts only the new ones are made."""
    model = Model()
    asked = {"model": play(model, "eval"), "grader": "exact", "db": db}
    tfgrpo.evaluate_sync(rows(4), k=2, **asked)
    tfgrpo.evaluate_sync(rows(4), k=2, **asked)
    assert len(model.requests) == 8
    tfgrpo.evaluate_sync(rows(4), k=3, **asked)
    assert len(model.requests) == 12


def test_an_unknown_control_is_refused_before_anything_is_paid(db):
    """A slip at the end of a command does not cost the command."""
    model = Model()
    with pytest.raises(UsageError, match="no control"):
        tfgrpo.evaluate_sync(rows(4), controls=["placebo"], model=play(model), grader="exact", db=db)
    assert model.requests == []


async def test_a_file_is_graded_row_by_row(tmp_path):
    """Every row comes back in its order; a row without what is needed is named before anything is graded."""
    file = write(tmp_path / "g.jsonl", [{"id": i, "gold": "1", "pred": str(i % 2)} for i in range(40)])
    graded, told = await grade_file(file, "exact")
    assert [row["score"] for row in graded] == [i % 2 for i in range(40)]
    assert (told["rows"], told["correct"], told["mean"]) == (40, 20, 0.5)
    broken = write(tmp_path / "b.jsonl", [{"gold": "1", "pred": "1"}, {"gold": "1"}])
    calls = []
    with pytest.raises(BadRow, match=r"b.jsonl:2: no response \(or pred\)"):
        await grade_file(broken, lambda problem, rollout: calls.append(problem) or 1.0)
    assert calls == []


def test_two_libraries_share_a_file_and_its_journal(db):
    """Lessons are kept apart, calls are shared: the same questions under another name are free."""
    learn(Model(), rows(4), db, library="a")
    model = Model()
    other = learn(model, rows(4), db, library="b")
    assert model.requests == []
    assert [x.text for x in other.library] == [x.text for x in tfgrpo.open_library("a", db=db)]
