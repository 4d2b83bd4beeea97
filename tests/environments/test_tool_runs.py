"""Whole runs with tools: how they are asked for, what is counted and stored, and what a killed one repeats."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from engine_runs.test_kill import run as run_command
from engine_runs.test_kill import tables
from support import script, world
from support.server import Server
from support.tooling import Counting, Lookup, calling

import tfgrpo
from experience_db import Journal, Store
from tfgrpo import config
from tfgrpo.api import setup
from tfgrpo.environments.factory import configured_tools, environment_name
from tfgrpo.errors import UsageError
from tfgrpo.tools import Tool
from tfgrpo.types import Problem, Reply, Request, Rollout

ALL: list[Lookup] = []
HERE = __name__


def remembered(**options: Any) -> Tool:
    """The tool of the runs below; every call of it is counted."""
    ALL.append(Lookup(**options))
    return ALL[-1]


def filed(path: str) -> Tool:
    """A tool with a memory that writes each call into a file, for runs in other processes."""
    return Counting(path=Path(path))


def two() -> list[Tool]:
    """Two tools under one name, as mcp gives them."""
    return [Lookup("first"), Lookup("second")]


def solve(request: Request) -> str | Reply:
    """Look the topic up once, then answer as the scripted model does."""
    if request.messages[-1]["role"] == "tool":
        return script.solve(request)
    return calling(("lookup", {"query": script.text_of(request)[-40:]}))


def model() -> script.Model:
    """A model that calls a tool in every rollout."""
    return script.Model(rollout=solve, gate=solve, evaluate=solve)


LOOP = {"overrides": ["environment.kind=tool_loop", f"environment.tools=['{HERE}:remembered']"]}


def test_a_run_with_tools_learns_and_counts_their_calls(tmp_path: Path):
    """Calls of tools are a role of their own, rollouts are stored with them, edits from them are marked."""
    played = model()
    result = script.learn(played, script.rows(4), tmp_path / "x.db", "tools", **LOOP)
    assert result.summary["calls"]["tool:lookup"] == {"new": 16, "replayed": 0}
    assert result.summary["calls"]["rollout"]["new"] == 32
    proposed = [edit for step in result.steps for verdict in step.verdicts for edit in verdict.edits]
    assert len(proposed) == 4
    assert all(edit.tainted for edit in proposed)
    with Store.open(tmp_path / "x.db") as store:
        rollout = store.groups(result.summary["run"])[0]["rollouts"][0]
    assert rollout["tainted"]
    assert rollout["tool_calls"][0]["text"].endswith(rollout["tool_calls"][0]["arguments"][-6:-2].upper())
    assert rollout["usage"]["prompt_tokens"] == 10


def test_the_same_command_replays_every_call(tmp_path: Path):
    """Nothing is asked twice, of the model or of a tool, and the library is the same."""
    first = script.learn(model(), script.rows(4), tmp_path / "x.db", "tools", **LOOP)
    ALL.clear()
    again = script.learn(model(), script.rows(4), tmp_path / "x.db", "tools", **LOOP)
    assert again.summary["calls"]["tool:lookup"] == {"new": 0, "replayed": 16}
    assert [tool.asked for tool in ALL] == [[]]
    assert again.library == first.library


@pytest.mark.parametrize(
    "other",
    ["environment.max_turns=5", f"tools.{HERE}:remembered.version=2", "environment.protocol=functions"],
)
def test_how_rollouts_run_is_part_of_what_a_run_is(tmp_path: Path, other: str):
    """Another environment, or another setting of a tool, makes another run."""
    names = set()
    for more in ([], [other]):
        overrides = [*LOOP["overrides"], *more]
        names.add(script.learn(model(), script.rows(4), tmp_path / "x.db", "tools", overrides=overrides).summary["run"])
    assert len(names) == 2


def test_tools_do_not_use_up_the_calls_of_a_budget(tmp_path: Path):
    """--budget-calls counts what reaches the model, also in a run that goes on."""
    paid = {**LOOP, "budget_calls": 40}
    for _ in range(2):
        result = script.learn(model(), script.rows(4), tmp_path / "x.db", "tools", **paid)
        assert not result.summary["stopped"]


async def agent(problem: Problem, lessons: str) -> str:
    """An agent of one's own."""
    return "Answer: 1"


async def environment(problem: Problem, library: Any, slot: Any) -> Rollout:
    """An environment of one's own."""
    return Rollout(problem.id, slot.index, answer=f"{slot.role} {library.name}")


@pytest.mark.parametrize(("kind", "answer"), [("agent", "Answer: 1"), ("environment", "evaluate none")])
def test_an_agent_or_an_environment_is_named_in_the_configuration(tmp_path: Path, kind: str, answer: str):
    """Two parameters make an agent, three an environment; both need no model of ours."""
    said: list[str] = []

    def grader(problem: Problem, rollout: Rollout) -> float:
        said.append(rollout.answer)
        return 1.0

    tfgrpo.evaluate_sync(
        script.rows(1), model="tiny", grader=grader, db=tmp_path / "x.db", overrides=[f"environment.kind={HERE}:{kind}"]
    )
    assert said == [answer]


def test_one_name_may_stand_for_several_tools():
    """As the tools of one MCP server do."""
    loaded = config.load(overrides=["environment.kind=tool_loop", f"environment.tools=['{HERE}:two']"])
    assert [tool.spec.name for tool in configured_tools(loaded)] == ["first", "second"]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["environment.kind=tool_loop"], "has no tools"),
        (["environment.tools=['python']"], "single_turn calls no tools"),
        (["environment.kind=tool_loop", "environment.tools=['pyton']"], "did you mean 'python'"),
        (["environment.kind=tool_loop", "environment.tools='python'"], "is a list, not 'python'"),
        (
            ["environment.kind=tool_loop", f"environment.tools=['{HERE}:two', '{HERE}:two']"],
            "two tools are called 'first'",
        ),
        (["environment.kind=tool_loop", f"environment.tools=['{HERE}:two']", "tools.python.seconds=1"], "not used"),
        (
            ["environment.kind=tool_loop", "environment.tools=['python']", "tools.python.second=1"],
            "does not take second",
        ),
        (["environment.kind=tool_loop", "environment.tools=['python']", "tools.python=1"], "table of options, not 1"),
        (["environment.kind=tool_loop", f"environment.tools=['{HERE}:two']", "tools=['python']"], "table of options"),
        (["environment.kind=loop"], "no environment 'loop'"),
        (["environment.protocol=xml"], "environment.protocol is 'xml'"),
        (["environment.max_turns=0"], "give at least 1"),
        (["environment.turns=3"], "unknown configuration key"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_stored(tmp_path: Path, overrides: list[str], said: str):
    """The message names the fault, and no database appears."""
    db = tmp_path / "x.db"
    with pytest.raises(UsageError, match=said):
        tfgrpo.evaluate_sync(script.rows(1), model="tiny", grader="exact", db=db, overrides=overrides)
    assert not db.exists() or "environment 'loop'" in said


def test_likelihood_goes_with_tools(tmp_path: Path):
    """The prompt of the tool loop is ours, so its replies can be scored under any library."""
    wanted = setup(model="tiny", grader="exact", db=tmp_path / "x.db", gate="likelihood", heldout=0.5, **LOOP)
    assert environment_name(wanted.environment, wanted.config) == "tool_loop"
    result = tfgrpo.learn_sync(
        script.rows(4), model="tiny", grader="exact", db=tmp_path / "x.db", gate="likelihood", heldout=0.5, **LOOP
    )
    assert result.summary["calls"]["score"]["new"] > 0


def reply(body: dict[str, Any]) -> Any:
    """Look things up twice, then answer as the small world does."""
    results = [m["content"] for m in body["messages"] if m["role"] == "tool"]
    if "seed" not in body:
        return world.reply(body)
    if len(results) < 2:
        number = len(results) + 1
        call = {"name": "lookup", "arguments": json.dumps({"query": f"{body['messages'][-1]['content'][:9]} {number}"})}
        return {"content": None, "tool_calls": [{"id": "c", "type": "function", "function": call}]}
    assert results[1].endswith("is call 2"), results
    return world.reply({**body, "messages": [m for m in body["messages"] if m["role"] in {"system", "user"}]})


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_web(tmp_path: Path):
    """Killed between calls, it repeats no finished call of model or tool, and ends as a run that nothing disturbed."""
    world.write(tmp_path / "problems.jsonl", 6)
    kills = [
        ("journaled.py:_kept", 5),
        ("journal.py:_put", 14),
        ("tool_loop.py:_answer", 12),
        ("wire.py:reply_of", 6),
        None,
    ]
    with Server(reply=reply) as server:
        for name, plan in (("whole", [None]), ("killed", kills)):
            folder = tmp_path / name
            folder.mkdir()
            arguments = [
                "learn", str(tmp_path / "problems.jsonl"), "--heldout", "0", "--gate", "open", "--epochs", "1",
                "--model", "openai/test-model", "--base-url", server.url, "--grader", "exact", "--group-size", "3",
                "--db", str(folder / "x.db"), "--json", "-s", "environment.kind=tool_loop",
                "-s", "environment.tools=['support.tooling:Counting']", "-s", "engine.join=false",
                "--concurrency", "4",
            ]  # fmt: skip
            for kill in plan:
                server.bodies.clear()
                ended = run_command(arguments, kill)
                assert ended.returncode == (0 if kill is None else -signal.SIGKILL), (kill, ended.stderr[-3000:])
                asked = Counter(json.dumps([b["messages"], b.get("seed")]) for b in server.bodies)
                assert max(asked.values(), default=1) == 1
    with Store.open(tmp_path / "killed" / "x.db") as store:
        roles = Counter(call.role for call in Journal(store).calls())
    assert roles["tool:lookup"] == 2 * 6 * 3
    assert tables(tmp_path / "killed" / "x.db") == tables(tmp_path / "whole" / "x.db")
