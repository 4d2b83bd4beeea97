"""The one parser for JSON that others wrote: bounded in size, in values and in depth, without numbers that are none.

Stands at the bottom of both packages; `tfgrpo.system.untrusted_json` makes typed models of what it returns.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any, Literal

DEEPEST = 100
"""Levels of nesting; what is deeper is a bomb, and would end the first function that walks it."""
LARGEST = 512 * 2**20
"""Characters or bytes that are read in one go."""
MOST_VALUES = 5_000_000
"""Commas and brackets; an empty list of two characters takes 64 bytes of memory, so length alone bounds too little."""
_BETWEEN = re.compile(r"[ \t\r\n,]*")
_DIGITS = 4_000
"""Of a whole number; Python refuses longer ones as slow to read."""


class Unreadable(ValueError):
    """Something from outside is not what the format says; the message says what, in a few words, without content."""


def loads(text: str | bytes, *, forgiving: bool = False, most_values: int = MOST_VALUES, **options: Any) -> Any:
    """Return the value in JSON text.

    Args:
        text: the whole text.
        forgiving: numbers that are not finite (NaN, 1e999) or have thousands of digits are None, so that an odd one
            costs its field alone; otherwise they make the text unreadable.
        most_values: how many commas and brackets there may be.
        options: those of `json.loads`; they win over what `forgiving` asks for.

    Raises:
        Unreadable: it is no JSON, too large, or nested deeper than DEEPEST; `fault_of` tells where it ends being JSON.
    """
    if isinstance(text, str):
        text = text.removeprefix("\ufeff")  # a byte order mark, which some servers send before everything
    _require_bounded(text, most_values)
    value = _parsed(lambda: json.loads(text, **{**_numbers(forgiving), **options}))
    _require_flat(text, value)
    return value


def each_value(text: str, **options: Any) -> Iterator[Any]:
    """Yield the JSON values that stand one after the other, with white space or commas between them.

    Raises:
        Unreadable: as for `loads`, once what stands before was yielded.
    """
    _require_bounded(text, MOST_VALUES)
    decoder = json.JSONDecoder(**{**_numbers(forgiving=False), **options})
    end = _BETWEEN.match(text).end()  # type: ignore[union-attr]
    while end < len(text):
        start = end
        value, end = _parsed(lambda start=start: decoder.raw_decode(text, start))  # type: ignore[misc]
        _require_flat(text[start:end], value)
        yield value
        end = _BETWEEN.match(text, end).end()  # type: ignore[union-attr]


def fault_of(error: Exception) -> str:
    """Return what a reader of JSON found, with its place where that is known; for people who can mend the text."""
    return str(error.__cause__ or error)


def _parsed(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except RecursionError:
        raise Unreadable("JSON that is nested too deep") from None
    except ValueError as error:
        raise Unreadable("something that is not JSON") from error


def _require_flat(text: str | bytes, value: Any) -> None:
    # Many brackets may be wide or deep, few cannot be deep.
    if _count(text, "[{") > DEEPEST and _is_deep(value):
        raise Unreadable("JSON that is nested too deep")


def _require_bounded(text: str | bytes, most_values: int) -> None:
    if len(text) > LARGEST:
        raise Unreadable(f"JSON of more than {LARGEST // 2**20} MiB in one value")
    if len(text) > most_values and _count(text, ",[{") > most_values:
        raise Unreadable(f"JSON of more than {most_values:,} values")


def _count(text: str | bytes, signs: Literal["[{", ",[{"]) -> int:
    if isinstance(text, str):
        return sum(map(text.count, signs))
    return sum(text.count(sign.encode()) for sign in signs)


def _is_deep(value: Any) -> bool:
    """Walk level by level, for a function that calls itself is what a bomb is meant for."""
    level = [value]
    for _ in range(DEEPEST):
        inner = (one.values() if isinstance(one, dict) else one for one in level if isinstance(one, dict | list))
        level = [item for items in inner for item in items if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def _numbers(forgiving: bool) -> dict[str, Callable[[str], Any]]:
    if forgiving:
        return {"parse_constant": lambda name: None, "parse_float": _finite_or_none, "parse_int": _short_or_none}
    return {"parse_constant": _refused, "parse_float": _finite}


def _refused(name: str) -> Any:
    """NaN and Infinity, which Python reads and JSON does not have."""
    raise ValueError(f"{name} is not JSON")


def _finite(written: str) -> float:
    value = float(written)
    if not math.isfinite(value):
        raise ValueError(f"{written[:40]} is beyond what a number can hold")
    return value


def _finite_or_none(written: str) -> float | None:
    value = float(written)
    return value if math.isfinite(value) else None


def _short_or_none(written: str) -> int | None:
    return int(written) if len(written) <= _DIGITS else None
