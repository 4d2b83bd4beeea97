"""Which environment a configuration asks for, with its tools: names become objects here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from experience_db import Journal, Store
from tfgrpo import registry
from tfgrpo.backends.base import Backend
from tfgrpo.backends.limited import Ledger
from tfgrpo.backends.metered import Tally
from tfgrpo.config import LearnConfig
from tfgrpo.environments.base import Environment
from tfgrpo.environments.single_turn import SingleTurn
from tfgrpo.environments.tool_loop import ToolLoop
from tfgrpo.environments.tool_protocol import ToolProtocols
from tfgrpo.environments.wrapped import Agent, Wrapped
from tfgrpo.errors import UsageError
from tfgrpo.prompting.templates import Prompts
from tfgrpo.tools import Tool
from tfgrpo.tools.journaled import JournaledTools

OWN = ("single_turn", "tool_loop")
WITHOUT_FUNCTIONS = frozenset({"tiny"})
"""Models of ours that know no function calling."""


@dataclass(frozen=True, slots=True)
class EnvironmentParts:
    """What an environment is built from."""

    backend: Backend
    model: str
    prompts: Prompts
    store: Store
    ledger: Ledger
    tally: dict[str, Tally]
    run: str | None = None
    endpoint: str = ""
    """Where the model is, for what is remembered of it."""
    mark: str = ""
    """Who answers there, where the name does not say it."""
    place: Callable[[Any], Any] = lambda agent: agent
    """Puts an agent where it runs."""


def make_environment(
    agent: Agent | None, config: LearnConfig, tools: Sequence[Tool], ways: EnvironmentParts
) -> Environment:
    """Return the environment: the caller's agent, else what the configuration names.

    Raises:
        UnknownPlugin: nothing of that name.
    """
    journal = Journal(ways.store)
    if agent is not None:
        return Wrapped(ways.place(agent), environment_name(agent), journal, ways.run, ways.tally, ways.ledger)
    kind, chosen = config.environment.kind, config.environment
    if kind == "single_turn":
        return SingleTurn(ways.backend, ways.model, ways.prompts, config.instructions)
    if kind == "tool_loop":
        wanted = "text" if ways.model in WITHOUT_FUNCTIONS and chosen.protocol == "auto" else chosen.protocol
        specs = tuple(tool.spec for tool in tools)
        desk = JournaledTools(journal, ways.run, ways.tally, ways.ledger, chosen.tool_seconds, mark=ways.mark)
        protocols = ToolProtocols(wanted, specs, ways.model, ways.endpoint, ways.store)
        return ToolLoop(
            ways.backend, ways.model, ways.prompts, tuple(tools), desk, protocols, chosen, config.instructions
        )
    named: Any = registry.resolve("environments", kind)
    found: Any = named() if inspect.isclass(named) else named
    if _parameters(found, kind) > 2:
        return cast("Environment", found)
    return Wrapped(ways.place(found), kind, journal, ways.run, ways.tally, ways.ledger)


def environment_name(agent: Agent | None, config: LearnConfig | None = None) -> str:
    """Return the stable name of what runs rollouts."""
    if agent is not None:
        return str(getattr(agent, "__qualname__", type(agent).__name__))
    return "single_turn" if config is None else config.environment.kind


def instructions_note(agent: Agent | None, config: LearnConfig, prompts: Prompts) -> str:
    """Return one sentence where the instructions of a configuration reach no prompt; "" where they do or are none."""
    if not config.instructions:
        return ""
    kind = environment_name(agent, config)
    if kind == "tool_loop" and agent is None:
        return ""  # the text protocol has a place for them in its own template
    if kind != "single_turn" or agent is not None:
        return (
            f"--instructions has no effect: {kind!r} is an agent of your own, which gets the problem and the lessons; "
            "tell it there"
        )
    if "instructions" in prompts.variables("solve/system"):
        return ""
    folder = prompts.path("solve/system").parent.parent
    return (
        f"--instructions has no effect: the template solve/system of the prompt set {folder.name!r} has no place for "
        "it; say it in the questions, or take another set with --prompts"
    )


def configured_tools(config: LearnConfig) -> tuple[Tool, ...]:
    """Return the tools that a configuration names, ready to be called.

    Raises:
        UnknownPlugin: no tool of that name.
        UsageError: tools and environment do not go together, options do not fit, or a tool cannot run here.
    """
    kind, names = config.environment.kind, config.environment.tools
    if kind == "tool_loop" and not names:
        raise UsageError("environment tool_loop has no tools; name them: --tools python,web_search")
    if names and kind == "single_turn":
        raise UsageError("environment single_turn calls no tools; add -s environment.kind=tool_loop, or use --tools")
    if not isinstance(config.tools, Mapping):
        raise UsageError(
            f"tools is a table of options, not {config.tools!r}; which tools there are says environment.tools"
        )
    for name in config.tools:
        if name not in names:
            raise UsageError(
                f"there are options for the tool {name!r}, which is not used; environment.tools: {list(names)}"
            )
    return make_tools(names, config.tools)


def make_tools(names: Sequence[str], options: Mapping[str, Any]) -> tuple[Tool, ...]:
    """Return tools by name with their options; one name may stand for several tools (`mcp`).

    Raises:
        UnknownPlugin: no tool of that name.
        UsageError: options do not fit, a tool cannot run here, or two tools are called alike.
    """
    tools: list[Tool] = []
    for name in names:
        factory, given = registry.resolve("tools", name), options.get(name, {})
        if not isinstance(given, Mapping):
            raise UsageError(f"tools.{name} is a table of options, not {given!r}")
        try:
            made = factory(**given)
        except TypeError as error:
            raise UsageError(f"tool {name!r} does not take these options: {error}") from error
        tools += made if isinstance(made, list | tuple) else [made]
    called = [tool.spec.name for tool in tools]
    if twice := next((name for name in called if called.count(name) > 1), None):
        raise UsageError(f"two tools are called {twice!r}; leave one out of environment.tools")
    return tuple(tools)


def _parameters(found: Any, kind: str) -> int:
    call = found if inspect.isroutine(found) else getattr(found, "__call__", found)  # noqa: B004
    try:
        return len(inspect.signature(call).parameters)
    except (TypeError, ValueError) as error:
        raise UsageError(f"environment {kind!r} is not callable; give an async function (problem, lessons)") from error
