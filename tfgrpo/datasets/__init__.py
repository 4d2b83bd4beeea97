"""Rows become problems, or a clear complaint that names file and line before any model is called.

In: JSONL, CSV, hub or named sets. Out: tuples of `Problem`, split, batched and compared without overlap.
Read `problems.py` first, then `split.py`; `rows.py` reads files, `named.py` knows the benchmarks, `overlap.py` finds
problems that look alike, `exposure.py` those that a library has met.
"""

from tfgrpo.datasets.overlap import Overlap, overlap, words_of
from tfgrpo.datasets.pools import Pools, outlook, pools_of, share_of, without
from tfgrpo.datasets.problems import (
    Copy,
    content_hash,
    from_rows,
    inventory,
    load,
    load_named,
    local_copy,
    marks,
    problems_from,
)
from tfgrpo.datasets.split import batches, learning_and_heldout, limited, split

__all__ = [
    "Copy",
    "Overlap",
    "Pools",
    "batches",
    "content_hash",
    "from_rows",
    "inventory",
    "learning_and_heldout",
    "limited",
    "load",
    "load_named",
    "local_copy",
    "marks",
    "outlook",
    "overlap",
    "pools_of",
    "problems_from",
    "share_of",
    "split",
    "without",
    "words_of",
]
