"""promptfoo itself: what it writes is read back, and our assertions judge as its own do."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tfgrpo.cli.app import app
from tfgrpo.integrations import bridges
from tfgrpo.types import Rollout

pytestmark = [pytest.mark.integrations, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
PROVIDER = """
module.exports = class {
  id() { return "scripted"; }
  async callApi(prompt) {
    const n = Number(/Double (\\d+)/.exec(prompt)[1]);
    if (n === 40) return { error: "503" };
    const right = prompt.includes("Think") || n % 3 === 0;
    return { output: String(right ? 2 * n : n), tokenUsage: { total: 10, prompt: 8, completion: 2 }, cost: 0.001 };
  }
};
"""
ECHO = "module.exports = class { id() { return 'echo'; } async callApi(prompt) { return { output: prompt }; } };"
JUDGED = [
    ("4", {"type": "equals", "value": "4"}),
    ("4.", {"type": "equals", "value": "4"}),
    ("four is 4", {"type": "contains", "value": "4"}),
    ("Four", {"type": "icontains", "value": "fOUR"}),
    ("a cat", {"type": "contains-any", "value": ["dog", "cat"]}),
    ("a cat", {"type": "contains-all", "value": ["dog", "cat"]}),
    ("A DOG", {"type": "icontains-any", "value": ["dog", "cat"]}),
    ("A DOG", {"type": "icontains-all", "value": ["dog", "cat"]}),
    ("Yes, so", {"type": "starts-with", "value": "Yes"}),
    ("yes, so", {"type": "starts-with", "value": "Yes"}),
    ("room 12b", {"type": "regex", "value": "[0-9]+b"}),
    ("room", {"type": "regex", "value": "[0-9]+"}),
    ('{"a": 1}', {"type": "is-json"}),
    ("{a: 1}", {"type": "is-json"}),
    ("Sorry", {"type": "not-contains", "value": "sorry"}),
    ("sorry", {"type": "not-icontains", "value": "Sorry"}),
    ("a", {"type": "not-equals", "value": "b"}),
    ("dog, cat", {"type": "contains-all", "value": "dog, cat"}),
]


@pytest.fixture
def promptfoo(tmp_path, monkeypatch):
    """Run `promptfoo eval` in an empty folder, with a home of its own and without a word to its makers."""
    own = ROOT / ".venv-promptfoo" / "node_modules" / ".bin" / "promptfoo"
    program = str(own) if own.exists() else shutil.which("promptfoo")
    if program is None:
        pytest.skip("promptfoo is not installed: npm install --prefix .venv-promptfoo promptfoo@0.121.20 libsql")
    monkeypatch.chdir(tmp_path)
    quiet = dict.fromkeys(("TELEMETRY", "UPDATE", "REMOTE_GENERATION", "SHARING"), "1")
    env = {**os.environ, **{f"PROMPTFOO_DISABLE_{k}": v for k, v in quiet.items()}, "PROMPTFOO_CONFIG_DIR": ".own"}

    def run(config, *outputs):
        Path("promptfooconfig.json").write_text(json.dumps(config), encoding="utf-8")
        asked = [program, "eval", "-c", "promptfooconfig.json", "--no-cache", "--no-table", "--no-progress-bar"]
        asked += [part for name in outputs for part in ("-o", name)]
        ended = subprocess.run(asked, env=env, capture_output=True, text=True, check=False)
        # 100 says that a test failed, which is what these are for.
        assert ended.returncode in (0, 100), ended.stdout + ended.stderr

    return run


def test_results_of_every_form_are_read_back(promptfoo):
    """JSON, JSONL, YAML and a sheet say the same: which prompt is which, 39 pairs, and a broken call that is none."""
    Path("provider.js").write_text(PROVIDER, encoding="utf-8")
    tests = [{"vars": {"n": n}, "assert": [{"type": "equals", "value": str(2 * n)}]} for n in range(1, 41)]
    Path("tests.json").write_text(json.dumps(tests), encoding="utf-8")
    labelled = [
        {"id": "file://with.txt", "label": "with"},
        {"id": "file://without.txt", "label": "without"},
    ]
    Path("with.txt").write_text("Think. Double {{n}}.", encoding="utf-8")
    Path("without.txt").write_text("Double {{n}}.", encoding="utf-8")
    names = [f"out.{ending}" for ending in ("json", "jsonl", "yaml", "csv")]
    promptfoo({"prompts": labelled, "providers": ["file://provider.js"], "tests": "file://tests.json"}, *names)
    for name in names:
        result = CliRunner().invoke(app, ["prove", "--replay", name, "--json"])
        assert result.exit_code == 0, (name, result.output)
        found = json.loads(result.stdout)
        assert found["asked"]["formats"] == ["promptfoo"]
        assert (found["problems"], len(found["won"]), len(found["lost"])) == (39, 26, 0), name
        assert found["against"].startswith("without")
        assert found["unpaired"]["without_score"] == 1


def test_assertions_judge_as_promptfoo_does(promptfoo):
    """On the same answers our grader and promptfoo's own agree, assertion by assertion."""
    Path("echo.js").write_text(ECHO, encoding="utf-8")
    tests = [{"description": f"case {i}", "vars": {"said": said}, "assert": [check]}
             for i, (said, check) in enumerate(JUDGED)]  # fmt: skip
    promptfoo({"prompts": ["{{said}}"], "providers": ["file://echo.js"], "tests": tests}, "out.json")
    results = json.loads(Path("out.json").read_text(encoding="utf-8"))["results"]["results"]
    theirs = {r["testCase"]["description"]: (r["response"]["output"], float(r["score"])) for r in results}
    bridge = bridges.bridge("promptfoo:promptfooconfig.json")
    ours = {p.id: bridge.grader(p, Rollout(p.id, 0, answer=str(theirs[p.id][0]))).value for p in bridge.problems}
    assert ours == {name: score for name, (_, score) in theirs.items()}
    assert set(ours.values()) == {0.0, 1.0}
