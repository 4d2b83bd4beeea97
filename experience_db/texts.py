"""Long texts, each kept once: the block that all calls of a version begin with, the turns that a tool loop says again.

In the JSON of calls and rollouts a string of SHORTEST characters or more stands as `{"$text": id}` for a row of
`texts`, which holds it as text, or compressed by zlib as a blob where that saves a tenth. zlib is part of Python, so
that every release opens every file: on problems and solutions of GSM8K and MATH, joined to 4.6 kB, it leaves 0.47 of
the bytes at level 1 and zstd 0.45 at level 3 (`python tests/benchmarks/database.py --codecs`).
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from experience_db.codec import to_json
from experience_db.database import Database
from experience_db.errors import CorruptStore

REFERENCE = "$text"
"""The one key of an object that stands for a text. What a user's object of that form holds is put
into a list."""
SHORTEST = 160
"""Characters from which a text is worth a row of its own."""
COMPRESSED_FROM = 400
"""Bytes from which a text is worth compressing."""
SAVING = 0.9
"""Largest share of its bytes at which a compressed text is kept as such."""
LEVEL = 1
REFERRING: Mapping[str, tuple[str, ...]] = {"calls": ("request", "reply"), "rollouts": ("messages", "more", "answer")}
"""The columns of JSON whose long texts stand in `texts`, by table."""
STANDS = re.compile(r'\{"\$text":(-?\d+)\}')
WHOLE = frozenset({"tools", "response_schema"})
"""Keys of requests whose value is kept as one text: calls of a kind repeat it."""
REMEMBERED = 4096
"""Rows of which a store remembers the id, and texts that a read keeps."""
IN_ONE_QUERY = 500
"""Ids that are asked for at once."""


class Texts:
    """The long texts of one store."""

    def __init__(self, store: Database) -> None:
        self._store = store
        self._ids: OrderedDict[bytes, int] = OrderedDict()
        self._seen = self._checked = (-1, -1)

    def to_json(self, value: Any) -> str:
        """Return a value as JSON with its long texts in rows of their own; inside of `atomic`."""
        if not self._store.share_texts:
            return to_json(_escaped(value))
        self._forget_what_may_be_gone()
        return to_json(self._packed(value))

    def from_json(self, texts: Sequence[str]) -> list[Any]:
        """Return values from their JSON; texts that several of them share are read once.

        Raises CorruptStore where a text is gone.
        """
        values = [json.loads(text) for text in texts]
        found = self._read(sorted({each for value, text in zip(values, texts, strict=True)
                                   if REFERENCE in text for each in _references(value)}))  # fmt: skip
        return [_unpacked(value, found) if REFERENCE in text else value
                for value, text in zip(values, texts, strict=True)]  # fmt: skip

    def to_column(self, text: str) -> str:
        """Return what a column of plain text holds for a text: itself, or where it stands; inside of `atomic`."""
        if STANDS.fullmatch(text) or (self._store.share_texts and len(text) >= SHORTEST):
            self._forget_what_may_be_gone()
            return to_json({REFERENCE: self._id(text)})
        return text

    def from_columns(self, columns: Sequence[str]) -> list[str]:
        """Return texts from their columns; raises CorruptStore where one is gone."""
        found_at = [STANDS.fullmatch(column) for column in columns]
        at = [int(match[1]) if match else 0 for match in found_at]
        found = self._read(sorted({each for each in at if each}))
        return [found[where] if where else column for where, column in zip(at, columns, strict=True)]

    def _forget_what_may_be_gone(self) -> None:
        """Another process may have pruned rows, or the transaction that made them was undone."""
        now = (self._store.begun, self._store.undone)
        if now == self._checked:
            return
        self._checked = now
        seen = (self._store.data_version(), self._store.undone)
        if seen != self._seen:
            self._seen = seen
            self._ids.clear()

    def _packed(self, value: Any) -> Any:
        if isinstance(value, str):
            return value if len(value) < SHORTEST else {REFERENCE: self._id(value)}
        if value is None or isinstance(value, int | float):
            return value
        if isinstance(value, dict) or isinstance(value, Mapping):  # noqa: SIM101 - the second alone is ten times slower
            kept = {key: self._whole(item) if key in WHOLE else self._packed(item) for key, item in value.items()}
            return _escape(kept)
        return [self._packed(item) for item in value] if isinstance(value, list | tuple) else value

    def _whole(self, value: Any) -> Any:
        """Keep a long value of any kind as one text of JSON, under a negative number."""
        text = to_json(value) if value else ""
        return self._packed(value) if len(text) < COMPRESSED_FROM else {REFERENCE: -self._id(text)}

    def _id(self, text: str) -> int:
        said = self._store.hide(text) if self._store.hide else text
        plain = said.encode("utf-8", "surrogatepass")
        mark = hashlib.blake2b(plain, digest_size=16).digest()
        known = self._ids.get(mark)
        if known is not None:
            self._ids.move_to_end(mark)
            return known
        row = self._store._row("SELECT id FROM texts WHERE mark = ?", mark)
        found = row[0] if row else self._store._insert("texts", mark=mark, body=_body(said, plain))
        self._ids[mark] = found
        if len(self._ids) > REMEMBERED:
            self._ids.popitem(last=False)
        return int(found)

    def _read(self, ids: Sequence[int]) -> dict[int, str]:
        found: dict[int, str] = {}
        for start in range(0, len(ids), IN_ONE_QUERY):
            some = ids[start : start + IN_ONE_QUERY]
            marks = ", ".join("?" * len(some))
            rows = self._store._rows(f"SELECT id, body FROM texts WHERE id IN ({marks})", *some)  # noqa: S608
            found |= {row["id"]: _text(row["body"]) for row in rows}
        missing = [each for each in ids if each not in found]
        if missing:
            raise CorruptStore(f"{self._store.path}: text {missing[0]} is gone; restore a copy (`tfgrpo db backup`)")
        return found


def stored_references(text: str) -> Iterator[int]:
    """Return the ids of the texts that stand in a column of JSON."""
    # Within a string of JSON the quotes would be escaped, so this is never somebody's text.
    return (abs(int(each)) for each in STANDS.findall(text))


def _references(value: Any) -> Iterator[int]:
    if isinstance(value, dict):
        inner = value.get(REFERENCE) if len(value) == 1 else None
        if type(inner) is int:
            yield abs(inner)
            return
    parts: Iterable[Any] = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for part in parts:
        yield from _references(part)


def _unpacked(value: Any, texts: Mapping[int, str]) -> Any:
    if isinstance(value, dict):
        inner = value.get(REFERENCE) if len(value) == 1 else None
        if type(inner) is int:
            return texts[inner] if inner > 0 else json.loads(texts[-inner])
        if isinstance(inner, list) and len(inner) == 1:
            return {REFERENCE: _unpacked(inner[0], texts)}
        return {key: _unpacked(item, texts) for key, item in value.items()}
    return [_unpacked(item, texts) for item in value] if isinstance(value, list) else value


def _escaped(value: Any) -> Any:
    """Return a value in which no object of the user's is taken for a reference."""
    if isinstance(value, Mapping):
        return _escape({key: _escaped(item) for key, item in value.items()})
    return [_escaped(item) for item in value] if isinstance(value, list | tuple) else value


def _escape(kept: dict[str, Any]) -> dict[str, Any]:
    """Put what stands under the key of references into a list, which no reference is."""
    return {REFERENCE: [kept[REFERENCE]]} if len(kept) == 1 and REFERENCE in kept else kept


def _body(text: str, plain: bytes) -> str | bytes:
    if len(plain) >= COMPRESSED_FROM:
        small = zlib.compress(plain, LEVEL)
        if len(small) < SAVING * len(plain):
            return small
    # Half a surrogate pair of a cut reply is no text to SQLite.
    return text if text.isascii() or _encodes(text) else zlib.compress(plain, LEVEL)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(body: str | bytes) -> str:
    if isinstance(body, str):
        return body
    try:
        return zlib.decompress(body).decode("utf-8", "surrogatepass")
    except (zlib.error, UnicodeDecodeError) as error:
        raise CorruptStore(f"a compressed text cannot be read ({error}); restore a copy") from error
