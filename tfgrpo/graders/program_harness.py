"""Runs inside the isolation: tests in one process, the program they test in another, and plain values between them.

The tests never share a process with the program: what it returns crosses as a plain value and is compared here, so an
object that equals everything, a patched library or an early exit gains nothing. This process cannot be read by the
program's (it is not dumpable, and hands on no file), so the mark that begins the report stays its own. The program's
process is forked off before this one reads the tests, so it holds nothing of them. Imports no tfgrpo.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import ctypes
import importlib
import io
import json
import math
import os
import sys
import types
import unittest
from collections.abc import Callable
from typing import Any

Found = tuple[int, int, str]


def run(name: str, tests: str, space: dict[str, Any]) -> Found:
    """Run one piece of test code and what it defines; return (passed, total, first complaint)."""
    before = dict(space)
    try:
        exec(compile(tests, name, "exec"), space)  # noqa: S102 - what it is for
    except BaseException as error:  # noqa: BLE001 - a test may raise anything
        return 0, 1, f"{name}: {_words(error)}"
    new = {key: value for key, value in space.items() if before.get(key) is not value}
    jobs = [(key, value) for key, value in new.items() if key.startswith("test") and callable(value)]
    cases = [value for value in new.values() if isinstance(value, type) and issubclass(value, unittest.TestCase)]
    found = [_called(key, value) for key, value in jobs if not isinstance(value, type)]
    found += [_suite(case) for case in cases]
    if not found:
        return 1, 1, ""
    return sum(f[0] for f in found), sum(f[1] for f in found), next((f[2] for f in found if f[2]), "")


def _named(number: int, tests: str) -> str:
    short = tests.strip()
    return f"test {number}" if "\n" in short or len(short) > 100 else f"test {number}, {short}"


def _called(name: str, function: Callable[[], object]) -> Found:
    try:
        function()
    except BaseException as error:  # noqa: BLE001
        return 0, 1, f"{name}: {_words(error)}"
    return 1, 1, ""


def _suite(case: type[unittest.TestCase]) -> Found:
    result = unittest.TextTestRunner(stream=io.StringIO()).run(unittest.defaultTestLoader.loadTestsFromTestCase(case))
    failed = [*result.failures, *result.errors, *((test, "") for test in result.unexpectedSuccesses)]
    why = f"{failed[0][0]}: {(failed[0][1].strip().splitlines() or ['passed, but should not'])[-1]}" if failed else ""
    return result.testsRun - len(failed), max(result.testsRun, 1), why or ("" if result.testsRun else "no test ran")


def _words(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:200] if text else type(error).__name__


def spaces(peer: Any, loaded: dict[str, Any], tests: list[str], entry: str) -> list[dict[str, Any]]:
    """The names that each piece of test code finds: those of the program, as stubs.

    A name that also is a builtin, or one of `math`, is the program's only where the tests use no other of its names.
    """
    named = {name: told for name, told in loaded["names"].items() if name.isidentifier() and not name.startswith("__")}
    stubs = {name: peer.stub(name, told) for name, told in named.items()}
    for alias, module in loaded["modules"].items():
        if alias == module or (alias, module) in {("np", "numpy"), ("pd", "pandas"), ("mp", "mpmath"), ("sp", "sympy")}:
            try:
                stubs[alias] = importlib.import_module(module)
            except ImportError:
                continue
    made = types.ModuleType("solution")
    made.__dict__.update(stubs)
    sys.modules["solution"] = made
    found = []
    for piece in tests:
        try:
            used = {node.id for node in ast.walk(ast.parse(piece)) if isinstance(node, ast.Name)}
        except (SyntaxError, ValueError, RecursionError):
            used = set()
        own = used & set(stubs)
        shadows = {n for n in stubs if (hasattr(builtins, n) or hasattr(math, n)) and n != entry and own - {n}}
        real = {name: getattr(math, name) for name in shadows if hasattr(math, name)}
        found.append({n: s for n, s in stubs.items() if n not in shadows} | real | {"__name__": "tests"})
    return found


def main() -> None:
    """Read the order on stdin and tell the outcome on stdout."""
    folders = (sys.base_prefix, sys.prefix, "/usr", "/proc/self/fd/")
    sys.path[:] = [path for path in sys.path if path and path.startswith(folders)]
    child, read, write = _start()
    _hide()
    order, out = json.loads(sys.stdin.read()), sys.stdout
    sys.stdin, sys.stdout = io.StringIO(), io.StringIO()
    text = order["wire"].encode()
    wire: dict[str, Any] = {"__name__": "wire"}
    exec(compile(order["wire"], "wire", "exec"), wire)  # noqa: S102
    peer = wire["Peer"](read, write)
    tests = order["tests"]
    try:
        write.write(len(text).to_bytes(8, "big") + text)
        loaded = peer.ask("load", order["program"])
    except (wire["Ended"], OSError):
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        found = [(0, 1, f"the program ended early, exit status {status}")] * len(tests)
    except BaseException as error:  # noqa: BLE001
        found = [(0, 1, f"the program raised {_words(error)}")] * len(tests)
    else:
        found = [
            run(_named(number, piece), piece, space)
            for number, (piece, space) in enumerate(
                zip(tests, spaces(peer, loaded, tests, order["entry"]), strict=True), 1
            )
        ]
    with contextlib.suppress(OSError):
        os.kill(child, 9)
    out.write(f"\n{order['mark']}{json.dumps({'tests': found})}\n")
    out.flush()


def _start() -> tuple[int, Any, Any]:
    """Fork the program's process; it waits for the text of the wire. Return its number and the ends of its pipes."""
    (theirs, write), (read, answers) = os.pipe(), os.pipe()
    child = os.fork()
    if child:
        os.close(theirs)
        os.close(answers)
        return child, os.fdopen(read, "rb"), os.fdopen(write, "wb")
    try:
        for end, number in ((theirs, 0), (answers, 1), (os.open(os.devnull, os.O_RDWR), 2)):
            os.dup2(end, number)
        # What its library is read through stays open, where that is below a folder that is shut to it.
        kept = {int(path.split("/")[4]) for path in sys.path if path.startswith("/proc/self/fd/")}
        for number in set(range(3, 256)) - kept:
            with contextlib.suppress(OSError):
                os.close(number)
        stream = os.fdopen(os.dup(0), "rb", 0)
        size = int.from_bytes(stream.read(8), "big")
        text = b""
        while len(text) < size:
            text += stream.read(size - len(text))
        stream.close()
        wire: dict[str, Any] = {"__name__": "wire"}
        exec(compile(text, "wire", "exec"), wire)  # noqa: S102
        wire["serve"]()
    finally:
        os._exit(1)


def _hide() -> None:
    """Make this process unreadable to others of the same user: its memory, its environment and its files."""
    ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)


if __name__ == "__main__":
    main()
