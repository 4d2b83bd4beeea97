"""The process that compares mathematics: it may hang, swell or die on a hostile answer, and only it does.

Started by `math_pool` with pipes; one JSON object a line each way. math-verify's own time limits use signals, so both
are off here. Two limits of the operating system end an answer that cannot be compared: memory, and CPU time, which a
busy machine does not use up. The parent's clock is the net below.
"""

from __future__ import annotations

import json
import math
import os
import re
import resource
import sys
from functools import lru_cache
from typing import Any

from tfgrpo.boundary import boundary
from tfgrpo.errors import GraderError
from tfgrpo.graders.math_units import unit_mismatch
from tfgrpo.graders.number_text import value_of, without_typography

_MEMORY = 4 << 30
_NUMBER = r"\d+(?:\.\d+)?"
_THOUSANDS = re.compile(r"\d{1,3}(?:[ \u00a0\u202f]\d{3})+(?:\.\d+)?")
_DECIMAL_COMMA = re.compile(r"(\d{4,}|0),(\d+)")
_MIXED = re.compile(r"(-?)(\d+) +(\d+)/(\d+)")
_UNIT = re.compile(
    rf"({_NUMBER}) ?(?:\\?(?:text|mbox|mathrm)\{{ ?)?(?:[cdmk]m|kg|ft|inch(?:es)?)(?:\^\{{?[23]\}}?|²|³)?\}}?"
)
_COMMAND = re.compile(r"\\[A-Za-z]+(?:\{[A-Za-z]*\})?")
_PROSE = re.compile(r"(?:\b[a-zA-Z]{2,}\b[^a-zA-Z]+){4}")
_POWER = re.compile(r"(?:\*\*|\^)\(([^()]{1,40})\)")
_FUNCTION = re.compile(r"[A-Za-z]\([A-Za-z]\)\s*=")
_LEFT_SIDE = re.compile(r"^\$*\s*[A-Za-z](?:\([A-Za-z]\))?\s*=(?!=)")
_LETTERS = re.compile(r"(?<![A-Za-z\\])[A-Za-z]{1,2}(?![A-Za-z])")
_QUOTED = re.compile(r"\\(?:text\w{0,2}|mathrm|mbox|operatorname)\s?\{[^{}]*\}|\\[A-Za-z]+")
_EQUALS = re.compile(r"(?<![<>!=\\])=(?![=>])")
_UNEQUAL = re.compile(r"\\neq?(?![a-z])|≠|!=|\\not\s?=")
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−﹣－", "-"))
_VULGAR = re.compile("([\u00bc-\u00be\u2150-\u215e])")
_GROUPED = re.compile(r"-?[\d.,'’_]*\d")
_ORDINARY = re.compile(r"-?\d+(?:,\d+)*(?:\.\d+)?")
_SCALED = re.compile(rf"({_NUMBER})\s+(hundred|thousand|million|billion|trillion)", re.IGNORECASE)
_WORDS = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_LONGEST_EQUATION = 300
_MARKED = re.compile(r"\$|\\boxed|\\\(|\\\[")


def compare(gold: str, pred: str) -> dict[str, Any]:
    """Whether two answers are the same mathematics: {"equal": bool, "got": str}, or {"equal": None} for an empty gold.

    Both are answers or texts that end in one. Where nothing marks the mathematics, an answer is read as LaTeX as a
    whole, and prose the way math-verify reads prose. Units on both sides must go together, the case of letters counts,
    and an equation between numbers must hold.
    """
    from math_verify import verify  # noqa: PLC0415 - two seconds of sympy

    if _FUNCTION.search(gold) or _FUNCTION.search(pred):
        gold, pred = _LEFT_SIDE.sub("", gold), _LEFT_SIDE.sub("", pred)
    wanted, times = _read(gold), unit_mismatch(gold, pred)
    if not wanted:
        return {"equal": None}
    if times is True or (_UNEQUAL.search(pred) and not _UNEQUAL.search(gold)):
        return {"equal": False, "got": ""}
    pred = pred if _EQUALS.search(gold) else _right_side(pred)
    got = _read(pred) if pred else []
    if got and times != 1:
        got = [got[0] * times]
    equal = bool(got) and verify(wanted, got, timeout_seconds=None, allow_set_relation_comp=True)
    return {"equal": equal and _same_case(wanted, got), "got": got[-1] if got and isinstance(got[-1], str) else ""}


def _right_side(pred: str) -> str:
    """What an equation says its unknown is; "" where it sets two different numbers equal, such as 7 = 5."""
    sides = [side.strip() for side in _EQUALS.split(pred.strip().strip("$").replace("&", ""))]
    if len(sides) < 2 or len(pred) > _LONGEST_EQUATION or _PROSE.search(_COMMAND.sub(" ", pred)):
        return pred
    from math_verify import verify  # noqa: PLC0415

    values = [(side, found) for side in sides if (found := _read(side)) and _is_number(found[0])]
    if any(not verify(found, values[0][1], timeout_seconds=None) for _, found in values[1:]):
        return ""
    return values[0][0] if values and len(sides) == 2 and re.fullmatch(r"[A-Za-z]", sides[1]) else pred


def _is_number(read: Any) -> bool:
    return not getattr(read, "free_symbols", True) and getattr(read, "is_number", False)


def _same_case(wanted: list[Any], got: list[Any]) -> bool:
    """Whether letters that name something are the same ones: x is not X. The parser makes all of them small."""
    texts = [found[-1] if isinstance(found[-1], str) else "" for found in (wanted, got)]
    ours, theirs = (set(_LETTERS.findall(_QUOTED.sub(" ", text))) - {"no", "No", "NO"} for text in texts)
    return ours == theirs or {x.casefold() for x in ours} != {x.casefold() for x in theirs}


@lru_cache(maxsize=4096)
def _read(text: str) -> list[Any]:
    """What math-verify reads in a text: the expression and its text."""
    from math_verify import parse  # noqa: PLC0415

    tidied = normalise_forms(text)
    readings = [tidied] if _MARKED.search(tidied) else [f"${tidied}$", tidied]
    if _PROSE.search(_COMMAND.sub(" ", tidied)):
        readings.reverse()
    for reading in readings:
        if found := parse(reading, parsing_timeout=None):
            return list(found)
    return []


def normalise_forms(text: str) -> str:
    r"""Forms that math-verify misreads, in forms it reads: \$5, "1 000", "1000,99", "1 1/2", "10 cm^2", 2**(1/4)."""
    text = text.replace("\\$", "").replace("\\\\le ", "\\le ").translate(_DASHES).strip()
    text = _VULGAR.sub(_fraction, text)
    bare = text.strip("$ ")
    number = _plain_number(bare)
    if number is not None:
        return number
    if match := _MIXED.fullmatch(bare):
        return f"{match[1]}({match[2]}+\\frac{{{match[3]}}}{{{match[4]}}})"
    if match := _UNIT.fullmatch(bare):
        return match[1]
    return _POWER.sub(r"^{(\1)}", text).replace("**", "^")


def _plain_number(bare: str) -> str | None:
    """A number in digit groups, with a decimal comma or a word of size, in a form that is read; None if it is none."""
    if _THOUSANDS.fullmatch(bare):
        return re.sub(r"\s", "", bare)
    if match := _DECIMAL_COMMA.fullmatch(bare):
        return f"{match[1]}.{match[2]}"
    if match := _SCALED.fullmatch(bare):
        return f"{match[1]} \\cdot 10^{{{_WORDS[match[2].lower()]}}}"
    if _GROUPED.fullmatch(bare) and not _ORDINARY.fullmatch(bare):
        value = value_of(bare.lstrip("-").replace("’", "'"))
        sign = "-" if bare[0] == "-" else ""
        return None if value is None else f"{sign}\\frac{{{value.numerator}}}{{{value.denominator}}}"
    return None


def _fraction(match: re.Match[str]) -> str:
    """A sign such as ½ as a fraction, added to the digits before it: 2½ is 5/2."""
    top, _, bottom = without_typography(match[0]).strip().partition("/")
    before = match.string[: match.start()].rstrip()[-1:]
    return f"\\frac{{{top}}}{{{bottom}}}" if not before.isdigit() else f" {top}/{bottom}"


def main() -> None:
    """Answer requests until the pipe closes."""
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    _limit(resource.RLIMIT_AS, _MEMORY)
    compare("1", "2")
    replies.write(b'{"ready": true}\n')
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _limit(resource.RLIMIT_CPU, math.ceil(sum(os.times()[:2]) + request["cpu_seconds"]))
        try:
            with boundary(GraderError, "math-verify"):
                reply = compare(request["gold"], request["pred"])
        except GraderError as error:
            reply = {"error": str(error)}
        replies.write(json.dumps(reply).encode() + b"\n")


def _limit(what: int, soft: int) -> None:
    """Set a soft limit where the system has it and allows it."""
    hard = resource.getrlimit(what)[1]
    if hard == resource.RLIM_INFINITY or soft <= hard:
        resource.setrlimit(what, (soft, hard))
