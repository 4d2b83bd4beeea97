"""The process that compares mathematics: it may hang, swell or die on a hostile answer, and only it does.

Started by `math_pool` with pipes; one JSON object a line each way. math-verify's own time limits use signals, so both
are off here and the parent holds the clock. Two limits of the operating system are the net below: memory, and CPU time
for the case that the parent is gone.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
from functools import lru_cache
from typing import Any

from tfgrpo.boundary import boundary
from tfgrpo.errors import GraderError

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
_MARKED = re.compile(r"\$|\\boxed|\\\(|\\\[")


def compare(gold: str, pred: str) -> dict[str, Any]:
    """Whether two answers are the same mathematics: {"equal": bool, "got": str}, or {"equal": None} for an empty gold.

    Both are answers or texts that end in one. Where nothing marks the mathematics, an answer is read as LaTeX as a
    whole, and prose the way math-verify reads prose.
    """
    from math_verify import verify  # noqa: PLC0415 - two seconds of sympy

    if _FUNCTION.search(gold) or _FUNCTION.search(pred):
        gold, pred = _LEFT_SIDE.sub("", gold), _LEFT_SIDE.sub("", pred)
    wanted, got = _read(gold), _read(pred)
    if not wanted:
        return {"equal": None}
    equal = bool(got) and verify(wanted, got, timeout_seconds=None, allow_set_relation_comp=True)
    return {"equal": equal, "got": got[-1] if got and isinstance(got[-1], str) else ""}


@lru_cache(maxsize=4096)
def _read(text: str) -> list[Any]:
    """What math-verify reads in a text: the expression and its text."""
    from math_verify import parse  # noqa: PLC0415

    tidied = tidy(text)
    readings = [tidied] if _MARKED.search(tidied) else [f"${tidied}$", tidied]
    if _PROSE.search(_COMMAND.sub(" ", tidied)):
        readings.reverse()
    for reading in readings:
        if found := parse(reading, parsing_timeout=None):
            return list(found)
    return []


def tidy(text: str) -> str:
    r"""Forms that math-verify misreads, in forms it reads: \$5, "1 000", "1000,99", "1 1/2", "10 cm^2", 2**(1/4)."""
    text = text.replace("\\$", "").replace("\\\\le ", "\\le ").strip()
    bare = text.strip("$ ")
    if _THOUSANDS.fullmatch(bare):
        return re.sub(r"\s", "", bare)
    if match := _DECIMAL_COMMA.fullmatch(bare):
        return f"{match[1]}.{match[2]}"
    if match := _MIXED.fullmatch(bare):
        return f"{match[1]}({match[2]}+\\frac{{{match[3]}}}{{{match[4]}}})"
    if match := _UNIT.fullmatch(bare):
        return match[1]
    return _POWER.sub(r"^{(\1)}", text).replace("**", "^")


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
        _limit(resource.RLIMIT_CPU, int(sum(os.times()[:2]) + 2 * request["seconds"] + 2))
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
