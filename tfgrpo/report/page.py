"""The report as one HTML file that loads nothing: Jinja with everything escaped, and a policy that forbids the rest."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from experience_db import Evidence
from experience_db.records import where_measured
from tfgrpo.report import formatting, numbers, svg
from tfgrpo.report.browse import Browser, browser, source_anchor, source_link
from tfgrpo.report.data import Report
from tfgrpo.report.gather import gate_kind
from tfgrpo.report.tree import tree

SECTIONS = (
    ("result", "Result"),
    ("curve", "Learning curve"),
    ("funnel", "From groups to lessons"),
    ("lessons", "Lessons"),
    ("refused", "Edits not applied"),
    ("lineage", "Candidates"),
    ("versions", "Versions"),
    ("rollouts", "Rollouts"),
    ("cost", "Cost"),
    ("failures", "Failures"),
    ("controls", "Evaluations"),
    ("setup", "Configuration"),
)
LEARNING = {"curve", "funnel", "refused", "lineage", "versions", "rollouts"}
MEANINGS = {
    "kept": "the rewards differ, so the group can teach",
    "flat": "all rewards are the same: nothing to contrast",
    "failed": "fewer than two rollouts could be graded",
    "filtered": "left out by a selection rule",
    "accepted": "now in the library",
    "rejected": "by the gate, or by a check in code before any trial",
    "undecided": "not applied: the evidence did not suffice, or they wait for a review",
}


def to_html(report: Report, *, everything: bool = False) -> str:
    """Return the page; `everything` shows all groups in full, however large that gets."""
    page = environment().get_template("page.html.jinja")
    return page.render(page_context(report, browser(report, everything=everything)))


def environment() -> Environment:
    """Return the Jinja environment of the reports: everything escaped, invisible characters shown."""
    made = Environment(
        loader=PackageLoader("tfgrpo.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=make_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        name: getattr(formatting, name)
        for name in ("number", "signed", "money", "when", "duration", "thousands", "one_line", "file_name")
    }
    made.filters |= {"p_value": formatting.p_value, "json": functools.partial(json.dumps, ensure_ascii=False)}
    names = ("ends", "plural", "how", "facts", "flat", "word_diff", "rewards", "reasons")
    made.globals |= {name: getattr(formatting, name) for name in names}
    made.globals |= {
        "best": numbers.present_effect,
        "effect_words": numbers.effect_words,
        "where": where_measured,
        "bar": svg.bar,
        "counts": counts,
    }
    return made


def make_visible(value: Any) -> Any:
    """Show what would be invisible; markup of our own passes."""
    return formatting.visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def counts(table: Mapping[str, int]) -> str:
    """Return `7 kept, 5 flat`, or a dash."""
    return ", ".join(f"{n} {name}" for name, n in table.items() if n) or formatting.NONE


def page_context(report: Report, shown: Browser) -> dict[str, Any]:
    """Return everything that the templates name."""
    decided = (report.funnel.accepted, report.funnel.rejected, report.funnel.undecided)
    return {
        "report": report,
        "run": report.run,
        "browser": shown,
        "gate": gate_kind(report.run),
        "sections": sections(report),
        "meanings": MEANINGS,
        "groups_total": sum(report.funnel.groups.values()),
        "edits_total": sum(decided),
        "rollouts": sum(len(group["rollouts"]) for group in report.groups),
        "tokens": sum(story.tokens for story in report.lessons),
        "proved": [item for item in report.refused if item.evidence],
        "unproved": [item for item in report.refused if not item.evidence],
        "bill": numbers.subtotal(report.costs),
        "parts": cost_parts(report),
        "place": functools.partial(source_anchor, run=report.run.id, browser=shown),
        "link": functools.partial(source_link, run=report.run.id, browser=shown),
        **plots(report),
        **assets(),
    }


def sections(report: Report) -> dict[str, str]:
    """Return anchor -> title of the parts that this run can have: an evaluation has no learning curve."""
    learned = report.run.kind == "learn" or report.points or report.refused
    shown = {anchor: title for anchor, title in SECTIONS if learned or anchor not in LEARNING}
    return {anchor: title for anchor, title in shown.items() if anchor != "lineage" or report.kin}


def cost_parts(report: Report) -> list[tuple[str, list[Any], Any]]:
    """Return (part, its rows, their sum) for each part that has rows, and the sum of all at the end."""
    parts = [(part, [row for row in report.costs if row.part == part]) for part in ("learning", "proving", "other")]
    told = [(part, rows, numbers.subtotal(report.costs, part)) for part, rows in parts if rows]
    return [*told, ("", [], numbers.subtotal(report.costs))]


def plots(report: Report) -> dict[str, Any]:
    """Return the plots, and functions that draw one line on an axis that all effects of the page share."""
    told = [e for story in report.lessons for e in (*story.evidence, *story.tried)]
    told += [e for item in report.refused for e in item.evidence]
    effects = svg.extent([v for e in told for v in (e.estimate, e.low, e.high)], include=(-0.1, 0.1))
    h = report.headline
    values = [h.before, *h.before_ci, h.after, *h.after_ci, h.diff, *h.ci]
    values += [v for m in report.evaluations for v in (m.mean, m.low, m.high)]
    rewards = svg.extent(values, include=(0.0, 1.0))

    def effect(e: Evidence) -> Markup:
        return svg.interval(e.estimate, e.low, e.high, effects, hollow=len(e.lesson_ids) > 1)

    def reward(value: float | None, ends: tuple[float | None, float | None], *, zero: bool = False) -> Markup:
        return svg.interval(value, *ends, rewards, zero=zero)

    return {
        "curve": svg.learning_curve(report.points, h),
        "tree": tree(report.kin),
        "axis_head": svg.axis(effects),
        "reward_head": svg.axis(rewards),
        "interval": effect,
        "reward": reward,
    }


def assets() -> dict[str, Any]:
    """Return style, script, and the policy under which only this very script runs."""
    loader = environment().loader
    assert loader is not None
    style, script = (loader.get_source(environment(), name)[0] for name in ("style.css", "script.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'"
    )
    return {"style": Markup(style), "script": Markup(script), "policy": policy}  # noqa: S704 - our own files
