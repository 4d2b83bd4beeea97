"""What a person reads: progress while it runs, and the page at the end."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import typer

from experience_db import RoleUsage, Store, own_words
from tfgrpo import stats
from tfgrpo.api import LearnResult
from tfgrpo.cli.heldout_words import excludes_zero, heldout_lines, p_text, span_text
from tfgrpo.cli.lesson_words import lesson_count, lesson_line, number_text
from tfgrpo.learning import diagnosis
from tfgrpo.learning.setup import Setup
from tfgrpo.lessons.reasons import counted_reasons
from tfgrpo.lessons.scanners import visible
from tfgrpo.system.redact import without_secrets
from tfgrpo.types import Step

MOST_REASONS = 8
"""Edits of each decision that are listed one by one at the end of a run."""


def print_learned(result: LearnResult, setup: Setup, fields: Mapping[str, str]) -> None:
    """Print what was learned, the evidence for it, what it cost and what to do next."""
    s = result.summary
    typer.echo("\n".join(heldout_lines(s["heldout"])))
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
    _next(s, setup, fields)


def _false_lessons(rule: Mapping[str, Any] | None, accepted: int) -> None:
    """Say how many false lessons to expect, from the gate's error rule."""
    if rule is None or not rule["tests"]:
        return
    what = (
        f"{rule['tests']} tests at level {rule['alpha']:g} each"
        if rule["rule"] == "fixed"
        else f"a false discovery rate of {rule['alpha']:g}"
    )
    few = f"; {rule['few']} of them touch so few problems that this holds for these alone" if rule["few"] else ""
    typer.echo(f"  expect at most {rule['at_most']:.2g} false lessons among the {accepted} accepted: {what}{few}")


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
    unseen = counted_reasons(v.reason for v in refused)
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


def _next(s: Mapping[str, Any], setup: Setup, fields: Mapping[str, str]) -> None:
    db = ["--db", str(setup.db)] if str(setup.db) != "experience.db" else []
    name = ["--library", s["library"]] if s["library"] != "default" else []
    typer.echo("\nnext:")
    typer.echo(f"  {shlex.join(['tfgrpo', 'lessons', 'list', *name, *db])}")
    typer.echo(
        f"  tfgrpo eval FILE {shlex.join([*_asked(setup, fields), '--library', s['library'], *db])} --control empty"
    )
    if setup.model == "tiny":
        typer.echo("  tfgrpo learn YOUR.jsonl --grader exact --model openai/NAME [--base-url http://HOST:PORT/v1]")
    else:
        typer.echo(f"  {shlex.join(['tfgrpo', 'ui', *db])}")


def _asked(setup: Setup, fields: Mapping[str, str]) -> list[str]:
    """Return the options by which other problems are asked and graded like those of a run."""
    words = [word for key, column in fields.items() for word in ("--field", f"{key}={column}")]
    words += ["--grader", setup.grader if isinstance(setup.grader, str) else "G", "--model", setup.model]
    words += [word for url in setup.base_urls for word in ("--base-url", without_secrets(url))]
    told = setup.config.instructions
    return [*words, *(["--instructions", told] if told else [])]


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


def print_evaluation(s: Mapping[str, Any], scored: int) -> None:
    """Print an evaluation and its controls; `scored` of its problems have a score."""
    n = f"{scored} of {s['problems']}" if scored < s["problems"] else str(scored)
    typer.echo(
        f"{s['dataset']}, library {s['library']} version {s['version']}, {s['model']}: "
        f"mean@{s['k']} {number_text(s['mean'])} {span_text(s['ci'])}, n={n}"
    )
    if s["k"] > 1:
        typer.echo("pass@k: " + ", ".join(f"{k}: {v:.3f}" for k, v in s["pass_at"].items()))
        typer.echo("pass^k: " + ", ".join(f"{k}: {v:.3f}" for k, v in s["pass_hat"].items()))
    for name, c in s["controls"].items():
        if c.get("failure"):
            typer.echo(f"control {name}: could not be made: {c['failure']}")
            continue
        noise = "" if excludes_zero(c["diff_ci"]) else "; inside its noise"
        typer.echo(
            f"control {name} ({CONTROL_MEANINGS[name]}): {number_text(c['mean'])} "
            f"{span_text(c['ci'])}; library minus control "
            f"{number_text(c['diff'], '+')} {span_text(c['diff_ci'], '+')}, p={p_text(c['p'])}{noise}"
        )
        if "spend" in c:
            _spend(c)
    means = {name: s["controls"].get(name, {}).get("mean") for name in ("empty", "filler")}
    if means["filler"] is not None and means["empty"] is None:
        typer.echo("whether the filler is neutral was not measured: --control empty,filler does")
    elif None not in means.values() and abs(means["filler"] - means["empty"]) >= NEUTRAL:
        typer.echo(
            f"the filler is not neutral here: {means['filler'] - means['empty']:+.3f} against no lessons; judge the "
            "library by same and empty"
        )
    if "retrieval" in s:
        _retrieval(s["retrieval"])
    if s["failures"]:
        typer.echo("without a score: " + ", ".join(f"{n} {kind}" for kind, n in s["failures"].items()))
    typer.echo(stats.power_note(scored))


def _retrieval(found: Mapping[str, Any]) -> None:
    """Print ways to choose lessons: what each earns, and what its prompts cost."""
    for name, row in found["ways"].items():
        against = "" if row["diff"] is None else f"; {number_text(row['diff'], '+')} {span_text(row['diff_ci'], '+')}"
        typer.echo(f"retrieval {name}: {number_text(row['mean'])} {span_text(row['ci'])}{against}")
        if row["prompt_tokens"] is not None:
            typer.echo(
                f"  about {row['prompt_tokens']:.0f} tokens a prompt: {row['shared_tokens']:.0f} the same in all "
                f"(a prefix cache keeps them), {row['own_tokens']:.0f} new for every problem"
            )
    typer.echo(f"retrieval: {found['why']}")


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
        numbers = (f"{number_text(cell['mean'])} {span_text(cell['ci'])}" for cell in row)
        typer.echo(f"{model:{width}}" + "".join(f"{cell:26}" for cell in numbers).rstrip())
    for c in s["comparisons"]:
        one, other = c["after"], c["before"]
        same = one["model"] == other["model"]
        sides = (one["library"], other["library"]) if same else (one["model"], other["model"])
        where = f" ({one['model']})" if same and len(s["models"]) > 1 else "" if same else f" ({one['library']})"
        typer.echo(f"{sides[0]} minus {sides[1]}{where}: {c['said'].replace(' than before', '')}")
    typer.echo(s["power"])
