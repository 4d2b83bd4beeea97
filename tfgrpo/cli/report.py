"""`tfgrpo report`: one run as a page, as Markdown, or as data."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from experience_db import Store
from tfgrpo.cli import options as o
from tfgrpo.cli.run_page import run_named


class Format(StrEnum):
    """What a report is written as."""

    HTML = "html"
    MD = "md"
    JSON = "json"


def report(
    run: Annotated[str, typer.Argument(help="Name or id of the run; `latest` is the newest.")] = "latest",
    out: Annotated[Path | None, typer.Option("-o", "--output", help="File to write; default: standard output.")] = None,
    format_: Annotated[
        Format | None, typer.Option("--format", help="html, md or json; default: by the file's ending, else html.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Show every group in full, however large that gets.")] = False,
    db: o.Db = None,
) -> None:
    """Write a run as one self-contained page: result, lessons with their evidence, rollouts, cost."""
    from tfgrpo.report import gather, to_html, to_json, to_markdown

    with Store.open(o.db_path(db), readonly=True) as store:
        found = gather(store, run_named(store, run).id)
    kind = format_ or _by_ending(out)
    if kind is Format.JSON:
        text = to_json(found)
    else:
        text = (to_markdown if kind is Format.MD else to_html)(found, everything=all_)
    if out is None:
        typer.echo(text, nl=False)
        return
    o.write_text_file(out, text.rstrip("\n"))
    typer.echo(f"wrote {out}", err=True)


def _by_ending(out: Path | None) -> Format:
    ending = out.suffix.lower() if out else ""
    return {".md": Format.MD, ".markdown": Format.MD, ".json": Format.JSON}.get(ending, Format.HTML)
