"""Measures growth in a process of its own: `python -m growth.measure`; prints each name before it is tried.

A name that takes for ever is the last one printed when the process meets its limit on CPU time.
"""

from __future__ import annotations

import re
import resource
import sys
import time
from collections.abc import Callable, Iterator
from inspect import isgenerator
from typing import Any

from growth.found import functions, patterns
from growth.texts import END, GENERAL, attacks

SIZES = (1_000, 4_000)
"""Characters; each is tried with four times the text of the one before, so that what explodes does so early."""
ENOUGH = 0.02
"""Seconds of CPU time below which nothing grows too fast: at 4,000 characters a square takes ten times that."""
RATIO = 8.0
"""A line takes 4 times as long for 4 times the text, a square 16 times."""
LIMIT = 240
REPEATS = re.compile(r"[*+]|\{\d*,(?:\d{2,})?\}")


def times(call: Callable[[str], Any], text: Callable[[int], str], count: int) -> float:
    """Seconds of this process for one call; the least of two, for a busy machine spoils caches but adds no work."""
    given = text(count)
    spent = []
    for _ in range(2):
        began = time.process_time()
        call(given)
        spent.append(time.process_time() - began)
        if spent[0] < ENOUGH:
            break
    return min(spent)


def grows(call: Callable[[str], Any], text: Callable[[int], str]) -> bool:
    """Whether four times the text takes far more than four times as long, also when measured again."""
    before = 0.0
    for size in SIZES:
        now = times(call, text, size)
        if now > ENOUGH and now > RATIO * before:
            again = times(call, text, size)
            return min(now, again) > RATIO * max(before, times(call, text, size // 4), 1e-6)
        before = now
    return before > ENOUGH and times(call, text, 4 * SIZES[-1]) > RATIO * before


def of_pieces(head: str, piece: str, tail: str) -> Callable[[int], str]:
    """A text of about so many characters."""
    return lambda count: head + piece * max(1, count // len(piece)) + tail


def run_as(pattern: re.Pattern[str], ways: frozenset[str]) -> Callable[[str], Any]:
    """What the project does with a pattern: find all of it, or match it at the start only."""
    anywhere = not ways or bool(ways - {"match", "fullmatch"})

    def call(text: str) -> None:
        if anywhere:
            for _ in pattern.finditer(text):
                pass
        elif "match" in ways:
            pattern.match(text)
        if "fullmatch" in ways:
            pattern.fullmatch(text)

    return call


def run_function(function: Callable[[str], Any]) -> Callable[[str], Any]:
    """Call it, to the end where it is a generator; a refusal is an answer."""

    def call(text: str) -> None:
        try:
            found = function(text)
            if isgenerator(found):
                for _ in found:
                    pass
        except (ValueError, TypeError, LookupError, RuntimeError, OSError, ArithmeticError):
            return

    return call


def slow() -> Iterator[str]:
    """Names and texts that grow too fast."""
    for name, (pattern, ways) in sorted(patterns().items()):
        print("trying", name, file=sys.stderr, flush=True)
        forms = [*attacks(pattern)]
        forms += [("", piece, END) for piece in GENERAL] if REPEATS.search(pattern.pattern) else []
        bad = next((form for form in forms if form[1] and grows(run_as(pattern, ways), of_pieces(*form))), None)
        if bad:
            yield f"pattern {name} on {bad[0][:30]!r} + {bad[1][:40]!r} * n: {pattern.pattern[:90]!r}"
    for name, function in sorted(functions().items()):
        print("trying", name, file=sys.stderr, flush=True)
        for piece in GENERAL:
            if grows(run_function(function), of_pieces("", piece, END)):
                yield f"function {name} on {piece!r} * n"
                break


def main() -> None:
    """Print what grows, one a line, and how much was tried."""
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT + 5))
    count = 0
    for line in slow():
        print(line, flush=True)
        count += 1
    print(f"{len(patterns())} patterns, {len(functions())} functions, {count} grow too fast", flush=True)


if __name__ == "__main__":
    main()
