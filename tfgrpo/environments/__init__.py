"""How one rollout runs: asked once, in a loop with tools, or by somebody's own agent.

In: a problem, a library version, a slot (role, index, sampling). Out: one `Rollout`, or the failure in its place.
Read `base.py` first, then `single_turn.py`; `factory.py` makes the one that a configuration names.
"""

from tfgrpo.environments.base import Environment, Slot
from tfgrpo.environments.single_turn import SingleTurn
from tfgrpo.environments.tool_loop import ToolLoop
from tfgrpo.environments.wrapped import Agent, Wrapped

__all__ = ["Agent", "Environment", "SingleTurn", "Slot", "ToolLoop", "Wrapped"]
