"""`lessons export --format ...` and back: files in the places where agents read."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from experience_db import Edit, Op, Store
from tfgrpo.cli.app import app

LESSONS = ("Check the units.", "Write {{x}} as it is.")


@pytest.fixture
def run(tmp_path: Path):
    """Runs a command over a database with two lessons; the first was deleted, so that ids begin at 2."""
    with Store.open(tmp_path / "x.db") as store:
        store.create_library("web")
        store.commit("web", [Edit(Op.ADD, text) for text in ("Gone.", *LESSONS)], parent=0)
        store.commit("web", [Edit(Op.DELETE, ids=(1,))], parent=1)
    return lambda *words: CliRunner().invoke(app, ["lessons", *words, "--db", str(tmp_path / "x.db")])


@pytest.mark.parametrize("form", ["json", "parquet", "skill", "agents", "csv", "chat", "system", "promptfoo", "dspy"])
def test_what_is_exported_can_be_imported(run, tmp_path, form):
    """Every form brings the same ids and words into a new library."""
    file = tmp_path / "out.txt"
    assert run("export", "--library", "web", "--format", form, "-o", str(file)).exit_code == 0
    done = run("import", str(file), "--library", "new", "--allow", "markup,code,template")
    assert done.exit_code == 0, done.output
    with Store.open(tmp_path / "x.db") as store:
        assert [(x.id, x.text) for x in store.library("new")] == list(enumerate(LESSONS, 2))


def test_a_section_is_updated_in_place(run, tmp_path):
    """A second export changes nothing, a later version only the section; a file of another kind is left alone."""
    file = tmp_path / "AGENTS.md"
    file.write_bytes(b"\xef\xbb\xbf# House\r\n\r\nBe kind.")
    words = ("export", "--library", "web", "--format", "agents", "-o", str(file))
    run(*words)
    first = file.read_bytes()
    assert first.startswith(b"\xef\xbb\xbf# House\r\n\r\nBe kind.\r\n\r\n<!-- tfgrpo:web begin -->\r\n")
    run(*words)
    assert file.read_bytes() == first
    run("add", "Draw it.", "--library", "web")
    run(*words)
    assert file.read_bytes() == first.replace(b"version 2", b"version 3").replace(
        b"as it is.\r\n", b"as it is.\r\n- [4] Draw it.\r\n"
    )
    file.write_bytes(b"\xff\xfe# House")
    assert run(*words).exit_code == 2
    assert file.read_bytes() == b"\xff\xfe# House"


def test_a_skill_goes_into_a_folder_of_its_name(run, tmp_path):
    """Readers of skills want FOLDER/NAME/SKILL.md."""
    run("export", "--library", "web", "--format", "skill", "-o", str(tmp_path))
    assert (tmp_path / "web" / "SKILL.md").read_text(encoding="utf-8").startswith('---\nname: "web"\n')


def test_an_unknown_form_is_refused_with_those_there_are(run):
    """Exit 2 and the names."""
    done = run("export", "--library", "web", "--format", "yaml")
    assert done.exit_code == 2
    assert "skill, agents, chat, system, csv, promptfoo, dspy" in done.output


def test_the_folder_of_a_skill_is_made_where_it_is_missing(run, tmp_path):
    """`-o .claude/skills` in a project without one; what has an ending is the file itself."""
    folder = tmp_path / ".claude" / "skills"
    assert run("export", "--library", "web", "--format", "skill", "-o", str(folder)).exit_code == 0
    assert (folder / "web" / "SKILL.md").is_file()
    assert run("export", "--library", "web", "--format", "skill", "-o", str(tmp_path / "web.md")).exit_code == 0
    assert (tmp_path / "web.md").is_file()
