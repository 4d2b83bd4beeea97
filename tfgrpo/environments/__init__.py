"""How one rollout runs."""

from tfgrpo.environments.base import Environment, Slot
from tfgrpo.environments.single_turn import SingleTurn
from tfgrpo.environments.tool_loop import ToolLoop
from tfgrpo.environments.wrapped import Agent, Wrapped

__all__ = ["Agent", "Environment", "SingleTurn", "Slot", "ToolLoop", "Wrapped"]
