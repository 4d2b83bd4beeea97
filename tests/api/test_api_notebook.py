"""The Python face as a notebook uses it: in a running loop, with plain functions, results that show themselves."""

from __future__ import annotations

import inspect
import json
import sys
import threading
from pathlib import Path

import pytest
from support.script import SMALL, Model, learn, play, rows

import tfgrpo
from tfgrpo.errors import UsageError
from tfgrpo.learning.progress_bar import Bar


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A database file that is not there yet."""
    return tmp_path / "x.db"


async def test_the_waiting_forms_work_inside_a_running_loop(db):
    """As in the cell of a notebook; what they raise is raised here."""
    name = play(Model())
    result = tfgrpo.learn_sync(rows(2), model=name, db=db, **SMALL)
    assert len(result.library) == 2
    found = tfgrpo.evaluate_sync(rows(2), model=name, grader="exact", db=db, library="default")
    assert found.summary["problems"] == 2
    with pytest.raises(UsageError, match="nofile"):
        tfgrpo.evaluate_sync("nofile.jsonl", model=name, grader="exact", db=db)


async def test_learn_all_gives_the_result_of_the_whole_run(db):
    """The same as waiting for it."""
    result = await tfgrpo.learn_all(rows(2), model=play(Model()), db=db, **SMALL)
    assert isinstance(result, tfgrpo.LearnResult)
    assert result.summary["lessons"] == len(result.library) == 2


@pytest.mark.parametrize("name", ["learn", "learn_all", "learn_sync", "evaluate", "evaluate_sync"])
def test_every_argument_is_named_typed_and_explained(name):
    """Completion and help know the options of the command line under the same names."""
    function = getattr(tfgrpo, name)
    parameters = inspect.signature(function).parameters
    for wanted in ("model", "grader", "library", "fields", "base_url", "db", "instructions", "seed", "budget_usd"):
        assert parameters[wanted].annotation is not inspect.Parameter.empty
    said = inspect.getdoc(function)
    assert not [n for n in parameters if n != "self" and n not in said and f"{n}:" not in said]


def test_fields_map_columns_as_on_the_command_line(db):
    """Also in learning."""
    given = [{"q": row["question"], "gold": row["answer"]} for row in rows(2)]
    result = tfgrpo.learn_sync(given, fields={"question": "q", "answer": "gold"}, model=play(Model()), db=db, **SMALL)
    assert len(result.library) == 2


def test_a_plain_function_is_an_agent(db):
    """Each of its rollouts has a thread, so that one that waits holds up nobody; what it raises is that rollout's."""
    together, seen = threading.Barrier(2, timeout=20), set()

    def agent(problem: tfgrpo.Problem, lessons: str) -> str:
        if problem.answer == rows(4)[2]["answer"]:
            raise ValueError("mine")
        if problem.answer != rows(4)[3]["answer"]:
            together.wait()
        seen.add(threading.current_thread().name)
        return f"\\boxed{{{problem.answer}}}"

    found = tfgrpo.evaluate_sync(rows(4), model="tiny", grader="exact", db=db, environment=agent)
    assert (found.summary["mean"], found.summary["failures"]) == (1.0, {"environment": 1})
    assert all(name.startswith("tfgrpo-agent") for name in seen)


def test_results_are_one_line_as_text_and_tables_in_a_notebook(db):
    """Nothing of the data can be markup there."""
    result = learn(Model(), rows(2), db)
    lesson, _ = result.library
    found = tfgrpo.evaluate_sync(rows(2), model=play(Model()), grader="exact", db=db, library="default")
    for value in (result, result.library, lesson, result.steps[0], found, found.evaluation):
        assert "\n" not in repr(value)
        assert len(repr(value)) < 400
        html = value._repr_html_()
        assert html.startswith("<div>")
        assert html.endswith("</div>")
    marked = tfgrpo.Library("<b>", 1, (tfgrpo.Lesson(1, "<script>x</script>", 1, 1),))
    assert "<script>" not in marked._repr_html_()
    assert repr(marked) == "Library('<b>', version 1, 1 lesson)"


def test_results_hand_on_their_rows(db):
    """As plain records, and as frames of what is installed."""
    result = learn(Model(), rows(2), db)
    assert [row["step"] for row in result.records()] == [step.index for step in result.steps]
    assert len(result.records("rollouts")) == result.summary["rollouts"]
    assert result.records("lessons") == result.library.records()
    assert {row["decision"] for row in result.records("edits")} >= {"accepted"}
    assert json.loads(json.dumps(result.records("groups")))
    with pytest.raises(UsageError, match="steps, groups, rollouts, edits, lessons"):
        result.records("words")
    for package, frame in (("pandas", result.to_pandas), ("polars", result.to_polars)):
        if package in sys.modules or _installed(package):
            assert len(frame("rollouts")) == result.summary["rollouts"]
        else:
            with pytest.raises(ImportError, match=f"{package} is not installed: pip install {package}"):
                frame("rollouts")


def _installed(package: str) -> bool:
    from importlib.util import find_spec

    return find_spec(package) is not None


def test_a_result_draws_its_learning_curve(db, tmp_path):
    """As SVG by itself, as a description for Vega-Lite; another ending is refused."""
    result = learn(Model(), rows(2), db)
    drawn = result.plot(tmp_path / "a.svg")
    assert drawn._repr_html_().startswith("<svg ")
    assert (tmp_path / "a.svg").read_text() == drawn.svg
    told = result.plot(tmp_path / "a.json").vega_lite()
    assert json.loads((tmp_path / "a.json").read_text()) == told
    assert {row["series"] for row in told["data"]["values"]} >= {"rollouts"}
    with pytest.raises(UsageError, match=r"ends in none of \.svg"):
        result.plot(tmp_path / "a.gif")


def test_the_bar_is_drawn_where_it_was_asked_for(db, capsys):
    """On demand anywhere; without a terminal or a notebook it is silent."""
    tfgrpo.learn_sync(rows(2), model=play(Model()), db=db, progress=True, **SMALL)
    assert "groups, step" in capsys.readouterr().err
    tfgrpo.learn_sync(rows(2), model=play(Model()), db=db, **SMALL)
    assert capsys.readouterr().err == ""
    Bar(False).close()
