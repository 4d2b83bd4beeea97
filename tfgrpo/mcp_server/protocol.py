"""The library in the words of the protocol, by the official SDK, over stdio or streamable HTTP."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from experience_db import Library, Report
from experience_db.errors import StoreError
from tfgrpo import config as configuration
from tfgrpo.errors import UsageError
from tfgrpo.mcp_server import received, shown
from tfgrpo.mcp_server.arguments import ARGUMENTS, Propose, ReportOutcome, Search, parsed
from tfgrpo.proxy.library_routing import LibraryRouting
from tfgrpo.system.redact import without_secrets
from tfgrpo.version import __version__

if TYPE_CHECKING:
    from mcp.server import Server

PROMPT = "lessons"
PATH = "/mcp"
BODY_BYTES = 2**20
"""Longest request over HTTP."""
HOST = "127.0.0.1"


def require_sdk() -> None:
    """Raise UsageError where the official SDK is not installed."""
    if importlib.util.find_spec("mcp") is None:
        raise UsageError("tfgrpo mcp needs the package mcp; pip install 'tfgrpo[mcp]'")


def build_server(served: LibraryRouting) -> Server:
    """Return the server of the SDK, for a transport of one's own; `served` is open and has a default library."""
    from mcp.server import Server  # noqa: PLC0415 - an extra, 0.5 s

    return Server(
        "tfgrpo",
        version=__version__,
        instructions=(
            "Lessons that were learned from earlier attempts, with what was measured about each. Search them before a "
            "task, report how it ended, propose a lesson when you learned something; a person reviews proposals."
        ),
        on_list_resources=_answering(served, _list_resources),
        on_read_resource=_answering(served, _read_resource),
        on_list_prompts=_answering(served, _list_prompts),
        on_get_prompt=_answering(served, _get_prompt),
        on_list_tools=_answering(served, _list_tools),
        on_call_tool=_answering(served, _call_tool),
    )


async def serve_stdio(served: LibraryRouting) -> None:
    """Serve one client over stdin and stdout until it closes stdin."""
    from mcp.server.stdio import stdio_server  # noqa: PLC0415

    server = build_server(served)
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


async def serve_http(served: LibraryRouting, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve over streamable HTTP on loopback until a signal comes; `on_ready` gets the URL once.

    Requests whose Host or Origin is not this very address are refused, so that no page in a browser can get in under a
    name of its own.

    Raises:
        UsageError: the port cannot be bound.
    """
    import uvicorn  # noqa: PLC0415 - comes with the SDK
    from mcp.server.transport_security import TransportSecuritySettings  # noqa: PLC0415

    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        raise UsageError(
            f"cannot listen on {HOST}:{port}: {os.strerror(error.errno or 0)}; choose another port"
        ) from error
    with listening:
        bound = listening.getsockname()[1]
        names = [f"{HOST}:{bound}", f"localhost:{bound}"]
        guard = TransportSecuritySettings(
            enable_dns_rebinding_protection=True, allowed_hosts=names, allowed_origins=[f"http://{x}" for x in names]
        )
        app = build_server(served).streamable_http_app(
            streamable_http_path=PATH, max_request_body_size=BODY_BYTES, transport_security=guard, host=HOST
        )
        quiet = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=2)
        on_ready(f"http://{HOST}:{bound}{PATH}")
        await uvicorn.Server(quiet).serve(sockets=[listening])


Handler = Callable[[LibraryRouting, Library, Any, Any], Awaitable[Any]]


def _answering(served: LibraryRouting, handler: Handler) -> Callable[[Any, Any], Awaitable[Any]]:
    """A handler of the SDK: looks the library up anew, so that a new version is seen by the next request."""
    from mcp import MCPError  # noqa: PLC0415
    from mcp_types import INVALID_PARAMS  # noqa: PLC0415

    async def answer(context: Any, params: Any) -> Any:
        try:
            return await handler(served, served.library(served.default), context, params)
        except (StoreError, UsageError) as error:
            message = without_secrets(str(error), configuration.secrets())
            raise MCPError(code=INVALID_PARAMS, message=message) from error

    return answer


async def _list_resources(served: LibraryRouting, library: Library, _: Any, params: Any) -> Any:
    from mcp_types import ListResourcesResult, Resource  # noqa: PLC0415

    items, cursor = shown.page(served, library, params.cursor if params else None)
    listed = [
        Resource(uri=x.uri, name=x.name, title=x.title, description=x.about, mime_type="text/plain") for x in items
    ]
    return ListResourcesResult(resources=listed, next_cursor=cursor)


async def _read_resource(served: LibraryRouting, library: Library, _: Any, params: Any) -> Any:
    from mcp_types import ReadResourceResult, TextResourceContents  # noqa: PLC0415

    item = shown.resource(served, library, str(params.uri))
    about = {"tfgrpo/version": library.version, "tfgrpo/about": item.about}
    content = TextResourceContents(uri=item.uri, text=item.text, mime_type="text/plain", _meta=about)
    return ReadResourceResult(contents=[content])


async def _list_prompts(served: LibraryRouting, library: Library, _: Any, params: Any) -> Any:
    from mcp_types import ListPromptsResult, Prompt  # noqa: PLC0415

    about = f"The lessons of {library.name}, as learning put them into prompts; no message while there are none."
    return ListPromptsResult(prompts=[Prompt(name=PROMPT, title=f"Lessons of {library.name}", description=about)])


async def _get_prompt(served: LibraryRouting, library: Library, _: Any, params: Any) -> Any:
    from mcp_types import GetPromptResult, PromptMessage, TextContent  # noqa: PLC0415

    if params.name != PROMPT:
        raise UsageError(f"there is no prompt {params.name[:80]!r}; there is: {PROMPT}")
    block = library.block()
    content = [PromptMessage(role="user", content=TextContent(type="text", text=block))] if block else []
    return GetPromptResult(description=f"{library.name}@{library.version}", messages=content)


async def _list_tools(served: LibraryRouting, library: Library, _: Any, params: Any) -> Any:
    from mcp_types import ListToolsResult, Tool, ToolAnnotations  # noqa: PLC0415

    tools = []
    for name, model in ARGUMENTS.items():
        reads = name == "search_lessons"
        hints = ToolAnnotations(read_only_hint=reads, destructive_hint=False, open_world_hint=False)
        schema = model.model_json_schema()
        about = schema.pop("description")
        tools.append(Tool(name=name, description=about, input_schema=schema, annotations=hints))
    return ListToolsResult(tools=tools)


async def _call_tool(served: LibraryRouting, library: Library, context: Any, params: Any) -> Any:
    """Errors of a call are results that a model can read."""
    from mcp_types import CallToolResult, TextContent  # noqa: PLC0415

    failed = False
    try:
        text, structured = await _called(served, library, params.name, params.arguments or {}, _client(context))
    except (StoreError, UsageError) as error:
        failed, structured = True, None
        text = without_secrets(str(error), configuration.secrets())
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=structured, is_error=failed)


async def _called(
    served: LibraryRouting, library: Library, name: str, given: Mapping[str, Any], client: str
) -> tuple[str, dict[str, Any]]:
    asked = parsed(name, given)
    known = configuration.secrets()
    if isinstance(asked, Search):
        found = shown.search(served, library, asked.query, asked.limit)
        return shown.search_text(found), found
    if isinstance(asked, ReportOutcome):
        about = library if asked.version is None else served.library(f"{library.name}@{asked.version}")
        said = Report(asked.outcome, asked.reward, tuple(asked.lesson_ids), asked.task, asked.feedback, client)
        kept = await asyncio.to_thread(received.report, served.db, about, said, known)
    else:
        assert isinstance(asked, Propose)
        kept = await asyncio.to_thread(received.propose, served.db, library, asked.lesson, asked.reason, client, known)
    return kept.said, {"kept": kept.kept, "number": kept.number}


def _client(context: Any) -> str:
    """What the client calls itself; empty where it does not say."""
    info = getattr(getattr(context.session, "client_params", None), "client_info", None)
    return f"{info.name} {info.version or ''}".strip() if info is not None else ""
