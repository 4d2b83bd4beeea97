"""What `tfgrpo learn` prints at the end: decisions with reasons, and a bill that adds up."""

from __future__ import annotations

import json
import re
import shlex

from support.script import ASKED, Model, edits, lesson, play, rows, text_of, write
from typer.testing import CliRunner

from tfgrpo.cli.app import app

IDLE = "When the topic is velvet, stay calm."


def mixed(request):
    """Propose the right lesson of most topics, and an idle one for velvet."""
    text = str(request.messages)
    topic = re.search(r"topic (\w+):", text)[1]
    words = IDLE if topic == "velvet" else lesson(topic)
    return edits() if words in text else edits({"op": "ADD", "text": words})


def test_the_page_gives_each_decision_its_reason_and_splits_the_bill(tmp_path):
    """Accepted and refused edits are listed with numbers; learning and proving add up to the whole."""
    learning, held = write(tmp_path / "p.jsonl", rows(16)), write(tmp_path / "h.jsonl", rows(40, start=100))
    command = ["learn", learning, "--heldout", held, "--grader", "exact", "--epochs", 1, "--group-size", 4]
    command += ["--model", play(Model(contrast=mixed), "page"), "--db", tmp_path / "x.db", "--batch-size", 8]
    found = CliRunner().invoke(app, [str(part) for part in command])
    assert found.exit_code == 0, found.output
    said = r"\+1.000 on (\d+) of the \1 problems it touches, \1 won, 0 lost \(p = "
    kept = rf"  accepted: ADD '{lesson('maple')}': better: {said}"
    assert re.search(kept, found.stdout)
    assert re.search(rf"  rejected: ADD '{re.escape(IDLE)}': not worth it: \+0.000 on ", found.stdout)
    whole = re.search(r"^cost: (\d+) calls; ", found.stdout, re.MULTILINE)
    parts = re.findall(r"^  (learning|proving): (\d+) calls \((.*)\); ", found.stdout, re.MULTILINE)
    assert [name for name, *_ in parts] == ["learning", "proving"]
    assert sum(int(calls) for _, calls, _ in parts) == int(whole[1])
    assert "rollout 64" in parts[0][2]
    assert "gate " in parts[1][2]
    assert "evaluate 80" in parts[1][2]


def half(request):
    """Be right with the lesson of the topic, else every second time."""
    topic, figure = ASKED.search(text_of(request)).groups()
    right = lesson(topic) in text_of(request) or request.attempt % 2 == 0
    return f"Answer: {2 * int(figure) if right else figure}"


def test_lessons_proved_on_few_problems_are_said_to_hold_for_these(tmp_path):
    """Six problems that gain a half each say little of a seventh: the verdict and the count of false lessons tell."""
    learning, held = write(tmp_path / "p.jsonl", rows(4)), write(tmp_path / "h.jsonl", rows(24, start=100))
    model = play(Model(rollout=half, gate=half, evaluate=half), "few")
    command = ["learn", learning, "--heldout", held, "--grader", "exact", "--epochs", 1, "--group-size", 4]
    found = CliRunner().invoke(app, [*map(str, command), "--model", model, "--db", str(tmp_path / "x.db")])
    assert found.exit_code == 0, found.output
    kept = re.findall(r"  accepted: .*; for others like them p is at most (0\.\d+)\)", found.stdout)
    assert kept, found.stdout
    assert all(0.05 < float(p) < 0.5 for p in kept)
    assert f"; {len(kept)} of them touch so few problems that this holds for these alone" in found.stdout


def test_the_next_command_asks_as_the_run_did(tmp_path):
    """The command that measures the library on other problems runs as it stands, own columns and all."""
    own = [{"nr": row["id"], "asked": row["question"], "team": row["answer"]} for row in rows(16)]
    table = tmp_path / "own.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in own), encoding="utf-8")
    fields = [word for pair in ("id=nr", "question=asked", "answer=team") for word in ("--field", pair)]
    command = ["learn", table, *fields, "--grader", "exact", "--epochs", 1, "--group-size", 4, "--batch-size", 8]
    command += [
        "--model",
        play(Model(contrast=mixed), "next"),
        "--db",
        tmp_path / "x y.db",
        "--instructions",
        "Be short.",
    ]
    found = CliRunner().invoke(app, [str(part) for part in command])
    assert found.exit_code == 0, found.output
    _, *words = shlex.split(
        re.search(r"^  (tfgrpo eval .*)", found.stdout, re.MULTILINE)[1].replace("FILE", str(table))
    )
    measured = CliRunner().invoke(app, words)
    assert measured.exit_code == 0, measured.output
    assert "YOUR.jsonl" not in found.stdout
