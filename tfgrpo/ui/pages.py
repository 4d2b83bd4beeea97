"""The pages: each handler reads what one page shows and renders it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from experience_db import Diff, Evidence, Store, UnappliedEdit, UnknownRun
from experience_db.pages import GROUP_SORTS, RUN_SORTS
from tfgrpo import report as reports
from tfgrpo.lessons import review as reviewing
from tfgrpo.report import svg
from tfgrpo.report.browse import view_group
from tfgrpo.ui.lesson_rows import SHOWS, SORTS, TAINTED, Asked, lesson_page
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
    """One version of a library: its place in the line, a page of its lessons, and what changed."""
    name, query, store = request.match_info["name"], request.query, site.store
    head = store.version_number(name)
    at = store.version_number(name, number_in(query.get("v"), head))
    asked = Asked(
        query.get("q", ""), query.get("shows", ""), query.get("sort", "number"),
        _page_in(query), number_in(query.get("lesson")),
    )  # fmt: skip
    changes_at = _page_in(query, "changes")
    diff = _changes(store, name, at, changes_at) or _changes(store, name, at, changes_at := 1)
    return render(
        site,
        request,
        "library.html.jinja",
        name=name,
        version=at,
        head=head,
        line=_line(store, name, at),
        diff=diff,
        changes_at=changes_at,
        changes_pages=_pages(diff.total) if diff else 1,
        found=lesson_page(store, name, at, asked),
        shows=(*SHOWS, TAINTED),
        sorts=tuple(SORTS),
        waiting=store.waiting_count(name, reviewing.WAITS).get(name, 0),
        q=asked.search,
        **effect_axis(list(store.effect_bounds(name, at))),
    )


def _changes(store: Store, name: str, version: int, at: int) -> Diff | None:
    """Return a page of what made a version; None where the page is empty."""
    diff = store.diff(name, version - 1, version, limit=PAGE, offset=PAGE * (at - 1)) if version else None
    return diff if diff and (diff.total or at == 1) else None


def _line(store: Store, name: str, version: int) -> list[Any]:
    """Return the versions around one, with the first and the last; None stands for those between."""
    line: list[Any] = []
    for v in store.versions_near(name, version, NEAR):
        if line and v.number > line[-1].number + 1:
            line.append(None)
        line.append(v)
    return line


async def lesson(site: Site, request: web.Request) -> web.Response:
    """One lesson: its words, what was measured about them, and how they came about."""
    name, lesson_id = request.match_info["name"], number_in(request.match_info["id"], 0) or 0
    story = site.store.blame(name, lesson_id)
    found = sorted(story.evidence, key=lambda e: len(e.lesson_ids) != 1)
    before, after = site.store.lessons_beside(name, lesson_id)
    return render(
        site,
        request,
        "lesson.html.jinja",
        name=name,
        lesson_id=lesson_id,
        lesson=story.lesson,
        story=story,
        head=site.store.version_number(name),
        evidence=[e for e in found if e.verdict in ("", "accepted")],
        tried=[e for e in found if e.verdict not in ("", "accepted")],
        before=before,
        after=after,
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
    store, begins = site.store, "" if everything else reviewing.WAITS
    if only:
        store.version_number(only)
    totals = store.waiting_count(only, begins)
    pages = _pages(sum(totals.values()))
    at = min(_page_in(request.query), pages)
    found = store.waiting_page(only, begins, PAGE, PAGE * (at - 1))
    queues = [_queue(store, name, totals[name], items) for name, items in found.items()]
    told = [e for queue in queues for _, _, measured in queue["items"] for e in measured]
    return render(
        site, request, "review.html.jinja", queues=queues, everything=everything, only=only, run=None,
        total=sum(totals.values()), at=at, pages=pages,
        **effect_axis([v for e in told for v in (e.estimate, e.low, e.high)]),
    )  # fmt: skip


def _queue(store: Store, name: str, total: int, items: Sequence[UnappliedEdit]) -> dict[str, Any]:
    measured = store.evidence_of_steps(name, [(item.run, item.step) for item in items])
    texts = store.some_lessons(name, store.version_number(name), [i for item in items for i in item.edit.ids])
    told = [(item, reviewing.findings_about(item), _gate(item, measured)) for item in items]
    return {"name": name, "items": told, "total": total, "lessons": texts}


def _gate(item: UnappliedEdit, measured: tuple[Evidence, ...]) -> list[Evidence]:
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
    at = _page_in(query)
    found = site.store.run_rows(search=query.get("q", ""), **given, sort=sort, limit=PAGE, offset=PAGE * (at - 1))
    return render(
        site, request, "runs.html.jinja", runs=found.rows, total=found.total, pages=_pages(found.total), at=at,
        sorts=tuple(RUN_SORTS), words=site.store.run_words(), libraries=site.store.libraries(), sort=sort,
        q=query.get("q", ""), **given,
    )  # fmt: skip


def _pages(total: int) -> int:
    return max(1, -(-total // PAGE))


def _page_in(query: Mapping[str, str], key: str = "page") -> int:
    return min(max(number_in(query.get(key), 1) or 1, 1), 2**40)


async def run(site: Site, request: web.Request) -> web.Response:
    """One run: what it shows so far, its steps, the lessons that came of it, and its groups."""
    view = view_run(site.store, request.match_info["id"])
    query = request.query
    status, sort, at = query.get("status", ""), query.get("sort", "order"), _page_in(query)
    found = site.store.group_rows(
        view.run.id,
        step=number_in(query.get("step")),
        status=status,
        search=query.get("q", ""),
        sort=sort if sort in GROUP_SORTS else "order",
        limit=PAGE,
        offset=PAGE * (at - 1),
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
