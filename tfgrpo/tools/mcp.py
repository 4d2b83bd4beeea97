"""Tools of any MCP server (Model Context Protocol) as tools of the loop, by the official SDK (extra `mcp`).

    [tools.mcp.servers.files]
    command = "npx"
    args = ["-y", "@modelcontextprotocol/server-filesystem", "/data"]

    [tools.mcp.servers.search]
    url = "https://mcp.example/mcp"
    bearer = "SEARCH_TOKEN"          # the environment variable that holds it

A tool `read` of the server `files` is called `files_read`. A server is started once per run and ended with it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlsplit

from tfgrpo import config as configuration
from tfgrpo.boundary import failure_of
from tfgrpo.errors import EnvironmentFailed, UsageError
from tfgrpo.tools.base import ToolResult, ToolSpec
from tfgrpo.tools.mcp_session import Connection, Server
from tfgrpo.types import Failure, FailureKind

_ODD = re.compile(r"[^a-zA-Z0-9_-]+")
LONGEST_NAME = 64
"""What endpoints take as the name of a function."""


@dataclass(frozen=True, slots=True)
class McpTool:
    """One tool of a server."""

    server: Server
    called: str
    """Its name at the server."""
    spec: ToolSpec
    fingerprint: Mapping[str, Any]

    async def __call__(self, arguments: Mapping[str, Any], session: str = "") -> ToolResult:
        """Return what the server answers; its errors, its end and its silence are failures."""
        started = time.perf_counter()
        detail = {"server": self.server.way.name, "tool": self.called}
        try:
            found = await self.server.call(self.called, arguments)
        except EnvironmentFailed as error:
            failure = failure_of(error)
            if failure.kind is FailureKind.TIMEOUT:
                limit = self.server.way.seconds
                failure = Failure(failure.kind, f"the MCP server {self.server.way.name} gave no answer in {limit:g} s")
            return ToolResult(failure.message, failure, detail, time.perf_counter() - started)
        text = text_of(found)
        failed = None
        if getattr(found, "is_error", False):
            text = text or f"{self.spec.name} failed without a word"
            failed = Failure(FailureKind.ENVIRONMENT, text[:400])
        return ToolResult(text, failed, detail, time.perf_counter() - started)

    async def aclose(self) -> None:
        """End the server, which its tools share."""
        self.server.close()


def text_of(found: Any) -> str:
    """The text of a result: its texts; of pictures, sounds and links what they are; else its structured content."""
    parts = [_part(block) for block in getattr(found, "content", None) or ()]
    structured = getattr(found, "structured_content", None)
    if not any(parts) and structured is not None:
        parts = [json.dumps(structured, ensure_ascii=False)]
    return "\n\n".join(part for part in parts if part).encode("utf-8", "replace").decode()


def _part(block: Any) -> str:
    if isinstance(getattr(block, "text", None), str):
        return str(block.text)
    inner = getattr(block, "resource", None)
    if isinstance(text := getattr(inner, "text", None), str):
        return text
    where = getattr(inner or block, "uri", "")
    kind = getattr(inner or block, "mime_type", None) or getattr(block, "type", "data")
    return f"[{kind}{f' at {where}' if where else ''}, not shown]"


@dataclass(frozen=True, slots=True)
class Options:
    """One server, as it is configured."""

    command: str = ""
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    """Environment variables that the server gets beside PATH, HOME and the like."""
    cwd: str = ""
    url: str = ""
    bearer: str = ""
    """Environment variable whose value is sent as a bearer token."""
    only: tuple[str, ...] = ()
    """Names, at the server, of the tools to use; empty takes all."""
    seconds: float = 60.0
    """Limit of one call."""
    start_seconds: float = 30.0
    """Limit of starting the server and listing its tools."""


def make(*, servers: Mapping[str, Any] | None = None, **one: Any) -> tuple[McpTool, ...]:
    """Start the servers and return their tools.

    Args:
        servers: `Options` by the name that begins the names of their tools.
        one: the options of a single server, called `mcp`.

    Raises:
        UsageError: the SDK is not installed, an option does not exist, or a server cannot be used.
    """
    if importlib.util.find_spec("mcp") is None:
        raise UsageError("tool mcp needs the package mcp; pip install 'tfgrpo[mcp]'")
    if not servers and not one:
        raise UsageError("tool mcp needs a server: tools.mcp.command, tools.mcp.url or tools.mcp.servers.NAME")
    tables = {**(servers or {}), **({"mcp": one} if one else {})}
    started: list[Server] = []
    tools: list[McpTool] = []
    try:
        for name, table in tables.items():
            way, only = _way(name, _options(name, table))
            started.append(Server(way))
            tools += _tools(started[-1], only)
    except (UsageError, EnvironmentFailed) as error:
        for server in started:
            server.close()
        raise UsageError(str(error)) from error
    return tuple(tools)


def _tools(server: Server, only: Sequence[str]) -> list[McpTool]:
    listed = {tool.name: tool for tool in server.tools()}
    if unknown := [name for name in only if name not in listed]:
        raise UsageError(f"the MCP server {server.way.name} has no tool {unknown[0]!r}; it has {', '.join(listed)}")
    found = []
    for name, tool in listed.items():
        if not only or name in only:
            schema = dict(tool.input_schema or {"type": "object"})
            spec = ToolSpec(name_of(server.way.name, name), tool.description or "", schema)
            about = {"tool": "mcp", "called": name, "schema": schema, "about": spec.description, **server.way.about}
            found.append(McpTool(server, name, spec, about))
    return found


def name_of(server: str, tool: str) -> str:
    """Return the name a model is told: letters, digits, _ and -, at most 64; long ones end in a hash."""
    whole = _ODD.sub("_", f"{server}_{tool}")
    mark = hashlib.sha256(tool.encode()).hexdigest()[:8]
    return whole if len(whole) <= LONGEST_NAME else f"{whole[: LONGEST_NAME - 9]}_{mark}"


def _options(name: str, table: Any) -> Options:
    if not isinstance(table, Mapping):
        raise UsageError(f"tools.mcp.servers.{name} is a table of options, not {table!r}")
    known = [field.name for field in fields(Options)]
    if unknown := [key for key in table if key not in known]:
        raise UsageError(f"an MCP server has no option {unknown[0]!r}; it has {', '.join(known)}")
    values: dict[str, Any] = {
        key: tuple(map(str, value)) if isinstance(value, list) else value for key, value in table.items()
    }
    options = Options(**values)
    for key in ("args", "env", "only"):
        if not isinstance(getattr(options, key), tuple):
            raise UsageError(f"option {key} of the MCP server {name} is a list, not {getattr(options, key)!r}")
    if bool(options.command) == bool(options.url):
        raise UsageError(f"the MCP server {name} needs either a command or a url")
    return options


def _way(name: str, options: Options) -> tuple[Connection, tuple[str, ...]]:
    secrets = {variable: configuration.environment(variable) for variable in (*options.env, options.bearer) if variable}
    if missing := [variable for variable, value in secrets.items() if value is None]:
        raise UsageError(f"the MCP server {name} needs {missing[0]}; export it")
    values = {variable: value for variable, value in secrets.items() if value}

    def connect(errors: Any) -> AbstractAsyncContextManager[Any]:
        return _stdio(options, values, errors) if options.command else _http(options, values)

    way = Connection(
        name, connect, _about(options), tuple(values.values()), float(options.seconds), float(options.start_seconds)
    )
    return way, options.only


def _about(options: Options) -> dict[str, Any]:
    """What decides the results; arguments and the query of an address may hold secrets, so they are hashed."""
    if options.command:
        mark = hashlib.sha256(json.dumps(options.args).encode()).hexdigest()[:16]
        return {"command": options.command, "args": mark}
    parts = urlsplit(options.url)
    mark = hashlib.sha256(options.url.encode()).hexdigest()[:16]
    return {"url": f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}", "address": mark}


def _stdio(options: Options, values: Mapping[str, str], errors: Any) -> AbstractAsyncContextManager[Any]:
    from mcp import Client, StdioServerParameters, stdio_client  # noqa: PLC0415 - an extra, 0.5 s

    given = {variable: values[variable] for variable in options.env}
    asked = StdioServerParameters(
        command=options.command, args=list(options.args), env=given or None, cwd=options.cwd or None
    )
    client: AbstractAsyncContextManager[Any] = Client(stdio_client(asked, errors))
    return client


@asynccontextmanager
async def _http(options: Options, values: Mapping[str, str]) -> AsyncIterator[Any]:
    import httpx2  # noqa: PLC0415 - comes with the SDK
    from mcp import Client  # noqa: PLC0415
    from mcp.client.streamable_http import streamable_http_client  # noqa: PLC0415

    headers = {"Authorization": f"Bearer {values[options.bearer]}"} if options.bearer else {}
    timeout = httpx2.Timeout(options.start_seconds, read=options.seconds)
    async with (
        httpx2.AsyncClient(headers=headers, timeout=timeout) as http,
        Client(streamable_http_client(options.url, http_client=http)) as client,
    ):
        yield client
