"""The python tool: what the model reads, and what a session keeps."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from support.patience import AMPLE, LIMITS

from tfgrpo.errors import UsageError
from tfgrpo.tools import Restorable, SessionTool, Tool
from tfgrpo.tools.python import PythonSession, make
from tfgrpo.types import FailureKind


async def said(tool: Tool, code: str, session: str = "s") -> str:
    """What the model reads of one call."""
    return (await tool({"code": code}, session)).text


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("print('a')\n1 + 1", "a\n2"),
        ("x = 1", "No output. Print what you want to see."),
        ("import sys\nprint('a')\nprint('b', file=sys.stderr)", "a\nb"),
        ("import os\nos._exit(4)", "[It ended with exit status 4.]"),
    ],
)
async def test_the_model_reads_output_then_errors_then_the_end(code: str, text: str):
    """An empty output says what to do about it."""
    assert await said(make(isolation="limits"), code) == text


async def test_an_error_of_the_code_is_a_result_and_a_limit_is_a_failure():
    """Both are told to the model; the failure is typed and what was used is recorded."""
    wrong = await make(isolation="limits", seconds=AMPLE)({"code": "1 / 0"})
    assert wrong.failure is None
    assert wrong.text.endswith("ZeroDivisionError: division by zero")
    slow = await make(isolation="limits", seconds=1)({"code": "while True: pass"})
    assert slow.failure is not None
    assert slow.failure.kind is FailureKind.TIMEOUT
    assert slow.text == "[Stopped: it ran longer than 1 s.]"
    assert slow.detail == {"isolation": "limits", "exit": None, "stopped": "time"}


async def test_a_fresh_process_forgets_and_a_session_remembers():
    """By session: two rollouts share nothing."""
    fresh, kept = make(isolation="limits"), make(isolation="limits", session=True)
    assert (isinstance(fresh, SessionTool), isinstance(kept, SessionTool), isinstance(kept, Restorable)) == (
        False,
        True,
        True,
    )
    await said(fresh, "x = 1")
    assert "NameError" in await said(fresh, "x")
    await said(kept, "x = 1", "a")
    assert await said(kept, "x", "a") == "1"
    assert "NameError" in await said(kept, "x", "b")
    await kept.end("a")
    assert "NameError" in await said(kept, "x", "a")
    await kept.aclose()


async def test_a_session_survives_errors_exits_and_its_own_stdin():
    """Only what ends the process loses the variables, and that is said."""
    tool = make(isolation="limits", session=True, seconds=AMPLE)
    await said(tool, "x = 7")
    for code in ("1 / 0", "import sys\nsys.exit(2)", "input()", "def f(:", "raise KeyboardInterrupt"):
        await said(tool, code)
    assert await said(tool, "x") == "7"
    assert await said(tool, "import os\nos._exit(0)") == "[The interpreter ended. The variables are gone.]"
    assert "NameError" in await said(tool, "x")
    await tool.aclose()


async def test_a_session_that_runs_too_long_is_ended_and_begins_anew():
    """The failure is typed, and the next call finds an empty interpreter."""
    ample = make(isolation="limits", session=True, seconds=AMPLE)
    assert isinstance(ample, PythonSession)
    for seconds in LIMITS:
        await said(ample, "x = 7")
        hurried = replace(ample, limits=replace(ample.limits, seconds=seconds))  # It has the same interpreter.
        slow = await hurried({"code": "print('a', flush=True)\nwhile True: pass"}, "s")
        assert slow.failure is not None
        assert "NameError" in await said(ample, "x")
        if slow.text.startswith("a"):
            break
    assert slow.text == f"a\n[Stopped: it ran longer than {seconds:g} s. The variables are gone.]"
    await ample.aclose()


async def test_a_call_that_is_given_up_takes_its_interpreter_along():
    """The next call begins anew instead of waiting behind it."""
    tool = make(isolation="limits", session=True)
    await said(tool, "x = 7")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await said(tool, "import time; time.sleep(60)")
    assert "NameError" in await said(tool, "x")
    await tool.aclose()


async def test_calls_of_one_session_run_in_the_order_they_were_made():
    """Parallel calls of one reply see each other's variables."""
    tool = make(isolation="limits", session=True)
    texts = await asyncio.gather(said(tool, "x = [1]"), said(tool, "x.append(2)"), said(tool, "x"))
    assert texts[-1] == "[1, 2]"
    await tool.aclose()


async def test_restoring_a_session_runs_the_recorded_calls_again():
    """What a resumed rollout computed before is there."""
    tool = make(isolation="limits", session=True)
    await tool.restore("s", [{"code": "x = 1"}, {"code": "x += 1"}, {"code": "1 / 0"}])
    assert await said(tool, "x") == "2"
    await tool.aclose()


async def test_long_outputs_lose_their_middle():
    """Start and end carry the most."""
    text = await said(make(isolation="limits", shown=200), "print('a' * 500 + 'b' * 500)")
    assert text.startswith("aaa")
    assert text.endswith("bbb")
    assert "characters left out" in text
    assert len(text) < 240


def test_what_decides_the_result_is_in_the_fingerprint():
    """Another limit, isolation or state asks another question."""
    prints = [
        make(isolation="limits").fingerprint,
        make(isolation="limits", session=True).fingerprint,
        make(isolation="limits", seconds=5).fingerprint,
        make(isolation="nice -n 1", python="python3").fingerprint,
    ]
    assert len({str(sorted(one.items())) for one in prints}) == 4


@pytest.mark.parametrize("options", [{"second": 1}, {"session": "yes"}, {"shown": 0}, {"isolation": "docker"}])
def test_options_that_do_not_fit_are_refused(options: dict[str, object]):
    """Before a run starts."""
    with pytest.raises(UsageError):
        make(**{"isolation": "limits", **options})
