"""The command tree from the outside: what its help loads, and that its table says what the commands say."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from experience_db import Store
from tfgrpo.cli import short_way
from tfgrpo.cli.app import app
from tfgrpo.cli.command_table import COMMANDS, GROUPS

LIGHT = {
    "tfgrpo",
    "tfgrpo.version",
    "tfgrpo.cli",
    "tfgrpo.cli.app",
    "tfgrpo.cli.command_table",
    "tfgrpo.cli.lazy_commands",
    "tfgrpo.cli.short_way",
    "tfgrpo.cli.terminal_output",
}
"""All of ours that a help page may load."""
OTHERS = {"rich", "jinja2", "pydantic", "json_repair", "sqlite3", "sqlite_utils", "asyncio", "dotenv", "tenacity"}
"""Of what others wrote, the libraries that `learn` needs and a help page does not."""


def loaded(*arguments: str) -> set[str]:
    """Return the modules that are loaded when the command ends."""
    script = (
        "import json, sys\nfrom tfgrpo.cli import main\n"
        f"sys.argv = {['tfgrpo', *arguments]!r}\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "print('\\n' + json.dumps(list(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_load_the_command_tree_alone(option):
    """Neither imports a command, the store, or anything that commands need."""
    found = loaded(option)
    assert {name for name in found if name.partition(".")[0] in {"tfgrpo", "experience_db"}} == LIGHT
    assert found & OTHERS == set()


def test_importing_the_package_loads_its_version_alone():
    """`import tfgrpo` loads nothing besides."""
    code = "import sys, tfgrpo; print(*sorted(m for m in sys.modules if m.startswith(('tfgrpo', 'experience'))))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["tfgrpo", "tfgrpo.version"]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_of_commands_says_what_they_say(name):
    """A command's line in the table is the first line of its own help; a group's places hold functions with help."""
    where, about = COMMANDS[name]
    if where:
        assert found(where).__doc__.partition("\n")[0] == about
    else:
        assert all(found(place).__doc__ for place in GROUPS[name].values())


def found(where: str) -> Callable[..., None]:
    """Return the function at `module:function`."""
    module, _, attribute = where.partition(":")
    return getattr(importlib.import_module(module), attribute)


@pytest.mark.parametrize("arguments", [["lessons", "list"], ["runs", "list"], ["lessons", "add", "Add the parts."]])
def test_a_command_on_the_store_loads_none_of_what_calls_models(tmp_path, arguments):
    """Reading and editing a library needs no engine, no loop and no client."""
    db = tmp_path / "lessons.db"
    with Store.open(db) as store:
        store.create_library("default")
    names = loaded(*arguments, "--db", str(db))
    engine = {f"tfgrpo.{room}" for room in ("build", "api", "backends", "graders", "gates", "learning", "search")}
    assert names & (engine | {"litellm", "openai", "aiohttp", "numpy", "tokenizers", "math_verify"}) == set()


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """A folder with a database of two libraries and one finished run."""
    monkeypatch.chdir(tmp_path)
    with Store.open("experience.db") as store:
        store.import_texts(["Convert the units.", "Draw it."], "default")
        store.import_texts(["Ask back."], "web")
        store.start_run("r1", name="night", kind="learn", fingerprint="f", config={"epochs": 3}, library="web",
                        base_version=1, dataset="d")  # fmt: skip
        store.finish_run("r1", "finished", {"lessons": 1, "version": 1, "heldout": {"before": 0.1, "after": 0.2}})
    return tmp_path


SHORT = [
    "lessons list",
    "lessons list --library web --json",
    "lessons list --library=web@1 --sort tokens --kind none",
    "lessons list --min-effect 0.1",
    "runs show",
    "runs show night --json",
    "runs show r1 --db experience.db",
]
LONG = [
    "lessons list --help",
    "lessons list --sort size",
    "lessons list --min-effect much",
    "lessons list --library none",
    "lessons list --library web@x",
    "lessons list web",
    "lessons list --db no.db",
    "lessons list --json --other",
    "lessons list --library",
    "runs show a b",
    "runs show other",
    "runs list",
    "lessons",
]


@pytest.mark.parametrize("words", SHORT)
def test_the_short_way_prints_what_the_tree_prints(listed, words, capsys):
    """Two commands that scripts ask all day are read without the parser, to the same characters."""
    assert short_way.taken(words.split())
    assert capsys.readouterr().out == CliRunner().invoke(app, words.split()).stdout


@pytest.mark.parametrize("words", LONG)
def test_what_is_not_plain_goes_the_long_way(listed, words, capsys):
    """Help, wrong options and errors are told by the tree alone."""
    assert not short_way.taken(words.split())
    assert capsys.readouterr().out == ""


def test_a_file_of_variables_is_read_by_the_tree(listed):
    """It may name the database."""
    (listed / ".env").write_text("TFGRPO_DB=other.db")
    assert not short_way.taken(["lessons", "list"])


@pytest.mark.parametrize("words", ["lessons list", "runs show"])
def test_the_short_way_loads_no_parser_and_no_settings_of_models(listed, words):
    """What it loads decides what it costs."""
    found = loaded(*words.split())
    assert found & {"typer", "click", "pydantic", "rich", "jinja2", "asyncio", "tfgrpo.types", "dotenv"} == set()


ASKED_FOR_ONLY = {
    "json_repair",
    "sqlite_utils",
    "tfgrpo.graders.judge",
    "tfgrpo.graders.web_qa",
    "tfgrpo.readers",
    "tfgrpo.report.data",
    "tfgrpo.search.gepa",
    "tfgrpo.search.mipro",
    "tfgrpo.sessions",
    "tfgrpo.studies",
}
"""What some runs need, and one along a line of versions with a plain grader does not."""


def test_what_few_runs_need_is_not_loaded_by_all():
    """The command `learn` is imported without searches, judges, sessions, pictures and repair of JSON."""
    code = "import json, sys, tfgrpo.cli.learn; print(json.dumps(list(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(json.loads(run.stdout)) & ASKED_FOR_ONLY == set()


def test_one_run_is_shown_without_the_rest_of_the_store(tmp_path):
    """`runs show` loads of the store the part about runs."""
    path = tmp_path / "x.db"
    with Store.open(path) as store:
        store.start_run("r", name="r", kind="learn", fingerprint="f", config={}, library=None, base_version=None,
                        dataset="d")  # fmt: skip
    found = loaded("runs", "show", "--db", str(path))
    assert "experience_db.runs" in found
    assert found & {"experience_db.store", "experience_db.exchange", "experience_db.sessions", "typer"} == set()
