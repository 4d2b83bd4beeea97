"""The paper's recipes over a real socket: function calls, tools, grades and four stages against the scripted server."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from graders.judges import as_server, careful
from support.script import edits, rows, write
from support.server import Server

from tfgrpo.errors import UsageError
from tfgrpo.studies import recipe_file
from tfgrpo.studies.reproduce import TELL_NOT, plan_recipe, reproduce
from tfgrpo.tools.sandbox import check_isolation, isolation

ASKED = re.compile(r"topic (\w+): what comes of (\d+)\?")
LESSON = "When a figure is asked for, double it before you answer."
ARGUMENTS = {
    "python": {"code": "print(6 * 7)"},
    "web_search": {"query": "q"},
    "fetch_page": {"url": "http://x.example/"},
}
STAGED = ("tfgrpo.studies.dry_run:web_search", "tfgrpo.studies.dry_run:fetch_page")


def reply(body):
    """Call every tool once, then answer: right with the lesson, else for even seeds; elsewhere propose the lesson."""
    text = "\n".join(str(message.get("content")) for message in body["messages"])
    if "seed" not in body:
        if '"verdict"' in text and not ASKED.search(text):
            return as_server(careful)(body)
        if '"verdict"' in text:
            wrong = "<answer>no idea" in text.partition("## The answer")[2]
            return json.dumps({"verdict": "INCORRECT" if wrong else "CORRECT", "reason": "seen"})
        return edits({"op": "ADD", "text": LESSON, "attempts": [1]}) if '{"edits":' in text else "It doubled."
    offered = [tool["function"]["name"] for tool in body.get("tools", ())]
    used = sum(message["role"] == "tool" for message in body["messages"])
    if used < len(offered):
        arguments = json.dumps(ARGUMENTS[offered[used]])
        call = {"id": f"c{used}", "type": "function", "function": {"name": offered[used], "arguments": arguments}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    figure = int(ASKED.search(text)[2])
    right = LESSON in text or body["seed"] % 2 == 0
    return f"\\boxed{{{2 * figure}}}" if right else "<answer>no idea</answer>"


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe of the package with small datasets in place of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")

    def made(name):
        text = recipe_file.load_recipe(name).path.read_text(encoding="utf-8")
        text = re.sub(r'(?m)^words = ".*"\n', "", text)
        files = iter(["learn.jsonl", "test.jsonl", "more.jsonl"])
        text = re.sub(r'(?m)^dataset = ".*"', lambda _: f'dataset = "{next(files)}"', text)
        for number, file in enumerate(("learn.jsonl", "test.jsonl", "more.jsonl")):
            write(tmp_path / file, rows(4, 100 * number))
        path = tmp_path / f"{name}.toml"
        path.write_text(text, encoding="utf-8")
        return recipe_file.load_recipe(str(path))

    return made


def works() -> bool:
    """Whether programs can be shut in here."""
    try:
        return bool(check_isolation(isolation("bubblewrap")))
    except UsageError:
        return False


@pytest.mark.parametrize("name", [pytest.param("math-paper", marks=pytest.mark.slow), "web-paper"])
async def test_the_papers_recipe_runs_against_a_server(recipe, name):
    """Every stage goes over the wire: tools are called, groups differ, lessons are merged, tests measured."""
    if name == "math-paper" and not works():
        pytest.skip("bubblewrap does not work here")
    more = {"environment__tools": STAGED, "environment__protocol": "functions"} if name == "web-paper" else {}
    with Server(reply=reply) as server:
        judge = {"grader__base_url": server.url} if name == "web-paper" else {}
        planned = plan_recipe(
            recipe(name), problems=4, model="openai/test-model", base_url=server.url, epochs=1, **more, **judge
        )
        found = await reproduce(planned, db=Path("run.db"))
        offered = {tool["function"]["name"] for body in server.bodies for tool in body.get("tools", ())}
    assert offered == ({"python"} if name == "math-paper" else {"web_search", "fetch_page"})
    calls = found.learned["calls"]
    assert {"rollout", "summarize", "contrast", "operations"} <= set(calls)
    assert ("judge" in calls) == (name == "web-paper")
    assert found.learned["groups"]["kept"] == 4
    assert found.learned["lessons"] == 1
    assert found.verdict == TELL_NOT
    assert all(0.0 <= one.figure <= 1.0 and one.n == 4 for one in found.outcomes)
