"""A corpus file: one page a line, each with an address of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tfgrpo.datasets.rows import file_rows, json_kind
from tfgrpo.errors import BadRow, UsageError


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the corpus."""

    url: str
    title: str
    text: str
    html: str = ""
    """What is served in place of the title and text, byte for byte; the index reads title and text all the same."""


def load(paths: Path | Sequence[Path]) -> tuple[Page, ...]:
    """The pages of one or more JSONL files with `url`, `title`, `text` and perhaps `html`, in the order of the files.

    Raises:
        BadRow: a row lacks one of them, has another type, no http(s) address, or an address that was there before.
        UsageError: no such file, or no page in it.
    """
    files = [paths] if isinstance(paths, Path) else list(paths)
    pages: dict[str, Page] = {}
    if missing := next((file for file in files if not file.is_file()), None):
        raise UsageError(f"no corpus file {str(missing)!r}; give a JSONL file of pages with url, title and text")
    for where, row in (found for file in files for found in file_rows(file)):
        page = _page(where, row)
        if canonical_address(page.url) in pages:
            raise BadRow(f"{where}: the url {page.url!r} was there before; give each page its own")
        pages[canonical_address(page.url)] = page
    if not pages:
        raise UsageError(f"{', '.join(map(str, files))} has no page; write one object a line with url, title and text")
    return tuple(pages.values())


def canonical_address(url: str) -> str:
    """The address without percent signs and fragment, so that two spellings of one address meet."""
    return unquote(url).partition("#")[0]


def content_hash(pages: Iterable[Page]) -> str:
    """A name for what is served, 16 hex digits: the same pages in the same order, wherever the file lies."""
    found = hashlib.sha256()
    for page in pages:
        found.update("\x1f".join((page.url, page.title, page.text, page.html, "\x1e")).encode())
    return found.hexdigest()[:16]


def _page(where: str, row: Mapping[str, Any]) -> Page:
    values = {name: row.get(name, "") for name in ("url", "title", "text", "html")}
    for name, value in values.items():
        if not isinstance(value, str):
            raise BadRow(f"{where}: {name} is {json_kind(value)}, not a string")
        if not value.strip() and name != "html":
            raise BadRow(f"{where}: no {name}; a page has url, title and text")
    if not values["url"].startswith(("http://", "https://")):
        raise BadRow(f"{where}: {values['url']!r} is no address; start it with https://")
    return Page(**values)
