"""The pages: each handler reads what one page shows and renders it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from experience_db import Evidence, Lesson, Store, UnknownRun
from experience_db.pages import GROUP_SORTS, RUN_SORTS
from tfgrpo import report as reports
from tfgrpo.lessons import review as reviewing
from tfgrpo.report import svg
from tfgrpo.report.browse import view_group
from tfgrpo.ui.lesson_rows import SHOWS, SORTS, filter_rows, lesson_rows
from tfgrpo.ui.run_views import RunView, view_run
from tfgrpo.ui.state import Site, effect_axis, group_url, number_in, render

if TYPE_CHECKING:
    from aiohttp import web

PAGE = 50
"""Rows of one page."""
NEAR = 4
"""Versions shown on either side of the one that is looked at."""
LONGEST = 100_000
"""Characters of one text of a rollout on a page."""
MOST_FOUND = 50
"""Lessons of one library that a search shows."""


async def overview(site: Site, request: web.Request) -> web.Response:
    """Libraries, and the runs that came last."""
    latest = site.store.run_rows(limit=10)
    libraries = site.store.library_rows(reviewing.WAITS)
    return render(site, request, "overview.html.jinja", libraries=libraries, runs=latest.rows, total=latest.total)


async def library(site: Site, request: web.Request) -> web.Response:
    """One version of a library: its place in the line, its lessons, and what changed."""
    name, query = request.match_info["name"], request.query
    head = site.store.library(name).version
    version = number_in(query.get("v"), head)
    rows = lesson_rows(site.store, name, version)
    kept = filter_rows(rows, search=query.get("q", ""), shows=query.get("shows", ""), sort=query.get("sort", "number"))
    at = version if version is not None else head
    told = [e for row in rows if (e := row.effect)]
    return render(
        site,
        request,
        "library.html.jinja",
        name=name,
        version=at,
        head=head,
        line=_line(site.store, name, at, head),
        diff=site.store.diff(name, at - 1, at) if at else None,
        rows=kept,
        total=len(rows),
        shows=(*SHOWS, "tainted"),
        sorts=tuple(SORTS),
        waiting=sum(x.reason.startswith(reviewing.WAITS) for x in site.store.pending(name)),
        q=query.get("q", ""),
        **effect_axis([v for e in told for v in (e.estimate, e.low, e.high)]),
    )


def _line(store: Store, name: str, version: int, head: int) -> list[Any]:
    """Return the versions around one, with the first and the last; None stands for those between."""
    wanted = {0, head, *range(max(version - NEAR, 0), min(version + NEAR, head) + 1)}
    found = [v for v in store.versions(name) if v.number in wanted]
    line: list[Any] = []
    for v in found:
        if line and line[-1] is not None and v.number > line[-1].number + 1:
            line.append(None)
        line.append(v)
    return line


async def lesson(site: Site, request: web.Request) -> web.Response:
    """One lesson: its words, what was measured about them, and how they came about."""
    name, lesson_id = request.match_info["name"], number_in(request.match_info["id"], 0) or 0
    story = site.store.blame(name, lesson_id)
    found = sorted(story.evidence, key=lambda e: len(e.lesson_ids) != 1)
    ids = [x.id for x in site.store.library(name)]
    return render(
        site,
        request,
        "lesson.html.jinja",
        name=name,
        lesson_id=lesson_id,
        lesson=story.lesson,
        story=story,
        head=site.store.library(name).version,
        evidence=[e for e in found if e.verdict in ("", "accepted")],
        tried=[e for e in found if e.verdict not in ("", "accepted")],
        before=max((i for i in ids if i < lesson_id), default=None),
        after=min((i for i in ids if i > lesson_id), default=None),
        changed=story.lesson.changed if story.lesson else 0,
        run=None,
        **effect_axis([v for e in found for v in (e.estimate, e.low, e.high)]),
    )


async def export(site: Site, request: web.Request) -> web.Response:
    """A version as a file: JSON with evidence, or a Markdown list."""
    from aiohttp import web  # noqa: PLC0415

    name, version = request.match_info["name"], number_in(request.query.get("v"))
    if request.query.get("format") == "md":
        text, kind, ending = site.store.export_markdown(name, version), "text/markdown", "md"
    else:
        text = json.dumps(site.store.export(name, version), ensure_ascii=False, indent=2)
        kind, ending = "application/json", "json"
    return _download(web.Response(text=text, content_type=kind, charset="utf-8"), f"library.{ending}")


def _download(answer: web.Response, name: str) -> web.Response:
    answer.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


async def review(site: Site, request: web.Request) -> web.Response:
    """What waits for a person, in one library or in all, with what a gate measured and what the scanners found."""
    only, everything = request.query.get("library", ""), request.query.get("all") == "1"
    queues = []
    names = [only] if only else list(site.store.libraries())
    for name in names:
        items = [x for x in site.store.pending(name) if everything or x.reason.startswith(reviewing.WAITS)]
        measured = site.store.evidence(name) if items else ()
        texts: dict[int, Lesson] = {x.id: x for x in site.store.library(name)} if items else {}
        told = [(item, reviewing.findings_about(item), _gate(item, measured)) for item in items[:PAGE]]
        if items or only:
            queues.append({"name": name, "items": told, "total": len(items), "lessons": texts})
    told_all = [e for queue in queues for _, _, found in queue["items"] for e in found]  # type: ignore[attr-defined]
    return render(
        site, request, "review.html.jinja", queues=queues, everything=everything, only=only, run=None,
        **effect_axis([v for e in told_all for v in (e.estimate, e.low, e.high)]),
    )  # fmt: skip


def _gate(item: Any, measured: tuple[Evidence, ...]) -> list[Evidence]:
    return [replace(e, verdict="") for e in measured if reviewing.measured_alone(e, item)]


async def search(site: Site, request: web.Request) -> web.Response:
    """Lessons of all libraries by their words, best match first, and runs by name."""
    words = request.query.get("q", "").strip()
    found = [(name, site.store.search(name, words, MOST_FOUND)) for name in site.store.libraries()] if words else []
    runs = site.store.run_rows(search=words, limit=20) if words else None
    kept = [(name, lessons) for name, lessons in found if lessons]
    return render(site, request, "search.html.jinja", q=words, found=kept, runs=runs)


async def runs(site: Site, request: web.Request) -> web.Response:
    """The runs, searched, filtered and sorted."""
    query = request.query
    given: dict[str, Any] = {key: query.get(key, "") for key in ("status", "kind", "library")}
    sort = query.get("sort", "newest") if query.get("sort") in RUN_SORTS else "newest"
    at = max(number_in(query.get("page"), 1) or 1, 1)
    found = site.store.run_rows(search=query.get("q", ""), **given, sort=sort, limit=PAGE, offset=PAGE * (at - 1))
    return render(
        site, request, "runs.html.jinja", runs=found.rows, total=found.total, pages=_pages(found.total), at=at,
        sorts=tuple(RUN_SORTS), words=site.store.run_words(), libraries=site.store.libraries(), sort=sort,
        q=query.get("q", ""), **given,
    )  # fmt: skip


def _pages(total: int) -> int:
    return max(1, -(-total // PAGE))


async def run(site: Site, request: web.Request) -> web.Response:
    """One run: what it shows so far, its steps, the lessons that came of it, and its groups."""
    view = view_run(site.store, request.match_info["id"])
    query = request.query
    status, sort, at = query.get("status", ""), query.get("sort", "order"), number_in(query.get("page"), 1) or 1
    found = site.store.group_rows(
        view.run.id,
        step=number_in(query.get("step")),
        status=status,
        search=query.get("q", ""),
        sort=sort if sort in GROUP_SORTS else "order",
        limit=PAGE,
        offset=PAGE * (max(at, 1) - 1),
    )
    return render(
        site, request, "run.html.jinja", **_of_run(site, view), groups=found.rows, total=found.total,
        pages=_pages(found.total), at=at, sorts=tuple(GROUP_SORTS), sort=sort, status=status,
        step=query.get("step", ""), q=query.get("q", ""),
    )  # fmt: skip


async def run_live(site: Site, request: web.Request) -> web.Response:
    """The part of a run's page that changes while it goes on."""
    view = view_run(site.store, request.match_info["id"])
    return render(site, request, "run_live.html.jinja", **_of_run(site, view))


def _of_run(site: Site, view: RunView) -> dict[str, Any]:
    return {
        "view": view,
        "run": view.run,
        "curve": svg.learning_curve(view.points, view.headline),
        "outcomes": site.store.edits_of_run(view.run.id),
        "groups_total": sum(view.groups.values()),
    }


async def group(site: Site, request: web.Request) -> web.Response:
    """One group: winners beside losers, and the lessons that came of it."""
    query, given = request.query, request.match_info["id"]
    known = site.store.find_run(given) or site.store.run(given)
    step, problem = number_in(query.get("step"), 0) or 0, query.get("problem", "")
    found = site.store.group(known.id, step, problem)
    if found is None:
        raise UnknownRun(f"run {known.name!r} has no group of problem {problem!r} in step {step + 1}")
    frames: dict[str, str] = {}
    shown = view_group(found, "g-0-0", frames, LONGEST)
    before, after = site.store.neighbours(known.id, step, problem)
    return render(
        site, request, "group.html.jinja", run=known, g=shown, step=step, outcomes=site.store.outcomes(
            known.id, step, problem
        ),
        before=group_url(known.id, *before) if before else "", after=group_url(known.id, *after) if after else "",
        frames={anchor: text for text, anchor in frames.items()},
    )  # fmt: skip


async def report(site: Site, request: web.Request) -> web.Response:
    """The whole run as the one file that `tfgrpo report` writes."""
    from aiohttp import web  # noqa: PLC0415

    text = reports.to_html(reports.gather(site.store, request.match_info["id"]))
    return _download(web.Response(text=text, content_type="text/html", charset="utf-8"), "report.html")
