"""`mcp`: a real server process over stdio and HTTP, what it answers, and how it fails."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.patience import AMPLE
from support.web import Answer, Web

from tfgrpo.errors import UsageError
from tfgrpo.tools.base import ToolResult
from tfgrpo.tools.mcp import McpTool, make, name_of
from tfgrpo.types import FailureKind

pytest.importorskip("mcp")
SERVER = str(Path(__file__).parents[1] / "support" / "mcp_server.py")
KEY = "sk-marked-987654321"
STDIO: Mapping[str, Any] = {"command": sys.executable, "args": [SERVER]}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server over streamable HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    with subprocess.Popen([sys.executable, SERVER, "--http", str(number)], stderr=subprocess.DEVNULL) as process:
        for _ in range(1200):
            try:
                socket.create_connection(("127.0.0.1", number), timeout=1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield number
        process.kill()


@pytest.fixture(scope="module", params=["stdio", pytest.param("http", marks=pytest.mark.slow)])
def tools(request: pytest.FixtureRequest) -> Iterator[dict[str, McpTool]]:
    """The tools of a server of either kind."""
    way = {"url": f"http://127.0.0.1:{request.getfixturevalue('port')}/mcp"} if request.param == "http" else STDIO
    made = {tool.called: tool for tool in make(**way)}
    yield made
    asyncio.run(made["add"].aclose())


def ask(tool: McpTool, **arguments: Any) -> ToolResult:
    """Call once, in an event loop of its own."""

    async def call() -> ToolResult:
        return await tool(arguments)

    return asyncio.run(call())


def test_tools_are_listed_and_called(tools: dict[str, McpTool]):
    """Name, description and schema as the server says; results as text; one session over several event loops."""
    spec = tools["add"].spec
    assert spec.name == "mcp_add"
    assert spec.description == "Add two whole numbers."
    assert spec.parameters["required"] == ["a", "b"]
    assert ask(tools["add"], a=1, b=2).text == "3"
    assert ask(tools["pid"]).text == ask(tools["pid"]).text
    assert ask(tools["picture"]).text == "[image/png, not shown]"


def test_errors_of_a_tool_are_failures(tools: dict[str, McpTool]):
    """What a tool raises and arguments it cannot take are told; the session goes on."""
    for result in (ask(tools["fail"]), ask(tools["add"], a="x", b=1)):
        assert result.failure is not None
        assert result.failure.kind is FailureKind.ENVIRONMENT
        assert "Error executing tool" in result.text
    assert ask(tools["add"], a=1, b=1).text == "2"


def test_a_hanging_tool_costs_its_time(tools: dict[str, McpTool]):
    """No answer in time is a timeout."""
    server = tools["hang"].server
    whole, server.way = server.way, replace(server.way, seconds=0.5)
    result = ask(tools["hang"])
    server.way = whole
    assert result.failure is not None
    assert result.failure.kind is FailureKind.TIMEOUT
    assert "gave no answer in 0.5 s" in result.text


@pytest.fixture
def stdio() -> Iterator[dict[str, McpTool]]:
    """A server over stdio."""
    tools = {tool.called: tool for tool in make(**STDIO)}
    yield tools
    asyncio.run(tools["add"].aclose())


def alive(pid: int) -> bool:
    """Say whether a process is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
def test_a_server_that_ends_is_a_failure_and_comes_back(stdio: dict[str, McpTool]):
    """The call that ended it fails; the next one starts it again, but not for ever."""
    first = ask(stdio["pid"]).text
    for _ in range(2):
        ended = ask(stdio["end"])
        assert ended.failure is not None
        assert ended.failure.kind is FailureKind.ENVIRONMENT
    again = ask(stdio["pid"])
    assert again.failure is None
    assert again.text != first
    stdio["end"].server.starts = 5
    ask(stdio["end"])
    assert "stays ended" in ask(stdio["add"], a=1, b=1).text


@pytest.mark.slow
def test_closing_ends_the_process(stdio: dict[str, McpTool]):
    """After the run no server is left, and a call says so; closing twice is fine."""
    pid = int(ask(stdio["pid"]).text)
    asyncio.run(stdio["add"].aclose())
    asyncio.run(stdio["pid"].aclose())
    assert not alive(pid)
    assert "is closed" in ask(stdio["add"], a=1, b=1).text


@pytest.mark.slow
def test_a_program_that_forgets_to_close_leaves_no_server():
    """The interpreter ends by itself, and the server with it."""
    program = (
        "import asyncio, sys\nfrom tfgrpo.tools.mcp import make\n"
        f"tools = {{t.called: t for t in make(command=sys.executable, args=[{SERVER!r}])}}\n"
        "print(asyncio.run(tools['pid']({})).text)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert not alive(int(done.stdout))


@pytest.mark.slow
def test_a_server_gets_only_the_variables_it_is_given(monkeypatch: pytest.MonkeyPatch):
    """Keys of the run stay with the run; those named go to the server, and into no record."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("MARKED", KEY)
    tools = {tool.called: tool for tool in make(**STDIO, env=["MARKED"])}
    names = ask(tools["environment"]).text.split()
    asyncio.run(tools["add"].aclose())
    assert "MARKED" in names
    assert "OPENAI_API_KEY" not in names
    assert KEY not in json.dumps(dict(tools["add"].fingerprint))


@pytest.mark.slow
def test_arguments_are_told_apart_but_not_shown():
    """Command arguments may hold a secret: the fingerprint has their hash."""
    tools = make(**{**STDIO, "args": [SERVER, "--token", KEY]})
    others = make(**STDIO)
    assert KEY not in json.dumps(dict(tools[0].fingerprint))
    assert tools[0].fingerprint != others[0].fingerprint
    asyncio.run(tools[0].aclose())
    asyncio.run(others[0].aclose())


@pytest.mark.slow
def test_several_servers_have_names_of_their_own():
    """The name of the server begins the names of its tools, and `only` chooses among them."""
    tools = make(servers={"one": {**STDIO, "only": ["add"]}, "two": {**STDIO, "only": ["pid"]}})
    assert [tool.spec.name for tool in tools] == ["one_add", "two_pid"]
    for tool in tools:
        asyncio.run(tool.aclose())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "needs a server"),
        ({"comand": "x"}, "no option 'comand'"),
        ({"command": "x", "url": "http://a"}, "either a command or a url"),
        ({"command": "x", "args": "y"}, "is a list"),
        ({"command": "/nowhere/at/all"}, "cannot be used"),
        ({"servers": {"a": 3}}, "table of options"),
        ({**STDIO, "env": ["NOT_SET_ANYWHERE"]}, "export it"),
        pytest.param({**STDIO, "only": ["multiply"]}, "has no tool 'multiply'; it has add", marks=pytest.mark.slow),
        ({"url": "http://127.0.0.1:9/mcp", "start_seconds": 5}, "cannot be used"),
        (
            {"command": sys.executable, "args": [SERVER, "--silent"], "start_seconds": 0.5},
            "does not greet within 0.5 s",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_before_the_run(options: Mapping[str, Any], message: str):
    """Wrong options and servers that do not start are told when the tools are made."""
    with pytest.raises(UsageError, match=message):
        make(**options)


@pytest.mark.slow
def test_the_last_words_of_a_server_are_told_without_the_key(monkeypatch: pytest.MonkeyPatch):
    """What it wrote to stderr says why it did not start."""
    monkeypatch.setenv("MARKED", KEY)
    with pytest.raises(UsageError, match=r"its last words: cannot start with \[key\]"):
        make(command=sys.executable, args=[SERVER, "--broken"], env=["MARKED"])


def test_a_bearer_token_goes_to_the_server_alone(monkeypatch: pytest.MonkeyPatch):
    """The header holds it, the message of a server that repeats it does not."""
    monkeypatch.setenv("MARKED", KEY)
    with Web(Answer({"error": f"no such token {KEY}"}, 401)) as web:
        with pytest.raises(UsageError, match="cannot be used") as caught:
            make(url=f"{web.url}/mcp", bearer="MARKED", start_seconds=AMPLE)
        assert web.asked[0].headers["Authorization"] == f"Bearer {KEY}"
    assert KEY not in str(caught.value)


def test_names_fit_what_endpoints_take():
    """Odd characters are replaced and long names cut, still told apart."""
    assert name_of("files", "read.all") == "files_read_all"
    one, two = name_of("s", "x" * 80 + "1"), name_of("s", "x" * 80 + "2")
    assert len(one) == 64
    assert one != two
