"""What rollouts may call besides the model.

In: a tool's name and arguments as a model wrote them. Out: a `ToolResult`, which is data from outside and never an
order. Read `base.py` first; `journaled.py` records calls, `python.py` runs code in `sandbox.py`, `web_search.py` and
`fetch_page.py` read the web, `mcp.py` takes any MCP server.
"""

from tfgrpo.tools.base import Restorable, SessionTool, Tool, ToolResult, ToolSpec

__all__ = ["Restorable", "SessionTool", "Tool", "ToolResult", "ToolSpec"]
