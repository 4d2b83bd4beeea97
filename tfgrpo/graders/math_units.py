"""Units behind a number: two answers with units are equal only where the units go together."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

_TABLE: tuple[tuple[str, tuple[tuple[str, Fraction], ...]], ...] = (
    ("length", (("nm nanometers?", Fraction(1, 10**9)), ("mm millimet(?:er|re)s?", Fraction(1, 1000)),
                ("cm centimet(?:er|re)s?", Fraction(1, 100)), ("dm decimet(?:er|re)s?", Fraction(1, 10)),
                ("m met(?:er|re)s?", Fraction(1)), ("km kilomet(?:er|re)s?", Fraction(1000)),
                ("in inch(?:es)?", Fraction(254, 10000)), ("ft feet foot", Fraction(3048, 10000)),
                ("yd yards?", Fraction(9144, 10000)), ("mi miles?", Fraction(1609344, 1000)))),
    ("mass", (("mg milligrams?", Fraction(1, 1000)), ("g grams?", Fraction(1)), ("kg kilograms?", Fraction(1000)),
              ("t tons? tonnes?", Fraction(10**6)), ("lbs? pounds?", Fraction(45359237, 10**5)),
              ("oz ounces?", Fraction(28349523125, 10**9)))),
    ("time", (("ms milliseconds?", Fraction(1, 1000)), ("s secs? seconds?", Fraction(1)),
              ("mins? minutes?", Fraction(60)),
              ("h hrs? hours?", Fraction(3600)), ("days?", Fraction(86400)),
              ("weeks?", Fraction(604800)),
              ("months?", Fraction(0)), ("years?", Fraction(0)))),
    ("volume", (("ml milliliters? millilitres?", Fraction(1, 1000)), ("l L liters? litres?", Fraction(1)),
                ("gal gallons?", Fraction(3785411784, 10**9)))),
    ("angle", (("° degrees? deg", Fraction(0)), ("rad radians?", Fraction(0)))),
    ("money", (("dollars? usd", Fraction(1)), ("cents?", Fraction(1, 100)), ("euros? eur €", Fraction(0)),
               ("£ gbp", Fraction(0)), ("yen jpy ¥", Fraction(0)), ("rupees? inr ₹", Fraction(0)))),
    ("speed", (("km/h kmh kph", Fraction(1000, 3600)), ("m/s", Fraction(1)), ("mph", Fraction(1397, 3125)))),
    ("share", (("percent", Fraction(0)),)),
    ("energy", (("J joules?", Fraction(1)), ("kJ", Fraction(1000)), ("cal calories?", Fraction(4184, 1000)))),
    ("force", (("N newtons?", Fraction(1)), ("kN", Fraction(1000)))),
)  # fmt: skip
"""Kinds with spellings and sizes; 0 is a unit that is converted into no other."""
_KNOWN = tuple(
    (kind, number, size, re.compile(spelling if len(spelling) < 3 else f"(?i:{spelling})"))
    for kind, units in _TABLE
    for number, (spellings, size) in enumerate(units)
    for spelling in spellings.split()
)
_BEHIND = re.compile(
    r"(?P<number>[\d}])\s{0,3}(?:\\[ ,;:!]\s{0,2})?(?:\^?\{?\\circ\}?"
    r"|\\(?:text|mbox|mathrm|textrm)\s?\{\s{0,3})?"
    r"(?P<unit>[A-Za-z°€£¥₹/]{1,20})?\s{0,2}\}?(?:\^\s?\{?(?P<power>[23])\}?|(?P<raised>[²³]))?\s{0,2}\}?[.$\s]{0,4}\Z"
)
_PREFIX = re.compile(r"(?:sq(?:uare|\.)?|cubic)\s", re.IGNORECASE)
_MONEY_SIGN = re.compile(r"\A\s{0,4}\$?\s{0,2}(\\\$|[€£¥₹])")


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit with its power."""

    kind: str
    number: int
    size: Fraction
    """In the base unit of its kind; 0 where none is known."""
    power: int = 1


def unit_of(text: str) -> Unit | None:
    """Return the unit at the end of a short answer, or the sign of money before it; None where there is none."""
    text = text.strip()[-200:]
    squares = 2 if re.search(r"\bsq(?:uare|\.)?\s", text[-40:]) else 3 if re.search(r"\bcubic\s", text[-40:]) else 1
    behind = _BEHIND.search(_PREFIX.sub("", text), max(0, len(text) - 80))
    if behind and (behind["unit"] or "\\circ" in behind[0]):
        power = int(behind["power"] or {"²": 2, "³": 3}.get(behind["raised"] or "", squares))
        return _named(behind["unit"] or "°", power)
    sign = _MONEY_SIGN.match(text)
    return _named(sign[1] if sign[1] != "\\$" else "dollars", 1) if sign else None


def unit_mismatch(gold: str, pred: str) -> bool | Fraction:
    """Whether the units of two answers do not go together; where they do, by how much to multiply the second one."""
    wanted, got = unit_of(gold), unit_of(pred)
    if wanted is None or got is None or (wanted.kind, wanted.number, wanted.power) == (got.kind, got.number, got.power):
        return Fraction(1)
    if wanted.kind != got.kind or wanted.power != got.power or not wanted.size or not got.size:
        return True
    return Fraction(math.prod([got.size / wanted.size] * got.power))


def _named(word: str, power: int) -> Unit | None:
    for kind, number, size, spelling in _KNOWN:
        if spelling.fullmatch(word):
            return Unit(kind, number, size, power)
    return None
