"""The server: its routes, and what happens to a request before a handler sees it."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from experience_db.errors import StoreError, UnknownLesson, UnknownLibrary, UnknownRun, UnknownVersion
from tfgrpo.errors import TfgrpoError
from tfgrpo.system.http_server import serve_until_stopped
from tfgrpo.ui import compare_runs, forms, pages, server_events
from tfgrpo.ui.access import HEADERS, Access, new_token, refusal
from tfgrpo.ui.state import Site, cookie_name, open_site, render

if TYPE_CHECKING:
    from aiohttp import web

HOST = "127.0.0.1"
"""The only address that is listened on."""
LONGEST_FORM = 2**20
"""Bytes of a form."""
READS = {
    "/": pages.overview,
    "/library/{name}": pages.library,
    "/library/{name}/lesson/{id}": pages.lesson,
    "/library/{name}/export": pages.export,
    "/review": pages.review,
    "/search": pages.search,
    "/runs": pages.runs,
    "/run/{id}": pages.run,
    "/run/{id}/live": pages.run_live,
    "/run/{id}/group": pages.group,
    "/run/{id}/report": pages.report,
    "/compare": compare_runs.compare,
    "/events": server_events.events,
}
WRITES = {
    "/library/{name}/add": forms.add,
    "/library/{name}/rollback": forms.rollback,
    "/library/{name}/lesson/{id}/edit": forms.edit,
    "/library/{name}/lesson/{id}/delete": forms.delete,
    "/library/{name}/review": forms.decide,
}
ASSETS = {"ui.css": "text/css", "ui.js": "text/javascript"}


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server shows, and to whom it lets edits through."""

    db: Path
    token: str = field(default_factory=new_token, repr=False)


async def serve(settings: Settings, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve on loopback until SIGINT or SIGTERM; `on_ready` gets the URL once.

    Raises:
        UsageError: the port cannot be bound.
        StoreError: the database cannot be read.
    """
    await serve_until_stopped(build_app(settings), HOST, port, on_ready)


def build_app(settings: Settings) -> web.Application:
    """The pages as an aiohttp application; opens the database for reading. Raises StoreError."""
    from aiohttp import web  # noqa: PLC0415

    site = open_site(settings.db, Access(settings.token))

    @web.middleware
    async def guarded(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]):  # type: ignore[no-untyped-def]
        return await _guarded(site, request, handler)

    async def closing(_: web.Application) -> AsyncIterator[None]:
        yield
        site.store.close()

    app = web.Application(client_max_size=LONGEST_FORM, middlewares=[guarded])
    app.cleanup_ctx.append(closing)
    for path, read in READS.items():
        app.router.add_get(path, functools.partial(read, site))
    for path, write in WRITES.items():
        app.router.add_post(path, functools.partial(forms.with_leave, site, write))
    app.router.add_get("/sign-in", functools.partial(_sign_in, site))
    app.router.add_post("/sign-in", functools.partial(_sign_in, site))
    app.router.add_get("/assets/{name}", _asset)
    return app


async def _guarded(
    site: Site, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Refuse what other sites send, turn errors into pages, and put our headers on every answer."""
    from aiohttp import web  # noqa: PLC0415

    why = refusal(request.headers, writes=request.method not in ("GET", "HEAD"))
    if why:
        return web.Response(status=403, text=f"{why}\n", headers=HEADERS)
    try:
        answer = await handler(request)
    except web.HTTPException as error:
        if error.status < 400:
            error.headers.update(HEADERS)
            raise
        answer = render(site, request, "message.html.jinja", code=error.status, title=error.reason, words=error.text)
    except (UnknownLibrary, UnknownVersion, UnknownLesson, UnknownRun) as error:
        answer = render(site, request, "message.html.jinja", code=404, title="Not found", words=str(error))
    except (StoreError, TfgrpoError) as error:
        answer = render(site, request, "message.html.jinja", code=500, title="That failed", words=str(error))
    if not answer.prepared:
        answer.headers.update(HEADERS)
    return answer


async def _sign_in(site: Site, request: web.Request) -> web.StreamResponse:
    """Give the cookie to whoever has the token; a page asks for it where there is none."""
    from aiohttp import web  # noqa: PLC0415

    given = request.query.get("token") or str((await request.post()).get("token", ""))
    if not given:
        return render(site, request, "sign_in.html.jinja", wrong=False)
    if not site.access.fits(given):
        return render(site, request, "sign_in.html.jinja", code=403, wrong=True)
    answer = web.HTTPSeeOther("/")
    answer.set_cookie(cookie_name(request), site.access.session, httponly=True, samesite="Strict", path="/")
    raise answer


@functools.cache
def _text_of(name: str) -> str:
    own = (files("tfgrpo.ui") / "templates" / name).read_text(encoding="utf-8")
    shared = files("tfgrpo.report") / "templates" / "style.css"
    return shared.read_text(encoding="utf-8") + own if name == "ui.css" else own


async def _asset(request: web.Request) -> web.Response:
    from aiohttp import web  # noqa: PLC0415

    name = request.match_info["name"]
    if name not in ASSETS:
        raise web.HTTPNotFound
    return web.Response(text=_text_of(name), content_type=ASSETS[name], charset="utf-8")
