"""`tfgrpo tools`, and `--tools` where rollouts run: any tool by hand, and what wrong input gets to hear."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from support.script import Model, play, solve, text_of
from support.tooling import calling
from typer.testing import Result

from tfgrpo.types import Reply, Request

BARE = ("-s", "tools.python.isolation=limits")
Cli = Callable[..., Result]
Parsed = Callable[[Result], dict[str, Any]]


def test_the_list_says_what_each_tool_takes(cli: Cli, parsed: Parsed):
    """Name, arguments and description, also as JSON; a tool that cannot run here says why."""
    result = cli("tools", "list", *BARE)
    assert result.exit_code == 0
    assert "python(code)\n    Runs Python code" in result.stdout
    rows = parsed(cli("tools", "list", "--json", "-s", "tools.python.isolation='no-such-program x'"))["tools"]
    (python,) = [row for row in rows if row["tool"] == "python"]
    assert python["description"] == ""
    assert "'no-such-program' is not here" in python["fault"]


def test_a_call_by_hand_prints_what_a_model_would_read(cli: Cli, tmp_path):
    """On stdout; how it came about is on stderr. Arguments may come from a file."""
    result = cli("tools", "call", "python", "--args", '{"code": "6 * 7"}', *BARE)
    assert (result.stdout, result.exit_code) == ("42\n", 0)
    assert "isolation: limits" in result.stderr
    (tmp_path / "args.json").write_text('{"code": "print(1)"}', encoding="utf-8")
    assert cli("tools", "call", "python", "--args", "@args.json", *BARE).stdout == "1\n"


def test_json_holds_text_detail_and_failure(cli: Cli, parsed: Parsed):
    """A failure is typed, and ends with 1."""
    found = parsed(cli("tools", "call", "python", "--args", '{"code": "print(1)"}', "--json", *BARE))
    assert (found["tool"], found["text"], found["failure"]) == ("python", "1", None)
    assert found["detail"]["isolation"] == "limits"
    assert found["seconds"] > 0
    slow = cli(
        "tools",
        "call",
        "python",
        "--args",
        '{"code": "while 1: pass"}',
        "--json",
        *BARE,
        "-s",
        "tools.python.seconds=1",
    )
    assert slow.exit_code == 1
    assert parsed(slow)["failure"]["kind"] == "timeout"


def test_one_of_several_tools_is_named_behind_a_dot(cli: Cli):
    """A name may stand for several tools; none is chosen by chance."""
    both = cli("tools", "call", "support.tooling:pair", "--args", '{"query": "a"}')
    assert both.exit_code == 2
    assert "stands for several tools" in both.stderr
    assert "support.tooling:pair.second" in both.stderr
    assert cli("tools", "call", "support.tooling:pair.second", "--args", '{"query": "a"}').stdout == "A\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("call", "pyton"), "did you mean 'python'"),
        (("call", "python", "--args", "{", *BARE), "not valid JSON"),
        (("call", "python", "--args", '{"cod": 1}', *BARE), "'code' is missing"),
        (("call", "python", "--args", "@nowhere.json", *BARE), "cannot read nowhere.json"),
        (("call", "python", "-s", "tools.python.isolation=docker"), "'docker' is unknown"),
        (("call", "python", "-s", "tools.python.second=1"), "does not take second"),
        (("call", "python", "-s", "tools.python.seconds=fast"), "the limit seconds is 'fast'"),
        (("call", "python", "--config", "nowhere.toml"), "cannot read configuration"),
        (("call", "no.such.module:x"), "cannot be imported"),
    ],
)
def test_wrong_input_ends_with_2_and_a_sentence(cli: Cli, arguments: tuple[str, ...], said: str):
    """What, where, and what to do next; nothing was run."""
    result = cli("tools", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def compute(request: Request) -> str | Reply:
    """Compute before answering."""
    if request.messages[-1]["role"] == "tool":
        return f"Answer: {request.messages[-1]['content']}"
    figure = text_of(request).rpartition("what comes of ")[2].partition("?")[0]
    return calling(("python", {"code": f"2 * {figure}"}))


def test_eval_and_learn_take_tools_by_name(cli: Cli, parsed: Parsed):
    """--tools stands for the loop and its tools; what they computed is what is graded."""
    name = play(Model(evaluate=compute, rollout=compute), "computing")
    common = ("--grader", "exact", "--model", name, "--tools", "python", *BARE, "--json")
    found = parsed(cli("eval", "learn.jsonl", *common))
    assert found["mean"] == 1.0
    learned = parsed(cli("learn", "learn.jsonl", *common, "--heldout", 0, "--gate", "open", "--epochs", 1))
    assert learned["calls"]["tool:python"]["new"] == learned["calls"]["rollout"]["new"] / 2
    shown = json.loads(cli("runs", "show", learned["run"], "--json").stdout)
    assert shown["config"]["environment"]["tools"] == ["python"]
    assert shown["config"]["tools"] == {"python": {"isolation": "limits"}}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--tools", ""), "--tools names none"),
        (("--tools", "python,pyton"), "did you mean 'python'"),
        (("--tools", "python", "-s", "tools.python.isolation='false x'"), "does not run Python"),
    ],
)
def test_a_run_refuses_tools_that_cannot_be_used_before_it_starts(
    cli: Cli, tmp_path, options: tuple[str, ...], said: str
):
    """Exit 2, no model call, no database."""
    model = Model(evaluate=solve)
    result = cli("eval", "learn.jsonl", "--grader", "exact", "--model", play(model, "refusing"), *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert not model.requests
    assert not (tmp_path / "experience.db").exists()
