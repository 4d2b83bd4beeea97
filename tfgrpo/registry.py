"""A name becomes an object: dotted path, then the built-in table, then entry points of the group `tfgrpo.<kind>`."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from tfgrpo.errors import UnknownPlugin

BUILTIN: Mapping[str, Mapping[str, str]] = {
    "graders": {
        "exact": "tfgrpo.graders:Exact",
        "numeric": "tfgrpo.graders:Numeric",
        "choice": "tfgrpo.graders:Choice",
        "judge": "tfgrpo.graders.judge:Judge",
        "math": "tfgrpo.graders:Math",
        "program": "tfgrpo.graders.program:Program",
        "web_qa": "tfgrpo.graders.web_qa:WebQA",
        "weighted": "tfgrpo.graders.weighted:Weighted",
    },
    "gates": {
        "paired": "tfgrpo.gates.factory:paired_gate",
        "open": "tfgrpo.gates.factory:open_gate",
        "likelihood": "tfgrpo.gates.factory:likelihood_gate",
    },
    "environments": {
        "single_turn": "tfgrpo.environments:SingleTurn",
        "tool_loop": "tfgrpo.environments:ToolLoop",
    },
    "tools": {
        "fetch_page": "tfgrpo.tools.fetch_page:make",
        "mcp": "tfgrpo.tools.mcp:make",
        "python": "tfgrpo.tools.python:make",
        "web_search": "tfgrpo.tools.web_search:make",
    },
    "selectors": {
        "pareto": "tfgrpo.search.pareto:pareto",
        "current-best": "tfgrpo.search.pareto:current_best",
        "epsilon-greedy": "tfgrpo.search.pareto:epsilon_greedy",
        "top-k": "tfgrpo.search.pareto:top_k",
    },
    "samplers": {
        "epoch": "tfgrpo.search.sampler:epoch_shuffled",
        "lost-too": "tfgrpo.search.sampler:lost_too",
    },
    "components": {
        "round-robin": "tfgrpo.search.components:round_robin",
        "all": "tfgrpo.search.components:all_components",
    },
    "acceptances": {
        "strict": "tfgrpo.search.acceptance:strict",
        "or-equal": "tfgrpo.search.acceptance:or_equal",
        "paired": "tfgrpo.search.acceptance:confident",
    },
}
"""What ships with the package, by kind."""


def resolve(kind: str, name: str) -> Any:
    """Return the object that `name` stands for.

    Args:
        kind: plural kind, for instance `graders`; also the suffix of the entry-point group.
        name: `package.module:attr`, a built-in name, or the name of an entry point.

    Raises:
        UnknownPlugin: nothing of that name, or it cannot be loaded; the message lists what is known.
    """
    if ":" in name:
        return _dotted(kind, name)
    if name in BUILTIN.get(kind, {}):
        return _dotted(kind, BUILTIN[kind][name])
    for point in entry_points(group=f"tfgrpo.{kind}"):
        if point.name == name:
            return point.load()
    known = names(kind)
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise UnknownPlugin(
        f"no {kind.removesuffix('s')} {name!r}; {hint}known: {', '.join(known)}, or package.module:attr"
    )


def names(kind: str) -> tuple[str, ...]:
    """All names of a kind, built-in and installed, sorted."""
    return tuple(sorted({*BUILTIN.get(kind, {}), *(p.name for p in entry_points(group=f"tfgrpo.{kind}"))}))


def _dotted(kind: str, path: str) -> Any:
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise UnknownPlugin(
            f"{kind.removesuffix('s')} {path!r} cannot be imported: {error}; is its folder on PYTHONPATH?"
        ) from error
    except AttributeError as error:
        raise UnknownPlugin(f"module {module!r} has no {attribute!r}, wanted as {kind.removesuffix('s')}") from error
