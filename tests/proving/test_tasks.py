"""Candidates for tasks: out of sessions, results, issues and a README, refused until a person accepts them."""

import json

import pytest
from proving.conftest import data
from support.script import lesson, play, rows
from typer.testing import CliRunner

from tfgrpo.cli.app import app
from tfgrpo.proving.tasks import check_of, core_of

SESSION = [
    {"type": "user", "sessionId": "s", "message": {"role": "user", "content": "Which port does the server use?"}},
    {
        "type": "assistant",
        "sessionId": "s",
        "message": {"role": "assistant", "content": [{"type": "text", "text": "8080"}]},
    },
]
ISSUES = [
    {
        "number": 7,
        "title": "Crash on empty file",
        "body": "Steps ...",
        "comments": [{"body": "Fixed by checking the size."}],
    },
    {"number": 8, "title": "Slow start", "body": "", "comments": []},
]
README = """# tool

## Install

To install it from the registry:

```
$ pip install tool
```

Some table.

## Run the tests

```bash
make test
```
"""


def written(path):
    """The rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def source(tmp_path, name, value):
    """Write a source of candidates."""
    lines = value if isinstance(value, str) else "\n".join(map(json.dumps, value))
    (tmp_path / name).write_text(json.dumps(value) if name.endswith(".json") else lines, encoding="utf-8")
    return name


@pytest.mark.parametrize(
    ("name", "value", "answers", "checks"),
    [
        ("session.jsonl", SESSION, ["8080"], ["numeric"]),
        ("issues.json", ISSUES, ["Fixed by checking the size.", None], ["judge", ""]),
        ("README.md", README, ["pip install tool", "make test"], ["exact", "exact"]),
        ("runs.jsonl", [{"id": "1", "question": "2+2?", "score": 1, "text": "4"}], ["4"], ["numeric"]),
    ],
)
def test_sources(cli, tmp_path, name, value, answers, checks):
    """Each source gives candidates with what was found as answer, the check that fits, and none accepted."""
    result = cli("tasks", "from", source(tmp_path, name, value), "-o", "c.jsonl")
    assert result.exit_code == 0, result.output
    found = written(tmp_path / "c.jsonl")
    assert [c["answer"] for c in found] == answers
    assert [c["check"] for c in found] == checks
    assert not any(c["accepted"] for c in found)
    assert all(name in c["source"] for c in found)


@pytest.mark.parametrize(
    ("said", "core", "check"),
    [
        ("The server uses port 8080.", "8080", "numeric"),
        ("You should run `make test` from the root.", "make test", "exact"),
        ("Between 3 and 5 of them are used here.", "Between 3 and 5 of them are used here.", "judge"),
        ("It was changed in version 1.2.3 of the tool.", "It was changed in version 1.2.3 of the tool.", "judge"),
        ("Paris", "Paris", "exact"),
        ("It depends on what the caller passes along.", "It depends on what the caller passes along.", "judge"),
    ],
)
def test_what_a_sentence_names_is_the_answer(said, core, check):
    """The one figure or name of a sentence can be compared, the sentence cannot."""
    assert (core_of(said), check_of(core_of(said))) == (core, check)


def test_accept_asks_and_keeps_what_was_said_before_it_was_stopped(cli, tmp_path):
    """One accepted, one answered anew, one left; then the input ends: what was accepted is kept, the answer too."""
    source(tmp_path, "runs.jsonl", [r | {"score": 0} for r in rows(5)])
    cli("tasks", "from", "runs.jsonl", "-o", "c.jsonl")
    result = CliRunner().invoke(app, ["tasks", "accept", "c.jsonl"], input="y\na\nforty two\nn\n")
    assert result.exit_code == 0, result.output
    found = written(tmp_path / "c.jsonl")
    assert [c["accepted"] for c in found] == [True, True, False, False, False]
    assert (found[1]["answer"], found[1]["check"]) == ("forty two", "exact")
    assert "4 of 5" in result.output


def test_a_readme_says_what_a_command_is_for(cli, tmp_path):
    """The question holds the heading and the words before the command, not the command."""
    cli("tasks", "from", source(tmp_path, "README.md", README), "-o", "c.jsonl")
    first = written(tmp_path / "c.jsonl")[0]["question"]
    assert "Install" in first
    assert "from the registry" in first
    assert "pip" not in first


def test_only_accepted_tasks_are_used(cli, model, tmp_path):
    """Candidates are refused, accepted ones are used, and an id that is not there is told."""
    source(tmp_path, "runs.jsonl", [r | {"score": 0} for r in rows(40)])
    cli("tasks", "from", "runs.jsonl", "-o", "c.jsonl")
    (tmp_path / "maple.md").write_text(lesson("maple"), encoding="utf-8")
    asked = ["prove", "maple.md", "--on", "c.jsonl", "--grader", "exact", "--model", play(model, "tasks"), "--json"]
    assert cli(*asked).exit_code == 2
    assert cli("tasks", "accept", "c.jsonl", "--ids", "nobody").exit_code == 2
    first = written(tmp_path / "c.jsonl")[0]["id"]
    assert data(cli("tasks", "accept", "c.jsonl", "--ids", first, "--json")) == {"accepted": 1, "waiting": 39}
    assert cli(*asked).exit_code == 2
    cli("tasks", "accept", "c.jsonl", "--all")
    assert data(cli(*asked))["problems"] == 40


def test_without_an_answer_nothing_is_accepted(cli, tmp_path):
    """A candidate that nobody has answered cannot be accepted; no file is overwritten."""
    cli("tasks", "from", source(tmp_path, "issues.json", ISSUES), "-o", "c.jsonl")
    result = cli("tasks", "accept", "c.jsonl", "--all")
    assert result.exit_code == 2
    assert "no answer" in result.stderr
    assert cli("tasks", "from", "issues.json", "-o", "c.jsonl").exit_code == 2


def test_keys_stay_out(cli, tmp_path, monkeypatch):
    """A key of the environment that a session shows is not written into candidates."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-value")
    told = [SESSION[0] | {"message": {"role": "user", "content": "Use sk-very-secret-value to log in."}}, SESSION[1]]
    cli("tasks", "from", source(tmp_path, "s.jsonl", told), "-o", "c.jsonl")
    assert "very-secret" not in (tmp_path / "c.jsonl").read_text(encoding="utf-8")


def test_nothing_to_propose(cli, tmp_path):
    """A source without a task is told."""
    assert cli("tasks", "from", source(tmp_path, "README.md", "# empty\n"), "-o", "c.jsonl").exit_code == 2
