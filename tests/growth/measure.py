"""Measures growth in a process of its own: `python -m growth.measure`; prints each name before it is tried.

A name that takes for ever is the last one printed when the process meets its limit on CPU time.
"""

from __future__ import annotations

import gc
import io
import re
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from inspect import isgenerator
from itertools import chain
from pathlib import Path
from typing import Any

from growth.found import patterns
from growth.readers import readers
from growth.texts import END, GENERAL, attacks

SHORT = {
    "tfgrpo.gates.boundaries._convolved": "sizes of differences, of which there are 60",
    "tfgrpo.lessons.rivals._components": "proposals of a step: each group brings `lessons.max_edits` at most",
    "tfgrpo.lessons.rivals.with_subjects": "proposals of a step",
    "tfgrpo.report.comparison_svg.curves_svg": "steps of a run times methods of a comparison",
    "tfgrpo.search.children.pool_lessons": "children of a step: `search.parents` times `search.proposals`",
    "tfgrpo.stats._all_flips": "its caller bounds the work",
    "tfgrpo.stats._few_flips": "its caller gives 30 at most",
}
"""Functions whose lists are short by construction, each with what they hold; nobody's text makes one longer."""

SIZES = (1_000, 4_000)
"""Characters; the second has four times as many, so that what explodes does so early."""
ENOUGH = 0.02
"""Seconds of CPU time below which nothing grows too fast: at 4,000 characters a square takes ten times that."""
CALLS = 40
"""Calls at most of what four times the text is compared with, until `ENOUGH` has passed."""
RATIO = 8.0
"""A line takes 4 times as long for 4 times the text, a square 16 times."""
LIMIT = 900
MEMORY = 6 * 2**30
"""Bytes of this process; a function that makes more of 16,000 characters fails here and not the machine."""
CALL_LIMIT = 5.0
"""Seconds of CPU time for all sizes of one text."""
REPEATS = re.compile(r"[*+]|\{\d*,(?:\d{2,})?\}")


def spent(call: Callable[[str], Any], text: Callable[[int], str], count: int, most: int = 1) -> float:
    """Seconds of this process for one call.

    The clock of a process may go on in steps of 4 ms: what is to be divided by is called up to `most` times.
    """
    given = text(count)
    calls, began, now = 0, time.process_time(), 0.0
    while now < ENOUGH and calls < most:
        call(given)
        calls += 1
        now = time.process_time() - began
    return now / calls


def grows(call: Callable[[str], Any], text: Callable[[int], str]) -> bool:
    """Whether four times the text takes far more than four times as long, also when measured again."""
    size = SIZES[0]
    if (now := spent(call, text, size)) <= ENOUGH:
        if now <= ENOUGH / 100:
            return False  # Not even a cube would take long enough at four times the text.
        size = SIZES[1]
        if (now := spent(call, text, size)) <= ENOUGH:
            return False
    if now > _allowed(call, text, size // 4):
        # Once more, and again: what a busy machine does to one measurement it rarely does to five.
        if not all(spent(call, text, size) > _allowed(call, text, size // 4) for _ in range(4)):
            return False
        # What begins to look at a text at some length grows there once; a square does so at the next size too.
        return size == SIZES[1] or _grows_on(call, text, SIZES[1], now)
    return size == SIZES[1] and _grows_on(call, text, 4 * size, now)


def _grows_on(call: Callable[[str], Any], text: Callable[[int], str], count: int, before: float) -> bool:
    """Whether so many characters take too long beside a quarter of them, each time."""
    return all(spent(call, text, count) > RATIO * before for _ in range(3))


def _allowed(call: Callable[[str], Any], text: Callable[[int], str], count: int) -> float:
    """Seconds that four times so many characters may take."""
    return RATIO * max(spent(call, text, count, CALLS), 1e-6)


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


class TooLong(BaseException):
    """A call that met its own limit; no `except` of what is called stops it."""


def run_function(function: Callable[[str], Any]) -> Callable[[str], Any]:
    """Call it, to the end where it is a generator; a refusal is an answer, whatever it is."""

    def call(text: str) -> None:
        try:
            found = function(text)
            if isgenerator(found):
                for _ in found:
                    pass
        except Exception:  # noqa: BLE001 - what a function says of a made-up value does not matter here
            return

    return call


DOES = re.compile(
    r"open$|socket\.|subprocess\.|sqlite3\.connect|shutil\.|time\.sleep|signal\.|ctypes\.|urllib|pty\.|fcntl\.|webbrowser"
    r"|builtins\.input$|os\.(?:exec|fork|kill|posix_spawn|system|remove|rename|mkdir|rmdir|chmod|chown|link|symlink|truncate)"
)


def shut_in() -> None:
    """From now on this process changes nothing, asks nobody and waits for nothing."""
    importing = {".py", ".pyc", ".so", ".json", ".toml"}

    def watch(event: str, told: tuple[Any, ...]) -> None:
        if DOES.match(event) is None:
            return
        if event == "open" and Path(str(told[0])).suffix in importing and not set(str(told[1])) & set("wax+"):
            return
        raise PermissionError(event)

    sys.addaudithook(watch)


def slow_patterns() -> Iterator[str]:
    """Names and texts of patterns that grow too fast."""
    for name, (pattern, ways) in sorted(patterns().items()):
        print("trying", name, file=sys.stderr, flush=True)
        forms = [*attacks(pattern)]
        forms += [("", piece, END) for piece in GENERAL] if REPEATS.search(pattern.pattern) else []
        bad = next((form for form in forms if form[1] and grows(run_as(pattern, ways), of_pieces(*form))), None)
        if bad:
            yield f"pattern {name} on {bad[0][:30]!r} + {bad[1][:40]!r} * n: {pattern.pattern[:90]!r}"


def slow_functions(part: int, parts: int) -> Iterator[str]:
    """Names and texts of functions that grow too fast, or do not come back; of every function whose turn it is."""
    told = sys.stderr
    signal.signal(signal.SIGVTALRM, _too_long)
    every = [each for each in sorted(readers()[0].items()) if each[0] not in SHORT][part::parts]
    shut_in()
    # Where it collects garbage is chance, and takes longer the more there is; what is there now will stay.
    gc.disable()
    gc.freeze()
    for name, ways in every:
        print("trying", name, file=told, flush=True)
        gc.collect()
        bad = next((p for p in GENERAL for way in ways if _is_too_fast(way, of_pieces("", p, END))), None)
        if bad:
            yield f"function {name} on {bad!r} * n"


def _is_too_fast(function: Callable[[str], Any], text: Callable[[int], str]) -> bool:
    """Whether a function grows too fast on a text, or does not come back from it."""
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        try:
            signal.setitimer(signal.ITIMER_VIRTUAL, CALL_LIMIT)
            return grows(run_function(function), text)
        except TooLong:
            return True
        except SystemExit:
            return False
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _too_long(*_: object) -> None:
    raise TooLong


def main() -> None:
    """Print what grows, one a line, and how much was tried."""
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT + 5))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    out, count = sys.stdout, 0
    part, parts = map(int, sys.argv[1:]) if sys.argv[1:] else (0, 1)
    for line in chain(slow_patterns() if part == 0 else (), slow_functions(part, parts)):
        print(line, file=out, flush=True)
        count += 1
    print(f"{count} grow too fast", file=out, flush=True)


if __name__ == "__main__":
    main()
