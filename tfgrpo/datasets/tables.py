"""Tables as rows: CSV with any usual delimiter, sheets, Parquet. Numbers stay as written; empty cells are absent."""

from __future__ import annotations

import csv
import io
import sys
import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from tfgrpo.errors import BadRow, UsageError
from tfgrpo.system.archives import too_large

DELIMITERS = (",", ";", "\t", "|")
"""What may stand between cells, the usual one first."""
CELL = sys.maxsize >> 32
"""Characters that one cell may hold; Python's own limit, 131,072, is meant for streams that nobody trusts."""


def delimiter_of(header: str) -> str:
    """The delimiter of a header line: the one that occurs most outside of quotes; '' where there is none."""
    plain = "".join(header.split('"')[::2])
    counts = [plain.count(mark) for mark in DELIMITERS]
    return DELIMITERS[counts.index(max(counts))] if any(counts) else ""


def csv_rows(source: str, lines: Sequence[str], delimiter: str = ",") -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a CSV text with a header, each with its place.

    Raises:
        BadRow: another number of cells than the header has, or quotes that do not end.
    """
    csv.field_size_limit(CELL)
    text = io.StringIO("\n".join(lines), newline="")
    reader = csv.DictReader(text, delimiter=delimiter, strict=True)
    while True:
        try:
            record: dict[Any, Any] | None = next(reader, None)
        except csv.Error as error:
            raise BadRow(f"{source}:{reader.line_num + 1}: not CSV ({error})") from error
        if record is None:
            return
        where = f"{source}:{reader.line_num}"
        columns = len(reader.fieldnames or ())
        if None in record or None in record.values():
            raise BadRow(f"{where}: not {columns} columns as in the header; quote cells that hold commas")
        yield where, {key.strip(): value for key, value in record.items() if value != ""}


def xlsx_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of the first sheet of a workbook, below its header.

    Raises:
        BadRow: no workbook.
        UsageError: the package openpyxl is not installed.
    """
    try:
        import openpyxl  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(f"{path} needs the package openpyxl; pip install 'tfgrpo[xlsx]', or save it as CSV") from error
    try:
        with zipfile.ZipFile(path) as archive:
            why = too_large(archive.infolist())
        book = None if why else openpyxl.load_workbook(path, read_only=True, data_only=True)
    except (OSError, ValueError, KeyError, SyntaxError) as error:
        raise BadRow(f"{path}: not a workbook ({error}); save it as .xlsx again, or as CSV") from error
    except Exception as error:  # zipfile's own error has no base but Exception
        if type(error).__module__ not in {"zipfile", "openpyxl.utils.exceptions"}:
            raise
        raise BadRow(f"{path}: not a workbook ({error}); save it as .xlsx again, or as CSV") from error
    if book is None:
        raise BadRow(f"{path}: {why}; split it, or save it as CSV")
    try:
        sheet = book.worksheets[0]
        rows = sheet.iter_rows(values_only=True)
        header = [str(cell).strip() if cell is not None else "" for cell in next(rows, ())]
        for number, cells in enumerate(rows, 2):
            row = {name: _cell(cell) for name, cell in zip(header, cells, strict=False) if name and cell is not None}
            if any(value != "" for value in row.values()):
                yield f"{path} row {number}", {name: value for name, value in row.items() if value != ""}
    finally:
        book.close()


def _cell(value: Any) -> Any:
    """A cell as a text, as the sheet shows it: whole numbers without a fraction, dates in ISO form."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value)


def parquet_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a Parquet file; nested columns stay objects and lists.

    Raises:
        BadRow: no Parquet file.
        UsageError: the package pyarrow is not installed.
    """
    try:
        import pyarrow  # noqa: PLC0415 - an extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(f"{path} needs the package pyarrow; pip install 'tfgrpo[parquet]'") from error
    try:
        with parquet.ParquetFile(path) as file:
            number = 0
            for batch in file.iter_batches(1024):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path} row {number}", {name: value for name, value in row.items() if value is not None}
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise BadRow(f"{path}: not a Parquet file ({error})") from error
