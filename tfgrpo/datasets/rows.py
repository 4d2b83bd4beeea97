"""Files and the hub as rows: each row comes with its place, so that every complaint can name it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tfgrpo.errors import BadRow, UsageError

Row = tuple[str, dict[str, Any]]
"""Where a row stands, for messages, and its columns."""


def file_rows(path: Path, also: str = "a named set") -> Iterator[Row]:
    """The rows of a JSONL or CSV file, each with its place; `also` ends the message for a missing file.

    Raises:
        BadRow: a line is not UTF-8, not JSON, no object, or has not the columns of the CSV header.
        UsageError: there is no such file.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give a .jsonl or .csv file in it")
    if not path.is_file():
        raise UsageError(f"no dataset {str(path)!r}; give a .jsonl or .csv file, hf:owner/name[:split] or {also}")
    lines = _lines(path)
    return _csv_rows(path, lines) if path.suffix.lower() == ".csv" else _jsonl_rows(path, lines)


def _lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file; a byte order mark at its start is dropped."""
    lines = []
    for number, raw in enumerate(path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            lines.append(raw.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise BadRow(
                f"{path}:{number}: not UTF-8 at byte {error.start + 1} of the line; convert the file"
            ) from error
    return lines


def _jsonl_rows(path: Path, lines: Sequence[str]) -> Iterator[Row]:
    """One JSON object a line; blank lines are skipped."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield f"{path}:{number}", _object(f"{path}:{number}", line)


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


def _object(where: str, line: str) -> dict[str, Any]:
    """The JSON object of one line."""
    try:
        row = json.loads(line, parse_float=_float, parse_constant=_constant)
        json.dumps(row, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        hint = "; write one object a line" if line.lstrip().startswith("[") else ""
        raise BadRow(f"{where}: not JSON ({error}){hint}") from error
    if not isinstance(row, dict):
        raise BadRow(f"{where}: {json_kind(row)}, not an object; write one object a line")
    return row


def _csv_rows(path: Path, lines: Sequence[str]) -> Iterator[Row]:
    """The rows of a CSV file with a header; numbers stay as written, empty cells are absent."""
    reader = csv.DictReader(io.StringIO("\n".join(lines), newline=""), strict=True)
    while True:
        try:
            record: dict[Any, Any] | None = next(reader, None)
        except csv.Error as error:
            raise BadRow(f"{path}:{reader.line_num + 1}: not CSV ({error})") from error
        if record is None:
            return
        where = f"{path}:{reader.line_num}"
        columns = len(reader.fieldnames or ())
        if None in record or None in record.values():
            raise BadRow(f"{where}: not {columns} columns as in the header; quote cells that hold commas")
        yield where, {key.strip(): value for key, value in record.items() if value != ""}


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
