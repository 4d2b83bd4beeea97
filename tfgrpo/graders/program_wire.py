"""The wire between a program and its tests, which live in two processes; its text is sent into the isolation.

Numbers, texts, dates and containers cross as copies of their base types (`program_values`); everything else as a handle
that its owner keeps (`program_stubs`).
Containers that a call changes are changed on the caller's side as well. What the tests hand out (functions, objects of
their own classes) may be called and read by public names, and nothing more.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import json
import operator
import os
import sys
import types
from typing import Any

from tfgrpo.graders.program_stubs import (
    ARITHMETIC,
    COMPARISONS,
    IN_PLACE,
    LOOKS,
    Remote,
    RemoteClass,
    class_stub,
    number_of,
    update,
)
from tfgrpo.graders.program_values import read_plain, write_plain

_OPERATIONS = {*COMPARISONS, *ARITHMETIC, *IN_PLACE, *LOOKS, "eq", "setitem", "delitem", "neg"}
_SIMPLE: dict[str, Any] = {
    **{"len": len, "iter": iter, "next": next, "bool": bool, "str": str, "repr": repr, "format": format, "hash": hash},
    **{"abs": abs, "float": float, "int": int, "round": round, "isinstance": isinstance, "issubclass": issubclass},
    "enter": lambda target: type(target).__enter__(target),
}

_LIMIT = 10_000_000
_PRINTED = 100_000
"""Characters that one call may print for its tests to see."""


class Ended(RuntimeError):
    """The other process is gone."""


class Peer:
    """One end of the wire."""

    def __init__(self, read: Any, write: Any, *, trusted: bool = True) -> None:
        self.read, self.write, self.trusted = read, write, trusted
        self.own: dict[int, Any] = {}
        self.theirs: dict[int, Remote] = {}
        self.classes: dict[str, type] = {}
        self.handlers: dict[str, Any] = {}

    def ask(self, what: str, *given: Any) -> Any:
        """Send a request and answer the other side's until the reply comes."""
        self._send({"ask": what, "given": [self.pack(x) for x in given]})
        while True:
            line = self.read.readline(_LIMIT)
            if not line.endswith(b"\n"):
                raise Ended("the program's process has ended")
            message = json.loads(line)
            if self.trusted and message.get("printed"):
                sys.stdout.write(str(message["printed"]))
            if "ask" in message:
                self._answer(message)
            elif "error" in message:
                raise self._error(message["error"])
            else:
                for mine, changed in zip(given, message.get("changed") or (), strict=False):
                    update(mine, self.unpack(changed))
                return self.unpack(message["value"])

    def serve_one(self) -> bool:
        """Answer one request; False when the other side is gone."""
        line = self.read.readline()
        if not line:
            return False
        self._answer(json.loads(line))
        return True

    def _send(self, message: dict[str, Any]) -> None:
        self.write.write(json.dumps(message).encode() + b"\n")
        self.write.flush()

    def _answer(self, message: dict[str, Any]) -> None:
        given, printed = [self.unpack(x) for x in message["given"]], io.StringIO()
        packed: dict[str, Any]
        try:
            with contextlib.nullcontext() if self.trusted else contextlib.redirect_stdout(printed):
                value = self._do(message["ask"], given)
            packed = {
                "value": self.pack(value),
                "changed": [self.pack(x) for x in given] if message["ask"] == "call" else [],
            }
        except BaseException as error:  # noqa: BLE001 - it goes to the other side
            names = [kind.__name__ for kind in type(error).__mro__]
            packed = {"error": {"names": names, "args": [self.pack(x) for x in error.args], "text": str(error)[:2000]}}
        self._send({**packed, "printed": printed.getvalue()[:_PRINTED]})

    def _do(self, what: str, given: list[Any]) -> Any:
        if what in self.handlers:
            return self.handlers[what](*given)
        target, *rest = given
        if what == "call":
            if not callable(target):
                raise TypeError("it cannot be called")
            found = target(*rest[0], **rest[1])
            return found if self.trusted or not inspect.iscoroutine(found) else _Awaited(asyncio.run(found))
        if what in {"get", "set"}:
            self._require_public(target, rest[0])
            return getattr(target, rest[0]) if what == "get" else setattr(target, rest[0], rest[1])
        if what == "exit":
            kind = _BUILTINS.get(rest[0] or "", RuntimeError) if rest[0] else None
            return bool(type(target).__exit__(target, kind, kind() if kind else None, None))
        if what in _SIMPLE:
            return _SIMPLE[what](target, *rest)
        if what in _OPERATIONS:
            return getattr(operator, what)(target, *rest)
        raise AttributeError(what)

    def _require_public(self, target: Any, name: str) -> None:
        """The tests' side shows public names of objects of its own classes, and nothing that leads to this module."""
        if self.trusted and (name.startswith("_") or type(target).__module__ != "tests"):
            raise AttributeError(f"{name!r} of the tests is not for the program")

    def _error(self, told: dict[str, Any]) -> BaseException:
        names = told["names"]
        for name in names:
            kind = self.classes.get(name) or getattr(__builtins__, name, None) or _BUILTINS.get(name)
            if isinstance(kind, type) and issubclass(kind, Exception):
                try:
                    return kind(*(self.unpack(x) for x in told["args"]))
                except Exception:  # noqa: BLE001 - a class of its own, made in a way that is not known
                    return RuntimeError(told["text"])
        unknown: type[RuntimeError] = type(str(names[0]), (RuntimeError,), {})
        return unknown(told["text"])

    def pack(self, value: Any) -> Any:
        """Write a value as JSON."""
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        if isinstance(value, _Awaited):
            return {"awaited": self.pack(value.found)}
        if isinstance(value, Remote | RemoteClass):
            return {"yours": number_of(value)}
        plain = write_plain(value, self.pack)
        if plain is not None:
            return plain
        self.own[id(value)] = value
        return {"mine": id(value)}

    def unpack(self, told: Any) -> Any:
        """Read a value; what the other side owns is one stub however often it comes."""
        if not isinstance(told, dict):
            return told
        ((name, inner),) = told.items()
        if name == "yours":
            return self.own[inner]
        if name == "mine":
            return self.theirs.setdefault(int(inner), Remote(self, int(inner)))
        if name == "awaited":
            return _come(self.unpack(inner))
        return read_plain(name, inner, self.unpack)

    def stub(self, name: str, told: dict[str, Any]) -> Any:
        """What stands for a name of the program: a value, a function, or a class."""
        if "value" in told:
            return told["value"]
        if told["kind"] == "exception":
            base = next((b for b in told["bases"] if b in _BUILTINS), "Exception")
            self.classes[name] = type(name, (_BUILTINS[base],), {})
            return self.classes[name]
        return class_stub(self, name, told["handle"]) if told["kind"] == "class" else told["handle"]


class _Awaited:
    """What a coroutine of the program came to."""

    def __init__(self, found: Any) -> None:
        self.found = found


async def _come(value: Any) -> Any:
    """A coroutine for what came of one already."""
    return value


_BUILTINS = {name: kind for name, kind in vars(sys.modules["builtins"]).items() if isinstance(kind, type)}
_BUILTINS = {name: kind for name, kind in _BUILTINS.items() if issubclass(kind, Exception)}


def serve() -> None:
    """The program's side: load it when told, then answer until the pipe closes."""
    read, write = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    silence = os.open(os.devnull, os.O_RDWR)
    os.dup2(silence, 0)
    os.dup2(silence, 1)
    peer = Peer(read, write, trusted=False)
    peer.handlers["load"] = _load
    while peer.serve_one():
        pass


def _load(program: str) -> dict[str, Any]:
    """Run the program and name what it defines."""
    space: dict[str, Any] = {"__name__": "solution"}
    module = types.ModuleType("solution")
    module.__dict__.update(space)
    sys.modules["solution"] = module
    exec(compile(program, "program", "exec"), module.__dict__)  # noqa: S102
    names: dict[str, Any] = {}
    modules: dict[str, str] = {}
    for name, value in module.__dict__.items():
        if isinstance(value, types.ModuleType):
            modules[name] = value.__name__
        elif not name.startswith("__"):
            names[name] = _told(value)
    return {"names": names, "modules": modules}


def _told(value: Any) -> dict[str, Any]:
    if isinstance(value, type) and issubclass(value, BaseException):
        return {"kind": "exception", "bases": [kind.__name__ for kind in value.__mro__]}
    if isinstance(value, type):
        return {"kind": "class", "handle": value}
    if callable(value):
        return {"kind": "function", "handle": value}
    return {"value": value}
