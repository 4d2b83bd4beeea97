"""Where graders, agents and tools run: here, or on the workers that `engine.executor` names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tfgrpo.config.engine import EngineConfig
from tfgrpo.errors import UsageError
from tfgrpo.executors.ray import RayPool
from tfgrpo.executors.remote import Remote, RemoteSessionTool, RemoteTool

AGENT = "give the agent as an async function of a module, `package.module:function`"
GRADER = "give the grader as a function of a module, `package.module:function`"
TOOL = "run this tool with --executor local"


@dataclass(frozen=True, slots=True)
class Placement:
    """Puts objects where they run; without a pool they stay as they are."""

    pool: RayPool | None = None

    def grader(self, grader: Any) -> Any:
        """Return a grader that runs there. Raises UsageError where it cannot be sent."""
        return self._placed("grader", grader, GRADER)

    def agent(self, agent: Any) -> Any:
        """Return an agent that runs there. Raises UsageError where it cannot be sent."""
        return None if agent is None else self._placed("agent", agent, AGENT)

    def tools(self, tools: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return tools; those that run code of models run there. Raises UsageError where one cannot be sent."""
        return tuple(self._tool(tool) if self.pool and tool.spec.name == "python" else tool for tool in tools)

    def _tool(self, tool: Any) -> Any:
        assert self.pool is not None
        name = f"tool {tool.spec.name!r}"
        self.pool.add(name, tool, TOOL)
        return (RemoteSessionTool if hasattr(tool, "restore") else RemoteTool)(self.pool, name, tool)

    def _placed(self, kind: str, thing: Any, hint: str) -> Any:
        if self.pool is None:
            return thing
        name = f"{kind} {getattr(thing, '__qualname__', type(thing).__name__)!r}"
        self.pool.add(name, thing, hint)
        return Remote(self.pool, name, thing)


def placement(config: EngineConfig) -> Placement:
    """Return where things run: `local`, `ray`, or `ray:ADDRESS` of a cluster that is up; nothing is started yet.

    Raises:
        UsageError: an executor that does not exist, or Ray is not installed.
    """
    kind, _, address = config.executor.partition(":")
    if kind == "local" and not address:
        return Placement()
    if kind != "ray":
        raise UsageError(f"engine.executor is local, ray or ray:ADDRESS, not {config.executor!r}")
    options = replace(config.ray, address=address) if address else config.ray
    return Placement(RayPool(options))
