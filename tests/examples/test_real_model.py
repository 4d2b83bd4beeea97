"""The tasks of examples/real_model: seeded questions, disjoint parts, and graders that judge as they say."""

import json
import shlex
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tfgrpo.cli.app import app
from tfgrpo.types import Problem, Rollout

FOLDER = Path(__file__).parents[2] / "examples" / "real_model"


@pytest.fixture
def tasks(monkeypatch):
    """Both modules of tasks, importable as their own commands import them."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import house
    import larger

    yield house, larger
    for name in ("house", "larger"):
        sys.modules.pop(name, None)


def graded(grader, answer, reference=None):
    """The value that a grader gives to an answer."""
    return grader(Problem("p", "q", reference), Rollout("p", 0, answer=answer)).value


def test_graders_judge_the_form_that_the_house_wants(tasks):
    """Each grader takes what keeps its convention, refuses what does not, and says what is wanted."""
    house, _ = tasks
    good = {
        "spanish": "El café es una bebida con agua.",
        "german": "Die Brücke ist ein Weg und der Fluss ist unten.",
        "list": "1. Boil water",
        "yesno": "No, it is not.",
        "steps": "Step 1: boil",
        "json": '```json\n{"a": 1}',
        "sum": "12",
        "poem": "Roses are red,\nviolets are blue",
    }
    for name, task in house.TASKS.items():
        grader = house.grader_of(name)
        assert graded(grader, good[name]) == 1.0, name
        refused = grader(Problem("p", "q"), Rollout("p", 0, answer="Seven plus five makes a sentence of the English."))
        assert refused.value == 0.0, name
        assert task.wanted in refused.why


def test_the_parts_of_a_task_share_nothing_and_follow_the_seed(tasks, tmp_path):
    """Learning, gate and test questions are disjoint, the same for a seed, and others for another one."""
    for module, name in ((tasks[0], "spanish"), (tasks[0], "sum"), *((tasks[1], name) for name in tasks[1].ROWS)):
        parts = {}
        for seed in (0, 0, 1):
            files = module.write(name, tmp_path, seed)
            lines = {part: path.read_text().splitlines() for part, path in files.items()}
            rows = {part: [json.loads(line)["question"] for line in told] for part, told in lines.items()}
            everything = [question for part in rows.values() for question in part]
            assert len(everything) == len(set(everything)), name
            parts.setdefault(seed, rows)
            assert parts[seed] == rows
        assert parts[0] != parts[1]


def test_tasks_for_larger_models_are_graded_in_code(tasks):
    """A label counts alone, a number as the last one, and the two objectives apart."""
    larger = tasks[1]
    assert graded(larger.taxonomy, "N4", "N4") == 1.0
    assert graded(larger.taxonomy, "N4 or B7", "N4") == 0.0
    assert graded(larger.procedure, "First 60, so each gets 20.\n20", "20") == 1.0
    assert graded(larger.correct, "It is 12 and even", "12 even") == 1.0
    assert graded(larger.brief, "twelve", None) == 1.0
    assert graded(larger.brief, "one two three four five six seven eight nine", None) == 0.0


def test_the_commands_for_larger_models_can_be_run(tasks, tmp_path, monkeypatch):
    """What is printed for a stronger model is a command that this program takes, with what solvers are told."""
    larger = tasks[1]
    monkeypatch.chdir(tmp_path)
    for name in larger.ROWS:
        _, learn, measure = larger.commands(name, larger.write(name, tmp_path))
        words = shlex.split(learn.replace("local/PATH.gguf", "tiny"))
        assert words[:2] == ["tfgrpo", "learn"]
        found = CliRunner().invoke(app, [*words[1:], "--dry-run", "--json"])
        assert found.exit_code == 0, found.output
        said = json.loads(found.stdout)
        assert (said["problems"], said["heldout"]) == (24, 48)
        assert said["prompts"][0][0]["content"].startswith(larger.INSTRUCTIONS[name])
        assert str(tmp_path / f"{name}-test.jsonl") in measure
