"""An MCP server for tests, run as a process: over stdio, or with `--http PORT` over streamable HTTP."""

from __future__ import annotations

import os
import sys
import time

from mcp.server.mcpserver import Image, MCPServer

server = MCPServer("practice", version="1")


@server.tool()
def add(a: int, b: int) -> int:
    """Add two whole numbers."""
    return a + b


@server.tool()
def environment() -> str:
    """Name the environment variables of this process."""
    return " ".join(sorted(os.environ))


@server.tool()
def fail() -> str:
    """Raise."""
    raise ValueError("no such thing")


@server.tool()
def hang() -> str:
    """Say nothing for a long time."""
    time.sleep(60)
    return "late"


@server.tool()
def end() -> str:
    """End this process in the middle of a call."""
    os._exit(3)


@server.tool()
def picture() -> Image:
    """Return a picture."""
    return Image(data=b"\x89PNG", format="png")


@server.tool()
def pid() -> int:
    """Return the id of this process."""
    return os.getpid()


if __name__ == "__main__":
    if "--silent" in sys.argv:
        time.sleep(60)
    if "--broken" in sys.argv:
        sys.exit(f"cannot start with {os.environ.get('MARKED', 'nothing')}")
    if "--http" in sys.argv:
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[sys.argv.index("--http") + 1]))
    else:
        server.run("stdio")
