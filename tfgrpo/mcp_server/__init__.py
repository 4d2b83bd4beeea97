"""An MCP server (Model Context Protocol) over one library, for agents whose host speaks that protocol (extra `mcp`).

In: a database and the name of a library. Out: lessons as resources, the block as a prompt, and three tools: to search,
to report how a task ended, to propose a lesson. Read `shown.py` first: what clients get to see; `received.py` keeps
what they say, where it is served to nobody; `protocol.py` alone knows the SDK.
"""

from tfgrpo.mcp_server.protocol import build_server, require_sdk, serve_http, serve_stdio

__all__ = ["build_server", "require_sdk", "serve_http", "serve_stdio"]
