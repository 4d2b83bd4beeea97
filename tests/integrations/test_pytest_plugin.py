"""The pytest plugin: a marked test passes where the text helps, fails with a reason where it does not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.script import TOPICS, lesson, rows, write

ROOT = Path(__file__).parents[2]
PLUGIN = ["-p", "no:tfgrpo", "-p", "tfgrpo.integrations.pytest_plugin", "-p", "no:cacheprovider", "-rA", "-q"]
SUITE = """
import pytest
from proving.conftest import attempt
from support.script import Model, play

ASKED = {"on": "tasks.jsonl", "grader": "exact", "model": play(Model(prove=attempt))}

@pytest.mark.tfgrpo(text="good.md", min_effect=0.3, **ASKED)
def test_helps(proof):
    assert proof.verdict == "helps"

@pytest.mark.tfgrpo(text="idle.md", **ASKED)
def test_idle():
    pass

@pytest.mark.tfgrpo(text="good.md", min_effect=0.99, **ASKED)
def test_too_little():
    pass

@pytest.mark.tfgrpo(text="good.md", min_effect=0.7, **ASKED)
def test_not_shown():
    pass

@pytest.mark.tfgrpo(text="good.md", min_effect=0.7, undecided="skip", **ASKED)
def test_not_shown_yet():
    pass

@pytest.mark.tfgrpo(text="idle.md", pairs=16, undecided="skip", **ASKED)
def test_undecided():
    pass

def test_unmarked():
    pass
"""


def run(folder, *arguments, **env):
    """Run pytest in a folder with the plugin alone."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", *PLUGIN, *arguments], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tests"), **env},
    )  # fmt: skip


@pytest.mark.slow
def test_marked_tests(tmp_path):
    """Each verdict becomes the outcome that the mark asks for, and unmarked tests are left alone."""
    write(tmp_path / "tasks.jsonl", rows(64))
    (tmp_path / "good.md").write_text("\n".join(lesson(topic) for topic in TOPICS), encoding="utf-8")
    (tmp_path / "idle.md").write_text("The weather is nice.", encoding="utf-8")
    (tmp_path / "test_texts.py").write_text(SUITE, encoding="utf-8")
    said = run(tmp_path).stdout
    for line in ("PASSED test_texts.py::test_helps", "PASSED test_texts.py::test_unmarked", "SKIPPED [1]"):
        assert line in said, said
    assert "FAILED test_texts.py::test_idle - Failed: " in said
    assert "no worth found" in said
    assert "+0.990 is not shown" in said
    assert "+0.700 is not shown" in said
    assert "whether by +0.700 cannot be told yet" in said


@pytest.mark.slow
def test_the_example(tmp_path):
    """The example of a skill as a test passes with the embedded model."""
    for file in (ROOT / "examples" / "ci").rglob("*"):
        if file.is_file():
            copy = tmp_path / file.relative_to(ROOT / "examples" / "ci")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    assert run(tmp_path).returncode == 0
