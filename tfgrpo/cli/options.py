"""Options that several commands share, and how options become configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from experience_db.codec import to_json
from tfgrpo import config as configuration
from tfgrpo.errors import UsageError

if TYPE_CHECKING:
    from tfgrpo.config import LearnConfig

Dataset = Annotated[
    str,
    typer.Argument(
        help="File or folder (JSONL, JSON, CSV, TSV, XLSX, Parquet), -, hf:owner/name[:split], or a named set."
    ),
]
Db = Annotated[
    Path | None, typer.Option("--db", help="Database file; default $TFGRPO_DB, else experience.db in this folder.")
]
Json = Annotated[bool, typer.Option("--json", help="Print exactly one JSON object on stdout.")]
Name = Annotated[str, typer.Option("--library", help="Name of the library.")]
Grader = Annotated[
    str,
    typer.Option(
        "--grader", help="exact, numeric, choice, math, program, judge, web_qa, weighted, or package.module:function."
    ),
]
Model = Annotated[
    str, typer.Option("--model", help="tiny, local/NAME, openai/NAME, or any provider/model that litellm knows.")
]
BaseUrl = Annotated[
    list[str] | None,
    typer.Option(
        "--base-url",
        metavar="URL",
        help="URL of an OpenAI-compatible endpoint, for instance vLLM's; repeat it to share the load.",
    ),
]
Executor = Annotated[
    str | None,
    typer.Option("--executor", help="Where graders, agents and code of models run: local (default), ray, ray:ADDRESS."),
]
Field = Annotated[
    list[str] | None,
    typer.Option("--field", metavar="NAME=COLUMN", help="Where a column is called otherwise: question=prompt_text."),
]
Instructions = Annotated[
    str | None,
    typer.Option(
        "--instructions",
        help="What the model is told besides the problem, or a file with it; default: reason, then \\boxed{...}. "
        "The prompts of tiny have no place for it.",
    ),
]
Prompts = Annotated[
    Path | None,
    typer.Option("--prompts", help="Folder whose templates replace single ones, or the name of a prompt set."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("-s", "--set", metavar="KEY=VALUE", help="Any configuration key: rollout.temperature=0.7."),
]
Tools = Annotated[
    str | None, typer.Option("--tools", help="Tools that a rollout may call, as python,web_search; see `tfgrpo tools`.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]


LONGEST_NAME = 250
"""Characters of a file's name; a longer text is no name."""


def db_path(given: Path | None) -> Path:
    """Return the database to use."""
    return given or configuration.default_db()


def instructions(given: str | None) -> str | None:
    """Return the instructions: the text itself, or what the file of that name holds; raises UsageError."""
    if given is None or "\n" in given or len(given) > LONGEST_NAME:
        return given
    file = Path(given)
    if not file.is_file():
        if file.suffix in {".txt", ".md"} and " " not in given:
            raise UsageError(
                f"--instructions {given}: there is no such file; give the text itself, or a file that is there"
            )
        return given
    try:
        return file.read_text(encoding="utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--instructions {given} cannot be read ({error}); give a UTF-8 text file") from error


def field_mapping(pairs: list[str] | None) -> dict[str, str]:
    """Read `--field question=text` options; raises UsageError."""
    table = {}
    for pair in pairs or []:
        key, sign, column = pair.partition("=")
        if not sign or not key or not column:
            raise UsageError(f"--field looks like question=COLUMN, not {pair!r}")
        table[key] = column
    return table


def with_tools(tools: str | None, sets: list[str] | None) -> list[str]:
    """Return the `-s` overrides behind those that `--tools a,b` stands for; raises UsageError."""
    if tools is None:
        return sets or []
    names = [name.strip() for name in tools.split(",") if name.strip()]
    if not names:
        raise UsageError("--tools names none; give python, web_search, ... with commas between them")
    return ["environment.kind=tool_loop", f"environment.tools={names!r}", *(sets or [])]


def load_config(method: str, file: Path | None, sets: list[str] | None, **given: Any) -> LearnConfig:
    """Return the configuration: preset, then file, then named options, then `-s` overrides."""
    named = [(configuration.PLACES[key], value) for key, value in given.items() if value is not None]
    return configuration.load(method, file, [*named, *(sets or [])])


def print_json(value: Any) -> None:
    """Print one JSON object; it never holds nan, which JSON does not know."""
    typer.echo(to_json(value))


def write_text_file(file: Path, text: str) -> None:
    """Write a text file, its last line ended; raises UsageError when the place cannot be written."""
    try:
        file.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}; name another file") from error


def read_dotenv() -> None:
    """Read `.env` of the current folder into the environment; only the command line does this."""
    if Path(".env").is_file():
        from dotenv import load_dotenv

        load_dotenv(Path(".env"))
