"""What a candidate consists of, and which part of it a proposal rewrites.

The library is one component. The instructions and the description of each tool are others: texts that stand in the
library as lessons for that part of the prompt (`experience_db.prompt_parts`), so that versions, merges, races and
exports need to know nothing of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from experience_db import Library
from experience_db.prompt_parts import INSTRUCTIONS, TOOL, part_of, parts_of
from tfgrpo.config.search import SearchConfig
from tfgrpo.errors import UsageError
from tfgrpo.learning.run import Run

LIBRARY = "library"
KNOWN = (LIBRARY, INSTRUCTIONS, "tools")


@dataclass(frozen=True, slots=True)
class ComponentRequest:
    """What a component is chosen for."""

    components: tuple[str, ...]
    """`library`, `instructions`, `tool NAME`."""
    number: int
    """Proposals made before, over the whole run."""
    place: int
    """Proposals made before in this step."""
    seed: int


class ComponentSelector(Protocol):
    """Says which components a proposal rewrites."""

    def __call__(self, draw: ComponentRequest) -> tuple[str, ...]:
        """Return one or more of the components; the same for the same draw."""
        ...


def round_robin(draw: ComponentRequest) -> tuple[str, ...]:
    """Return the next component in turn (GEPA): the proposals of a step take different ones."""
    return (draw.components[draw.number % len(draw.components)],)


def all_components(draw: ComponentRequest) -> tuple[str, ...]:
    """Return all of them (GEPA): each is rewritten by a reflection of its own, and they are accepted together."""
    return draw.components


BUILTIN: Mapping[str, ComponentSelector] = {"round-robin": round_robin, "all": all_components}
"""Component selectors by name."""


def check_components(config: SearchConfig) -> tuple[str, ...]:
    """Return the names of a configuration. Raises UsageError where one is unknown or there is none."""
    names = tuple(dict.fromkeys(name.strip() for name in config.components.split(",") if name.strip()))
    if not names or set(names) - set(KNOWN):
        raise UsageError(f"search.components is {config.components!r}; give one or more of: {', '.join(KNOWN)}")
    return names


def components_of(run: Run) -> tuple[str, ...]:
    """Return the components of a run's candidates; a run without tools has no descriptions to write."""
    found: list[str] = []
    for name in check_components(run.config.search):
        found += tool_words(run) if name == "tools" else [name]
    return tuple(found) or (LIBRARY,)


def current_words(run: Run, library: Library, name: str) -> str:
    """Return what a part says under a version: its own words, else those that the run began with."""
    held = parts_of(library.lessons).get(name)
    if held is not None and (part := part_of(held.text)):
        return part[1]
    if name == INSTRUCTIONS:
        return run.teacher.prompts.render("solve/system", instructions=run.config.instructions).strip()
    return tool_words(run).get(name, "")


def in_words(name: str) -> str:
    """Return what a part is called in a question."""
    if name == INSTRUCTIONS:
        return "the instructions, which stand before everything else"
    tool = name.removeprefix(TOOL)
    return f"the description of the tool {tool!r}, by which the solver decides when and how to call it"


def tool_words(run: Run) -> dict[str, str]:
    """Return what the tools of a run say of themselves, by the name of that part."""
    environment: Any = run.actor.environment
    environment = getattr(environment, "inner", environment)
    tools: Sequence[Any] = getattr(environment, "tools", ())
    return {f"{TOOL}{tool.spec.name}": tool.spec.description for tool in tools}
