"""What a person reads: progress while it runs, and the page at the end."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from experience_db import Evidence, Lesson, RoleUsage, Store, effect_of, own_words
from tfgrpo import stats
from tfgrpo.api import LearnResult
from tfgrpo.learning import diagnosis
from tfgrpo.learning.record_step import count_each
from tfgrpo.learning.setup import Setup
from tfgrpo.lessons.scanners import visible
from tfgrpo.types import Step

MOST_REASONS = 8
"""Edits of each decision that are listed one by one at the end of a run."""


def print_learned(result: LearnResult, setup: Setup) -> None:
    """Print what was learned, the evidence for it, what it cost and what to do next."""
    s = result.summary
    _heldout(s["heldout"])
    edits = s["edits"]
    twins = edits["proposed"] - sum(edits[name] for name in ("accepted", "rejected", "undecided", "untested"))
    typer.echo(
        f"edits: {edits['proposed']} proposed, {edits['accepted']} accepted, {edits['rejected']} rejected, "
        f"{edits['undecided']} undecided, {edits['untested']} untested, {edits['malformed']} malformed"
        + (f"; {twins} joined with the same edit of another group" if twins > 0 else "")
    )
    _reasons(result.steps)
    _false_lessons(s["false_lessons"], edits["accepted"])
    for warning in s["warnings"]:
        typer.echo(f"warning: {warning}")
    with Store.open(setup.db, readonly=True) as store:
        found = store.library(s["library"], s["version"]).lessons
        typer.echo(f"\nlibrary {s['library']!r}, version {s['version']}: {lesson_count(len(found))}")
        for lesson in found:
            known = own_words(store.evidence(s["library"], lesson.id), lesson.changed)
            typer.echo(lesson_line(lesson, known))
        used = store.usage(next((run.id for run in [store.find_run(s["run"])] if run), s["run"]))
    _why(result)
    _bill(s, used)
    _next(s, setup)


def lesson_line(lesson: Lesson, evidence: Sequence[Evidence]) -> str:
    """Return one lesson with its best evidence and its sources."""
    problems = list(dict.fromkeys(source.problem_id for source in lesson.sources))
    origin = f"from {len(problems)} problem{'s' if len(problems) != 1 else ''}" if problems else "written by hand"
    origin += "; tainted by tool output" if lesson.tainted else ""
    return f"  [{lesson.id}] {visible(' '.join(lesson.text.split()))}\n      {effect_in_words(evidence)}; {origin}"


def effect_in_words(evidence: Sequence[Evidence]) -> str:
    """Return the newest measured effect in words."""
    from tfgrpo.report import numbers

    e = effect_of(evidence)
    if e is None or e.estimate is None:
        return "no effect measured yet"
    interval = f" [{e.low:+.2f}, {e.high:+.2f}]" if e.low is not None and e.high is not None else ""
    models = {m for item in evidence if (m := item.detail.get("model"))}
    by = f" with {e.detail['model']}" if len(models) > 1 and "model" in e.detail else ""
    with_others = f", together with {len(e.lesson_ids) - 1} others" if len(e.lesson_ids) > 1 else ""
    where = f" {told}" if (told := numbers.where(e)) else ""
    return f"effect {e.estimate:+.2f}{interval}{where} ({e.kind}{by}, n={e.n}{with_others})"


def _heldout(h: Mapping[str, Any] | None) -> None:
    if h is None:
        typer.echo("held-out reward was not measured")
        return
    before = f"{number_text(h['before'])} {_span(h['before_ci'])} before"
    typer.echo(f"held-out reward: {before}, {number_text(h['after'])} {_span(h['after_ci'])} after")
    p = ", on the problems that chose the lessons" if h["selected_on"] else f", p={_p(h['p'])}"
    typer.echo(f"difference:      {number_text(h['diff'], '+')} {_span(h['ci'], '+')}, n={h['n']}{p}")
    if chosen := h.get("chosen_on"):
        moved = f"{number_text(chosen['before'])} before, {number_text(chosen['after'])} after, n={chosen['n']}"
        typer.echo(f"                 these never met the gate; on those that chose the lessons: {moved}")
    for name, value in (h.get("objectives") or {}).items():
        typer.echo(f"  {name}: {number_text(value['before'])} before, {number_text(value['after'])} after")
    if not _clear(h["ci"]):
        typer.echo(f"                 this is inside its noise; {stats.power_note(h['n'])}")


def _false_lessons(rule: Mapping[str, Any] | None, accepted: int) -> None:
    """Say how many false lessons to expect, from the gate's error rule."""
    if rule is None or not rule["tests"]:
        return
    what = (
        f"{rule['tests']} tests at level {rule['alpha']:g} each"
        if rule["rule"] == "fixed"
        else f"a false discovery rate of {rule['alpha']:g}"
    )
    typer.echo(f"  expect at most {rule['at_most']:.2g} false lessons among the {accepted} accepted: {what}")


def _p(p: float | None) -> str:
    return "<0.001" if p is not None and p < 0.001 else number_text(p)


def _span(ends: Sequence[float | None], sign: str = "") -> str:
    return f"[{number_text(ends[0], sign)}, {number_text(ends[1], sign)}]"


def _clear(ends: Sequence[float | None]) -> bool:
    """Whether an interval excludes 0."""
    low, high = ends
    return low is not None and high is not None and (low > 0 or high < 0)


def _reasons(steps: Sequence[Step]) -> None:
    """Print what the gate decided, edit by edit, and what the checks in code refused in one line."""
    decided = [v for step in steps for v in step.verdicts if v.evidence and v.edits]
    decided += [v for step in steps for v in step.verdicts if v.decision == "untested" and not v.evidence]
    for decision in ("accepted", "rejected", "undecided", "untested"):
        those = [v for v in decided if v.decision == decision]
        for verdict in those[-MOST_REASONS:]:
            for edit in verdict.edits:
                what = edit.text or f"lesson {', '.join(map(str, edit.ids))}"
                typer.echo(f"  {decision}: {edit.op.value} {what!r}: {verdict.reason}")
        if len(those) > MOST_REASONS:
            typer.echo(f"  ... and {len(those) - MOST_REASONS} more {decision}")
    told = ("accepted", "untested")
    refused = [v for step in steps for v in step.verdicts if v.decision not in told and not v.evidence]
    unseen = count_each(re.sub(r"\d+", "N", v.reason) for v in refused)
    if unseen:
        typer.echo("  without a trial: " + "; ".join(f"{n} x {why}" for why, n in unseen.items()))


def _why(result: LearnResult) -> None:
    """Print why nothing was learned, or nothing that can be seen, and what mends it."""
    if result.summary["stopped"] or not diagnosis.needs_explaining(result.summary):
        return
    typer.echo(f"\nwhat became of it: {diagnosis.funnel(result.summary, result.steps)}")
    for number, cause in enumerate(diagnosis.likely_causes(result.summary, result.steps), 1):
        typer.echo(f"  {number}. {visible(cause.said)}\n     -> {cause.remedy}")


def _bill(s: Mapping[str, Any], used: Mapping[str, RoleUsage]) -> None:
    """Print what the run cost, then what of it went into learning and what into proof."""
    from tfgrpo.report import numbers

    rows = numbers.costs(used, s["calls"])
    bill = numbers.subtotal(rows)
    money = "price unknown" if bill.usd is None else f"{bill.usd:.2f} USD"
    tokens = f"{bill.prompt_tokens:,} prompt and {bill.completion_tokens:,} completion tokens"
    typer.echo(f"\ncost: {bill.calls} calls; {tokens}; {money}; {s['seconds']:.1f} s")
    for part in numbers.ORDER:
        those = [row for row in rows if row.part == part]
        if those:
            roles = ", ".join(
                f"{c.role} {c.calls}" + (f" (+{c.replayed} replayed)" if c.replayed else "") for c in those
            )
            cost = numbers.subtotal(those)
            usd = "" if not cost.usd else f"; {cost.usd:.2f} USD"
            tokens = f"{cost.prompt_tokens:,} + {cost.completion_tokens:,} tokens"
            typer.echo(f"  {part}: {cost.calls} calls ({roles}); {tokens}{usd}")


def _next(s: Mapping[str, Any], setup: Setup) -> None:
    db = f" --db {setup.db}" if str(setup.db) != "experience.db" else ""
    name = f" --library {s['library']}" if s["library"] != "default" else ""
    typer.echo("\nnext:")
    typer.echo(f"  tfgrpo lessons list{name}{db}")
    typer.echo(f"  tfgrpo eval FILE --grader G --model {setup.model} --library {s['library']}{db} --control empty")
    typer.echo("  tfgrpo learn YOUR.jsonl --grader exact --model openai/NAME [--base-url http://HOST:PORT/v1]")


CONTROL_MEANINGS = {
    "same": "the library on other seeds",
    "empty": "no lessons",
    "filler": "as many words that say nothing",
    "shuffled": "its words in random order",
    "tips": "lessons written without attempts",
    "best-of-n": "no lessons, more rollouts at the same cost",
}
NEUTRAL = 0.1
"""A filler whose mean is further from that of no lessons has an effect of its own."""


def print_evaluation(s: Mapping[str, Any]) -> None:
    """Print an evaluation and its controls."""
    typer.echo(
        f"{s['dataset']}, library {s['library']} version {s['version']}, {s['model']}: "
        f"mean@{s['k']} {number_text(s['mean'])} {_span(s['ci'])}, n={s['problems']}"
    )
    if s["k"] > 1:
        typer.echo("pass@k: " + ", ".join(f"{k}: {v:.3f}" for k, v in s["pass_at"].items()))
        typer.echo("pass^k: " + ", ".join(f"{k}: {v:.3f}" for k, v in s["pass_hat"].items()))
    for name, c in s["controls"].items():
        if c.get("failure"):
            typer.echo(f"control {name}: could not be made: {c['failure']}")
            continue
        noise = "" if _clear(c["diff_ci"]) else "; inside its noise"
        typer.echo(
            f"control {name} ({CONTROL_MEANINGS[name]}): {number_text(c['mean'])} "
            f"{_span(c['ci'])}; library minus control "
            f"{number_text(c['diff'], '+')} {_span(c['diff_ci'], '+')}, p={_p(c['p'])}{noise}"
        )
        if "spend" in c:
            _spend(c)
    means = {name: s["controls"].get(name, {}).get("mean") for name in ("empty", "filler")}
    if None not in means.values() and abs(means["filler"] - means["empty"]) >= NEUTRAL:
        typer.echo(
            f"the filler is not neutral here: {means['filler'] - means['empty']:+.3f} against no lessons; judge the "
            "library by same and empty"
        )
    if s["failures"]:
        typer.echo("without a score: " + ", ".join(f"{n} {kind}" for kind, n in s["failures"].items()))
    typer.echo(stats.power_note(s["problems"]))


def _spend(c: Mapping[str, Any]) -> None:
    """Print what a control cost beside the library, and what it was."""
    spent = c["spend"]
    per, library = f"{spent['control']:.4g} {spent['unit']} a", f"{spent['library']:.4g} with lessons"
    if "n" in c:
        typer.echo(
            f"  n={c['n']}: {per} problem, {library}; the best of them, were it known: {number_text(c['oracle'])}"
        )
    else:
        typer.echo(f"  {per} rollout, {library}; the tips: {' | '.join(c['lessons'])}")


def print_matrix(s: Mapping[str, Any]) -> None:
    """Print several libraries and models side by side, and what differs."""
    typer.echo(f"{s['dataset']}: mean@{s['k']} over {s['problems']} problems")
    width = max(len(model) for model in s["models"]) + 2
    typer.echo(" " * width + "".join(f"{name:26}" for name in s["libraries"]).rstrip())
    for place, model in enumerate(s["models"]):
        row = s["cells"][place * len(s["libraries"]) :][: len(s["libraries"])]
        numbers = (f"{number_text(cell['mean'])} {_span(cell['ci'])}" for cell in row)
        typer.echo(f"{model:{width}}" + "".join(f"{cell:26}" for cell in numbers).rstrip())
    for c in s["comparisons"]:
        one, other = c["after"], c["before"]
        same = one["model"] == other["model"]
        sides = (one["library"], other["library"]) if same else (one["model"], other["model"])
        where = f" ({one['model']})" if same and len(s["models"]) > 1 else "" if same else f" ({one['library']})"
        typer.echo(f"{sides[0]} minus {sides[1]}{where}: {c['said'].replace(' than before', '')}")
    typer.echo(s["power"])


def number_text(value: float | None, sign: str = "") -> str:
    """Return a number for a table, with `sign` "+" always signed; a dash where there is none."""
    return "-" if value is None or math.isnan(value) else f"{value + 0.0:{sign}.3f}"


def lesson_count(count: int) -> str:
    """Return `1 lesson`, `2 lessons`."""
    return f"{count} lesson{'' if count == 1 else 's'}"
