"""What meets text: every pattern and every function of one text, found by walking the modules of the project."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("tfgrpo", "experience_db")
IN_WORKERS = {
    "tfgrpo.graders.math_worker": "runs in a process with limits on CPU time and memory",
    "tfgrpo.graders.program_harness": "runs shut in, with limits",
    "tfgrpo.graders.program_stubs": "runs shut in, with limits",
    "tfgrpo.graders.program_values": "runs shut in, with limits",
    "tfgrpo.graders.program_wire": "runs shut in, with limits",
    "tfgrpo.tools.fetch_page_worker": "runs in a process with a deadline",
    "tfgrpo.tools.fetch_page_text": "runs in a process with a deadline",
    "tfgrpo.tools.sandbox_child": "runs shut in, with limits",
}
"""Modules whose work a process with a deadline does; each with the reason."""
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
        for name, made in list(vars(module).items()):
            value = made() if _is_table(made) else made
            ways = frozenset(re.findall(rf"\b{name}\b\.(\w+)", source))
            passed = re.search(rf"(?<![\w.\"]){name}(?!\w|\.\w| =|: )", source) is not None
            for where, pattern in _within(value, f"{module.__name__}.{name}", 0):
                found[where] = (pattern, frozenset() if passed or pattern is not value else ways)
        found |= _written(module)
    return {name: each for name, each in found.items() if isinstance(each[0].pattern, str)}


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


METHODS = frozenset({"sub", "subn", "search", "match", "fullmatch", "findall", "split", "finditer"})


def _written(module: ModuleType) -> dict[str, Found]:
    """Patterns that stand as text in `re.sub(...)` and its like, or are compiled within a function.

    `{...}` of an f-string counts as a word.
    """
    found = {}
    tree = ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8"))
    inside = {
        id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef) for n in ast.walk(f)
    }
    for node in ast.walk(tree):
        # What a module compiles for all is found by its name, with the ways in which it is used.
        if _calls_re(node) and (node.func.attr != "compile" or id(node) in inside):  # type: ignore[attr-defined]
            text = _text(node.args[0])  # type: ignore[attr-defined]
            ways = frozenset({node.func.attr} & METHODS)  # type: ignore[attr-defined]
            if text is not None:
                found[f"{module.__name__}:{node.lineno}"] = (re.compile(text), ways)  # type: ignore[attr-defined]
    return found


def _calls_re(node: ast.AST) -> bool:
    called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args
    if not called or not isinstance(node.func.value, ast.Name) or node.func.value.id != "re":  # type: ignore[attr-defined]
        return False
    return node.func.attr in METHODS | {"compile"}  # type: ignore[attr-defined]


def unreadable_patterns() -> set[str]:
    """Functions that make a pattern of what they are given, so that no walk can see it; and modules that hide `re`."""
    found = set()
    for module in modules():
        tree = ast.parse(Path(module.__file__ or "").read_text(encoding="utf-8"))
        hidden = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module in ("re", "regex")]
        hidden += [
            n for n in ast.walk(tree) if isinstance(n, ast.Import) and any(a.asname for a in n.names if a.name == "re")
        ]
        found |= {module.__name__} if hidden else set()
        known = set(vars(module))
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for call in ast.walk(node):
                if _calls_re(call) and _text(call.args[0]) is None:  # type: ignore[attr-defined]
                    named = isinstance(call.args[0], ast.Name) and call.args[0].id in known  # type: ignore[attr-defined]
                    found |= set() if named else {f"{module.__name__}.{node.name}"}
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
