"""A library as a Parquet file: a row for each lesson with what was measured about it, for DuckDB, pandas and data sets.

The whole export stands in the file's metadata as well, so that reading it back loses nothing. Needs pyarrow.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

from experience_db.errors import BadImport
from experience_db.foreign_json import loads

KEY = b"tfgrpo"
"""Where the export stands in the metadata of the file."""
MAGIC = b"PAR1"


def to_parquet(exported: Mapping[str, Any]) -> bytes:
    """Return what `Store.export` gave as a Parquet file. Raises BadImport where pyarrow is not installed."""
    pa, parquet = _pyarrow()
    source = pa.struct(
        [("problem_id", pa.string()), ("rollouts", pa.list_(pa.int64())), ("run", pa.string()), ("step", pa.int64()),
         ("model", pa.string()), ("template", pa.string())]
    )  # fmt: skip
    measured = pa.struct(
        [("kind", pa.string()), ("estimate", pa.float64()), ("low", pa.float64()), ("high", pa.float64()),
         ("n", pa.int64()), ("lessons", pa.int64()), ("verdict", pa.string()), ("version", pa.int64()),
         ("run", pa.string()), ("detail", pa.string())]
    )  # fmt: skip
    schema = pa.schema(
        [("id", pa.int64()), ("text", pa.string()), ("born", pa.int64()), ("changed", pa.int64()),
         ("tainted", pa.bool_()), ("sources", pa.list_(source)), ("evidence", pa.list_(measured))],
        metadata={KEY: json.dumps(exported, ensure_ascii=False).encode()},
    )  # fmt: skip
    rows = [{**row, "evidence": _about(row["id"], exported)} for row in exported["lessons"]]
    out = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows, schema=schema), out)
    return out.getvalue()


def from_parquet(data: bytes) -> dict[str, Any]:
    """Return the export in a file of `to_parquet`.

    Raises:
        BadImport: it is no Parquet file, holds no export, or pyarrow is not installed.
    """
    pa, parquet = _pyarrow()
    try:
        kept = parquet.read_schema(pa.BufferReader(data)).metadata or {}
        found = loads(kept[KEY])
    except KeyError as error:
        raise BadImport("this Parquet file was not written by `lessons export`; export it anew") from error
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadImport(f"the Parquet file is damaged ({error}); export it anew") from error
    if not isinstance(found, dict):
        raise BadImport("the Parquet file holds no exported library; export it anew")
    return found


def _about(lesson_id: int, exported: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = (item for item in exported["evidence"] if lesson_id in item["lesson_ids"])
    return [
        {**{key: item.get(key) for key in ("kind", "estimate", "low", "high", "n", "verdict", "version", "run")},
         "lessons": len(item["lesson_ids"]), "detail": json.dumps(item["detail"], ensure_ascii=False)}
        for item in found
    ]  # fmt: skip


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa  # noqa: PLC0415  an extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise BadImport("Parquet needs pyarrow: pip install 'tfgrpo[parquet]'") from error
    return pa, parquet
