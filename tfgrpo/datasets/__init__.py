"""Rows become problems, or a clear complaint that names file and line before any model is called.

In: JSONL, CSV, hub or named sets. Out: tuples of `Problem`, split, batched and compared without overlap.
Read `problems.py` first; `rows.py` reads files, `named.py` knows the benchmarks, `exposure.py` what a library has met.
"""

from tfgrpo.datasets.problems import (
    Copy,
    Overlap,
    batches,
    content_hash,
    from_rows,
    inventory,
    load,
    load_named,
    local_copy,
    marks,
    overlap,
    split,
    words_of,
)

__all__ = [
    "Copy",
    "Overlap",
    "batches",
    "content_hash",
    "from_rows",
    "inventory",
    "load",
    "load_named",
    "local_copy",
    "marks",
    "overlap",
    "split",
    "words_of",
]
