"""What rollouts may call besides the model."""

from tfgrpo.tools.base import SessionTool, Tool, ToolResult, ToolSpec

__all__ = ["SessionTool", "Tool", "ToolResult", "ToolSpec"]
