"""`tfgrpo report`: which run, which format, where to."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from tfgrpo.cli.app import app


def tfgrpo(*arguments: object):
    """Run the command line."""
    return CliRunner().invoke(app, [str(a) for a in arguments])


@pytest.mark.parametrize(
    ("name", "options", "begins"),
    [
        ("r.html", (), "<!doctype html>"),
        ("r.md", (), "# Run night"),
        ("r.json", (), '{"tool":'),
        ("r.txt", ("--format", "md"), "# Run night"),
        ("r", ("--all",), "<!doctype html>"),
    ],
)
def test_the_format_follows_the_ending_unless_told(tmp_path, night_db, name, options, begins):
    """The file's ending decides, `--format` overrides it, HTML is the default."""
    out = tmp_path / name
    done = tfgrpo("report", "night", "--db", night_db, "-o", out, *options)
    assert done.exit_code == 0, done.output
    assert out.read_text(encoding="utf-8").lstrip().startswith(begins)


def test_a_run_is_found_by_name_or_id_and_printed_without_a_file(night_db, night):
    """Without `-o` the report goes to standard output and nothing else does."""
    by_id = tfgrpo("report", night.run.id, "--db", night_db, "--format", "json")
    assert json.loads(by_id.stdout)["run"]["name"] == "night"


@pytest.mark.parametrize(
    ("run", "out", "said"), [("day", "r.html", "runs list"), ("night", "no/such/folder/r.html", "cannot write")]
)
def test_what_cannot_be_done_is_said_in_a_sentence(tmp_path, night_db, run, out, said):
    """An unknown run and a place that cannot be written end with exit code 2 and the next step."""
    done = tfgrpo("report", run, "--db", night_db, "-o", tmp_path / out)
    assert done.exit_code == 2
    assert said in done.stderr
