"""The files of `examples/ci`: the shell of the workflow and the command of the hook run, with the embedded model."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

CI = Path(__file__).parents[2] / "examples" / "ci"
MODEL = ("openai/gpt-5-mini", "tiny --as lessons")


@pytest.fixture
def shell(tmp_path):
    """Run a script as GitHub's runners do, in a folder with skills and tasks."""
    shutil.copytree(CI / "skills", tmp_path / "skills")
    (tmp_path / "tasks").mkdir()
    shutil.copy(CI / "tasks.jsonl", tmp_path / "tasks")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def run(script, **env):
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script], cwd=tmp_path, capture_output=True,
            text=True, check=False, env={**os.environ, "PATH": path, "GITHUB_OUTPUT": str(tmp_path / "out"), **env},
        )  # fmt: skip

    return run


def steps():
    """The named steps of the workflow."""
    job = yaml.safe_load((CI / "prove.yml").read_text(encoding="utf-8"))["jobs"]["prove"]
    return {step["name"]: step["run"] for step in job["steps"] if "name" in step and "run" in step}


def code_of(tmp_path):
    """The exit code that the step left for later ones."""
    return (tmp_path / "out").read_text(encoding="utf-8").strip().removeprefix("code=")


@pytest.mark.slow
def test_the_workflow_of_a_skill_that_helps(shell, tmp_path):
    """The step leaves comment, page, badge and code; unchanged the skill costs no call; the last step ends as it."""
    script = steps()["prove"].replace("--budget-usd 2", "--budget-calls 500").replace(*MODEL)
    assert shell(script).returncode == 0
    assert code_of(tmp_path) == "0"
    assert "helps" in (tmp_path / "comment.md").read_text(encoding="utf-8")
    assert (tmp_path / "proof.html").exists()
    assert (tmp_path / "badge.svg").exists()
    assert "calls: 0 new, 96 from the journal" in shell(script).stdout
    assert [shell(steps()["verdict"], CODE=code).returncode for code in "01"] == [0, 1]


def test_the_workflow_without_a_key(shell, tmp_path):
    """Wrong usage is code 2, leaves no comment, and does not stop before its code is kept."""
    assert shell(steps()["prove"], OPENAI_API_KEY="", OPENAI_BASE_URL="").returncode == 0
    assert code_of(tmp_path) == "2"
    assert not (tmp_path / "comment.md").exists()


@pytest.mark.slow
def test_the_hook(shell, tmp_path):
    """The hook passes where the skill helps, and stops a push where it does nothing."""
    (hook,) = yaml.safe_load((CI / "pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    command = hook["entry"].replace("--budget-usd 1", "--budget-calls 500").replace(*MODEL)
    assert shell(command).returncode == 0
    (tmp_path / "skills" / "operators" / "SKILL.md").write_text("- Keep it brief.", encoding="utf-8")
    assert shell(command).returncode == 1
