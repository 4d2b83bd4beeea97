"""What rollouts may call besides the model."""

from tfgrpo.tools.base import Restorable, SessionTool, Tool, ToolResult, ToolSpec

__all__ = ["Restorable", "SessionTool", "Tool", "ToolResult", "ToolSpec"]
