"""What the handlers share: the open database, the templates, who is signed in, and words for the next page."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from jinja2 import ChoiceLoader, Environment, PackageLoader
from markupsafe import Markup

from experience_db import Source, Store
from tfgrpo.lessons.review import WAITS
from tfgrpo.report import page, svg
from tfgrpo.ui.access import Access
from tfgrpo.version import __version__

if TYPE_CHECKING:
    from aiohttp import web

PASSING = ("note", "lesson")
"""Parts of a query that say how to come to a page, and do not belong into its links to others."""
MOST_NOTES = 50
"""Notes that wait for the page they are shown on; older ones are forgotten."""


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence for the next page: what was done, or why it was not."""

    text: str
    good: bool = True
    kept: Mapping[str, str] = field(default_factory=dict)
    """What a refused form held, so that nobody has to write it again."""


@dataclass(slots=True)
class Site:
    """One server's state."""

    db: Path
    access: Access
    store: Store
    """Open for reading; other processes, and our own edits, write through connections of theirs."""
    templates: Environment
    notes: dict[str, Note] = field(default_factory=dict)
    streams: int = 0
    """Pages that follow the database by server-sent events now."""

    def keep(self, note: Note) -> str:
        """Keep a note for the next page and return its key."""
        while len(self.notes) >= MOST_NOTES:
            self.notes.pop(next(iter(self.notes)))
        key = secrets.token_urlsafe(8)
        self.notes[key] = note
        return key

    def waiting(self) -> int:
        """How many edits wait for a person, in all libraries."""
        return sum(self.store.waiting_count(begins=WAITS).values())


def open_site(db: Path, access: Access) -> Site:
    """Open the database for reading; raises what `Store.open` raises."""
    return Site(db, access, Store.open(db, readonly=True), environment())


def environment() -> Environment:
    """Return the templates: those of this folder, and the parts of the report, all escaped alike."""
    made = page.environment()
    made.loader = ChoiceLoader([PackageLoader("tfgrpo.ui"), PackageLoader("tfgrpo.report")])
    made.globals |= {
        "url": url,
        "link": source_link,
        "group_url": group_url,
        "interval": functools.partial(_interval, (-1.0, 1.0)),
        "axis_head": svg.axis((-1.0, 1.0)),
    }
    return made


def url(*parts: object, **query: object) -> str:
    """Return a path of quoted parts, with the query's non-empty values."""
    kept = {key: value for key, value in query.items() if value not in (None, "")}
    path = "/" + "/".join(quote(str(part), safe="") for part in parts)
    return f"{path}?{urlencode(kept)}" if kept else path


def group_url(run: str, step: int, problem_id: str) -> str:
    """Return the page of one group; a problem's id may hold any sign, so it goes into the query."""
    return url("run", run, "group", step=step, problem=problem_id)


def source_link(source: Source, rollout: int | None = None) -> str:
    """Return where the group that a source names can be read; '' for a source without a run."""
    if not source.run:
        return ""
    return group_url(source.run, source.step, source.problem_id) + ("" if rollout is None else f"#r-0-0-{rollout}")


def effect_axis(values: list[float | None]) -> Mapping[str, Any]:
    """Return the axis that all effects of a page share: `interval` draws one, `axis_head` its numbers."""
    bounds = svg.extent(values, include=(-0.1, 0.1))
    return {"interval": functools.partial(_interval, bounds), "axis_head": svg.axis(bounds)}


def _interval(bounds: tuple[float, float], e: Any) -> Markup:
    return svg.interval(e.estimate, e.low, e.high, bounds, hollow=len(e.lesson_ids) > 1)


def render(site: Site, request: web.Request, template: str, /, code: int = 200, **values: Any) -> web.Response:
    """Return a page as an answer."""
    from aiohttp import web  # noqa: PLC0415

    note = site.notes.pop(request.query.get("note", ""), None)
    cookie = request.cookies.get(cookie_name(request), "")
    signed_in = site.access.signed_in(cookie)
    text = site.templates.get_template(template).render(
        tool=__version__,
        db=site.db.name,
        path=request.path,
        query={key: value for key, value in request.query.items() if key not in PASSING},
        here=str(request.rel_url.without_query_params("note")),
        note=note,
        signed_in=signed_in,
        form_key=site.access.form_key if signed_in else "",
        waiting_in_all=site.waiting(),
        q=values.pop("q", ""),
        **values,
    )
    return web.Response(text=text, content_type="text/html", charset="utf-8", status=code)


def cookie_name(request: web.Request) -> str:
    """Return the cookie of this server: browsers share cookies between the ports of one host."""
    return f"tfgrpo_ui_{request.url.port}"


def number_in(text: str | None, default: int | None = None) -> int | None:
    """Return a whole number from a query that a database can hold; `default` for anything else."""
    with suppress(ValueError, TypeError):
        number = int(text or "")
        return number if abs(number) < 2**62 else default
    return default
