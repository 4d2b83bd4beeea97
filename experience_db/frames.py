"""Values as tables: for a notebook as HTML, for pandas and polars as frames, which are imported when asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

CELL = 200
"""Characters of a cell that a notebook shows."""


def to_pandas(records: Sequence[Mapping[str, Any]]) -> Any:
    """Return a pandas DataFrame with a row for each record; raises ImportError where pandas is not installed."""
    try:
        import pandas as pd  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("pandas is not installed: pip install pandas, or use .records()") from error
    return pd.DataFrame.from_records([dict(record) for record in records])


def to_polars(records: Sequence[Mapping[str, Any]]) -> Any:
    """Return a polars DataFrame with a row for each record; raises ImportError where polars is not installed."""
    try:
        import polars as pl  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
    except ImportError as error:
        raise ImportError("polars is not installed: pip install polars, or use .records()") from error
    return pl.from_dicts([dict(record) for record in records], infer_schema_length=None)


def html_table(title: str, head: Sequence[str], rows: Iterable[Sequence[object]], note: str = "") -> str:
    """Return a table as HTML; every text is escaped, long ones are cut."""
    from html import escape  # noqa: PLC0415 - its table of entities is large, and notebooks alone ask

    cells = "".join(f"<th style='text-align:left'>{escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td style='text-align:left'>{escape(shown(value))}</td>" for value in row) + "</tr>"
        for row in rows
    )
    beside = f"<p>{escape(note)}</p>" if note else ""
    table = f"<table><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>"
    return f"<div><p><b>{escape(title)}</b></p>{table}{beside}</div>"


def shown(value: object) -> str:
    """Return a value as a cell shows it."""
    if value is None:
        return "–"
    text = f"{value:.3f}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= CELL else text[: CELL - 1] + "…"
