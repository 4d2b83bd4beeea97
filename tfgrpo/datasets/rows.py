"""Files, folders, standard input and the hub as rows: each comes with its place, so that complaints can name it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from tfgrpo.datasets.tables import csv_rows, delimiter_of, parquet_rows, xlsx_rows
from tfgrpo.errors import BadRow, UsageError
from tfgrpo.system.untrusted_json import fault_of, loads

Row = tuple[str, dict[str, Any]]
"""Where a row stands, for messages, and its columns."""
KINDS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".tab", ".xlsx", ".parquet")
"""Endings of files that a folder is searched for."""
STDIN = "-"
MARKS = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
"""Byte order marks of what spreadsheets call Unicode text."""


def file_rows(path: Path, also: str = "a named set") -> Iterator[Row]:
    """The rows of a file, of all files in a folder, or of standard input (`-`), each with its place.

    JSONL, JSON arrays, CSV and TSV with any of , ; tab and | between the cells, XLSX (extra `xlsx`), Parquet (extra
    `parquet`). `also` ends the message for a missing file.

    Raises:
        BadRow: a line is not UTF-8, not JSON, no object, or has not the columns of the header.
        UsageError: there is no such file, or a package that reads it is missing.
    """
    if str(path) == STDIN:
        return _text_rows("standard input", _stdin(), "")
    if path.is_dir():
        return _folder_rows(path)
    if not path.is_file():
        raise UsageError(
            f"no dataset {str(path)!r}{_meant(path)}; give a .jsonl or .csv file (.json, .tsv, .xlsx and .parquet are "
            f"read too), a folder of them, - for standard input, hf:owner/name[:split] or {also}"
        )
    ending = path.suffix.lower()
    if ending in _BINARY:
        return _BINARY[ending](path)
    return _text_rows(str(path), path.read_bytes(), ending)


def _meant(path: Path) -> str:
    """The end of a sentence about a file that is not there: the one beside it that was probably meant."""
    beside = sorted(path.parent.iterdir()) if path.parent.is_dir() else []
    stems = {file.stem: file for file in beside if file.suffix.lower() in KINDS}
    near = get_close_matches(path.stem, stems, 1, 0.75)
    return f" (did you mean {str(stems[near[0]])!r}?)" if near else ""


def _folder_rows(folder: Path) -> Iterator[Row]:
    """The rows of all files in a folder that can be read, by name."""
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in KINDS and file.is_file())
    rows = [row for file in files for row in file_rows(file)]
    if not rows:
        raise UsageError(f"{folder} is a folder without rows; give a file, or a folder with {', '.join(KINDS)} files")
    return iter(rows)


@cache
def _stdin() -> bytes:
    """Standard input, which can be read but once."""
    return sys.stdin.buffer.read()


_BINARY: dict[str, Callable[[Path], Iterator[Row]]] = {".xlsx": xlsx_rows, ".parquet": parquet_rows}


def _text_rows(where: str, data: bytes, ending: str) -> Iterator[Row]:
    """The rows of a text in the format that its ending says, or else that it looks like."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            data = data.decode(encoding, "replace").encode()
    lines = _lines(where, data)
    begins = next((line.strip() for line in lines if line.strip()), "")
    if ending in (".csv", ".tsv", ".tab") or (ending not in KINDS and begins[:1] not in "[{" and delimiter_of(begins)):
        return csv_rows(where, lines, "\t" if ending in (".tsv", ".tab") else delimiter_of(begins) or ",")
    if begins[:1] in "[{" and (found := _whole(data, ending)) is not None:
        return iter([(f"{where} item {number}", row) for number, row in enumerate(found, 1)])
    return _jsonl_rows(where, lines)


def _whole(data: bytes, ending: str) -> list[dict[str, Any]] | None:
    """The objects of a file that is one JSON value: an array, or an object that holds one; None where it is not."""
    begins = data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if begins == b"{" and ending != ".json":
        return None
    try:
        read = _read(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    if isinstance(read, dict):
        held = [value for value in read.values() if isinstance(value, list) and value]
        read = held[0] if len(held) == 1 else [read]
    return read if isinstance(read, list) and all(isinstance(row, dict) for row in read) else None


def _lines(where: str, data: bytes) -> list[str]:
    """The lines of a UTF-8 text; a byte order mark at its start is dropped."""
    lines = []
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            lines.append(raw.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise BadRow(
                f"{where}:{number}: not UTF-8 at byte {error.start + 1} of the line; convert the file "
                "(iconv -f windows-1252 -t utf-8, say)"
            ) from error
    return lines


def _jsonl_rows(where: str, lines: Sequence[str]) -> Iterator[Row]:
    """One JSON object a line; blank lines are skipped."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield f"{where}:{number}", _object(f"{where}:{number}", line)


class _Float(float):
    """A float that is written the way it was read: 0.50 stays 0.50."""

    written: str

    def __str__(self) -> str:
        return self.written


def _float(written: str) -> _Float:
    """A float that remembers its digits."""
    value = _Float(written)
    value.written = written
    return value


def _constant(name: str) -> float:
    """NaN and Infinity, which Python reads and JSON does not have."""
    raise ValueError(f"{name} is not JSON")


def _read(text: str) -> Any:
    """A JSON value; raises ValueError, also for half of a surrogate pair, or RecursionError."""
    value = loads(text, parse_float=_float, parse_constant=_constant)
    json.dumps(value, ensure_ascii=False).encode()
    return value


def _object(where: str, line: str) -> dict[str, Any]:
    """The JSON object of one line."""
    try:
        row = _read(line)
    except (ValueError, RecursionError) as error:
        hint = "; write one object a line" if line.lstrip().startswith("[") else ""
        raise BadRow(f"{where}: not JSON ({fault_of(error)}){hint}") from error
    if not isinstance(row, dict):
        raise BadRow(f"{where}: {json_kind(row)}, not an object; write one object a line")
    return row


def hub_rows(address: str) -> Iterator[Row]:
    """The rows of a dataset on the Hugging Face hub, owner/name[/subset][:split]; without a split, `train`.

    Raises:
        UsageError: the address has not this form, the package `datasets` is not installed, or the hub does not give it.
    """
    name, _, part = address.partition(":")
    owner, _, rest = name.partition("/")
    title, _, subset = rest.partition("/")
    if not owner or not title:
        raise UsageError(f"{'hf:' + address!r} is no dataset; write hf:owner/name, hf:owner/name:split")
    try:
        import datasets  # noqa: PLC0415 - an extra, and heavy
    except ImportError as error:
        raise UsageError(f"hf:{address} needs the package datasets; pip install 'tfgrpo[hf]'") from error
    try:
        rows = datasets.load_dataset(f"{owner}/{title}", subset or None, split=part or "train")
    except (OSError, ValueError, RuntimeError) as error:
        why = " ".join(str(error).split())[:300]
        raise UsageError(
            f"hf:{address} cannot be loaded ({why}); a named set may also lie as NAME.jsonl in the folder that "
            "TFGRPO_DATA names, and any other file is given by its path"
        ) from error
    for number, row in enumerate(rows, 1):
        yield f"hf:{address} row {number}", dict(row)


def json_kind(value: object) -> str:
    """The type of a value in JSON's words."""
    names = {bool: "true or false", list: "a list", dict: "an object", str: "a string", type(None): "null"}
    return names.get(type(value), "a number")
