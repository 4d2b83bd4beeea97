"""What the tests hold of a program's own objects and classes: stubs that ask the program's process.

An object of the program may say what it likes of itself, so it is no value: it equals none and is neither more nor
less than one, and what comes of reckoning with a value of the tests is an object again, of which no number is taken.
Imports nothing but the library: its text is sent into the isolation.
"""

from __future__ import annotations

from collections import deque
from typing import Any

COMPARISONS = ("lt", "le", "gt", "ge")
ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_")
IN_PLACE = ("iadd", "isub", "imul")
LOOKS = ("getitem", "contains")
_NO_VALUE = "an object of the program is no value of its tests"


class Remote:
    """Something that the other side owns."""

    def __init__(self, peer: Any, number: int) -> None:
        object.__setattr__(self, "_peer", peer)
        object.__setattr__(self, "_id", number)
        object.__setattr__(self, "_told", False)

    def __call__(self, *given: Any, **named: Any) -> Any:
        """Call it over there; containers that it changes are changed here."""
        return of(self).ask("call", self, list(given), named) if not _mutable(given) else _call(self, given, named)

    def __getattr__(self, name: str) -> Any:
        return of(self).ask("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        of(self).ask("set", self, name, value)

    def __eq__(self, other: object) -> bool:
        # An object of the program equals no value of the tests: it would say of itself what it likes.
        return isinstance(other, Remote) and of(self).ask("eq", self, other) is True

    def __hash__(self) -> int:
        return int(of(self).ask("hash", self))

    def __bool__(self) -> bool:
        return _number(self, "bool") is True

    def __len__(self) -> int:
        return int(of(self).ask("len", self))

    def __iter__(self) -> Any:
        found = of(self).ask("iter", self)
        while True:
            try:
                yield of(self).ask("next", found)
            except StopIteration:
                return

    def __next__(self) -> Any:
        return of(self).ask("next", self)

    def __setitem__(self, key: Any, value: Any) -> None:
        of(self).ask("setitem", self, key, value)

    def __delitem__(self, key: Any) -> None:
        of(self).ask("delitem", self, key)

    def __enter__(self) -> Any:
        """Enter it over there."""
        return of(self).ask("enter", self)

    def __exit__(self, kind: Any, *about: object) -> None:
        """Leave it over there; what the tests raise within it is never taken back."""
        of(self).ask("exit", self, kind.__name__ if kind else None)

    def __str__(self) -> str:
        return str(of(self).ask("str", self))

    def __repr__(self) -> str:
        return str(of(self).ask("repr", self))

    def __format__(self, form: str) -> str:
        return str(of(self).ask("format", self, form))

    def __float__(self) -> float:
        return float(_number(self, "float"))

    def __int__(self) -> int:
        return int(_number(self, "int"))

    def __abs__(self) -> Any:
        return _number(self, "abs")

    def __round__(self, digits: int | None = None) -> Any:
        return _number(self, "round", digits)

    def __neg__(self) -> Any:
        return _number(self, "neg")


def _number(remote: Remote, what: str, *given: Any) -> Any:
    found = of(remote).ask(what, remote, *given)
    if object.__getattribute__(remote, "_told"):
        return _kept(found)
    return found


def _kept(found: Any) -> Remote:
    """An object that may know a value of the tests; anything else would be its own verdict on it."""
    if not isinstance(found, Remote):
        raise TypeError(_NO_VALUE)
    object.__setattr__(found, "_told", True)
    return found


def _look(name: str) -> Any:
    def method(self: Remote, other: Any) -> Any:
        return of(self).ask(name, self, other)

    return method


def _comparison(name: str) -> Any:
    def method(self: Remote, other: Any) -> bool:
        if not isinstance(other, Remote):
            raise TypeError(_NO_VALUE)
        return of(self).ask(name, self, other) is True

    return method


def _reckoning(name: str, *, turned: bool = False) -> Any:
    def method(self: Remote, other: Any) -> Any:
        found = of(self).ask(name, *((other, self) if turned else (self, other)))
        return found if isinstance(other, Remote) else _kept(found)

    return method


for _name in LOOKS:
    setattr(Remote, f"__{_name}__", _look(_name))
for _name in COMPARISONS:
    setattr(Remote, f"__{_name}__", _comparison(_name))
for _name in (*ARITHMETIC, *IN_PLACE):
    setattr(Remote, f"__{_name.strip('_')}__", _reckoning(_name))
for _name in ARITHMETIC:
    setattr(Remote, f"__r{_name.strip('_')}__", _reckoning(_name, turned=True))


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

    def __subclasscheck__(cls, other: type) -> bool:
        return (
            isinstance(other, RemoteClass)
            and cls.__dict__["_peer"].ask("issubclass", other, cls.__dict__["_remote"]) is True
        )


def class_stub(peer: Any, name: str, remote: Remote) -> RemoteClass:
    """What stands for a class of the program."""
    return RemoteClass(name, (), {"_peer": peer, "_id": number_of(remote), "_remote": remote})


def number_of(stub: Remote | RemoteClass) -> int:
    """The number by which its owner knows it."""
    found = object.__getattribute__(stub, "_id") if isinstance(stub, Remote) else stub.__dict__["_id"]
    return int(found)


def of(remote: Remote) -> Any:
    """The end of the wire that it came through."""
    return object.__getattribute__(remote, "_peer")


def _mutable(given: tuple[Any, ...]) -> bool:
    return any(isinstance(x, list | dict | set | bytearray | deque) for x in given)


def _call(remote: Remote, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """A call that may change what it is given."""
    shown = list(given)
    value = of(remote).ask("call", remote, shown, named)
    for mine, changed in zip(given, shown, strict=True):
        update(mine, changed)
    return value


def update(mine: Any, changed: Any) -> None:
    """Give a container what the other side made of it; one that is the same stays as it is."""
    if mine is changed or type(mine) is not type(changed):
        return
    if (
        isinstance(mine, list)
        and len(mine) == len(changed)
        and any(isinstance(x, list | dict | set | deque) for x in mine)
    ):
        for inner, other in zip(mine, changed, strict=True):
            update(inner, other)
    if isinstance(mine, list | bytearray) and mine != changed:
        mine[:] = changed
    elif isinstance(mine, dict | set | deque) and mine != changed:
        mine.clear()
        mine.update(changed) if not isinstance(mine, deque) else mine.extend(changed)
