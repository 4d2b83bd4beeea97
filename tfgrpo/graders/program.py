"""Right when the program in the answer passes its tests, run in the same isolation as the python tool."""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from tfgrpo.errors import GraderError
from tfgrpo.executors import Local
from tfgrpo.graders.base import unscored
from tfgrpo.graders.extract import after_thinking
from tfgrpo.system.untrusted_json import fault_of, loads
from tfgrpo.tools.sandbox import Limits, RunResult, check_isolation, isolation, run_python
from tfgrpo.types import Problem, Rollout, Score

_FENCE = re.compile(r"^[ \t]*```[ \t]*+(\w*+)[^\n]*+\n(.*?)^[ \t]*```", re.MULTILINE | re.DOTALL)
_OURS = re.compile(r"^from (?:__future__|tfgrpo\S*) import (?:\w[\w, ]*|\([^()]*\))$", re.MULTILINE)
_PYTHON = frozenset({"", "python", "py", "python3"})
_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Case:
    """One run of the program: what it reads, and what it must print."""

    stdin: str
    stdout: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the tests said."""

    passed: int
    total: int
    why: str = ""
    """The first test that failed, in words."""


@dataclass(frozen=True, slots=True)
class Program:
    """1 when every test passes, else 0; the share that passes is the named score `passed`.

    Tests stand in the problem's metadata, in one of these forms:

    - `cases`: a list of {"input", "output"} (or "stdin", "stdout"); or `input_output`: {"inputs", "outputs"}, also as
      JSON. Each is a run of its own; lines are compared without white space at their ends.
    - `tests` (or `test_list`, `test`): Python code, or a list of it, that uses what the program defines: assertions,
      functions `test_*`, `unittest` classes; with `entry_point`, a function `check` is called with it.
    - none of them: the reference answer is what the program prints.

    A program that runs over its limits has failed that test, and the tests after it are not run. Tests in Python run in
    a process that the program cannot read, and compare plain values there; see `program_harness`. A case with a key
    that is not known leaves the problem unscored, for it would be compared with nothing.
    Where the isolation does not work the grader refuses, see `tools.sandbox`.
    """

    seconds: float = 10.0
    """Wall time of one case, or of all tests of a program together."""
    memory_mb: int = 1024
    isolation: str = "bubblewrap"
    """As of the python tool: `bubblewrap`, `limits`, or a command prefix."""
    partial: bool = False
    """Whether the value is the share of tests that pass, and not all or nothing."""

    def __post_init__(self) -> None:
        """Refuse limits and an isolation that do not work here."""
        Limits(seconds=self.seconds, memory_mb=self.memory_mb)
        check_isolation(isolation(self.isolation))

    async def __call__(self, problem: Problem, rollouts: Sequence[Rollout]) -> tuple[Score, ...]:
        """Score every rollout; equal programs run once."""
        try:
            tests, cases = unit_tests(problem), cases_of(problem)
        except GraderError as error:
            return (unscored(str(error)),) * len(rollouts)
        if not tests and not cases:
            return (unscored(f"problem {problem.id!r} has no tests: give cases, tests or an answer"),) * len(rollouts)
        given = problem.metadata.get("entry_point")
        entry = given if isinstance(given, str) else ""
        codes = [program_in(rollout.answer) for rollout in rollouts]
        distinct = [code for code in dict.fromkeys(codes) if code]
        found = await Local().run([partial(self._outcome, code, tests, cases, entry) for code in distinct])
        known = dict(zip(distinct, found, strict=True))
        nothing = replace(self._score(Outcome(0, 1)), why="wrong: no program in the answer")
        return tuple(self._score(known[code]) if code else nothing for code in codes)

    def _score(self, outcome: Outcome) -> Score:
        share = outcome.passed / outcome.total
        value = share if self.partial else float(outcome.passed == outcome.total)
        said = f"{outcome.passed} of {outcome.total} tests passed"
        parts = (Score(float(share == 1), name="all"), Score(share, name="passed"))
        return Score(value, f"{said}; {outcome.why}" if outcome.why else said, parts=parts)

    async def _outcome(self, code: str, tests: Sequence[str], cases: Sequence[Case], entry: str = "") -> Outcome:
        outcome = await self._tested(code, tests, entry) if tests else Outcome(0, 0)
        if outcome.passed < outcome.total:
            return Outcome(outcome.passed, outcome.total + len(cases), outcome.why)
        passed, why = outcome.passed, ""
        for number, case in enumerate(cases, 1):
            ran = await self._run(code, case.stdin)
            wrong = _complaint(ran, case)
            passed += not wrong
            why = why or (f"case {number}: {wrong}" if wrong else "")
            if ran.stopped:
                break
        return Outcome(passed, outcome.total + len(cases), why)

    async def _tested(self, code: str, tests: Sequence[str], entry: str = "") -> Outcome:
        """Run tests in Python: the harness reads all on stdin and ends with one line that only it can know."""
        mark = secrets.token_hex(16)
        order = {"program": code, "tests": list(tests), "mark": mark, "wire": _wire(), "entry": entry}
        ran = await self._run(_source("program_harness"), json.dumps(order))
        line = next((text for text in reversed(ran.stdout.splitlines()) if text.startswith(mark)), None)
        if line is None:
            ended = f"ran over its {ran.stopped} limit" if ran.stopped else f"ended early, exit status {ran.exit}"
            return Outcome(0, len(tests), f"the program {ended}{_last_line(ran.stderr)}")
        told = json.loads(line[len(mark) :])["tests"]
        if len(told) != len(tests):
            return Outcome(0, len(tests), f"only {len(told)} of {len(tests)} tests reported")
        passed, total = sum(one[0] for one in told), sum(one[1] for one in told)
        return Outcome(passed, max(total, len(tests)), next((one[2] for one in told if one[2]), ""))

    async def _run(self, code: str, stdin: str) -> RunResult:
        limits = Limits(seconds=self.seconds, memory_mb=self.memory_mb)
        async with _slots():
            return await run_python(code, stdin=stdin, limits=limits, isolation=isolation(self.isolation))


def program_in(answer: str) -> str:
    """The last fenced Python block of an answer; without any fence the whole answer."""
    text = after_thinking(answer)
    fenced = [body for language, body in _FENCE.findall(text) if language.lower() in _PYTHON]
    return (fenced[-1] if fenced else "" if "```" in text else text).strip("\n")


def cases_of(problem: Problem) -> tuple[Case, ...]:
    """The cases with input and output; the reference answer as the only output where there are no tests at all.

    Raises:
        GraderError: cases that are not of the known form, with the key that is wrong.
    """
    where = f"of problem {problem.id!r}"
    found = problem.metadata.get("cases")
    if found is not None:
        if not isinstance(found, list) or not found:
            raise GraderError(f"cases {where} are no list of objects with `input` and `output`")
        return tuple(_case(item, f"case {number} {where}") for number, item in enumerate(found, 1))
    both = problem.metadata.get("input_output")
    if both is not None:
        both = _both(both, where)
        pairs = zip(both["inputs"], both["outputs"], strict=True)
        return tuple(Case(_text(given), _text(wanted)) for given, wanted in pairs)
    if problem.answer and not unit_tests(problem):
        return (Case("", problem.answer),)
    return ()


def unit_tests(problem: Problem) -> tuple[str, ...]:
    """The tests in Python."""
    found = next((problem.metadata[k] for k in ("tests", "test_list", "test") if problem.metadata.get(k)), ())
    tests = [found] if isinstance(found, str) else [str(item) for item in found]
    entry = problem.metadata.get("entry_point")
    if tests and isinstance(entry, str) and entry.isidentifier():
        tests = ["\n".join([*tests, f"check({entry})"])]
    return tuple(tests)


def _both(given: Any, where: str) -> Mapping[str, Any]:
    """The table of `inputs` and `outputs`, also as JSON."""
    if isinstance(given, str):
        try:
            given = loads(given)
        except ValueError as error:
            raise GraderError(f"input_output {where} is no JSON ({fault_of(error)})") from error
    if not isinstance(given, Mapping) or set(given) != {"inputs", "outputs"}:
        keys = ", ".join(map(repr, given)) if isinstance(given, Mapping) else "no keys"
        raise GraderError(f"input_output {where} has {keys}; it wants `inputs` and `outputs` and no other key")
    if not all(isinstance(x, list) for x in given.values()) or len({len(x) for x in given.values()}) != 1:
        raise GraderError(f"input_output {where} wants two lists of the same length")
    return given


def _case(item: Any, where: str) -> Case:
    if not isinstance(item, Mapping):
        raise GraderError(f"{where} is no object with `input` and `output`")
    if unknown := [key for key in item if key not in ("input", "stdin", "output", "stdout")]:
        raise GraderError(f"{where} has the unknown key {unknown[0]!r}; it knows input or stdin, and output or stdout")
    if "output" not in item and "stdout" not in item:
        raise GraderError(f"{where} has no output to compare with; give `output`")
    given = next((item[k] for k in ("input", "stdin") if k in item), "")
    wanted = next(item[k] for k in ("output", "stdout") if k in item)
    return Case(_text(given), _text(wanted))


def _text(value: Any) -> str:
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


def _complaint(ran: RunResult, case: Case) -> str:
    """What is wrong with a run; '' when it printed what it should."""
    if ran.stopped:
        return f"ran over its {ran.stopped} limit"
    if ran.exit:
        return f"exit status {ran.exit}{_last_line(ran.stderr)}"
    if _lines(ran.stdout) == _lines(case.stdout):
        return ""
    return f"printed {ran.stdout.strip()[:_SHOWN]!r}, expected {case.stdout.strip()[:_SHOWN]!r}"


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().split("\n")]


def _last_line(stderr: str) -> str:
    lines = stderr.strip().splitlines()
    return f": {lines[-1][:_SHOWN]}" if lines else ""


@cache
def _wire() -> str:
    """The wire and what it is made of as one text: there is no tfgrpo where it runs."""
    parts = (_source(f"program_{part}") for part in ("values", "stubs", "wire"))
    return "\n".join(_OURS.sub("", part) for part in parts)


@cache
def _source(name: str) -> str:
    return Path(__file__).with_name(f"{name}.py").read_text(encoding="utf-8")


_waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def _slots() -> asyncio.Semaphore:
    """As many programs at once as there are processors, over all groups."""
    return _waiting.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(os.cpu_count() or 1))
