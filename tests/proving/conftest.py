"""A world for proofs: problems in four topics, a scripted model that a text helps, harms, or leaves as it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.script import ASKED, TOPICS, Model, lesson, play, rows, text_of, write
from typer.testing import CliRunner, Result

from tfgrpo.cli.app import app
from tfgrpo.types import Request

HARM = "Never double a figure."
Cli = Callable[..., Result]


def luck(*words: object) -> float:
    """A number in [0, 1) that depends on the words alone."""
    return int.from_bytes(hashlib.sha256(repr(words).encode()).digest()[:4], "big") / 2**32


def attempt(request: Request) -> str:
    """Be right in 3 of 10 without help, always with the lesson of the topic, never with the harmful text."""
    found = ASKED.search(text_of(request))
    assert found is not None
    topic, figure = found[1], int(found[2])
    right = lesson(topic) in text_of(request) or luck(figure, request.attempt) < 0.3
    right = right and HARM not in text_of(request)
    return f"Answer: {2 * figure if right else figure}"


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a command in an empty folder with 96 tasks and three texts."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "TFGRPO_DB", "TFGRPO_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")
    write(tmp_path / "tasks.jsonl", rows(96))
    (tmp_path / "good.md").write_text("\n".join(f"- {lesson(topic)}" for topic in TOPICS), encoding="utf-8")
    (tmp_path / "bad.md").write_text(HARM, encoding="utf-8")
    (tmp_path / "idle.md").write_text("The weather is nice.", encoding="utf-8")

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(app, [str(a) for a in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture
def model() -> Model:
    """The scripted model."""
    return Model(prove=attempt)


@pytest.fixture
def prove(cli: Cli, model: Model) -> Cli:
    """Run `tfgrpo prove TEXT... --on tasks.jsonl` with the scripted model."""
    name = play(model, "proving")
    return lambda *more: cli("prove", "--on", "tasks.jsonl", "--grader", "exact", "--model", name, *more)


def data(result: Result) -> dict[str, Any]:
    """The one JSON object on stdout."""
    found: dict[str, Any] = json.loads(result.stdout)
    return found
