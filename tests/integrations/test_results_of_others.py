"""What other tools write is read as they write it: each tool runs here, against scripted models on 127.0.0.1.

`.ci/readers` installs them beside the project; HELM comes with 6 GB of packages and is installed by hand.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from integrations.others.loopback import TASKS, Loopback
from typer.testing import CliRunner

from tfgrpo.cli.app import app
from tfgrpo.readers import read

pytestmark = [pytest.mark.integrations, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
OTHERS = Path(__file__).with_name("others")
SESSIONS = range(1, 9)


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Run a program of an environment beside the project in an empty folder; without it the test is skipped."""
    monkeypatch.chdir(tmp_path)

    def run(place, *arguments, remedy=".ci/readers installs it", cwd=None, **env):
        own = ROOT / place
        found = str(own) if own.exists() else shutil.which(own.name) if own.name in ("claude", "codex") else None
        if found is None:
            pytest.skip(f"{own.name} is not installed: {remedy}")
        own_env = {**os.environ, "HOME": str(tmp_path), "PYTHONPATH": str(OTHERS), **env}
        ended = subprocess.run([found, *arguments], env=own_env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True,
                               text=True, check=False)  # fmt: skip
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    return run


def replayed(*arguments, form):
    """The verdict over stored results, which are read as one format."""
    result = CliRunner().invoke(app, ["prove", "--replay", *arguments, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["asked"]["formats"] == [form]
    return found


def whole(found):
    """Whether all tasks were paired, and those won that the worse model does not know."""
    assert not any(found["unpaired"].get(k) for k in ("only_with", "only_without", "without_score")), found["unpaired"]
    return (found["problems"], len(found["won"]), len(found["lost"])) == (len(TASKS), 16, 0)


@pytest.mark.parametrize(
    ("script", "names", "form"),
    [
        ("weave_run", ("calls.jsonl",), "weave"),
        ("otel_run", ("console.json", "otlp.jsonl"), "otel"),
        ("langfuse_types", ("items.json",), "langfuse"),
    ],
)
def test_what_an_sdk_writes_is_read(program, script, names, form):
    """Calls of Weave, spans by two exporters of OpenTelemetry, items in the types of Langfuse: 24 pairs, 16 won."""
    program(".venv-readers/bin/python", str(OTHERS / f"{script}.py"), WANDB_API_KEY="x")
    for name in names:
        assert whole(replayed(name, "--baseline", "without", form=form)), name


def test_logs_of_oaieval_are_read(program, tmp_path):
    """Two runs of OpenAI's evals, each a file of events."""
    rows = [{"input": [{"role": "user", "content": f"Double {n}"}], "ideal": str(2 * n)} for n in TASKS]
    (tmp_path / "doubles.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    evaluated = {"class": "evals.elsuite.basic.match:Match", "args": {"samples_jsonl": str(tmp_path / "doubles.jsonl")}}
    kinds = {
        "evals": {"doubles": {"id": "doubles.dev.v0", "metrics": ["accuracy"]}, "doubles.dev.v0": evaluated},
        "completion_fns": {name: {"class": "evals_fns:Scripted", "args": {"hint": hint}}
                           for name, hint in (("with", "zebra"), ("without", ""))},
    }  # fmt: skip
    for kind, held in kinds.items():
        (tmp_path / "registry" / kind).mkdir(parents=True)
        (tmp_path / "registry" / kind / "own.yaml").write_text(json.dumps(held), encoding="utf-8")
    for name in ("with", "without"):
        program(".venv-readers/bin/oaieval", name, "doubles", "--registry_path", "registry", "--record_path",
                f"{name}.jsonl", OPENAI_API_KEY="x", EVALS_SEQUENTIAL="1")  # fmt: skip
    assert whole(replayed("with.jsonl", "--against", "without.jsonl", form="openai-evals"))


def test_runs_of_helm_are_read(program, tmp_path):
    """Two runs of `helm-run`: a score of 40 instances each, with question and answer, and nothing else is a result."""
    place = tmp_path / "prod_env"
    place.mkdir()
    names = ("with", "without")
    spoken = {"tokenizer_name": "simple/tokenizer1", "max_sequence_length": 2048,
              "client_spec": {"class_name": "helm_client.Scripted"}}  # fmt: skip
    deployed = [{"name": f"own/{n}", "model_name": f"own/{n}", **spoken} for n in names]
    known = [{"name": f"own/{n}", "display_name": n, "description": "scripted", "creator_organization_name": "own",
              "access": "open", "tags": ["TEXT_MODEL_TAG"]} for n in names]  # fmt: skip
    (place / "model_deployments.yaml").write_text(json.dumps({"model_deployments": deployed}), encoding="utf-8")
    (place / "model_metadata.yaml").write_text(json.dumps({"models": known}), encoding="utf-8")
    entries = [f"simple_classification:model=own/{n}" for n in names]
    program(".venv-helm/bin/helm-run", "--run-entries", *entries, "--suite", "s", "--max-eval-instances", "40",
            "--disable-cache", "-o", "out", remedy="pip install crfm-helm into .venv-helm, 6 GB")  # fmt: skip
    runs = [f"out/runs/s/simple_classification:model=own_{n}" for n in names]
    found = replayed(runs[0], "--against", runs[1], form="helm")
    assert (found["problems"], len(found["won"]), len(found["lost"])) == (40, 14, 0)
    assert found["unpaired"]["without_score"] == 0
    assert all(row.question.isdecimal() and {row.text, row.answer} <= {"Even", "Odd"} for row in read(runs[0]).rows)


def tasks_of_sessions(tmp_path):
    """Write the tasks that a session is about, and return their name."""
    rows = [{"id": f"q{n}", "question": f"Double {n}", "answer": str(2 * n)} for n in SESSIONS]
    (tmp_path / "tasks.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return "tasks.jsonl"


@pytest.mark.parametrize("tool", ["claude", "codex"])
def test_sessions_of_coding_agents_are_read(program, tmp_path, tool):
    """Eight sessions with a project's instructions and eight without, graded by the tasks: six won, two as before."""
    server = Loopback()
    for arm, hint in (("with", "zebra"), ("without", "")):
        work, home = tmp_path / f"work-{arm}", tmp_path / arm
        work.mkdir()
        home.mkdir()
        (work / ("CLAUDE.md" if tool == "claude" else "AGENTS.md")).write_text(f"Be brief. {hint}", encoding="utf-8")
        (home / "config.toml").write_text(
            f'model = "m"\nmodel_provider = "own"\n[model_providers.own]\nname = "own"\nbase_url = "{server.url}/v1"\n'
            'wire_api = "responses"\nenv_key = "OWN_KEY"\n', encoding="utf-8",
        )  # fmt: skip
        quiet = {"DISABLE_AUTOUPDATER": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_TELEMETRY": "1"}
        own = {"ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_API_KEY": "x", "CLAUDE_CONFIG_DIR": str(home)}
        asked = ["-p"] if tool == "claude" else ["exec", "--skip-git-repo-check"]
        for n in SESSIONS:
            program(f".venv-agents/node_modules/.bin/{tool}", *asked, f"Double {n}", cwd=work,
                    CODEX_HOME=str(home), OWN_KEY="x", **quiet, **own)  # fmt: skip
    folder = "projects" if tool == "claude" else "sessions"
    graded = ("--on", tasks_of_sessions(tmp_path), "--grader", "exact")
    form = {"claude": "claude-code", "codex": "codex"}[tool]
    found = replayed(f"with/{folder}", "--against", f"without/{folder}", *graded, form=form)
    assert (found["problems"], len(found["won"]), len(found["lost"])) == (len(SESSIONS), 6, 0)
