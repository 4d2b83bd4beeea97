"""The offline web benchmark: its scripted agent, and the whole example on a small web."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tfgrpo.types import Request, Sampling

FOLDER = Path(__file__).parents[2] / "examples" / "web_search"
COUNT = 24


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The scripted agent as a module."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import policy

    return policy


def asked(question: str, *lessons: str, seed: int = 1) -> Request:
    """The first request of a rollout."""
    messages = ({"role": "system", "content": "\n".join(lessons)}, {"role": "user", "content": question})
    return Request("rollout", "m", messages, Sampling(seed=seed))


def test_a_lesson_turns_a_habit_on(policy: Any):
    """Without lessons habits come by chance of the seed; with a lesson they are there."""
    by_chance = [policy.habits(asked("Who?", seed=seed)) for seed in range(60)]
    assert any("hop" in found for found in by_chance)
    assert any("hop" not in found for found in by_chance)
    assert all(policy.habits(asked("Who?", *policy.LESSONS.values(), seed=s)) == set(policy.LESSONS) for s in range(5))


def test_names_alone_are_searched_where_a_lesson_says_so(policy: Any):
    """The lesson changes what is sent to the search."""
    question = "Which river flows through the town of Aldern Bridge?"
    calls = [
        json.loads(policy.play(asked(question, *lessons, seed=3)).tool_calls[0]["function"]["arguments"])
        for lessons in ((), (policy.LESSONS["only_names"],))
    ]
    assert calls == [{"query": question}, {"query": "Aldern Bridge"}]


def test_a_contrast_names_the_habit_that_paid(policy: Any):
    """Of attempts that differ in one habit the lesson of that habit is proposed; of equal ones nothing is."""
    prompt = """<problem-ab>\nWhich town?\n</problem-ab>\n
### Attempt 1: reward 1.00, advantage +1.00
<attempt-ab>\nassistant: calls web_search({"query": "Which town?"})\n\nassistant: Answer: Aldern\n</attempt-ab>\n
### Attempt 2: reward 0.00, advantage -1.00
<attempt-ab>\nassistant: calls web_search({"query": "Which town?"})\n
assistant: Answer: It is the old town of Aldern in the hills of the north.\n</attempt-ab>"""
    request = Request("contrast", "m", ({"role": "user", "content": prompt},))
    (edit,) = json.loads(policy.play(request).text)["edits"]
    assert edit["text"] == policy.LESSONS["short"]
    assert edit["attempts"] == [1, 2]
    same = Request("contrast", "m", ({"role": "user", "content": prompt.replace("reward 0.00", "reward 1.00")},))
    assert json.loads(policy.play(same).text) == {"edits": []}


def web(folder: Path) -> list[str]:
    """Write a web in which every answer lies two pages away, with questions; the options that name the files."""
    pages, questions = [], []
    for i in range(2 * COUNT):
        born, person = f"{i % 28 + 1} May {1900 + i}", f"Mira Volk{i}"
        first, second = f"https://w.example/book{i}", f"https://w.example/person{i}"
        pages += [
            {"url": first, "title": f"Tale {i} of Stone", "text": f"Tale {i} of Stone is a novel written by {person}."},
            {"url": second, "title": person, "text": f"{person}, born {born}, is a writer."},
        ]
        questions.append(
            {
                "id": f"q{i}",
                "question": f"When was the writer of the novel Tale {i} of Stone born?",
                "answer": born,
                "metadata": {"dataset": "Small", "supporting_urls": [first, second]},
            }
        )
    parts = {"corpus": pages, "learn": questions[:COUNT], "eval": questions[COUNT:]}
    for name, rows in parts.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return [word for name in parts for word in (f"--{name}", f"{name}.jsonl")]


@pytest.fixture
def offline(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the example in a folder with the small web."""
    given = web(tmp_path)
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "TFGRPO_", "PYTHON"))}

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(FOLDER / "offline.py"), *given, *more]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=110, check=False
        )

    return run


@pytest.mark.slow
def test_the_benchmark_learns_what_its_web_asks_for(offline: Callable[..., subprocess.CompletedProcess[str]]):
    """Where every answer is two pages away, the lesson of the second search gets in and pays on new questions."""
    done = offline("--json", "--report", "report.html")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "not a language model" in found["scripted"]
    assert any("search again" in lesson for lesson in found["learn"]["lessons"])
    assert found["with"]["em"] > found["without"]["em"]
    assert found["difference"]["em"]["n"] == COUNT
    assert found["with"]["gold_pages_read"] > found["without"]["gold_pages_read"]
    assert found["recall@10"]["by_source"]["Small"]["questions"] == COUNT
    assert found["calls"]["with"]["web_search"] > found["calls"]["without"]["web_search"]


def test_wrong_input_ends_with_one_sentence(offline: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path):
    """Exit code 2, the sentence on stderr, nothing on stdout and no database."""
    done = offline("--corpus", "none.jsonl", "--json")
    assert done.returncode == 2
    assert "no corpus file" in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "offline.db").exists()
