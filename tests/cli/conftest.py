"""The command line in this process: real files, a scripted model, and what a person and a script get to see."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.script import Model, play, rows, write
from typer.testing import CliRunner, Result

from tfgrpo.cli.app import app

Cli = Callable[..., Result]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a command in an empty folder with `learn.jsonl` (4 problems) and `held.jsonl` (32 others)."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "TFGRPO_DB", "TFGRPO_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    write(tmp_path / "learn.jsonl", rows(4))
    write(tmp_path / "held.jsonl", rows(32, 100))

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture
def model() -> Model:
    """The scripted model."""
    return Model()


@pytest.fixture
def learn(cli: Cli, model: Model) -> Cli:
    """Run `tfgrpo learn learn.jsonl` with the scripted model; options come on top."""
    name = play(model, "cli")
    return lambda *more: cli("learn", "learn.jsonl", "--grader", "exact", "--model", name, "--epochs", 1, *more)


def only_json(result: Result) -> dict[str, Any]:
    """The one JSON object on stdout; nan and infinity in it are errors."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} in JSON")

    found: dict[str, Any] = json.loads(result.stdout, parse_constant=refuse)
    return found


@pytest.fixture
def parsed() -> Callable[[Result], dict[str, Any]]:
    """Read stdout as exactly one JSON object."""
    return only_json
