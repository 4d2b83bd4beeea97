"""The edits: forms of signed-in pages, with the same checks and the same history as the command line.

Every form names the version it was filled in for; where the library has moved on since, nothing is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from experience_db import Edit, Op, StaleVersion, Store
from experience_db.errors import StoreError
from tfgrpo import config as configuration
from tfgrpo.errors import TfgrpoError, UsageError
from tfgrpo.lessons import review as reviewing
from tfgrpo.lessons.scanners import described, scan
from tfgrpo.ui.state import Note, Site, cookie_name, number_in, url

if TYPE_CHECKING:
    from aiohttp import web

Form = Mapping[str, str]
Write = Callable[[Store, "web.Request", Form], tuple[str, str]]
"""Makes an edit in a store that is open for writing; returns what to say and where to go."""
PATIENCE = 5.0
"""Seconds that an edit waits for another process that writes."""
BY_HAND = "by hand"


async def with_leave(site: Site, write: Write, request: web.Request) -> web.StreamResponse:
    """Run an edit for whoever signed in; what it refuses is told on the page that it came from."""
    from aiohttp import web  # noqa: PLC0415

    form = {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
    if not site.access.may_write(request.cookies.get(cookie_name(request), ""), form.get("form_key", "")):
        raise web.HTTPForbidden(text="to change anything, sign in with the token that `tfgrpo ui` printed")
    back = form.get("back", "/")
    try:
        with Store.open(site.db) as store:
            store.wait_for(PATIENCE)
            said, where = write(store, request, form)
        note = Note(said)
    except (StoreError, TfgrpoError) as error:
        note, where = Note(f"Nothing was stored: {error}", good=False, kept=form), _own_path(back)
    sign = "&" if "?" in where else "?"
    place, hash_, anchor = where.partition("#")
    raise web.HTTPSeeOther(f"{place}{sign}note={site.keep(note)}{hash_}{anchor}")


def add(store: Store, request: web.Request, form: Form) -> tuple[str, str]:
    """Add a lesson."""
    name = request.match_info["name"]
    edit = Edit(Op.ADD, _checked(form), reason=_reason(form))
    made = store.commit(name, [edit], parent=_parent(form), note="add")
    lesson_id = made.next_id - 1
    where = f"{url('library', name, lesson=lesson_id)}#l-{lesson_id}"
    return f"Added as lesson {lesson_id} of version {made.version}.", where


def edit(store: Store, request: web.Request, form: Form) -> tuple[str, str]:
    """Give a lesson new words."""
    name, lesson_id = _lesson_of(request)
    change = Edit(Op.UPDATE, _checked(form), (lesson_id,), _reason(form))
    made = store.commit(name, [change], parent=_parent(form), note="update")
    return f"Lesson {lesson_id} has new words in version {made.version}.", url("library", name, "lesson", lesson_id)


def delete(store: Store, request: web.Request, form: Form) -> tuple[str, str]:
    """Take a lesson out."""
    name, lesson_id = _lesson_of(request)
    made = store.commit(name, [Edit(Op.DELETE, None, (lesson_id,), _reason(form))], parent=_parent(form), note="delete")
    back = f"roll back to version {made.version - 1} to have it again"
    return f"Lesson {lesson_id} is not in version {made.version}; {back}.", url("library", name)


def rollback(store: Store, request: web.Request, form: Form) -> tuple[str, str]:
    """Make a new version that equals an old one."""
    name, to = request.match_info["name"], number_in(form.get("to"))
    if to is None:
        raise UsageError("say to which version, as a whole number")
    with store.atomic():
        head = store.library(name).version
        if head != _parent(form):
            raise StaleVersion(name, _parent(form), head)
        made = store.rollback(name, to)
    return f"Version {made.version} now equals version {to}.", url("library", name)


def decide(store: Store, request: web.Request, form: Form) -> tuple[str, str]:
    """Accept or reject one waiting edit."""
    name, number, reason = request.match_info["name"], number_in(form.get("edit")), form.get("reason", "").strip()
    if number is None:
        raise UsageError("say which edit, by number")
    where = _own_path(form.get("back", "/review"))
    if form.get("decision") == "accept":
        made = reviewing.accept_waiting(store, name, [number], f"review: {reason}" if reason else "review")
        return f"Edit {number} is accepted: version {made.version} of {name}.", where
    if not reason:
        raise UsageError("say why it is rejected; the reason is kept with the edit")
    store.reject(name, [number], reason=f"{reviewing.REFUSED}: {reason}")
    return f"Edit {number} is rejected; the library stays as it is.", where


def _lesson_of(request: web.Request) -> tuple[str, int]:
    return request.match_info["name"], number_in(request.match_info["id"], 0) or 0


def _parent(form: Form) -> int:
    parent = number_in(form.get("version"))
    if parent is None:
        raise UsageError("the form names no version; load the page anew")
    return parent


def _reason(form: Form) -> str:
    reason = form.get("reason", "").strip()
    return f"{BY_HAND}: {reason}" if reason else BY_HAND


def _checked(form: Form) -> str:
    """Return the words of a lesson; raises UsageError for what the scanners find and nobody allowed."""
    # A form sends line ends as CR LF.
    text = form.get("text", "").replace("\r\n", "\n").strip()
    allow = tuple(kind for kind in reviewing.parse_kinds(form.get("allow", "")) if kind not in reviewing.NEVER)
    found = scan(text, allow=allow, known=configuration.secrets())
    if any(x.kind in reviewing.NEVER for x in found):
        raise UsageError(described(found))
    if found:
        kinds = ",".join(dict.fromkeys(x.kind.value for x in found))
        raise UsageError(f"{described(found)}; if that is as it should be, write {kinds} under “Allow”")
    return text


def _own_path(path: str) -> str:
    """Return a path of this server, and never an address of another one."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"
