"""Nothing that was stored moves the terminal of whoever reads it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experience_db import Edit, Op, Store
from tfgrpo.cli.terminal_output import fold, printable

ESCAPES = "\x1b[2J\x1b]0;title\x07\x1b[31m\x9b1A\r\x08\u202eabc"
COMMANDS = [
    ["lessons", "list"],
    ["lessons", "list", "--json"],
    ["lessons", "show", "1"],
    ["lessons", "log"],
    ["lessons", "log", "--json"],
    ["lessons", "review", "list", "--all"],
    ["lessons", "export"],
    ["lessons", "export", "--format", "md"],
    ["lessons", "search", "units"],
    ["lessons", "show", "99"],
]


@pytest.fixture(scope="module")
def db(tmp_path_factory):
    """A library in which everything holds escapes: words, reasons, notes, names of runs."""
    file = tmp_path_factory.mktemp("writer") / "x.db"
    with Store.open(file) as store:
        store.create_library("default")
        edits = [Edit(Op.ADD, f"Check units {ESCAPES}.", reason=f"because {ESCAPES}")]
        store.commit("default", edits, parent=0, note=f"note {ESCAPES}")
    return file


def on_terminal(arguments, db) -> bytes:
    """What a command writes to a terminal of its own."""
    main, child = pty.openpty()
    command = [sys.executable, "-m", "tfgrpo.cli", *arguments, "--db", str(db)]
    done = subprocess.Popen(command, stdout=child, stderr=child, stdin=subprocess.DEVNULL)
    os.close(child)
    said = b""
    while True:
        try:
            piece = os.read(main, 65536)
        except OSError:
            break
        if not piece:
            break
        said += piece
    done.wait()
    os.close(main)
    return said


@pytest.mark.parametrize("arguments", COMMANDS, ids=[" ".join(c) for c in COMMANDS])
def test_no_escape_reaches_a_terminal(arguments, db):
    """Texts, reasons and notes come out with their controls written out, on a real terminal."""
    said = on_terminal(arguments, db).decode()
    assert said
    assert not any(sign in said for sign in "\x1b\x9b\x07\x08\u202e")
    assert "\r" not in said.replace("\r\n", "")


def test_json_reads_as_what_was_stored(db):
    """What is written out is what JSON means by it."""
    command = [sys.executable, "-m", "tfgrpo.cli", "lessons", "list", "--json", "--db", str(db)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    texts = [row["text"] for row in _rows(json.loads(said))]
    assert texts == [f"Check units {ESCAPES}."]


def _rows(told):
    """The lessons in what a command said."""
    return told["lessons"] if isinstance(told, dict) else told


def test_ordinary_text_is_left_alone():
    """Line ends, tabs and every script pass."""
    assert printable("a\tb\r\nc\n点 é ☃ العربية") == "a\tb\r\nc\n点 é ☃ العربية"


@given(st.text(st.sampled_from("ab1,.  -"), max_size=200), st.integers(20, 90))
def test_folded_lines_keep_every_word_whole(text, width):
    """Nothing is lost, nothing is broken, and a line is longer than the width only where a single word is."""
    folded = fold(text, width)
    assert folded.split() == text.split()
    for line in folded.split("\n"):
        assert len(line) <= width or len(line.split()) == 1 or line == text


def test_what_somebody_copies_is_not_folded():
    """Commands and JSON stay on their line."""
    for line in ("  tfgrpo learn " + "x " * 60, '{"a": "' + "b " * 60 + '"}', '["' + "b " * 60):
        assert fold(line, 60) == line
    assert fold("  [1] " + "word " * 20 + "\n", 60).count("\n") == 2


@pytest.mark.parametrize("columns", [60, 100])
def test_lists_fit_a_terminal(db, columns, monkeypatch):
    """`lessons log` and `runs list` on a terminal are no wider than it."""
    monkeypatch.setenv("COLUMNS", str(columns))
    with Store.open(db) as store:
        config = {"model": "openai/a-model-with-a-rather-long-name", "grader": "exact"}
        store.start_run(
            f"r{columns}", name="a-run-with-a-name", kind="learn", fingerprint="f", config=config, library="default",
            base_version=0, dataset="d",
        )  # fmt: skip
        held = {"before": 0.123456, "after": 0.654321}
        store.finish_run(f"r{columns}", "finished", {"heldout": held, "lessons": 12})
    shown = on_terminal(["runs", "list"], db).decode()
    assert max(len(line) for line in shown.splitlines()) <= columns
    assert "0.123 -> 0.654" in " ".join(shown.split())
