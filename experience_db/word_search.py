"""Which texts of an FTS5 index fit a question best: BM25 with a bound on how many texts are looked at.

BM25 (Robertson and Zaragoza 2009) scores every text that holds any word of the question, and nearly every text holds
"the". So the rarest words go first, until the texts that hold them are many enough: what is left out says least,
since a word weighs by its rarity. Where every word is common, texts must hold several of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

MOST_WORDS = 200
"""Words of a question that are looked at, the first ones."""
MOST_SCORED = 2_000
"""Texts that a question may have scored, about; a question that meets fewer has all of its words used."""

Rows = Callable[..., Sequence[Any]]
"""Runs one statement with its values and returns the rows."""
Within = Callable[[str], str]
"""Narrows a query of FTS5 to the texts that are asked for."""


def words_of(query: str) -> list[str]:
    """Return the different words of a question, in order."""
    return list(dict.fromkeys(re.findall(r"[^\W_]+", query.lower())))[:MOST_WORDS]


def best_rows(rows: Rows, index: str, query: str, limit: int, least: float = 0.0, within: Within = str) -> list[int]:
    """Return row ids of an FTS5 table that fit `query`, best first; any text is a safe query.

    Args:
        rows: runs a statement.
        index: the table's name.
        query: what to look for.
        limit: at most so many.
        least: leave out what scores less than this share of the best score, in [0, 1]: what shares only little words.
        within: narrows every match, so that words are counted among the texts that are asked for.
    """

    def count(match: str, most: int = -1) -> int:
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {index} WHERE {index} MATCH ? LIMIT ?)"  # noqa: S608  names are ours
        return int(rows(sql, within(match), most)[0][0])

    # That a word is common is seen from a few of its texts; how common matters only where all words are.
    counted = sorted((n, word) for word in words_of(query) if (n := count(f'"{word}"', MOST_SCORED + 1)))
    if not counted:
        return []
    if counted[0][0] > MOST_SCORED:
        counted = sorted((count(f'"{word}"'), word) for _, word in counted)
    chosen, total = [], 0
    for n, word in counted:
        if total + n > MOST_SCORED and total:
            break
        chosen.append(word)
        total += n
    match = " OR ".join(f'"{word}"' for word in chosen)
    if total > MOST_SCORED:
        match = _together(count, [word for _, word in counted], limit)
    sql = f"SELECT rowid, rank FROM {index} WHERE {index} MATCH ? ORDER BY rank, rowid LIMIT ?"  # noqa: S608  ours
    found = rows(sql, within(match), limit)
    return [int(i) for i, rank in found if rank <= least * found[0][1]]  # Ranks are below 0, the best is the lowest.


def _together(count: Callable[[str], int], words: Sequence[str], limit: int) -> str:
    """Return a match of several common words, the more of them the fewer texts hold them all."""
    match = f'"{words[0]}"'
    for word in words[1:]:
        narrower = f'{match} AND "{word}"'
        found = count(narrower)
        if found < limit:
            break
        match = narrower
        if found <= MOST_SCORED:
            break
    return match
