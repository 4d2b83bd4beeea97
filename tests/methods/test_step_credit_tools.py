"""Step rewards meet the tool loop: each reply of a rollout with tools is a step of its own."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support.script import Model, learn, rows, text_of

from tfgrpo.types import Problem, Reply, Request, Rollout


def solver(request: Request) -> Reply | str:
    """Look the figure up with the tool, every second time the wrong one, then repeat what came."""
    figure = int(re.findall(r"comes of (\d+)\?", text_of(request))[-1])
    told = [str(m["content"]) for m in request.messages if m["role"] == "tool"]
    if told:
        return f"Answer: {told[-1].strip()}"
    code = f"print(2 * {figure})" if request.attempt % 2 == 0 else "print('none')"
    call = {"id": "c1", "type": "function", "function": {"name": "python", "arguments": f'{{"code": "{code}"}}'}}
    return Reply("", "tool_calls", tool_calls=(call,))


def by_turn(problem: Problem, rollout: Rollout) -> dict[str, Any]:
    """Right or wrong, and 1 for a lookup that brought the figure."""
    found = any(str(problem.answer) in str(m["content"]) for m in rollout.messages if m["role"] == "tool")
    return {"right": float(str(problem.answer) in rollout.answer), "steps": [float(found), 0.5]}


def speaker(request: Request) -> Reply | str:
    """The same in plain text: a fenced block, whose result comes back in the role of the user."""
    last = str(request.messages[-1]["content"])
    if len(request.messages) > 2 or "comes of" not in last:
        return f"Answer: {'400' if '400' in last else 'none'}"
    figure = int(re.findall(r"comes of (\d+)\?", last)[-1])
    return f"```python\nprint(2 * {figure})\n```" if request.attempt % 2 == 0 else "```python\nprint('none')\n```"


def fair(problem: Problem, rollout: Rollout) -> float:
    """Right or wrong."""
    return float(str(problem.answer) in rollout.answer)


@pytest.mark.slow
def test_what_tools_said_in_plain_text_is_shown_to_the_summarizer(tmp_path):
    """With the text protocol the result of a call stands between the turns, as it does with function calling."""
    model = Model(rollout=speaker)
    more = ["environment=tool_loop", "environment.tools=['python']", "environment.protocol=text"]
    learn(model, rows(1), tmp_path / "a.db", overrides=more, grader=fair)
    (prompt,) = model.asked("contrast")
    attempt = prompt.partition("### Attempt 1")[2].partition("### Attempt 2")[0]
    assert attempt.index("assistant: ```python") < attempt.index("user: ") < attempt.index("assistant: Answer")


@pytest.mark.slow
def test_the_turns_of_a_tool_loop_are_credited(tmp_path):
    """The summarizer reads the lookup as step 1 with its own advantage, and the answer as step 2."""
    model = Model(rollout=solver)
    options: dict[str, Any] = {"method": "grpo", "group_size": 4, "grader": by_turn}
    more = ["advantage.kind=process", "environment=tool_loop", "environment.tools=['python']"]
    result = learn(model, rows(1), tmp_path / "a.db", overrides=more, **options)
    assert result.steps[0].monitor == {"with_step_rewards": 4, "outcome_only": 0}
    (prompt,) = model.asked("contrast")
    assert "step 1: calls python(" in prompt
    assert "- step 1: reward 1.00, advantage +" in prompt
    assert "- step 1: reward 0.00, advantage -" in prompt
    assert "step 2: Answer:" in prompt
