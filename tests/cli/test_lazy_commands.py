"""The command tree from the outside: what its help loads, and that its table says what the commands say."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

from tfgrpo.cli.app import COMMANDS

LIGHT = {
    "tfgrpo",
    "tfgrpo.version",
    "tfgrpo.cli",
    "tfgrpo.cli.app",
    "tfgrpo.cli.lazy_commands",
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
    """A command's line in the table is the first line of its own help; a group's place holds functions with help."""
    where, about = COMMANDS[name]
    module, _, attribute = where.partition(":")
    found = getattr(importlib.import_module(module), attribute)
    if callable(found):
        assert found.__doc__.partition("\n")[0] == about
    else:
        assert all(function.__doc__ for function in found.values())
