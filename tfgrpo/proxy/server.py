"""Passing requests on and answers back: bodies and streams as they come, headers and statuses as they are.

Only bodies that carry a prompt are read, up to a limit; everything else flows through in pieces, so that neither a
large body nor a slow client fills the memory. What goes wrong between proxy and upstream is typed: 413, 502, 504, or a
stream that ends with an error event and a broken connection, never with a clean end.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from experience_db.errors import InvalidEdit, StoreError, UnknownSession
from experience_db.session_records import CONTROL
from tfgrpo.errors import EndpointError
from tfgrpo.proxy.library_routing import HEADER, LibraryRouting
from tfgrpo.proxy.recorder import Recorder
from tfgrpo.proxy.recording import FEEDBACK, SESSION, TASK, Answer, Messages, asked, task_of, user_of
from tfgrpo.proxy.requests import protocol, with_lessons
from tfgrpo.system.http_server import is_asked_by_own_name, serve_until_stopped
from tfgrpo.system.untrusted_json import loads

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession, web

_log = logging.getLogger("tfgrpo.proxy")
HOP = frozenset(
    [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)
"""Headers about one connection (RFC 9110, section 7.6.1)."""
OWN = "x-tfgrpo-"
UNPACKED = ("gzip", "deflate", "br", "zstd")
"""How a request's body may come that aiohttp has unpacked by the time it is read."""
MIB = 2**20
FEEDBACK_BYTES = 64 * 1024
"""Most that is read of a report."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How the proxy passes on."""

    upstream: str
    """URL of the API, with or without `/v1`."""
    token: str = ""
    """What clients must present as their key; the upstream's own key then takes its place. Empty asks for nothing."""
    upstream_key: str = ""
    """Sent in place of `token`; empty sends no key at all where there is a token."""
    body_bytes: int = 32 * MIB
    """Longest body that is read to add lessons to it."""
    connect_seconds: float = 30.0
    silence_seconds: float = 600.0
    """Longest pause of the upstream before or within an answer."""
    connections: int = 2000
    """Most requests under way to the upstream."""


@dataclass(slots=True)
class Exchange:
    """What goes on to the upstream, and what is to be kept of it."""

    body: bytes | None = None
    """The body with lessons; None passes the client's on as it comes."""
    shown: str = ""
    """Which version is shown; empty where none is."""
    kind: str = ""
    """The protocol of what is recorded."""
    session: str = ""
    """Of what is recorded; empty where nothing is."""
    asked: Messages = field(default_factory=list)
    too_large: bool = False


async def serve(
    settings: Settings, routing: LibraryRouting, host: str, port: int, on_ready: Callable[[str], None],
    recording: Recorder | None = None,
) -> None:  # fmt: skip
    """Serve until SIGINT or SIGTERM; `on_ready` gets the URL once.

    Raises:
        UsageError: the address cannot be bound.
    """
    await serve_until_stopped(build_app(settings, routing, recording), host, port, on_ready)


def build_app(settings: Settings, routing: LibraryRouting, recording: Recorder | None = None) -> web.Application:
    """The proxy as an aiohttp application, for a server of one's own; with `recording` it keeps sessions."""
    from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web  # noqa: PLC0415

    opened: list[ClientSession] = []

    async def upstream(_: web.Application) -> AsyncIterator[None]:
        pause = ClientTimeout(total=None, sock_connect=settings.connect_seconds, sock_read=settings.silence_seconds)
        connector = TCPConnector(limit=settings.connections, keepalive_timeout=15)
        async with ClientSession(
            connector=connector, timeout=pause, auto_decompress=False, cookie_jar=DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
        ) as session:  # fmt: skip
            opened.append(session)
            yield

    async def handle(request: web.Request) -> web.StreamResponse:
        if recording is not None and request.path == FEEDBACK:
            refused = _refused(request, settings)
            return refused if refused is not None else await _feedback(request, recording)
        return await _passed(request, settings, routing, opened[0], recording)

    app = web.Application(client_max_size=settings.body_bytes)
    app.cleanup_ctx.append(upstream)
    app.router.add_route("*", "/{path:.*}", handle)
    return app


def target(upstream: str, path_and_query: str) -> str:
    """Return the upstream's URL for a path; `/v1` is named once, whether the upstream ends in it or not."""
    base = upstream.rstrip("/")
    if base.endswith("/v1") and (path_and_query.startswith(("/v1/", "/v1?")) or path_and_query == "/v1"):
        path_and_query = path_and_query[3:]
    return base + path_and_query


def stays_below(raw_path: str) -> bool:
    """Whether a request's target can be put behind the upstream's URL: a path, and none that climbs out of it.

    An absolute URL there (`x://...`) would become the end of the upstream's host name, and its key go to that host.
    """
    path = unquote(raw_path.partition("?")[0]).replace("\\", "/")
    return raw_path.startswith("/") and ".." not in path.split("/")


def forwarded_headers(headers: Mapping[str, str], settings: Settings, *, changed: bool) -> list[tuple[str, str]]:
    """Return the headers that go on: all but those of this connection, ours, and where the body changed its length."""
    left = HOP | _named(headers) | {"host", *(["content-length"] if changed else [])}
    if headers.get("Content-Encoding", "").lower() in UNPACKED:
        # The length was that of the packed body.
        left |= {"content-encoding", "content-length"}
    if "@" in urlsplit(settings.upstream).netloc:
        # The login in the upstream's address is sent as this header, which cannot be there twice.
        left |= {"authorization"}
    kept = [(k, v) for k, v in headers.items() if k.lower() not in left and not k.lower().startswith(OWN)]
    if not settings.token:
        return kept
    # The client's credential is the proxy's; the upstream gets its own, or none.
    own = [(k, v) for k, v in kept if k.lower() not in ("authorization", "x-api-key") and settings.token not in v]
    if settings.upstream_key:
        style = (
            "x-api-key" if "authorization" in left or "x-api-key" in {k.lower() for k in headers} else "Authorization"
        )
        own.append((style, settings.upstream_key if style == "x-api-key" else f"Bearer {settings.upstream_key}"))
    return own


def _named(headers: Mapping[str, str]) -> set[str]:
    """Headers that a message itself calls its connection's own, in however many lines."""
    lines = [value for name, value in headers.items() if name.lower() == "connection"]
    return {name.strip().lower() for line in lines for name in line.split(",")}


def is_authorized(headers: Mapping[str, str], token: str) -> bool:
    """Whether a request carries the proxy's token, as a bearer token or as an Anthropic key."""
    if not token:
        return True
    given = headers.get("x-api-key") or headers.get("Authorization", "").removeprefix("Bearer ")
    # Bytes of a header that are not UTF-8 arrive as half characters.
    return hmac.compare_digest(given.strip().encode("utf-8", "surrogatepass"), token.encode())


async def _passed(
    request: web.Request, settings: Settings, routing: LibraryRouting, session: ClientSession,
    recording: Recorder | None,
) -> web.StreamResponse:  # fmt: skip
    # Not by its truth: to older releases of aiohttp a response is a mapping, and an empty one false.
    if (refused := _refused(request, settings)) is not None:
        return refused
    kind = protocol(request.path) if request.method == "POST" else None
    going = Exchange()
    if kind:
        try:
            going = await _changed(request, kind, routing, recording)
        except StoreError as error:
            return _wrong(404, "library_not_found", str(error))
        if going.too_large:
            return _wrong(413, "too_large", f"a body with a prompt may have {settings.body_bytes} bytes here")
    return await _exchanged(request, settings, session, going, recording)


async def _feedback(request: web.Request, recording: Recorder) -> web.Response:
    """Take a report about a session: `{"session": ID, "reward": 0..1 or "outcome": WORD, "feedback": TEXT}`."""
    said = _decoded(await request.content.read(FEEDBACK_BYTES)) if request.method == "POST" else None
    reward = said.get("reward") if said else None
    number = isinstance(reward, int | float) and not isinstance(reward, bool)
    if said is None or not isinstance(said.get("session"), str) or not (number or reward is None):
        return _wrong(400, "bad_feedback", 'post {"session": ID, "reward": number, "outcome": word, "feedback": text}')
    if reward is None and said.get("outcome") is None and not said.get("feedback"):
        return _wrong(400, "bad_feedback", "give a reward, an outcome or feedback")
    try:
        await asyncio.to_thread(recording.report, said["session"], said)
    except UnknownSession as error:
        return _wrong(404, "unknown_session", str(error))
    except InvalidEdit as error:
        return _wrong(400, "bad_feedback", str(error))
    except StoreError as error:
        return _wrong(503, "not_kept", str(error))
    return _json({"kept": True})


def _refused(request: web.Request, settings: Settings) -> web.Response | None:
    """Return what is said to a request that is not passed on; None for any other."""
    if not is_authorized(request.headers, settings.token):
        return _wrong(401, "unauthorized", "this proxy wants its token: send it as the API key")
    if not (settings.token or is_asked_by_own_name(request)):
        # A page whose name was pointed at this machine would read the lessons and use the upstream.
        return _wrong(403, "wrong_host", "without a token this proxy answers to 127.0.0.1 and localhost only")
    if not stays_below(request.raw_path):
        return _wrong(
            400, "bad_target", "ask for a path of the API, such as /v1/models: no whole URL, and no `..` in it"
        )
    if "upgrade" in request.headers.get("Connection", "").lower():
        return _wrong(501, "not_supported", "this proxy passes HTTP requests on, no upgraded connections")
    return None


async def _changed(request: web.Request, kind: str, routing: LibraryRouting, recording: Recorder | None) -> Exchange:
    """Return the body to send and which version it shows.

    What is no JSON object, is compressed, or has no place for text goes on as it came, for the upstream to judge.
    """
    from aiohttp import web  # noqa: PLC0415

    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge:
        return Exchange(too_large=True)
    body = _decoded(raw)
    library, bare = routing.choose(request.headers.get(HEADER), body.get("model") if body else None)
    if body is None or library is None:
        return Exchange(raw)
    if bare is not None:
        body["model"] = bare
    going = Exchange(kind=kind)
    version = f"{library.name}@{library.version}"
    if recording is not None and not request.path.endswith("/count_tokens"):
        going.asked = asked(kind, body)
        task = request.headers.get(TASK) or task_of(going.asked)
        user = user_of(request.headers, body)
        going.session, met = recording.begin(routing.offer(library), request.headers.get(SESSION, ""), task, user)
        library = met.library.altered(retrieval=routing.retrieval)
        version = "" if met.arm == CONTROL else "+".join([version, *map(str, met.edits)])
    try:
        # Choosing waits for the file, and for a model that embeds the question.
        told = (
            with_lessons(kind, body, library)
            if library.retrieval is None
            else await asyncio.to_thread(with_lessons, kind, body, library)
        )
    except EndpointError as error:
        # The app goes on as it would without this proxy.
        _log.warning("no lessons for a request: %s", error)
        told = None
    if told is None:
        going.body = raw if bare is None else _encoded(body)
        return going
    going.body, going.shown = _encoded(told), version
    return going


def _decoded(raw: bytes) -> dict[str, Any] | None:
    try:
        body = loads(raw)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _encoded(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


async def _exchanged(
    request: web.Request, settings: Settings, session: ClientSession, going: Exchange, recording: Recorder | None
) -> web.StreamResponse:
    """Send the request on, and its answer back as it comes."""
    from aiohttp import ClientError  # noqa: PLC0415
    from yarl import URL  # noqa: PLC0415

    body = going.body
    stream = request.content if body is None and request.can_read_body else body
    headers = forwarded_headers(request.headers, settings, changed=body is not None)
    url = URL(target(settings.upstream, request.raw_path), encoded=True)
    kept = None
    try:
        got = await session.request(request.method, url, data=stream, headers=headers, allow_redirects=False)
    except TimeoutError:
        kept = Answer(going.kind, 504, {})
        return _wrong(504, "upstream_timeout", f"the upstream did not answer within {settings.silence_seconds:g} s")
    except (ClientError, OSError) as error:
        kept = Answer(going.kind, 502, {})
        return _wrong(502, "upstream_unreachable", f"the upstream cannot be reached: {type(error).__name__}")
    else:
        kept = Answer(going.kind, got.status, got.headers) if going.session else None
        async with got:
            return await _relayed(request, got, going, kept)
    finally:
        if recording is not None and going.session and kept is not None:
            recording.turn(going.session, going.asked, kept)


async def _relayed(
    request: web.Request, got: ClientResponse, going: Exchange, kept: Answer | None
) -> web.StreamResponse:
    from aiohttp import ClientError, web  # noqa: PLC0415

    named = _named(got.headers)
    answer = web.StreamResponse(status=got.status, reason=got.reason)
    for name, value in got.headers.items():
        if name.lower() not in HOP | named:
            answer.headers.add(name, value)
    for name, value in ((HEADER, going.shown), (SESSION, going.session)):
        if value:
            answer.headers[name] = value
    await answer.prepare(request)
    try:
        async for piece in got.content.iter_any():
            if kept is not None:
                kept.add(piece)
            await answer.write(piece)
    except (ClientError, TimeoutError) as error:
        if kept is not None:
            kept.failure = f"the answer broke off: {type(error).__name__}"
        await _broken(request, answer, got, error)
        return answer
    await answer.write_eof()
    return answer


async def _broken(request: web.Request, answer: web.StreamResponse, got: ClientResponse, error: Exception) -> None:
    """End an answer that broke off so that nobody takes it for a whole one."""
    if got.headers.get("Content-Type", "").startswith("text/event-stream"):
        told = {"error": {"type": "upstream_closed", "message": f"the upstream broke off: {type(error).__name__}"}}
        with suppress(OSError):
            await answer.write(f"\n\nevent: error\ndata: {json.dumps(told)}\n\n".encode())
    if request.transport is not None:
        request.transport.close()


def _json(value: Mapping[str, Any]) -> web.Response:
    from aiohttp import web  # noqa: PLC0415

    return web.json_response(value)


def _wrong(status: int, kind: str, message: str) -> web.Response:
    from aiohttp import web  # noqa: PLC0415

    return web.json_response({"error": {"type": kind, "code": kind, "message": message}}, status=status)
