"""Worlds: what the generator of learning problems promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "tiny_model"


@pytest.fixture
def grammar(monkeypatch):
    """The grammar module of the example."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import grammar

    return grammar


def write_world(folder: Path, *extra: str) -> tuple[list[dict], list[dict]]:
    """Run the generator and read both files back."""
    command = [sys.executable, str(FOLDER / "worlds.py"), "--seed", "7", "-o", str(folder), *extra]
    subprocess.run(command, check=True, capture_output=True)
    return tuple(
        [json.loads(line) for line in (folder / name).read_text().splitlines()]
        for name in ("problems.jsonl", "heldout.jsonl")
    )


@pytest.fixture(scope="module")
def world_rows(tmp_path_factory):
    """Both files of world 7, and its true lessons."""
    folder = tmp_path_factory.mktemp("world")
    truth = folder / "truth.txt"
    learn, held_out = write_world(folder, "--problems", "300", "--heldout", "200", "--truth", str(truth))
    return learn, held_out, truth.read_text().splitlines()


def test_same_seed_writes_same_bytes(tmp_path):
    """Two runs with one seed give equal files, and asking for more keeps the first rows."""
    first = write_world(tmp_path / "a", "--problems", "20", "--heldout", "10")
    again = write_world(tmp_path / "b", "--problems", "20", "--heldout", "10")
    longer = write_world(tmp_path / "c", "--problems", "30", "--heldout", "10")
    assert first == again
    assert longer[0][:20] == first[0]
    assert longer[1] == first[1]


def test_rows_have_the_dataset_shape(world_rows):
    """Every row has exactly an id, a question, an answer and metadata."""
    learn, held_out, _ = world_rows
    assert (len(learn), len(held_out)) == (300, 200)
    for row in learn + held_out:
        assert list(row) == ["id", "question", "answer", "metadata"]
        assert row["question"].endswith(".")
        assert all(digit in "0123456789" for digit in row["answer"].split(" "))


def test_ids_and_questions_are_unique_over_both_files(world_rows):
    """No id and no question occurs twice, within or across the files."""
    learn, held_out, _ = world_rows
    rows = learn + held_out
    assert len({row["id"] for row in rows}) == len(rows)
    assert len({row["question"] for row in rows}) == len(rows)
    computes = {row["question"][row["question"].index("Compute") :] for row in rows}
    assert len(computes) == len(rows)


def test_all_kinds_and_operators_occur(world_rows):
    """Single, paired and chained problems are mixed, over six operators."""
    learn, _, truth = world_rows
    kinds = [row["metadata"]["kind"] for row in learn]
    assert min(kinds.count(kind) for kind in "SPC") > 60
    assert len({name for row in learn for name in row["metadata"]["operators"]}) == 6
    assert len(truth) == 7


def test_rows_do_not_tell_the_meanings(world_rows, grammar):
    """No row contains a meaning or an order: only the answers carry the truth."""
    learn, held_out, _ = world_rows
    for row in learn + held_out:
        words = set(json.dumps({**row, "answer": ""}).replace('"', " ").replace(".", " ").split())
        assert not words & {*grammar.MEANINGS, *grammar.ORDERS}


def test_true_lessons_give_every_answer(world_rows, grammar):
    """A teacher that obeys the true lessons and never slips gets every row right."""
    learn, held_out, truth = world_rows
    parsed = [grammar.parse(lesson) for lesson in truth]
    plan = {lesson.aspect: lesson.value for lesson in parsed}
    world = grammar.World({k: v for k, v in plan.items() if k != grammar.ORDER}, plan[grammar.ORDER])
    for row in learn + held_out:
        words = row["question"][row["question"].index("Compute") :].replace(",", "").rstrip(".").split()
        numbers = tuple(int(word) for word in words if word.isdigit())
        problem = grammar.Problem(row["metadata"]["kind"], numbers, tuple(row["metadata"]["operators"]))
        assert world.answer(problem) == row["answer"]


@pytest.mark.slow
def test_used_up_world_is_refused(tmp_path):
    """Asking a small world for more problems than it has fails and says so."""
    command = [sys.executable, str(FOLDER / "worlds.py"), "--operators", "2", "--problems", "90000"]
    run = subprocess.run([*command, "-o", str(tmp_path)], check=False, capture_output=True, text=True)
    assert run.returncode == 2
    assert "ask for fewer" in run.stderr
