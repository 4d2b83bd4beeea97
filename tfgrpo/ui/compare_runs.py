"""Two runs side by side: what was set differently, what came of it, and the problems that both attempted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tfgrpo.report import formatting, svg
from tfgrpo.ui.run_views import RunView, view_run
from tfgrpo.ui.state import Site, number_in, render

if TYPE_CHECKING:
    from aiohttp import web

PAGE = 50


async def compare(site: Site, request: web.Request) -> web.Response:
    """Show two runs, given as `a` and `b`, or as `run` twice; a form asks for them where they are missing."""
    query = request.query
    given = [query.get("a"), query.get("b")] if query.get("a") else query.getall("run", [])[:2]
    names = [name for name in given if name]
    choice = site.store.run_rows(limit=200).rows
    if len(names) < 2:
        return render(site, request, "compare.html.jinja", both=None, choice=choice, a=names[0] if names else "", b="")
    a, b = (view_run(site.store, name) for name in names)
    at = max(number_in(query.get("page"), 1) or 1, 1)
    problems = site.store.problems_side_by_side(a.run.id, b.run.id, limit=PAGE, offset=PAGE * (at - 1))
    return render(
        site, request, "compare.html.jinja", both=[_side(site, view) for view in (a, b)], choice=choice,
        a=a.run.id, b=b.run.id, differences=differences(a, b), problems=problems, at=at,
        pages=max(1, -(-problems.total // PAGE)),
    )  # fmt: skip


def differences(a: RunView, b: RunView) -> list[tuple[str, str, str]]:
    """Return the keys of two configurations whose values differ, as (key, of a, of b)."""
    one, other = (dict([("dataset", view.run.dataset), *formatting.flat(view.run.config)]) for view in (a, b))
    keys = dict.fromkeys([*one, *other])
    rows = [(key, one.get(key, formatting.NONE), other.get(key, formatting.NONE)) for key in keys]
    return [row for row in rows if row[1] != row[2]]


def _side(site: Site, view: RunView) -> dict[str, Any]:
    return {
        "view": view,
        "run": view.run,
        "curve": svg.learning_curve(view.points, view.headline),
        "outcomes": site.store.edits_of_run(view.run.id, 50),
    }
