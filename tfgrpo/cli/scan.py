"""`tfgrpo lessons scan`: what the scanners say about a library or about a file of lessons, without changing either."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from experience_db import Store
from experience_db.exchange import lesson_texts
from tfgrpo import config as configuration
from tfgrpo.cli import options as o
from tfgrpo.cli.lesson_stories import Lib
from tfgrpo.cli.lesson_words import lesson_count
from tfgrpo.cli.review import Allow
from tfgrpo.errors import UsageError
from tfgrpo.lessons.review import parse_kinds
from tfgrpo.lessons.scanners import described, scan, visible
from tfgrpo.lessons.versions import library_at
from tfgrpo.system.untrusted_json import loads


def scan_(
    file: Annotated[
        Path | None,
        typer.Argument(help="A list as `import` takes it, or any JSON with `text` in it; without it the library."),
    ] = None,
    library: Lib = "default",
    db: o.Db = None,
    allow: Allow = "",
    json_: o.Json = False,
) -> None:
    """Say which lessons of a library or a file hold orders, addresses, secrets, code, hidden characters or markup."""
    allowed, known = parse_kinds(allow), configuration.secrets()
    if file is None:
        with Store.open(o.db_path(db), readonly=True) as store:
            texts = [lesson.text for lesson in library_at(store, library)]
    else:
        texts = list(_texts(file))
    found = [(i, text, scan(text, allow=allowed, known=known)) for i, text in enumerate(texts, 1)]
    alarms = [(i, text, signs) for i, text, signs in found if signs]
    counts = Counter(kind for _, _, signs in alarms for kind in {x.kind for x in signs})
    if json_:
        rows = [{"number": i, "findings": [{"kind": x.kind, "reason": x.reason} for x in s]} for i, _, s in alarms]
        o.print_json({"lessons": len(texts), "alarms": len(alarms), "kinds": dict(counts), "found": rows})
        return
    for i, text, signs in alarms:
        typer.echo(f"  {i}: {visible(' '.join(text.split()))}\n      {described(signs)}")
    share = f" ({len(alarms) / len(texts):.1%})" if texts else ""
    typer.echo(f"{lesson_count(len(texts))}, {len(alarms)} with findings{share}")


def _texts(file: Path) -> Iterator[str]:
    """Yield the lessons of a file."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(
            f"cannot read {file}: {error.strerror}; name a file of lessons, or a library with --library"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is not UTF-8 text; give a list of lessons, or JSON") from error
    try:
        whole = loads(text)
    except ValueError:
        yield from lesson_texts(text)
        return
    yield from _within(whole)


def _within(value: Any) -> Iterator[str]:
    """Yield every `text` or `lesson` in JSON; a list of plain texts is its lessons."""
    if isinstance(value, list):
        for item in value:
            yield from [item] if isinstance(item, str) else _within(item)
    elif isinstance(value, dict):
        said = value.get("text", value.get("lesson"))
        if isinstance(said, str):
            yield said
        else:
            yield from _within([item for item in value.values() if isinstance(item, list | dict)])
