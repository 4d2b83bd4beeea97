"""Every example runs offline in an empty folder and shows what its first lines promise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
SHOWS = {
    "learn_in_python.py": ("step 0: version 0 -> ", "python.db"),
    "own_agent/plain.py": ("'before': ", "agent.db"),
    "own_grader.py": ("mean@2 0.", "grader.db"),
    "use_a_library.py": ("system: Advice; follow what fits this problem:", "app.db"),
}
SLOW = {"learn_in_python.py", "own_agent/plain.py", "own_grader.py"}


def marked(name: str) -> object:
    """The examples that learn take a while."""
    return pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name


def run(name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run an example with neither keys nor settings of this machine."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "TFGRPO_", "PYTHON"))}
    command = [sys.executable, str(EXAMPLES / name)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=110, check=True)


@pytest.mark.parametrize("name", [marked(name) for name in sorted(SHOWS)])
def test_an_example_runs_and_shows_what_it_promises(tmp_path: Path, name: str):
    """No key, no network, its files in the current folder, and a result on stdout."""
    shown, database = SHOWS[name]
    result = run(name, tmp_path)
    assert shown in result.stdout
    assert database in {path.name for path in tmp_path.iterdir()}


def test_every_example_is_known_here_and_in_the_list():
    """A new example gets a test and a line of its own."""
    files = {
        path.relative_to(EXAMPLES).as_posix() for top in (".", "own_agent") for path in (EXAMPLES / top).glob("*.py")
    }
    assert files == {*SHOWS, "own_agent/with_openai_agents.py"}
    listed = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in listed for name in files)


def test_the_quickstart_dataset_is_a_dataset():
    """Each row has an id, a question and an answer, and ids are unique."""
    rows = [json.loads(line) for line in (EXAMPLES / "quickstart" / "problems.jsonl").read_text().splitlines()]
    assert len({row["id"] for row in rows}) == len(rows) >= 50
    assert all(row["question"] and row["answer"] for row in rows)
