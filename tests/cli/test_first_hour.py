"""The commands of the first hour with data of one's own: init, show, watch, lists, and edits by hand."""

from __future__ import annotations

import shlex
import sys
import tomllib
from pathlib import Path

import pytest
import typer.main
from support.script import Model, play, rows, write
from typer.testing import CliRunner

from tfgrpo.cli.app import app
from tfgrpo.cli.examples import EXAMPLES

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with thirty labelled questions, in which commands run."""
    lines = [f"Question {i} about a {('bill', 'parcel')[i % 2]}?,{('billing', 'shipping')[i % 2]}" for i in range(30)]
    (tmp_path / "tickets.csv").write_text("question,label\n" + "\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words: object, typed: str = "") -> object:
    """Run a command; a failure shows what it said."""
    return CliRunner().invoke(app, [str(word) for word in words], input=typed)


def test_init_asks_and_writes_what_can_be_run(folder):
    """Four answers give a configuration with comments and the command that comes next, which runs."""
    told = run("init", typed="tickets.csv\nhttp://127.0.0.1:9/v1\nopenai/mine\n\n")
    assert told.exit_code == 0, told.stderr
    config = tomllib.loads((folder / "tfgrpo.toml").read_text())
    assert "billing, shipping" in config["instructions"]
    command = told.stdout.splitlines()[-1]
    command = command[command.index("tfgrpo learn") :]
    words = shlex.split(command)
    assert words[:4] == ["tfgrpo", "learn", "tickets.csv", "--config"]
    shown = run(*words[1:])
    assert shown.exit_code == 0, shown.stderr
    assert "Answer with exactly one of these labels: billing, shipping." in shown.stdout
    assert run("init", "tickets.csv", "--yes").exit_code == 2


def test_init_writes_a_grader_to_start_from(folder):
    """Where none of ours fits; it can be imported and grades."""
    told = run("init", "tickets.csv", "--grader", "own", "--model", "tiny", "--yes")
    assert "--grader grader:grade" in told.stdout
    space: dict = {}
    exec((folder / "grader.py").read_text(), space)  # what the user would import
    import tfgrpo

    problem = tfgrpo.Problem("p", "q", "billing")
    assert space["grade"](problem, tfgrpo.Rollout("p", 0, answer="It is Billing.")).value == 1.0


def test_a_run_is_listed_shown_watched_and_named_latest(folder):
    """With its model, calls, lessons and effect; the newest needs no name."""
    model = play(Model())
    write(folder / "p.jsonl", rows(12))
    learned = run("learn", "p.jsonl", "--grader", "exact", "--model", model, "--epochs", 1)
    assert learned.exit_code == 0, learned.stderr
    listed = run("runs", "list").stdout
    assert model in listed
    assert " calls, 0.00 USD" in listed
    assert "lessons" in listed
    for shown in (run("runs", "show"), run("runs", "show", "latest")):
        assert "held-out reward" in shown.stdout
        assert "  rollout: " in shown.stdout
    followed = run("watch", "--once").stdout.splitlines()
    assert followed[0].startswith("run learn-")
    assert followed[-1].startswith("finished; held-out ")
    assert any(line.startswith("step 1 (epoch 1): reward ") for line in followed)
    assert run("report", "latest", "-o", "r.html").exit_code == 0
    libraries = run("libraries", "list")
    assert libraries.stdout.startswith("default  version ")
    assert model in libraries.stdout


def test_edits_by_hand_say_who_and_why_and_are_made_once(folder):
    """A lesson that is there already is refused; a search that finds nothing says so."""
    assert run("lessons", "add", "Check the units.", "--by", "Ada", "--reason", "seen in review").exit_code == 0
    again = run("lessons", "add", "Check  the units.")
    assert again.exit_code == 2
    assert "says this already, as lesson 1" in again.stderr
    assert "by hand, Ada: seen in review" in run("lessons", "log").stdout
    assert run("lessons", "edit", 1, "Check the units first.", "--reason", "order").exit_code == 0
    found = run("lessons", "search", "zebra")
    assert (found.stdout, "nothing in the 1 lesson of library 'default' fits 'zebra'" in found.stderr) == ("", True)


def leaves(node=None, path=()) -> list[str]:
    """Return the words of every command."""
    node = node or typer.main.get_command(app)
    below = getattr(node, "commands", {})
    return [name for word, each in below.items() for name in leaves(each, (*path, word))] if below else [" ".join(path)]


def test_every_command_shows_an_example_that_can_be_parsed():
    """In its help; words and options are those of the command."""
    sys.path.insert(0, str(ROOT / "tests"))
    from test_docs import parse

    assert not set(leaves()) - set(EXAMPLES), "give these an example in tfgrpo/cli/examples.py"
    for name in leaves():
        assert f"Example: tfgrpo {name.split()[0]}" in " ".join(run(*name.split(), "--help").stdout.split())
        parse(shlex.split(EXAMPLES[name]))


def test_options_say_what_they_want_in_words():
    """No type of Python stands where a value goes."""
    assert "list[str]" not in run("learn", "--help").stdout
    assert "--install-completion" in run("--help").stdout
