"""Run the cases of a method-vector file against tfgrpo: `python tests/method_vectors.py FILE.json`.

Each handler maps the inputs and params of one (method, quantity) to library calls and returns every number the library
gives for them; a case passes when each expected value is there and agrees within the case's tolerance (relative above
1). null is nan in inputs and results, flags and words compare exactly, and an unknown (method, quantity) fails.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import vector_edits  # noqa: E402, F401
import vector_rewards  # noqa: E402, F401
from vector_tools import HANDLERS  # noqa: E402


def main(arguments: Sequence[str]) -> int:
    """Run the file named by the only argument; 0 when all cases pass, 1 when any fails, 2 when it cannot be run."""
    if len(arguments) != 1:
        print("usage: python tests/method_vectors.py FILE.json", file=sys.stderr)
        return 2
    try:
        cases = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))["cases"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"cannot read cases from {arguments[0]}: {error!r}; pass a method-vector file", file=sys.stderr)
        return 2
    failed = 0
    for case in cases:
        faults = list(run(case))
        failed += bool(faults)
        for fault in faults:
            print(f"FAIL {case.get('id', '(no id)')}: {fault}")
    print(f"{len(cases) - failed} passed, {failed} failed")
    return int(failed > 0)


def run(case: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the library's answer to a case, in words; nothing when it passes."""
    key = (case.get("method"), case.get("quantity"))
    if key not in HANDLERS:
        yield f"unknown (method, quantity) {key}"
        return
    if not case.get("expected"):
        yield "the case expects nothing, so it tests nothing"
        return
    try:
        answer = HANDLERS[key](with_nan(case.get("inputs") or {}), case.get("params") or {})
    except (ArithmeticError, AttributeError, LookupError, StopIteration, TypeError, ValueError) as error:
        yield f"{type(error).__name__}: {error}"
        return
    for name, expected in case["expected"].items():
        if name not in answer:
            yield f"no {name!r} among {sorted(answer)}"
        elif not agrees(answer[name], expected, 1e-9 if (given := case.get("tolerance")) is None else given):
            yield f"{name} is {answer[name]!r}, expected {expected!r}"


def with_nan(value: Any) -> Any:
    """The inputs with nan for null."""
    if isinstance(value, list):
        return [with_nan(item) for item in value]
    if isinstance(value, dict):
        return {name: with_nan(item) for name, item in value.items()}
    return math.nan if value is None else value


def agrees(actual: Any, expected: Any, tolerance: float) -> bool:
    """True when shapes, flags and words are the same and numbers differ by at most the tolerance."""
    if isinstance(expected, Mapping):
        same = isinstance(actual, Mapping) and actual.keys() == expected.keys()
        return same and all(agrees(actual[name], expected[name], tolerance) for name in expected)
    if isinstance(expected, list):
        same = isinstance(actual, Sequence) and not isinstance(actual, str) and len(actual) == len(expected)
        return same and all(agrees(a, e, tolerance) for a, e in zip(actual, expected, strict=True))
    if isinstance(expected, bool | str) or isinstance(actual, bool | str):
        return type(actual) is type(expected) and actual == expected
    if not isinstance(actual, int | float):
        return False
    if expected is None or math.isnan(expected) or math.isnan(actual):
        return math.isnan(actual) and (expected is None or math.isnan(expected))
    return actual == expected or abs(actual - expected) <= tolerance * max(1.0, abs(expected))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
