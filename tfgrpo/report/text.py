"""The report as Markdown and as JSON: the same Report, for terminals, issues and other programs."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from jinja2 import Environment

from experience_db import codec
from tfgrpo.report import formatting, page
from tfgrpo.report.browse import browser
from tfgrpo.report.data import Report

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~$&])")


def to_json(report: Report) -> str:
    """Return everything behind the page as one JSON object; numbers that do not exist are null."""
    return codec.to_json(asdict(report)) + "\n"


def to_markdown(report: Report, *, everything: bool = False) -> str:
    """Return the report as Markdown; texts by models can neither end their place nor become markup."""
    shown = browser(report, everything=everything)
    text = environment().get_template("report.md.jinja").render(page.page_context(report, shown))
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def environment() -> Environment:
    """Return the Jinja environment of the Markdown report: here the template escapes, by `inline` and `fenced`."""
    made = page.environment()
    made.autoescape = False
    made.filters |= {"inline": inline, "fenced": fenced}
    return made


def inline(value: Any) -> str:
    """Return a text on one line with every sign escaped that Markdown would read, also inside a table cell."""
    return _SPECIAL.sub(r"\\\1", formatting.visible(" ".join(str(value).split())))


def fenced(text: str) -> str:
    """Return a code block whose fence is longer than any fence in the text."""
    ticks = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, ticks + 1)
    return f"{fence}text\n{text}\n{fence}"
