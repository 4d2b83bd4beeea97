"""`tfgrpo lessons`: reading and editing by hand, with the same history as learned edits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

FIRST = "When in doubt, look at the sign first."
SECOND = "When a page has two dates, take the one beside the name."


@pytest.fixture
def two(cli):
    """A library with two lessons by hand."""
    cli("lessons", "add", FIRST)
    cli("lessons", "add", SECOND)
    return cli


def test_an_empty_place_says_what_to_do(cli):
    """Reading where nothing was learned yet is an error with the next step in it, and makes no file."""
    result = cli("lessons", "list")
    assert result.exit_code == 2
    assert "there is no database experience.db; run `tfgrpo learn` first, or name another file" in result.stderr
    assert not Path("experience.db").exists()


def test_add_edit_and_delete_make_versions(two):
    """Each change is a version; an id stays with its lesson and is not given again."""
    assert "version 2 -> 3, 2 lessons" in two("lessons", "edit", 1, FIRST.replace("first", "twice")).stdout
    assert "version 3 -> 4, 1 lesson\n" in two("lessons", "delete", 2).stdout
    assert "version 4 -> 5, 2 lessons" in two("lessons", "add", "When new, start small.").stdout
    shown = two("lessons", "list").stdout
    assert "library 'default', version 5: 2 lessons" in shown
    assert "[1] When in doubt, look at the sign twice." in shown
    assert "[3] When new, start small." in shown
    assert "written by hand" in shown


def test_list_takes_a_version_and_json(two, parsed):
    """NAME@VERSION reads the past; --json is one object."""
    assert "1 lesson\n" in two("lessons", "list", "--library", "default@1").stdout
    told = parsed(two("lessons", "list", "--json"))
    assert [(x["id"], x["text"], x["effect"]) for x in told["lessons"]] == [(1, FIRST, None), (2, SECOND, None)]


def test_show_and_blame_tell_the_whole_story(learn, cli, parsed):
    """Words, edits, sources and evidence of one lesson."""
    learn("--heldout", "held.jsonl")
    for verb in ("show", "blame"):
        shown = cli("lessons", verb, 1).stdout
        assert "[1] When the topic is" in shown
        assert "version 1: ADD" in shown
        assert "from problem" in shown
        assert "accepted: effect +1.00" in shown
    story = parsed(cli("lessons", "show", 1, "--json"))
    assert story["evidence"][0]["verdict"] == "accepted"
    assert story["edits"][0]["edit"]["sources"]


def test_a_lesson_that_left_keeps_its_story(two):
    """Deleted is not forgotten."""
    two("lessons", "delete", 2)
    assert "(deleted)" in two("lessons", "show", 2).stdout


def test_search_finds_words_and_no_words(two):
    """The best match comes first; signs that mean something to a search engine are only words here."""
    assert "[2]" in two("lessons", "search", "dates").stdout
    assert two("lessons", "search", '"unclosed AND (').exit_code == 0
    assert two("lessons", "search", "zebra").stdout == ""


def test_log_and_diff_show_what_changed(two):
    """Every edit by version, and the net change between two versions."""
    two("lessons", "edit", 1, "When in doubt, ask.")
    log = two("lessons", "log").stdout
    assert log.count("\nversion ") == 3
    assert f"[2] ADD {SECOND!r} (by hand)" in log
    diff = two("lessons", "diff", 1, 3).stdout.splitlines()
    assert diff == [f"- [1] {FIRST}", "+ [1] When in doubt, ask.", f"+ [2] {SECOND}"]


def test_log_shows_refused_edits_if_asked(learn, cli):
    """What the checks or the gate kept out is there with the reason."""
    learn("--heldout", "0", "--gate", "open", "-s", "lessons.max_words=5")
    assert "rejected" not in cli("lessons", "log").stdout
    refused = cli("lessons", "log", "--refused").stdout
    assert refused.count("rejected: ADD 'When the topic is") == 4
    assert "at most 5 are allowed" in refused


def test_rollback_is_a_new_version(two):
    """The past comes back without anything being forgotten."""
    assert "version 3 now equals version 1, 1 lesson\n" in two("lessons", "rollback", 1).stdout
    assert SECOND in two("lessons", "list", "--library", "default@2").stdout


@pytest.mark.parametrize("form", ["json", "md"])
def test_export_and_import_carry_lessons_to_another_library(two, form):
    """What was exported can be read in again, from a file or from stdout."""
    assert two("lessons", "export", "-o", f"out.{form}", "--format", form).stdout == ""
    assert Path(f"out.{form}").read_text() == two("lessons", "export", "--format", form).stdout
    assert "2 lessons" in two("lessons", "import", f"out.{form}", "--library", "copy").stdout
    shown = two("lessons", "list", "--library", "copy").stdout
    assert FIRST in shown
    assert SECOND in shown


def test_export_of_evidence_holds_no_nan(learn, cli):
    """Evidence without an interval exports as null."""
    learn("--heldout", "held.jsonl")

    def refuse(word: str) -> None:
        raise AssertionError(word)

    told = json.loads(cli("lessons", "export").stdout, parse_constant=refuse)
    assert told["lessons"]


def test_import_takes_one_lesson_a_line(cli):
    """JSONL and Markdown lists of other tools come in as they are."""
    Path("a.jsonl").write_text('{"text": "When a, b."}\n{"text": "When c, d."}\n')
    Path("b.md").write_text("# Advice\n\n- When e, f.\n- When g, h.\n")
    assert "version 1, 2 lessons" in cli("lessons", "import", "a.jsonl").stdout
    assert "4 lessons" in cli("lessons", "import", "b.md").stdout


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("show", 9), "library 'default' never had a lesson 9"),
        (("edit", 7, "x y"), "lesson 7, which is not there"),
        (("edit", 1, ""), "the lesson has no words; write it, or take one out with `lessons delete`"),
        (("add", "  "), "the lesson has no words; write it"),
        (("diff", 1, 9), "has no version 9; it has 0 to 2"),
        (("rollback", 99), "has no version 99"),
        (("list", "--library", "nope"), "has no library 'nope'; it has: default"),
        (("list", "--library", "default@x"), "NAME or NAME@VERSION"),
        (
            ("export", "--format", "xml"),
            "--format is one of json, md, parquet, skill, agents, chat, system, csv, promptfoo, dspy, not 'xml'",
        ),
        (("export", "-o", "no/where.json"), "cannot write no/where.json: No such file or directory"),
        (("import", "nofile.json"), "cannot read nofile.json: No such file or directory"),
        (("import", "bytes.bin"), "bytes.bin is not UTF-8 text"),
        (("import", "broken.json"), "broken.json is not valid JSON"),
        (("import", "learn.jsonl", "--library", "new"), "holds no lesson"),
    ],
    ids=lambda value: "-".join(map(str, value[:2])) if isinstance(value, tuple) else "",
)
def test_wrong_input_changes_nothing(two, command, said):
    """Exit code 2, one sentence, and the library is as it was."""
    Path("bytes.bin").write_bytes(b"\xff\xfe\x00")
    Path("broken.json").write_text('{"lessons": [')
    before = two("lessons", "log").stdout
    result = two("lessons", *command)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert two("lessons", "log").stdout == before
