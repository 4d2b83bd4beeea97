"""An agent written with another framework, as the environment: what it is told, and what becomes of its run."""

from __future__ import annotations

import gc
import importlib.util
import json
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support.server import Server
from test_examples import EXAMPLES, run

import tfgrpo
from experience_db import Lesson, Library
from tfgrpo.environments import Slot, Wrapped
from tfgrpo.types import FailureKind, Problem, Sampling

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
FILE = EXAMPLES / "own_agent" / "with_openai_agents.py"
PROBLEM = Problem("p1", "What is 2 plus 3?", "5")
TAUGHT = Library("x", 1, (Lesson(1, "Use the tool.", 1, 1),))
SLOT = Slot("rollout", 4, Sampling(seed=1))


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """The example as a module; skips where the framework is not installed."""
    pytest.importorskip("agents", reason="needs openai-agents: pip install 'tfgrpo[agents]'")
    spec = importlib.util.spec_from_file_location("with_openai_agents", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def adding(body: dict[str, Any]) -> Any:
    """Call the agent's tool once, then answer with what it gave."""
    last = body["messages"][-1]
    if last["role"] == "tool":
        return f"Answer: {last['content']}"
    call = {"name": "add", "arguments": json.dumps({"a": 2, "b": 3})}
    return {"content": None, "tool_calls": [{"id": "c1", "type": "function", "function": call}]}


async def test_the_lessons_instruct_the_agent_and_its_run_is_a_rollout(example: ModuleType):
    """Conversation, tool result, usage and taint are kept; the framework counted two calls of the model."""
    with Server(reply=adding) as server:
        rollout = await Wrapped(example.agent_at(server.url, "test-model"), "sdk")(PROBLEM, TAUGHT, SLOT)
    assert (rollout.answer, rollout.index, rollout.failure) == ("Answer: 5", 4, None)
    assert "Use the tool." in server.bodies[0]["messages"][0]["content"]
    assert server.bodies[0]["tools"][0]["function"]["name"] == "add"
    assert [m["role"] for m in rollout.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert rollout.tainted
    assert rollout.usage.completion_tokens > 0


async def test_a_broken_endpoint_is_a_failure_of_the_rollout(example: ModuleType):
    """What the framework raises becomes a typed failure, not an answer."""
    with Server(faults=lambda index, body: "404 for the model") as server:  # type: ignore[arg-type,return-value]
        rollout = await Wrapped(example.agent_at(server.url, "test-model"), "sdk")(PROBLEM, TAUGHT, SLOT)
    assert rollout.failure is not None
    assert rollout.failure.kind is FailureKind.ENVIRONMENT


def test_a_library_is_learned_with_it(example: ModuleType, tmp_path: Path):
    """The scripted endpoint is right, so every group is flat, all rollouts are graded, and no connection stays open."""
    rows = [{"question": f"What is 2 plus 3? ({n})", "answer": "5"} for n in range(3)]
    with Server(reply=adding) as server, warnings.catch_warnings(record=True) as left_open:
        warnings.simplefilter("always", ResourceWarning)
        result = tfgrpo.learn_sync(
            rows, model="tiny", grader="exact", environment=example.agent_at(server.url, "m"), db=tmp_path / "x.db",
            heldout=0, gate="open", epochs=1, group_size=2,
        )  # fmt: skip
        gc.collect()
    assert [str(one.message) for one in left_open] == []
    assert result.summary["groups"]["flat"] == 3
    assert result.summary["failures"] == {}


def test_the_example_runs_as_it_says(example: ModuleType, tmp_path: Path):
    """No key and no network, and the embedded model learns through the framework."""
    assert "'before': " in run("own_agent/with_openai_agents.py", tmp_path).stdout
