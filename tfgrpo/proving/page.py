"""A proof as one self-contained page, as a Markdown comment for a pull request, as a badge, as data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from experience_db.codec import to_json
from tfgrpo.errors import UsageError
from tfgrpo.proving import output
from tfgrpo.proving.proof import Finding, Proof, Verdict

COLOURS = {
    Verdict.HELPS: "#2a7d4f",
    Verdict.HARMS: "#b3261e",
    Verdict.NO_WORTH: "#6b6b6b",
    Verdict.CANNOT_TELL: "#8a6d1d",
}
ENDINGS = (".html", ".htm", ".md", ".markdown", ".svg", ".json")
MOST = 200
"""Problems of a finding that the page shows side by side."""
WIDE = 6.6
"""Width of a character of the badge, in pixels."""


def render_proof(place: Path, proof: Proof, date: str | None = None) -> str:
    """Return what belongs into a file by its ending: .html, .md, .svg or .json; raises UsageError for another one."""
    check_place(place)
    match place.suffix.lower():
        case ".html" | ".htm":
            return html(proof, date)
        case ".md" | ".markdown":
            return markdown(proof)
        case ".svg":
            return badge(proof, date)
        case ".json":
            return to_json(output.summary(proof))
    raise AssertionError("checked before")


def check_place(place: Path) -> None:
    """Raise UsageError for an ending that says nothing, or a folder that is not there; asked before any call."""
    if place.suffix.lower() not in ENDINGS:
        raise UsageError(f"cannot tell what {place} should hold; name a file that ends in .html, .md, .svg or .json")
    if not place.parent.is_dir():
        raise UsageError(f"no folder {place.parent} to write {place.name} to; make it, or name another place with -o")


def html(proof: Proof, date: str | None = None) -> str:
    """Return one page that loads nothing."""
    template = _environment(escape=True).get_template("proof.html.jinja")
    return template.render(_context(proof, date))


def markdown(proof: Proof) -> str:
    """Return a comment for a pull request."""
    return _environment(escape=False).get_template("comment.md.jinja").render(_context(proof, None))


def badge(proof: Proof, date: str | None = None) -> str:
    """Return an SVG badge: verdict, effect, interval, n and date."""
    found = proof.deciding
    said = f"{found.verdict.words} {output.effect_words(found).partition(', p=')[0]}"
    right = f"{said}, {date or today()}"
    left = "tfgrpo prove"
    widths = [round(len(t) * WIDE + 12) for t in (left, right)]
    template = _environment(escape=True).get_template("badge.svg.jinja")
    return template.render(left=left, right=right, widths=widths, colour=COLOURS[found.verdict])


def today() -> str:
    """Return the date in UTC."""
    from datetime import UTC, datetime  # noqa: PLC0415

    return datetime.now(UTC).date().isoformat()


def _context(proof: Proof, date: str | None) -> dict[str, Any]:
    return {
        "proof": proof,
        "deciding": proof.deciding,
        "data": output.summary(proof),
        "colour": COLOURS,
        "rows": {id(f): _rows(f) for f in (*proof.findings, *proof.controls, *proof.beside)},
        "effect": output.effect_words,
        "cost": output.cost_words,
        "rewards": output.reward_words,
        "failures": output.failure_words,
        "noise": [*output.whom(proof), *output.noise(proof)],
        "floor": output.floor_words(proof.floor),
        "short": output.one_line,
        "bar": bar,
        "date": date or today(),
        "most": MOST,
        "id": id,
    }


def _rows(found: Finding) -> list[dict[str, Any]]:
    """Return problems side by side: lost ones first, then won, then those whose reward is the same."""
    order = [*found.lost, *found.won, *(p for p, d in found.differences.items() if not d)]
    rows = []
    for problem in order[:MOST]:
        pair = output.example(found, problem)
        rows.append({"id": problem, "difference": found.differences[problem], "pair": pair})
    return rows


def bar(found: Finding) -> dict[str, float] | None:
    """Return where effect and interval lie on a scale from -1 to 1, in percent; None without them."""
    low, high = found.ci
    if found.effect is None or low is None or high is None:
        return None
    return {"left": 50 + 50 * low, "width": max(50 * (high - low), 0.5), "at": 50 + 50 * found.effect}


def _environment(*, escape: bool) -> Environment:
    made = Environment(
        loader=PackageLoader("tfgrpo.proving"),
        autoescape=escape,  # noqa: S701 - Markdown cells are escaped by their own filter
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["cell"] = cell
    made.filters["pretty"] = lambda value: json.dumps(value, indent=1, ensure_ascii=False, default=str)
    return made


def cell(text: str) -> str:
    """Return a text as code in a cell of a Markdown table: no line break, no bar, no back-tick, no markup."""
    line = output.one_line(str(text), end=True).replace("`", "'").replace("|", "\\|")
    return f"`{line}`" if line else ""
