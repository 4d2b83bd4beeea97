"""A promptfoo configuration runs through `tfgrpo prove`: its tests are tasks, its assertions the grader."""

import json

import pytest
from support.script import Model, play
from typer.testing import CliRunner

from tfgrpo.cli.app import app
from tfgrpo.errors import UsageError
from tfgrpo.integrations import bridges, promptfoo
from tfgrpo.types import Rollout


def config(tmp_path, tests, **more):
    """Write a configuration."""
    place = tmp_path / "promptfooconfig.json"
    whole = {"prompts": ["Double {{n}}."], "providers": ["openai:chat:gpt-5-mini"], "tests": tests, **more}
    place.write_text(json.dumps(whole), encoding="utf-8")
    return place


def test_tests_become_tasks(tmp_path, monkeypatch):
    """A text that helps is proved on the tests of a configuration."""
    place = config(tmp_path, [
        {"vars": {"n": i}, "assert": [{"type": "contains", "value": "{{n}}!"}]} for i in range(1, 41)
    ])  # fmt: skip
    (tmp_path / "shout.md").write_text("Shout.", encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def said(request):
        number = request.messages[-1]["content"].split()[-1].strip(".")
        return f"{number}!" if "Shout" in request.messages[0]["content"] else number

    result = CliRunner().invoke(
        app, ["prove", "shout.md", "--on", f"promptfoo:{place}", "--model", play(Model(prove=said)), "--json"]
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["effect"] == 1.0


@pytest.mark.parametrize(
    ("check", "answer", "score"),
    [
        ({"type": "equals", "value": "4"}, " 4 ", 1.0),
        ({"type": "not-contains", "value": "sorry"}, "Sorry, sorry", 0.0),
        ({"type": "icontains-any", "value": ["Cat", "dog"]}, "a DOG", 1.0),
        ({"type": "contains-all", "value": "a, b"}, "a only", 0.0),
        ({"type": "regex", "value": r"\d+"}, "no digits", 0.0),
        ({"type": "is-json"}, '{"a": 1}', 1.0),
        ({"type": "starts-with", "value": "Yes"}, "Yes.", 1.0),
    ],
)
def test_assertions(tmp_path, check, answer, score):
    """Each assertion that needs neither model nor code is checked as promptfoo does."""
    bridge = bridges.bridge(f"promptfoo:{config(tmp_path, [{'vars': {'n': 2}, 'assert': [check]}])}")
    (problem,) = bridge.problems
    assert problem.question == "Double 2."
    assert bridge.grader(problem, Rollout(problem.id, 0, answer=answer)).value == score


def test_weights_and_what_is_left_out(tmp_path):
    """Weights count, assertions that ask a model are left out, and without any other there is no task."""
    checks = [
        {"type": "contains", "value": "a", "weight": 3},
        {"type": "contains", "value": "b"},
        {"type": "llm-rubric"},
    ]
    bridge = bridges.bridge(f"promptfoo:{config(tmp_path, [{'vars': {'n': 2}, 'assert': checks}])}")
    found = bridge.grader(bridge.problems[0], Rollout("x", 0, answer="a"))
    assert (found.value, found.why) == (0.75, "not: contains")
    with pytest.raises(UsageError, match="no test"):
        bridges.bridge(f"promptfoo:{config(tmp_path, [{'vars': {}, 'assert': [{'type': 'llm-rubric'}]}])}")


def test_providers_as_models(tmp_path):
    """Providers are told as model names of ours."""
    assert promptfoo.models(str(config(tmp_path, []))) == ("openai/gpt-5-mini",)


def test_a_missing_package_is_told(monkeypatch, tmp_path):
    """Where the package of a harness is not there, the message says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "lm_eval.tasks", None)
    monkeypatch.setitem(__import__("sys").modules, "lm_eval", None)
    with pytest.raises(UsageError, match="pip install lm-eval"):
        bridges.bridge("lm-eval:gsm8k")
