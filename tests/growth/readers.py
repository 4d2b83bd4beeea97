"""Every function and method that is given text and does something with it whose time can grow, with a way to call it.

What it is given is made from its annotations. One that cannot be called so is told by name, and has to be in a list.
"""

from __future__ import annotations

import ast
import inspect
import io
import random
import re
import textwrap
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from experience_db import Edit, Lesson, Library, Op
from growth.found import PACKAGES, modules
from tfgrpo.types import Message, Problem

TEXTUAL = re.compile(
    r"\b(?:str|bytes|Any|object|Message|Messages|Problem|Lesson|Edit|Library|Mapping|dict|list|Sequence|Row)\b"
)
"""Annotations that may hold text of somebody else."""
REGEX = re.compile(r"\.(?:finditer|fullmatch|subn?|findall|search|match|split)\(|\bre\.\w+\(")


class Unmade(Exception):
    """There is no way to make such an argument; the message names its type."""


Call = Callable[[str], Any]


def readers() -> tuple[dict[str, tuple[Call, ...]], dict[str, str]]:
    """Return how to call each reader with a text, and those that cannot be called, with what they need."""
    found: dict[str, tuple[Call, ...]] = {}
    needs: dict[str, str] = {}
    for module in modules():
        for name, value in _callables(module):
            if not _eats(value):
                continue
            try:
                found[name] = _called(value)
            except Unmade as error:
                if _may_grow(value):
                    needs[name] = str(error)
    return found, needs


def _callables(module: types.ModuleType) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Functions of a module, also cached ones, and methods of its classes."""
    for name, value in list(vars(module).items()):
        plain = inspect.unwrap(value) if hasattr(value, "__wrapped__") else value
        if inspect.isfunction(plain) and plain.__module__ == module.__name__:
            yield f"{module.__name__}.{name}", plain
        if inspect.isclass(value) and value.__module__ == module.__name__:
            for method, raw in list(vars(value).items()):
                inner = raw.__func__ if isinstance(raw, staticmethod | classmethod) else raw
                inner = inner.fget if isinstance(inner, property) else inner
                inner = inspect.unwrap(inner) if hasattr(inner, "__wrapped__") else inner
                if inspect.isfunction(inner) and inner.__module__ == module.__name__ and not method.startswith("__"):
                    yield f"{module.__name__}.{value.__name__}.{method}", _bound(value, method, raw, inner)


def _bound(owner: type, name: str, raw: Any, inner: Callable[..., Any]) -> Callable[..., Any]:
    """A method as a function of what it is given besides itself."""
    if isinstance(raw, staticmethod):
        return inner
    made = types.FunctionType(inner.__code__, inner.__globals__, name, inner.__defaults__, inner.__closure__)
    made.__kwdefaults__, made.__annotations__ = inner.__kwdefaults__, dict(inner.__annotations__)
    made.__dict__["owner"] = owner
    made.__dict__["of_class"] = isinstance(raw, classmethod)
    return made


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(function)
    except (NameError, TypeError, AttributeError):
        return {}


def _needed(function: Callable[..., Any]) -> list[inspect.Parameter]:
    every = list(inspect.signature(function).parameters.values())
    every = every[1:] if "owner" in function.__dict__ else every
    return [p for p in every if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]


def _eats(function: Callable[..., Any]) -> bool:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return False
    told = [str(p.annotation) for p in inspect.signature(function).parameters.values()]
    return any(TEXTUAL.search(each) for each in told)


def _may_grow(function: Callable[..., Any]) -> bool:
    """Whether its source has a pattern, a loop without a bound, loops within loops, or calls itself."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    made = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef))
    calls = (n.func for n in ast.walk(made) if isinstance(n, ast.Call))
    again = any(made.name in (getattr(f, "id", None), getattr(f, "attr", None)) for f in calls)
    loops = any(isinstance(n, ast.While) for n in ast.walk(made))
    return again or loops or REGEX.search(ast.unparse(made)) is not None


SHORT = 200
"""Characters of what does not grow."""


def _called(function: Callable[..., Any]) -> tuple[Call, ...]:
    """The ways to call it with a text: all that is one text grows together, and each list alone.

    Two that grow together show their product, which is a line's time in either. A text of somebody else is as long as
    he likes, twice over too; how many such texts there are is for whom the run belongs to.
    """
    hints = _hints(function)
    kinds = {p.name: hints.get(p.name, p.annotation) for p in _needed(function)}
    named = {p.name for p in _needed(function) if p.kind is p.KEYWORD_ONLY}
    if "owner" in function.__dict__:
        kinds = {"self": function.__dict__["owner"], **kinds}
    makers = {name: _maker(kind) for name, kind in kinds.items()}
    if function.__dict__.get("of_class"):
        makers["self"] = lambda _: function.__dict__["owner"]
    lists = [name for name, kind in kinds.items() if _is_many(kind)]
    texts = [name for name in kinds if name not in lists]

    def growing(names: Collection[str]) -> Call:
        def call(text: str) -> Any:
            made = {name: make(text if name in names else text[:SHORT]) for name, make in makers.items()}
            return function(*(made[x] for x in made if x not in named), **{x: made[x] for x in named})

        return call

    return tuple(growing(names) for names in ([texts] if texts else []) + [[each] for each in lists])


def _is_many(kind: Any) -> bool:
    """Whether a value of that type is as many values as somebody likes."""
    origin = get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        return all(_is_many(part) for part in get_args(kind) if part is not type(None))
    made = origin if inspect.isclass(origin) else kind
    return inspect.isclass(made) and issubclass(made, Iterable) and made not in (str, bytes, bytearray, *OBJECTS)


SIMPLE: Mapping[Any, Call] = {
    str: lambda text: text,
    bytes: lambda text: text.encode(),
    bytearray: lambda text: bytearray(text.encode()),
    Any: lambda text: text,
    object: lambda text: text,
    int: lambda _: 3,
    float: lambda _: 0.5,
    bool: lambda _: False,
    type(None): lambda _: None,
    Problem: lambda text: Problem("p", text, text),
    Lesson: lambda text: Lesson(1, text, 1, 1),
    Edit: lambda text: Edit(Op.ADD, text, reason=text),
    Library: lambda text: Library("default", 1, (Lesson(1, text, 1, 1), Lesson(2, text[:90], 1, 1))),
    Message: lambda text: {"role": "user", "content": text},
    re.Match: lambda text: re.compile("(.*)(.?)", re.DOTALL).match(text),
    re.Pattern: lambda _: re.compile("(x)(y)?"),
    Path: lambda _: Path("nowhere.json"),
    random.Random: lambda _: random.Random(0),
    typing.TextIO: lambda _: io.StringIO(),
    Exception: ValueError,
    BaseException: ValueError,
}


OBJECTS = tuple(kind for kind in SIMPLE if inspect.isclass(kind) and kind.__module__.split(".")[0] in PACKAGES)


def _maker(kind: Any) -> Call:  # noqa: PLR0911, PLR0912, C901 - one line for each kind of type
    """How to make a value of a type from a text.

    Raises:
        Unmade: nobody knows.
    """
    if kind in SIMPLE:
        return SIMPLE[kind]
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (re.Match, re.Pattern):
        return SIMPLE[origin]
    if origin in (types.UnionType, typing.Union):
        return _first(parts)
    if origin is not None and getattr(origin, "__name__", "") == "Annotated":
        return _maker(parts[0])
    if origin is typing.Literal:
        return lambda _: parts[0]
    if origin is not None and getattr(origin, "__name__", "") == "Callable":
        return lambda _: lambda *given, **_named: given[0] if given else None
    if inspect.isclass(origin) and issubclass(origin, Mapping):
        key, value = map(_maker, parts or (str, Any))
        return lambda text: {key(text[:40]): value(text), **{key(x): value(x) for x in text.split()[:2000]}}
    if origin in (tuple,) and parts and parts[-1] is not ...:
        makers = list(map(_maker, parts))
        return lambda text: tuple(make(text) for make in makers)
    if inspect.isclass(origin) and parts and hasattr(origin, "__iter__"):
        one = _maker(parts[0])
        gather = origin if origin in (list, tuple, set, frozenset) else iter if "Iterator" in str(origin) else list
        return lambda text: gather([one(text), *map(one, text.split()[:2000])])
    if inspect.isclass(kind) and kind in (list, tuple, set, dict):
        return lambda text: kind() if kind is dict else kind([text])
    if inspect.isclass(kind) and hasattr(kind, "__mro__") and issubclass(kind, Enum):
        return lambda _: next(iter(kind))
    if inspect.isclass(kind) and kind.__module__.split(".")[0] in PACKAGES:
        return _object(kind)
    if isinstance(kind, typing.TypeVar):
        return SIMPLE[Any]
    raise Unmade(getattr(kind, "__name__", str(kind)))


def _first(kinds: tuple[Any, ...]) -> Call:
    """The first of several types that can be made, texts before all others and None last."""
    for kind in sorted(kinds, key=lambda one: (one is type(None), one not in (str, bytes))):
        try:
            return _maker(kind)
        except Unmade:
            continue
    raise Unmade(" | ".join(map(str, kinds)))


_busy: set[Any] = set()


def _object(kind: type) -> Call:
    """How to make an object of the project by its constructor."""
    if kind in _busy or inspect.isabstract(kind) or getattr(kind, "_is_protocol", False):
        raise Unmade(kind.__name__)
    _busy.add(kind)
    try:
        init = kind.__init__  # type: ignore[misc]
        hints = _hints(init) | (_hints(kind) if hasattr(kind, "__dataclass_fields__") else {})
        parameters = [p for p in inspect.signature(kind).parameters.values() if p.default is p.empty]
        parameters = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        makers = {p.name: _maker(hints.get(p.name, p.annotation)) for p in parameters}
    except ValueError as error:
        raise Unmade(kind.__name__) from error
    finally:
        _busy.discard(kind)
    return lambda text: kind(**{name: make(text) for name, make in makers.items()})
