"""A verdict from stored results, without a model call: rows of two runs are paired by item id.

All pairs are there already, so they are looked at once, with the exact test for a fixed number of pairs.
"""

from __future__ import annotations

import math
import re
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from tfgrpo import stats
from tfgrpo.errors import UsageError
from tfgrpo.proving.judge import Course, Design, Question, Touch, apply_holm, finding
from tfgrpo.proving.pairs import Pair, Side, by_problem
from tfgrpo.proving.proof import Floor, Proof
from tfgrpo.readers import Row, Stored, read
from tfgrpo.readers.row import numbered
from tfgrpo.types import Usage

BASELINES = ("without", "before", "baseline", "base", "none", "off", "control", "empty", "old", "main")
"""Names by which an arm is taken to be the one without the text."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How stored results are to be compared."""

    path: Path
    against: Path | None = None
    """Results without the text; None where `path` holds both."""
    baseline: str | None = None
    """Which arm is the one without the text, where one file holds several."""
    metric: str | None = None
    """Which score; None takes the main one."""
    range: tuple[float, float] | None = None
    """Least and largest possible score; None takes 0 to 1, or what is observed where that is wider."""
    form: str | None = None
    regrade: Callable[[Sequence[Row]], tuple[Row, ...]] | None = None
    """Gives rows without a score one."""
    alpha: float = 0.05
    detect: float | None = None


@dataclass(frozen=True, slots=True)
class Arms:
    """Two sets of rows that are to be paired."""

    name: str
    against: str
    given: tuple[Row, ...]
    without: tuple[Row, ...]


def replay(asked: Asked) -> Proof:
    """Return the proof that stored results give.

    Raises:
        UsageError: nothing to pair: no results, no second arm, no such metric, or no item in common.
        BadRow: a file that cannot be parsed.
    """
    began = time.monotonic()
    stored = read(asked.path, asked.form)
    other = read(asked.against, asked.form) if asked.against else None
    if asked.regrade is not None:
        stored = replace(stored, rows=numbered(asked.regrade(stored.rows)))
        other = replace(other, rows=numbered(asked.regrade(other.rows))) if other else None
    arms = _against(stored, other) if other else _within(stored, asked.baseline)
    if asked.metric:
        arms = [replace(a, given=_by(a.given, asked.metric), without=_by(a.without, asked.metric)) for a in arms]
    low, high, notes = _range(asked, [row for a in arms for row in (*a.given, *a.without)])
    paired = [(a, *_paired(a, low, high)) for a in arms]
    unpaired = _unpaired(paired, stored, other)
    if not any(pairs for _, pairs, _ in paired):
        raise UsageError(_nothing(arms[0]))
    if unpaired["without_score"] == sum(len(pairs) for _, pairs, _ in paired):
        raise UsageError(f"no result of {asked.path} has a score; give tasks and a grader: --on TASKS --grader exact")
    found = {Question(a.name, a.against): pairs for a, pairs, _ in paired}
    courses = {q: _course(pairs, asked.alpha, len(found)) for q, pairs in found.items()}
    states = apply_holm(courses, asked.alpha)
    floor = _floor(arms, low, high)
    findings = [
        finding(q, states[q], pairs, touch=_all(pairs), detect=asked.detect, floor=floor, fixed=True)
        for q, pairs in found.items()
    ]
    return Proof(
        tuple(findings),
        floor,
        told={
            "replay": str(asked.path),
            "against": str(asked.against) if asked.against else findings[0].against,
            "formats": list(dict.fromkeys((*stored.formats, *(other.formats if other else ())))),
            "metric": asked.metric,
            "alpha": asked.alpha,
            "detect": asked.detect,
            "texts": [f.name for f in findings],
        },
        unpaired=unpaired,
        calls={"new": 0, "replayed": 0},
        notes=(*notes, *stored.skipped, *(other.skipped if other else ())),
        seconds=time.monotonic() - began,
    )


def _course(pairs: Sequence[Pair], alpha: float, questions: int) -> Course:
    """Return the course of one look at everything there is: all of the error is spent on it."""
    there = max(len(by_problem(pairs)), 1)
    return Course(Design(there, alpha, pairs=there).plan(questions)).looked(pairs)


def _against(stored: Stored, other: Stored) -> list[Arms]:
    """Two places are one arm each; two files with the same several arms are compared arm by arm."""
    files = stored.path.is_file() and other.path.is_file()
    if files and len(stored.arms) > 1 and set(stored.arms) == set(other.arms):
        return [Arms(arm, f"{arm} of {other.path}", _of(stored, arm), _of(other, arm)) for arm in stored.arms]
    return [Arms(str(stored.path), str(other.path), stored.rows, other.rows)]


def _within(stored: Stored, baseline: str | None) -> list[Arms]:
    if stored.formats == ("replay",):
        names = dict.fromkeys(arm.rpartition("/")[0] for arm in stored.arms)
        return [Arms(n, f"{n}/before", _of(stored, f"{n}/after"), _of(stored, f"{n}/before")) for n in names]
    arms = stored.arms
    if len(arms) < 2:
        raise UsageError(
            f"{stored.path} holds one run; give the other one with --against PATH, or a file with two arms"
        )
    first = _baseline(arms, baseline)
    if first is None and baseline is None:
        raise UsageError(f"which of {', '.join(map(repr, arms))} is without the text? Give --baseline NAME")
    if first is None:
        raise UsageError(f"no arm {baseline!r} in {stored.path}; there are: {', '.join(map(repr, arms))}")
    return [Arms(arm, first, _of(stored, arm), _of(stored, first)) for arm in arms if arm != first]


def _baseline(arms: Sequence[str], given: str | None) -> str | None:
    """Return the arm that is without the text: the one with this name, or the only one whose name begins with it.

    Without a name it is the one that is called as baselines are; tools write `LABEL: FILE: WORDS` for a prompt.
    """
    if given is not None:
        alike = [arm for arm in arms if arm == given] or [arm for arm in arms if arm.startswith(given)]
    else:
        alike = [arm for arm in arms if arm.lower() in BASELINES]
        alike = alike or [arm for arm in arms if Path(re.split(r"[:|]", arm.lower())[0].strip()).stem in BASELINES]
    return alike[0] if len(alike) == 1 or (alike and given is None and alike[0].lower() in BASELINES) else None


def _of(stored: Stored, arm: str) -> tuple[Row, ...]:
    return tuple(row for row in stored.rows if row.arm == arm)


def _by(rows: Sequence[Row], metric: str) -> tuple[Row, ...]:
    known = dict.fromkeys(name for row in rows for name in row.scores)
    if metric not in known:
        raise UsageError(f"no score {metric!r} in these results; there are: {', '.join(known) or 'none'}")
    return tuple(row.by(metric) for row in rows)


def _range(asked: Asked, rows: Sequence[Row]) -> tuple[float, float, tuple[str, ...]]:
    """Return the range of the scores, and a note where it was taken from the scores themselves."""
    scores = [row.score for row in rows if row.score is not None]
    if asked.range is not None:
        low, high = asked.range
        if not low < high:
            raise UsageError(f"--range is LEAST,LARGEST, not {low:g},{high:g}")
        outside = [s for s in scores if not low <= s <= high]
        if outside:
            raise UsageError(f"a score of {outside[0]:g} is outside of --range {low:g},{high:g}")
        return low, high, ()
    low, high = min([0.0, *scores]), max([1.0, *scores])
    if (low, high) == (0.0, 1.0):
        return low, high, ()
    return (
        low,
        high,
        (f"scores go from {low:g} to {high:g}; effects are in parts of that range (say --range to fix it)",),
    )


def _paired(arms: Arms, low: float, high: float) -> tuple[list[Pair], dict[str, int]]:
    """Return the pairs by item id, trials in their order, and what has no partner."""
    sides: tuple[dict[str, list[Row]], dict[str, list[Row]]] = (defaultdict(list), defaultdict(list))
    for where, rows in zip(sides, (arms.given, arms.without), strict=True):
        for row in rows:
            where[row.id].append(row)
    given, without = sides
    pairs = []
    for item in given:
        if item in without:
            pairs += _trials(item, without[item], given[item], low, high)
    gone = {
        "only_with": sum(item not in without for item in given),
        "only_without": sum(item not in given for item in without),
    }
    return pairs, gone


def _trials(item: str, without: Sequence[Row], given: Sequence[Row], low: float, high: float) -> list[Pair]:
    """Return one pair per trial where both sides have as many, else one pair of the means."""
    question = given[0].question or without[0].question
    if len(without) == len(given):
        both = zip(without, given, strict=True)
        return [Pair(item, question, _side([w], low, high), _side([g], low, high), i) for i, (w, g) in enumerate(both)]
    return [Pair(item, question, _side(without, low, high), _side(given, low, high))]


def _side(rows: Sequence[Row], low: float, high: float) -> Side:
    scores = [row.score for row in rows if row.score is not None]
    tokens = sum(row.tokens or 0 for row in rows)
    seconds = [row.seconds for row in rows if row.seconds is not None]
    usd = [row.usd for row in rows if row.usd is not None]
    return Side(
        (fmean(scores) - low) / (high - low) if scores else math.nan,
        "" if scores else next((row.failure for row in rows if row.failure), "no score"),
        rows[0].text,
        Usage(completion_tokens=tokens, usd=sum(usd) if usd else None),
        fmean(seconds) if seconds else None,
    )


def _unpaired(
    paired: Sequence[tuple[Arms, list[Pair], dict[str, int]]], stored: Stored, other: Stored | None
) -> dict[str, Any]:
    """Return in numbers and words what could not be paired."""
    return {
        "only_with": sum(gone["only_with"] for _, _, gone in paired),
        "only_without": sum(gone["only_without"] for _, _, gone in paired),
        "without_score": sum(math.isnan(p.difference) for _, pairs, _ in paired for p in pairs),
        "files": len(stored.skipped) + (len(other.skipped) if other else 0),
    }


def _nothing(arms: Arms) -> str:
    some, others = [list(dict.fromkeys(row.id for row in rows))[:3] for rows in (arms.given, arms.without)]
    told = f"{', '.join(some)} against {', '.join(others)}"
    return f"no item is in both {arms.name!r} and {arms.against!r} (ids: {told}); results are paired by item id"


def _all(pairs: Sequence[Pair]) -> Touch:
    return Touch(frozenset(pair.id for pair in pairs), "all")


def _floor(arms: Sequence[Arms], low: float, high: float) -> Floor:
    """Return what trials of the same arm differ by: later half against earlier half, where items were tried twice."""
    rows: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for arm in {a.against: a for a in arms}.values():
        for row in arm.without:
            if row.score is not None:
                rows[arm.against, row.id].append(row)
    several = {key: found for key, found in rows.items() if len(found) > 1}
    halves = {key: (found[: len(found) // 2], found[-(len(found) // 2) :]) for key, found in several.items()}
    changes = {
        key: (_side(later, low, high).reward - _side(earlier, low, high).reward)
        for key, (earlier, later) in halves.items()
    }
    flaky = [item for (_, item), found in several.items() if len({row.score for row in found}) > 1]
    return floor_of(list(changes.values()), flaky)


def floor_of(changes: Sequence[float], flaky: Sequence[str]) -> Floor:
    """Return the floor that changes between two tries of the same problems make."""
    if not changes:
        return Floor()
    found = stats.paired_difference([0.0] * len(changes), changes)
    ends = (found.low, found.high) if math.isfinite(found.low) else (None, None)
    return Floor(
        len(changes),
        fmean(changes),
        ends,
        fmean(map(abs, changes)),
        tuple(dict.fromkeys(flaky)),
        fmean(d * d for d in changes),
    )
