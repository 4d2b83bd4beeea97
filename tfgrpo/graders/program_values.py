"""Plain values between a program and its tests: numbers, texts, dates and containers, as JSON and back as copies.

The writers are those of the base types, so that what a program's own class says of itself does not matter. Imports
nothing but the library: its text is sent into the isolation.
"""

from __future__ import annotations

import datetime
import numbers
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

PLAIN: dict[type, Callable[[Any], Any]] = {
    bool: int,
    int: lambda x: hex(int.__index__(x)),
    float: float.hex,
    str: str.__str__,
    complex: lambda x: [x.real.hex(), x.imag.hex()],
    bytes: bytes.hex,
    bytearray: bytearray.hex,
    Fraction: lambda x: f"{x.numerator}/{x.denominator}",
    Decimal: Decimal.__str__,
    datetime.datetime: datetime.datetime.isoformat,
    datetime.date: datetime.date.isoformat,
    datetime.time: datetime.time.isoformat,
    datetime.timedelta: lambda x: [x.days, x.seconds, x.microseconds],
    range: lambda x: [x.start, x.stop, x.step],
}
"""How each is written; a subclass is written as its base."""
READ: dict[str, Callable[[Any], Any]] = {
    "bool": bool,
    "int": lambda x: int(x, 16),
    "float": float.fromhex,
    "str": str,
    "complex": lambda x: complex(*map(float.fromhex, x)),
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "Fraction": Fraction,
    "Decimal": Decimal,
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "timedelta": lambda x: datetime.timedelta(*x),
    "range": lambda x: range(*x),
}
SERIES: dict[str, Any] = {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "deque": deque}
TABLES: dict[str, Any] = {
    "Counter": lambda pairs: Counter(dict(pairs)),
    "OrderedDict": OrderedDict,
    "defaultdict": lambda pairs: defaultdict(None, pairs),
    "dict": dict,
}
_TABLES = (Counter, OrderedDict, defaultdict, dict)


def write_plain(value: Any, pack: Callable[[Any], Any]) -> Any:
    """Write a value that has a plain form; None where it has none. `pack` writes what a container holds."""
    for base, write in PLAIN.items():
        if isinstance(value, base):
            return {base.__name__: write(value)}
    if isinstance(value, tuple) and (fields := _fields(value)):
        return {"named": [type(value).__name__, fields, [pack(x) for x in tuple.__iter__(value)]]}
    for name, series in SERIES.items():
        if isinstance(value, series):
            return {name: [pack(x) for x in series.__iter__(value)]}
    for table in _TABLES:
        if isinstance(value, table):
            return {table.__name__: [[pack(k), pack(v)] for k, v in dict.items(value)]}
    return _number_of_a_library(value, pack)


def _number_of_a_library(value: Any, pack: Callable[[Any], Any]) -> Any:
    """Numbers that are none of Python's own, and arrays."""
    kind = type(value)
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray":
        return {"array": pack(value.tolist())}
    if kind.__module__ == "numpy" and hasattr(value, "item"):
        return pack(value.item())
    if isinstance(value, numbers.Integral):
        return {"int": hex(int(value))}
    if isinstance(value, numbers.Rational):
        return {"Fraction": f"{int(value.numerator)}/{int(value.denominator)}"}
    return None


def read_plain(name: str, inner: Any, unpack: Callable[[Any], Any]) -> Any:
    """Read what `write_plain` wrote. Raises KeyError for another form."""
    if name in READ:
        return READ[name](inner)
    if name in TABLES:
        return TABLES[name]([(unpack(k), unpack(v)) for k, v in inner])
    if name == "named":
        kind, fields, values = inner
        return _named(str(kind), tuple(map(str, fields)))(*map(unpack, values))
    if name == "array":
        import numpy  # noqa: PLC0415

        return numpy.array(unpack(inner))
    return SERIES[name](map(unpack, inner))


def _fields(value: Any) -> list[str]:
    fields = getattr(type(value), "_fields", None)
    fits = isinstance(fields, tuple) and len(fields) == tuple.__len__(value) and all(type(x) is str for x in fields)
    return list(fields) if fits and fields else []


@cache
def _named(kind: str, fields: tuple[str, ...]) -> Any:
    # What is no name becomes a number.
    return namedtuple(kind if kind.isidentifier() else "Named", fields, rename=True)
