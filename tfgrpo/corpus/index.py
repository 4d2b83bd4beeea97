"""Plain word search over pages: BM25 (Robertson and Zaragoza 2009, in Lucene's form) by the library bm25s.

Words are compared in lower case and without accents; nothing is stemmed and no word is left out: on the offline
benchmark neither helped. The title counts as part of the text. Equal scores keep the order of the file.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tfgrpo.corpus.pages import Page, canonical_address, content_hash
from tfgrpo.errors import UsageError

_WORD = re.compile(r"\w+")
SNIPPET = 160
"""Characters of a snippet, about what web search engines show."""


@dataclass(frozen=True, slots=True)
class Hit:
    """One page that was found."""

    page: Page
    score: float
    """BM25, above 0; comparable within one query only."""
    snippet: str
    """The part of the text that holds most words of the query."""


class Index:
    """All pages, searchable and by address."""

    def __init__(self, pages: Sequence[Page]) -> None:
        """Index `pages`; 10,000 paragraphs take about two seconds.

        Raises:
            UsageError: bm25s is not installed, or there is no page.
        """
        if not pages:
            raise UsageError("there is no page to index")
        self.pages = tuple(pages)
        self.identity = f"corpus:{content_hash(pages)}"
        """What is served, independent of address and port."""
        self._by_url = {canonical_address(page.url): page for page in pages}
        self._words: dict[str, int] = {}
        self._bm25 = _indexed([self._numbers(f"{page.title} {page.text}") for page in pages], self._words)

    def search(self, query: str, k: int = 10) -> tuple[Hit, ...]:
        """The at most `k` best pages that share a word with `query`, best first."""
        asked = words(query)
        known = [self._words[word] for word in asked if word in self._words]
        if not known:
            return ()
        scores = self._bm25.get_scores(known)
        wanted = set(asked)
        return tuple(
            Hit(self.pages[i], float(scores[i]), snippet(self.pages[i].text, wanted))
            for i in _top(scores, k)
            if scores[i] > 0
        )

    def page(self, url: str) -> Page | None:
        """The page at an address, however its special characters are written."""
        return self._by_url.get(canonical_address(url))

    def _numbers(self, text: str) -> list[int]:
        return [self._words.setdefault(word, len(self._words)) for word in words(text)]


def words(text: str) -> list[str]:
    """The words of a text, folded: lower case, accents dropped."""
    folded = text.casefold()
    if folded.isascii():
        return _WORD.findall(folded)
    folded = unicodedata.normalize("NFKD", folded)
    return _WORD.findall("".join(c for c in folded if not unicodedata.combining(c)))


def snippet(text: str, wanted: set[str]) -> str:
    """The stretch of about `SNIPPET` characters with most different words of `wanted`; of equals, the first."""
    if len(text) <= SNIPPET:
        return text
    pieces = [(match.start(), wanted.intersection(words(match[0]))) for match in re.finditer(r"\S+", text)]
    found = [(start, piece) for start, piece in pieces if piece]
    inside: Counter[str] = Counter()
    best, most, behind = 0, 0, 0
    for start, piece in found:
        while behind < len(found) and found[behind][0] < start + SNIPPET:
            inside.update(found[behind][1])
            behind += 1
        if len(inside) > most:
            best, most = start, len(inside)
        inside.subtract(piece)
        for word in piece:
            if not inside[word]:
                del inside[word]
    end = text.rfind(" ", best + 1, best + SNIPPET) if best + SNIPPET < len(text) else len(text)
    cut = text[best : end if end > best else best + SNIPPET].strip()
    return f"{'… ' if best else ''}{cut}{' …' if best + len(cut) < len(text.rstrip()) else ''}"


def _indexed(numbers: list[list[int]], vocabulary: dict[str, int]) -> Any:
    """The library's index over documents that are lists of word numbers."""
    try:
        import bm25s  # noqa: PLC0415 - an extra, loads numpy
    except ImportError as error:
        raise UsageError("serving a corpus needs the package bm25s; pip install 'tfgrpo[web]'") from error
    index = bm25s.BM25(method="lucene", backend="numpy")
    index.index((numbers, vocabulary), create_empty_token=False, show_progress=False)
    return index


def _top(scores: Any, k: int) -> list[int]:
    """The positions of the `k` highest scores, highest first, equals in order."""
    import numpy as np  # noqa: PLC0415 - loaded by bm25s already

    return [int(i) for i in np.argsort(-scores, kind="stable")[:k]]
