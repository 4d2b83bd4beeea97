"""Runs, datasets, models, plugins, the environment file, and the manners of the whole."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from sqlite_utils.migrations import Migrations
from support.script import rows, write

import tfgrpo
from experience_db import Store, migrations, schema_steps
from tfgrpo.report import gather


def test_runs_can_be_listed_and_shown(learn, cli, parsed):
    """Name, kind, end, library; then configuration, steps and summary of one run."""
    learn("--heldout", "held.jsonl", "--run", "mine")
    assert re.match(
        r"mine  learn  finished  \S+ \S+ UTC  \S+  \d+ calls, 0.00 USD  "
        r"library default  4 lessons  held-out 0.000 -> 1.000",
        cli("runs", "list").stdout,
    )
    (run,) = parsed(cli("runs", "list", "--json"))["runs"]
    assert (run["name"], run["status"]) == ("mine", "finished")
    told = parsed(cli("runs", "show", "mine", "--json"))
    assert told["steps"][0]["version_after"] == 1
    assert told["config"]["epochs"] == 1
    shown = cli("runs", "show", run["id"]).stdout
    assert "step 0: version 0 -> 1" in shown
    block = "essons stand in the block default, system; how often"
    assert block in shown
    with Store.open("experience.db", readonly=True) as store:
        assert any(block in note for note in gather(store, "mine").headline.notes)
    assert re.search(r"  difference:      \+1\.000 \[.+\], n=\d+, on the problems that chose the lessons", shown)
    assert cli("runs", "show", "other").exit_code == 2


def test_runs_are_pruned_when_asked_twice(learn, cli, parsed):
    """First what would go; with --yes it goes; figures and costs stay, and the next run asks the model again."""
    learn("--heldout", "held.jsonl", "--run", "mine")
    before = cli("runs", "show", "mine").stdout
    would = parsed(cli("runs", "prune", "--json"))
    assert would["calls"] > 0
    assert "nothing was changed; --yes does it" in cli("runs", "prune", "mine").stdout
    assert parsed(cli("runs", "prune", "--older-than", 1, "--json"))["calls"] == 0
    assert "`tfgrpo db vacuum` gives the room back" in cli("runs", "prune", "--yes").stdout
    assert parsed(cli("runs", "prune", "--json"))["calls"] == 0
    assert cli("runs", "show", "mine").stdout == before
    assert cli("db", "check").exit_code == 0
    assert cli("runs", "prune", "other").exit_code == 2


def test_runs_of_a_place_without_a_database_say_so(cli):
    """No file is made by looking."""
    assert cli("runs", "list").exit_code == 2
    assert not Path("experience.db").exists()


def test_datasets_are_named_with_what_they_need(cli, monkeypatch, tmp_path):
    """Rows, grader, and where a copy comes from."""
    assert "aime24  30 problems, grader math; from the hub" in cli("datasets", "list").stdout
    write(tmp_path / "aime24.jsonl", rows(1))
    monkeypatch.setenv("TFGRPO_DATA", str(tmp_path))
    assert f"local copy {tmp_path / 'aime24.jsonl'}" in cli("datasets", "list").stdout


def test_a_dataset_can_be_looked_at(cli):
    """How many problems, how many with an answer, and the first of them."""
    shown = cli("datasets", "show", "learn.jsonl", "--rows", 1).stdout.splitlines()
    assert shown[0] == "learn.jsonl: 4 problems, 4 with a reference answer"
    assert shown[1] == "  maple-200: In topic maple: what comes of 200? -> 400"
    assert sum(line.startswith("  maple-") for line in shown) == 1
    assert shown[-2].startswith("  tfgrpo learn learn.jsonl --grader numeric --instructions ")
    assert shown[-1].startswith("openai/NAME needs a key")
    assert cli("datasets", "show", "nofile").exit_code == 2


def test_fields_can_be_mapped(cli):
    """--field says which column is the question."""
    write(Path("other.jsonl"), [{"text": "why?", "label": "x"}])
    shown = cli("datasets", "show", "other.jsonl", "--field", "question=text", "--field", "answer=label").stdout
    assert "why? -> x" in shown


def test_models_and_plugins_are_listed(cli):
    """What can be used without a key, and every name that an option takes."""
    assert cli("models", "list").stdout.startswith("tiny  ")
    assert "graders: " in cli("plugins").stdout
    assert "exact" in cli("plugins", "--kind", "graders").stdout
    assert cli("plugins", "--kind", "birds").exit_code == 2
    assert cli("models", "serve", "huge").exit_code == 2


def test_the_version_is_printed(cli):
    """One line."""
    assert cli("--version").stdout == f"tfgrpo {tfgrpo.__version__}\n"


def test_the_database_is_named_by_option_then_variable_then_default(cli, monkeypatch):
    """--db wins over TFGRPO_DB, which wins over experience.db."""
    cli("lessons", "add", "When default, here.")
    monkeypatch.setenv("TFGRPO_DB", "by-variable.db")
    cli("lessons", "add", "When variable, there.")
    cli("lessons", "add", "When option, elsewhere.", "--db", "by-option.db")
    assert sorted(p.name for p in Path().glob("*.db")) == ["by-option.db", "by-variable.db", "experience.db"]


def test_an_env_file_counts_for_every_command_and_for_no_library_call(cli, monkeypatch, tmp_path):
    """The command line reads .env of the folder; variables that are set win; the Python package does not read it."""
    monkeypatch.setenv("TFGRPO_DB", "unset-me-after")
    monkeypatch.delenv("TFGRPO_DB")
    Path(".env").write_text("TFGRPO_DB=from-env.db\n")
    from tfgrpo.config import default_db

    assert default_db() == Path("experience.db")
    assert cli("lessons", "add", "When in a file, read it.").exit_code == 0
    assert "When in a file" in cli("lessons", "list").stdout
    assert Path("from-env.db").exists()
    monkeypatch.delenv("TFGRPO_DB", raising=False)


@pytest.mark.parametrize("command", ["", "learn", "eval", "grade", "lessons", "runs", "models", "datasets", "plugins"])
def test_help_is_plain_under_no_color(cli, monkeypatch, command):
    """NO_COLOR leaves no escape sequences."""
    monkeypatch.setenv("NO_COLOR", "1")
    result = cli(*command.split(), "--help")
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "Usage" in result.stdout


def test_what_is_not_there_is_told_with_a_remedy(cli, tmp_path):
    """A folder, a file, a lesson, a recipe or a text that does not exist: which one, and what to do."""
    assert cli("lessons", "add", "Read the question twice.").exit_code == 0
    (tmp_path / "blank.md").write_text("# Lessons\n")
    for command, said in (
        (("db", "backup", "nowhere/x.db"), "nowhere/x.db cannot be written: there is no folder nowhere; create it"),
        (("lessons", "show", 99), "never had a lesson 99; `tfgrpo lessons list` shows those it has"),
        (("lessons", "import", "no.json"), "cannot read no.json: No such file or directory; name a file of lessons"),
        (("lessons", "import", "blank.md"), "blank.md: no list items found; start each lesson with '- '"),
        (("tools", "call", "python", "--args", "{"), '; give an object, as --args \'{"code": "6*7"}\''),
        (("lessons", "scan", "no.json"), "cannot read no.json: No such file or directory; name a file of lessons"),
        (
            ("eval", "learn.jsonl", "--grader", "exact", "--model", "tiny", "--library", "nope"),
            "experience.db has no library 'nope'; it has: default",
        ),
        (("reproduce", "no.toml"), "there is no file no.toml; name a recipe in TOML, or one of math-paper"),
        (
            ("prove", "no.md", "--on", "learn.jsonl", "--grader", "exact", "--model", "tiny"),
            "no file or folder 'no.md', and as a library: experience.db has no library 'no.md'; it has: default; name ",
        ),
    ):
        told = cli(*command)
        assert told.exit_code == 2, told.output
        assert said in told.stderr
    assert not list(tmp_path.glob("nowhere*"))


def test_an_endpoint_that_does_not_answer_is_no_endpoint_that_can_nothing(cli):
    """The probe ends with what is wrong, not with a table of noes."""
    dead = cli("models", "probe", "http://127.0.0.1:1/v1")
    assert dead.exit_code == 2
    assert "nothing answers at http://127.0.0.1:1/v1 (ConnectionRefusedError); start the endpoint" in dead.stderr
    named = cli("models", "probe", "http://127.0.0.1:1/v1", "--model", "openai/x")
    assert named.exit_code == 1
    assert "nothing answers at http://127.0.0.1:1/v1" in named.stderr


def test_a_database_of_an_older_release_is_brought_up_to_date_by_a_command(cli, tmp_path):
    """Readers name the command, which adds nothing, and then they read; it makes no file that is not there."""
    path = tmp_path / "old.db"
    first = Migrations("experience_db")
    first()(schema_steps.m001_first_schema)
    connection = sqlite3.connect(path, isolation_level=None)
    migrations.migrate(connection, first)
    connection.close()
    told = cli("libraries", "list", "--db", path)
    assert told.exit_code == 2
    assert f"`tfgrpo db vacuum --db {path}` brings it up to date once" in told.stderr
    assert cli("db", "vacuum", "--db", path).exit_code == 0
    assert cli("libraries", "list", "--db", path).exit_code == 0
    assert "there is no database" in cli("db", "vacuum", "--db", tmp_path / "no.db").stderr
    assert not (tmp_path / "no.db").exists()


def test_a_key_that_does_not_exist_is_told_with_its_file(cli, tmp_path):
    """A configuration file is named with the fault in it; a prompt set that does not exist with those that do."""
    (tmp_path / "c.toml").write_text("epoch = 3\n")
    asked = ("learn", "learn.jsonl", "--grader", "exact", "--model", "tiny")
    told = cli(*asked, "--config", "c.toml")
    assert told.exit_code == 2
    assert "c.toml: unknown configuration key 'epoch'; did you mean epochs?" in told.stderr
    assert "the sets are default, paper, small, tiny" in cli(*asked, "--prompts", "smal").stderr
