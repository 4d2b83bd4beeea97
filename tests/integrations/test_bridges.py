"""Tasks of other harnesses run through `tfgrpo prove`, each with the real package; and our library inside of theirs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.script import Model, play
from typer.testing import CliRunner

from experience_db import Lesson, Library
from tfgrpo.cli.app import app

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("ignore")]

INSPECT = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import match
from inspect_ai.solver import generate

@task
def doubling():
    return Task(
        dataset=[Sample(id=f"d{i}", input=f"Double {i}.", target=str(2 * i)) for i in range(1, 41)],
        solver=generate(), scorer=match(),
    )
"""
VERIFIERS = """
import verifiers.v1 as vf

class Data(vf.TaskData):
    answer: str

class Double(vf.Task[Data]):
    @vf.reward
    async def right(self, trace: vf.Trace) -> float:
        return float(trace.nodes[-1].message.content.strip().endswith(self.data.answer))

class Doubling(vf.Taskset[Double, vf.TasksetConfig]):
    def load(self):
        for i in range(1, 41):
            yield Double(Data(id=f"d{i}", prompt=f"Double {i}.", answer=str(2 * i)))
"""
LM_EVAL = """
task: doubling
dataset_path: json
dataset_kwargs:
  data_files: {test: FILE}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["\\n\\n"]}
metric_list:
  - metric: exact_match
filter_list:
  - name: last
    filter:
      - {function: regex, regex_pattern: "(-?[0-9]+)$"}
      - {function: take_first}
"""
TEXT = "When you double, add the number to itself."


def double(request):
    """Double a number where the text is there, else repeat it."""
    number = int(request.messages[-1]["content"].split()[-1].strip("."))
    helped = any(TEXT in m["content"] for m in request.messages)
    return f"Answer: {2 * number if helped else number}"


def proved(address: str, tmp_path: Path, monkeypatch) -> dict:
    """Prove a text on the tasks of another harness."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "SKILL.md").write_text(TEXT, encoding="utf-8")
    model = play(Model(prove=double))
    result = CliRunner().invoke(app, ["prove", "SKILL.md", "--on", address, "--model", model, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_inspect_task(tmp_path, monkeypatch):
    """A task file of inspect_ai gives tasks, and its scorer the rewards."""
    pytest.importorskip("inspect_ai")
    (tmp_path / "tasks.py").write_text(INSPECT, encoding="utf-8")
    found = proved("inspect:tasks.py@doubling", tmp_path, monkeypatch)
    assert (found["verdict"], found["effect"]) == ("helps", 1.0)
    assert found["won"][0].startswith("d")


def test_inspect_log_and_solver(tmp_path, monkeypatch):
    """A library is a solver of inspect_ai; the logs of both runs, as inspect writes them, prove it by replay."""
    pytest.importorskip("inspect_ai")
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import match
    from inspect_ai.solver import generate

    from tfgrpo.integrations.inspect import lessons

    def answer(messages, *_):
        number = int(messages[-1].text.split()[-1].strip("."))
        helped = any("add the number" in m.text for m in messages)
        said = ModelOutput.from_content("mockllm/model", str(2 * number if helped else number))
        said.usage = ModelUsage(input_tokens=9, output_tokens=1, total_tokens=10)
        return said

    library = Library("own", 1, (Lesson(1, TEXT, 1, 1),))
    samples = [Sample(id=f"d{i}", input=f"Double {i}.", target=str(2 * i)) for i in range(1, 21)]
    for name, solvers in (("with", [lessons(library), generate()]), ("without", [generate()])):
        model = get_model("mockllm/model", custom_outputs=answer, memoize=False)
        task = Task(dataset=samples, solver=solvers, scorer=match())
        (log,) = eval(task, model=model, log_dir=str(tmp_path / name), display="none", log_format="eval")
        assert log.status == "success", log.error
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["prove", "--replay", "with", "--against", "without", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["verdict"], found["problems"], found["asked"]["formats"]) == ("helps", 20, ["inspect"])
    assert found["cost"]["with"]["completion_tokens"] == 200


def test_verifiers_taskset(tmp_path, monkeypatch):
    """A taskset of verifiers gives tasks, and its rewards those of our rollouts."""
    pytest.importorskip("verifiers.v1")
    (tmp_path / "doubling.py").write_text(VERIFIERS, encoding="utf-8")
    found = proved("verifiers:doubling.py@Doubling", tmp_path, monkeypatch)
    assert (found["verdict"], found["effect"]) == ("helps", 1.0)


def test_verifiers_traces(tmp_path, monkeypatch):
    """Traces that verifiers writes are read back: ids, rewards, failures."""
    vf = pytest.importorskip("verifiers.v1")
    from verifiers.v1.types import AssistantMessage, UserMessage
    from verifiers.v1.utils.trace_store import write_episode

    from tfgrpo.readers import read

    for side in ("with", "without"):
        (tmp_path / side).mkdir()
        for i in range(12):
            trace = vf.Trace(
                task=vf.TraceTask(type="T", data=vf.TaskData(id=f"t{i}", prompt="x")),
                agent=vf.AgentInfo(config=vf.AgentConfig()),
                nodes=[
                    vf.MessageNode(message=UserMessage(content="x")),
                    vf.MessageNode(parent=0, message=AssistantMessage(content="y"), sampled=True),
                ],
                ok=True,
            )
            trace.record_reward("right", float(side == "with"))
            write_episode(tmp_path / side, vf.Episode(env=vf.EnvInfo(id="e"), task=trace.task, traces=[trace], ok=True))
    stored = read(tmp_path / "with" / "traces.jsonl")
    assert stored.formats == ("verifiers",)
    assert (stored.rows[0].id, stored.rows[0].score, stored.rows[0].text) == ("t0", 1.0, "y")
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["prove", "--replay", "with", "--against", "without", "--json"])
    assert json.loads(result.stdout)["verdict"] == "helps"


def test_verifiers_system_prompt(tmp_path):
    """A library is written as the file that a taskset takes as its system prompt."""
    vf = pytest.importorskip("verifiers.v1")
    from tfgrpo.integrations.bridges import attribute_of
    from tfgrpo.integrations.verifiers import system_prompt

    (tmp_path / "doubling.py").write_text(VERIFIERS, encoding="utf-8")
    place = system_prompt(Library("own", 1, (Lesson(1, TEXT, 1, 1),)), tmp_path / "lessons.md")
    taskset = attribute_of(f"{tmp_path / 'doubling.py'}@Doubling")(vf.TasksetConfig(id="d", system_prompt=place))
    assert TEXT in next(iter(taskset)).data.system_prompt


def lm_eval_task(tmp_path):
    """Write the files of a task of lm_eval, and return their folder."""
    rows = [{"question": f"Double {i}.", "answer": str(2 * i)} for i in range(1, 41)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    (tmp_path / "own").mkdir()
    config = LM_EVAL.replace("FILE", str(tmp_path / "rows.jsonl"))
    (tmp_path / "own" / "doubling.yaml").write_text(config, encoding="utf-8")
    return tmp_path / "own"


def test_lm_eval_task(tmp_path, monkeypatch):
    """A task file of lm_eval gives tasks; filters and metric are the harness's own."""
    pytest.importorskip("lm_eval")
    folder = lm_eval_task(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    found = proved(f"lm-eval:doubling@{folder}", tmp_path, monkeypatch)
    assert (found["verdict"], found["effect"]) == ("helps", 1.0)


def test_lm_eval_samples(tmp_path):
    """Samples that lm_eval logs are read back: one row a document, with its metric and what was said."""
    pytest.importorskip("lm_eval")
    from tfgrpo.readers import read

    asked = ["run", "--model", "dummy", "--tasks", "doubling", "--include_path", str(lm_eval_task(tmp_path))]
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hub")}
    subprocess.run(
        [sys.executable, "-m", "lm_eval", *asked, "--output_path", "out", "--log_samples"],
        cwd=tmp_path, env=env, check=True, capture_output=True,
    )  # fmt: skip
    stored = read(tmp_path / "out")
    assert stored.formats == ("lm-eval",)
    assert len(stored.rows) == 40
    assert (stored.rows[0].id, stored.rows[0].score) == ("doubling/0", 0.0)
    assert stored.rows[0].text
