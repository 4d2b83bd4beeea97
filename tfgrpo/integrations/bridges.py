"""Tasks and graders of other harnesses, by one address: `inspect:FILE.py@TASK`, `lm-eval:TASK`, `promptfoo:CONFIG`, ...

`tfgrpo prove --on ADDRESS` runs them through our own engine: the harness gives problems and grades answers, prompts,
seeds, journal and test are ours. A solver, a tool or a container that a task brings is not run.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from tfgrpo.errors import UsageError
from tfgrpo.types import Problem


@dataclass(frozen=True, slots=True)
class Bridge:
    """What a harness brings."""

    problems: tuple[Problem, ...]
    grader: Any
    """`(problem, rollout) -> Score`, sync or async; None where the tasks say nothing about right answers."""
    instructions: str = ""
    """What the task wants said first."""


KINDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "inspect": ("tfgrpo.integrations.inspect", "inspect-ai"),
        "lm-eval": ("tfgrpo.integrations.lm_eval", "lm-eval"),
        "verifiers": ("tfgrpo.integrations.verifiers", "verifiers"),
        "promptfoo": ("tfgrpo.integrations.promptfoo", "pyyaml"),
    }
)
"""Prefix -> (module with `bridge(address)`, the package it needs)."""


def kind_of(address: str) -> str | None:
    """Return the prefix of an address of a bridge; None for anything else."""
    kind, colon, _ = address.partition(":")
    return kind if colon and kind in KINDS else None


def bridge(address: str) -> Bridge:
    """Return the tasks and the grader behind an address.

    Raises:
        UsageError: the package is not installed, or nothing of that name.
    """
    kind, _, rest = address.partition(":")
    module, package = KINDS[kind]
    try:
        made: Callable[[str], Bridge] = importlib.import_module(module).bridge
        found = made(rest)
    except ImportError as error:
        if error.name and error.name.split(".")[0] in ("inspect_ai", "lm_eval", "verifiers", "yaml", "datasets"):
            raise UsageError(f"{address} needs the package {package}: pip install {package}") from error
        raise UsageError(f"{address} cannot be loaded: {error}") from error
    if not found.problems:
        raise UsageError(f"{address} holds no tasks")
    return found


def module_of(address: str) -> ModuleType:
    """Return a module by its file or its dotted name; raises UsageError when there is none."""
    file = Path(address)
    if file.suffix != ".py":
        return importlib.import_module(address)
    if not file.is_file():
        raise UsageError(f"no file {address}")
    spec = importlib.util.spec_from_file_location(f"tfgrpo_bridge_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def attribute_of(address: str, separator: str = "@") -> Any:
    """Return what `FILE.py@NAME` or `package.module@NAME` names; raises UsageError when there is none."""
    where, _, name = address.rpartition(separator)
    if not where:
        raise UsageError(f"{address!r} names no task; write FILE.py{separator}TASK or package.module{separator}TASK")
    module = module_of(where)
    if not hasattr(module, name):
        raise UsageError(f"{where} has no {name!r}")
    return getattr(module, name)
