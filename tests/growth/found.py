"""What meets text: every pattern and every function of one text, found by walking the modules of the project."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from tfgrpo.types import Problem

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("tfgrpo", "experience_db")
IN_WORKERS = {
    "tfgrpo.graders.math_worker": "runs in a process with limits on CPU time and memory",
    "tfgrpo.graders.program_harness": "runs shut in, with limits",
    "tfgrpo.graders.program_wire": "runs shut in, with limits",
    "tfgrpo.tools.fetch_page_worker": "runs in a process with a deadline",
    "tfgrpo.tools.fetch_page_text": "runs in a process with a deadline",
    "tfgrpo.tools.sandbox_child": "runs shut in, with limits",
}
"""Modules whose work a process with a deadline does; each with the reason."""
TEXTS = frozenset(
    {
        "text",
        "reply",
        "said",
        "answer",
        "plain",
        "raw",
        "page",
        "html",
        "body",
        "sentence",
        "prose",
        "content",
        "output",
    }
)
"""Names of parameters that hold text of a model, a page or a user."""
OPTIONAL = re.compile(r"No module named '(?P<name>[\w.]+)'")


def modules() -> Iterator[ModuleType]:
    """Every module that can be imported with what is installed."""
    for package in map(importlib.import_module, PACKAGES):
        yield package
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if info.name.endswith("__main__") or info.name in IN_WORKERS:
                continue
            try:
                yield importlib.import_module(info.name)
            except ImportError as error:
                missing = OPTIONAL.search(str(error))
                if not missing or missing["name"].split(".")[0] in PACKAGES:
                    raise


Found = tuple[re.Pattern[str], frozenset[str]]


def patterns() -> dict[str, Found]:
    """Every compiled pattern of a module, also within its tables, and every one written in a call of `re`.

    With the methods that are called on it; an empty set where that cannot be seen.
    """
    found: dict[str, Found] = {}
    for module in modules():
        source = Path(module.__file__ or "").read_text(encoding="utf-8")
        for name, made in vars(module).items():
            value = made() if _is_table(made) else made
            ways = frozenset(re.findall(rf"\b{name}\b\.(\w+)", source))
            passed = re.search(rf"(?<![\w.\"]){name}(?!\w|\.\w| =|: )", source) is not None
            for where, pattern in _within(value, f"{module.__name__}.{name}", 0):
                found[where] = (pattern, frozenset() if passed or pattern is not value else ways)
        found |= _written(module)
    return {name: each for name, each in found.items() if isinstance(each[0].pattern, str)}


def functions() -> dict[str, Callable[[str], Any]]:
    """Every function that eats texts, or a text and a problem, and needs nothing else."""
    found = {}
    for module in modules():
        for name, value in vars(module).items():
            if inspect.isfunction(value) and value.__module__ == module.__name__:
                given = _given(value)
                if given is not None:
                    found[f"{module.__name__}.{name}"] = lambda text, value=value, given=given: value(*given(text))
    return found


def _is_table(value: Any) -> bool:
    """Whether it is a cached function that makes a table of what is compiled."""
    cached = hasattr(value, "cache_info") and not inspect.signature(value).parameters
    return cached and re.search("Sign|Pattern", str(inspect.signature(value).return_annotation)) is not None


def _within(value: Any, where: str, depth: int) -> Iterator[tuple[str, re.Pattern[str]]]:
    if isinstance(value, re.Pattern):
        yield where, value
    elif depth < 4 and isinstance(value, Mapping):
        for key, item in value.items():
            yield from _within(item, f"{where}[{key!r}]", depth + 1)
    elif depth < 4 and isinstance(value, list | tuple | frozenset):
        for number, item in enumerate(value):
            yield from _within(item, f"{where}[{number}]", depth + 1)
    elif depth and depth < 4 and hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        for name in value.__dataclass_fields__:
            yield from _within(getattr(value, name, None), f"{where}.{name}", depth + 1)


def _written(module: ModuleType) -> dict[str, Found]:
    """Patterns that stand as text in `re.sub(...)` and its like; `{...}` of an f-string counts as a word."""
    found = {}
    path = Path(module.__file__ or "")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args
        if not called or not isinstance(node.func.value, ast.Name) or node.func.value.id != "re":  # type: ignore[union-attr]
            continue
        text = _text(node.args[0])  # type: ignore[union-attr]
        if text is not None and node.func.attr in {
            "sub",
            "subn",
            "search",
            "match",
            "fullmatch",
            "findall",
            "split",
            "finditer",
        }:  # type: ignore[union-attr]
            found[f"{module.__name__}:{node.lineno}"] = (re.compile(text), frozenset({node.func.attr}))  # type: ignore[union-attr]
    return found


def _text(node: ast.expr) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = [str(v.value) if isinstance(v, ast.Constant) else "abc" for v in node.values]
        try:
            re.compile("".join(parts))
        except re.error:
            return None
        return "".join(parts)
    return None


def _given(function: Callable[..., Any]) -> Callable[[str], list[Any]] | None:
    """How to call it with a text; None where it eats none, or needs more. Coroutines do their work elsewhere."""
    parameters = list(inspect.signature(function).parameters.values())
    needed = [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
    if not needed or needed[0].name not in TEXTS or needed[0].annotation != "str":
        return None
    if any(p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in needed):
        return None
    if any(p.annotation not in ("str", "Problem") for p in needed) or inspect.iscoroutinefunction(function):
        return None
    kinds = [p.annotation for p in needed]
    return lambda text: [text if kind == "str" else Problem("p", text, text) for kind in kinds]
