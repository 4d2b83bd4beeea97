"""Plain values between a program and its tests, which live in two processes. Imports nothing but the library.

Numbers, texts and containers cross as copies of their base types; everything else as a handle that its owner keeps.
Containers that a call changes are changed on the caller's side as well. What the tests hand out (functions, objects of
their own classes) may be called and read by public names, and nothing more.
"""

from __future__ import annotations

import json
import operator
import os
import sys
import types
from collections import deque
from decimal import Decimal
from fractions import Fraction
from typing import Any

_BINARY = (
    "lt",
    "le",
    "gt",
    "ge",
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "getitem",
    "contains",
    "and_",
    "or_",
)
_LIMIT = 10_000_000
_SERIES: tuple[Any, ...] = (list, tuple, set, frozenset, deque)


class Ended(RuntimeError):
    """The other process is gone."""


class Peer:
    """One end of the wire."""

    def __init__(self, read: Any, write: Any, *, trusted: bool = True) -> None:
        self.read, self.write, self.trusted = read, write, trusted
        self.own: dict[int, Any] = {}
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
            if "ask" in message:
                self._answer(message)
            elif "error" in message:
                raise self._error(message["error"])
            else:
                for mine, changed in zip(given, message.get("changed") or (), strict=False):
                    _update(mine, self.unpack(changed))
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
        given = [self.unpack(x) for x in message["given"]]
        try:
            value = self._do(message["ask"], given)
            packed = {
                "value": self.pack(value),
                "changed": [self.pack(x) for x in given] if message["ask"] == "call" else [],
            }
        except BaseException as error:  # noqa: BLE001 - it goes to the other side
            names = [kind.__name__ for kind in type(error).__mro__]
            packed = {"error": {"names": names, "args": [self.pack(x) for x in error.args], "text": str(error)[:2000]}}
        self._send(packed)

    def _do(self, what: str, given: list[Any]) -> Any:  # noqa: PLR0911 - one line for each kind
        if what in self.handlers:
            return self.handlers[what](*given)
        target, *rest = given
        if what == "call":
            if not callable(target):
                raise TypeError("it cannot be called")
            return target(*rest[0], **rest[1])
        if what in {"get", "set"}:
            self._require_public(target, rest[0])
            return getattr(target, rest[0]) if what == "get" else setattr(target, rest[0], rest[1])
        simple: dict[str, Any] = {
            "len": len,
            "iter": iter,
            "next": next,
            "bool": bool,
            "str": str,
            "repr": repr,
            "abs": abs,
            "float": float,
        }
        if what in simple:
            return simple[what](target)
        if what == "isinstance":
            return isinstance(target, rest[0])
        if what == "setitem":
            return operator.setitem(target, *rest)
        if what in {*_BINARY, "eq"}:
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

    def pack(self, value: Any) -> Any:  # noqa: PLR0911 - one line for each kind
        """Write a value as JSON."""
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value
        for base, write in _PLAIN.items():
            if isinstance(value, base) and not isinstance(value, Remote):
                return {base.__name__: write(value)}
        for base in _SERIES:
            if isinstance(value, base):
                return {base.__name__: [self.pack(x) for x in base.__iter__(value)]}
        if isinstance(value, dict):
            return {"dict": [[self.pack(k), self.pack(v)] for k, v in dict.items(value)]}
        if kind.__name__ == "ndarray":
            return {"array": self.pack(value.tolist())}
        if isinstance(value, Remote | RemoteClass):
            return {
                "yours": object.__getattribute__(value, "_id") if isinstance(value, Remote) else value.__dict__["_id"]
            }
        self.own[id(value)] = value
        return {"mine": id(value)}

    def unpack(self, told: Any) -> Any:  # noqa: PLR0911 - one line for each kind
        """Read a value."""
        if not isinstance(told, dict):
            return told
        ((name, inner),) = told.items()
        if name in _READ:
            return _READ[name](inner)
        if name == "dict":
            return {self.unpack(k): self.unpack(v) for k, v in inner}
        if name == "array":
            import numpy  # noqa: PLC0415

            return numpy.array(self.unpack(inner))
        if name == "yours":
            return self.own[inner]
        if name == "mine":
            return Remote(self, inner)
        return {"list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "deque": deque}[name](
            map(self.unpack, inner)
        )

    def stub(self, name: str, told: dict[str, Any]) -> Any:
        """What stands for a name of the program: a value, a function, or a class."""
        if "value" in told:
            return told["value"]
        if told["kind"] == "exception":
            base = next((b for b in told["bases"] if b in _BUILTINS), "Exception")
            self.classes[name] = type(name, (_BUILTINS[base],), {})
            return self.classes[name]
        remote = told["handle"]
        if told["kind"] == "class":
            return RemoteClass(
                name, (), {"_peer": self, "_id": object.__getattribute__(remote, "_id"), "_remote": remote}
            )
        return remote


class Remote:
    """Something that the other side owns."""

    def __init__(self, peer: Peer, number: int) -> None:
        object.__setattr__(self, "_peer", peer)
        object.__setattr__(self, "_id", number)

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Call it over there; containers that it changes are changed here."""
        return _of(self).ask("call", self, list(given), named) if not _mutable(given) else _call(self, given, named)

    def __getattr__(self, name: str) -> Any:
        return _of(self).ask("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        _of(self).ask("set", self, name, value)

    def __eq__(self, other: object) -> bool:
        # An object of the program equals no value of the tests: it would say of itself what it likes.
        return isinstance(other, Remote) and _of(self).ask("eq", self, other) is True

    def __hash__(self) -> int:
        return id(self)

    def __bool__(self) -> bool:
        return _of(self).ask("bool", self) is True

    def __len__(self) -> int:
        return int(_of(self).ask("len", self))

    def __iter__(self) -> Any:
        found = _of(self).ask("iter", self)
        while True:
            try:
                yield _of(self).ask("next", found)
            except StopIteration:
                return

    def __next__(self) -> Any:
        return _of(self).ask("next", self)

    def __setitem__(self, key: Any, value: Any) -> None:
        _of(self).ask("setitem", self, key, value)

    def __str__(self) -> str:
        return str(_of(self).ask("str", self))

    def __repr__(self) -> str:
        return str(_of(self).ask("repr", self))

    def __float__(self) -> float:
        return float(_of(self).ask("float", self))

    def __abs__(self) -> Any:
        return _of(self).ask("abs", self)


def _binary(name: str) -> Any:
    def method(self: Remote, other: Any) -> Any:
        return _of(self).ask(name, self, other)

    return method


for _name in _BINARY:
    setattr(Remote, f"__{_name.strip('_')}__", _binary(_name))


class RemoteClass(type):
    """A class of the program: it makes objects there, and knows them again."""

    def __call__(cls, *given: Any, **named: Any) -> Any:
        """Make an object over there."""
        return cls.__dict__["_remote"](*given, **named)

    def __getattr__(cls, name: str) -> Any:
        return getattr(cls.__dict__["_remote"], name)

    def __instancecheck__(cls, other: object) -> bool:
        return (
            isinstance(other, Remote)
            and cls.__dict__["_peer"].ask("isinstance", other, cls.__dict__["_remote"]) is True
        )


def _of(remote: Remote) -> Any:
    return object.__getattribute__(remote, "_peer")


def _mutable(given: tuple[Any, ...]) -> bool:
    return any(isinstance(x, list | dict | set | bytearray | deque) for x in given)


def _call(remote: Remote, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """A call that may change what it is given."""
    shown = list(given)
    value = _of(remote).ask("call", remote, shown, named)
    for mine, changed in zip(given, shown, strict=True):
        _update(mine, changed)
    return value


def _update(mine: Any, changed: Any) -> None:
    """Give a container what the other side made of it; one that is the same stays as it is."""
    if mine is changed or type(mine) is not type(changed):
        return
    if (
        isinstance(mine, list)
        and len(mine) == len(changed)
        and any(isinstance(x, list | dict | set | deque) for x in mine)
    ):
        for inner, other in zip(mine, changed, strict=True):
            _update(inner, other)
    if isinstance(mine, list | bytearray) and mine != changed:
        mine[:] = changed
    elif isinstance(mine, dict | set | deque) and mine != changed:
        mine.clear()
        mine.update(changed) if not isinstance(mine, deque) else mine.extend(changed)


_PLAIN: dict[type, Any] = {
    bool: int,
    int: lambda x: hex(int.__index__(x)),
    float: float.hex,
    str: str.__str__,
    complex: lambda x: [x.real.hex(), x.imag.hex()],
    bytes: bytes.hex,
    bytearray: bytearray.hex,
    Fraction: lambda x: f"{x.numerator}/{x.denominator}",
    Decimal: Decimal.__str__,
}
_READ: dict[str, Any] = {
    "bool": bool,
    "int": lambda x: int(x, 16),
    "float": float.fromhex,
    "str": str,
    "complex": lambda x: complex(*map(float.fromhex, x)),
    "bytes": bytes.fromhex,
    "bytearray": bytearray.fromhex,
    "Fraction": Fraction,
    "Decimal": Decimal,
}
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
