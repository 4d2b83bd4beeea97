"""Every command that the documentation shows is run: in a folder with the files that it names, against a server here.

What needs a network, weights, a cluster or a person is in `NOT_RUN` with the reason, and with the test that runs its
kind. Addresses of examples become that of the server; nothing else of a command is changed.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.script import rows, write
from support.server import Server
from typer.testing import CliRunner

from tfgrpo.cli.app import app

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[1]
DOCS = runpy.run_path(str(Path(__file__).with_name("test_docs.py")))
PAGES = [*DOCS["TEXTS"], *(str(p.relative_to(ROOT)) for p in ROOT.glob("examples/*/*.md"))]
NOT_RUN = {
    r"--model local/|models install": "needs weights; tests marked `real` run it",
    r"--executor ray": "needs a cluster; tests marked `ray` run it",
    r"lessons (push|pull) ": "needs a remote repository; tests/sharing runs it against a folder",
    r"runs track ": "needs an extra of its own; tests marked `tracking` run it",
    r"grader judge": "needs a judge that passes its self-test; tests/cli/test_judge_commands.py runs it",
    r"web_search|fetch_page|--tools python|tools call python": "needs pages or walls; tests/tools and tests/cli run it",
    r"static:|embedding": "needs word vectors; tests/retrieval runs it",
    r"lessons review (accept|reject)": "needs an edit that waits; tests/cli/test_review_commands.py runs it",
    r"--yes|dapo-math-17k": "costs money; tests/studies plays it",
    r"\.\.\.|\bRUN\b": "a line of a table, no whole command",
    r"(eval|datasets show) aime24": "needs the benchmark's file; tests/datasets and tests/cli load copies of one",
    r"tasks (from|accept)": "reads a person's own sessions; tests/proving/test_tasks.py runs it",
    r"reproduce (tiny-quickstart|math-paper|web-paper)( --d|$| --db)": "minutes; tests/studies runs it",
    r"prove .*(--replay|--together|-o proof)": "tests/proving runs it on results and folders",
    r"learn --from-sessions|--from-traces": "tests/studies/test_learn_stored.py runs it",
    r"lessons merge": "needs versions that went apart; tests/search/test_merging.py runs it",
    r"parts\.choice": "needs references that are letters; tests/graders runs it",
    r"models probe": "tests/studies runs it against a server that obeys",
    r"compose|docker": "needs docker",
}
"""Expressions over commands, and why the test leaves them out."""
SERVING = ("ui", "proxy", "corpus", "mcp")
ENDS = {"prove": {0, 1, 3}, "learn": {0, 3}}
"""Exit codes that say how it went and not that the command was wrong."""
LABELS = ("billing", "account", "shipping")


def commands(page: str) -> list[list[str]]:
    """Return the arguments of each `tfgrpo` line of a page, those of blocks without a language included."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found: list[list[str]] = DOCS["shown_commands"](DOCS["FENCE"].sub(_as_shell, text))
    return found


def _as_shell(block: re.Match[str]) -> str:
    """Return a block without a language as one of a shell, if it begins with a command."""
    if block[1]:
        return block[0]
    typed = block[2].replace("\\\n", " ").splitlines()
    lines = [line.removeprefix("$ ") for line in typed if line.removeprefix("$ ").startswith("tfgrpo ")]
    kept = [re.split(r"\s{2,}(?=[^-\s])", re.sub(r" +(?=-)", " ", line))[0] for line in lines]
    return "```bash\n" + "\n".join(kept) + "\n```"


def reason(words: list[str]) -> str:
    """Return why a command is not run; '' for those that are."""
    line = " ".join(words)
    return next((why for found, why in NOT_RUN.items() if re.search(found, line)), "")


def tickets(start: int) -> str:
    """Return sixteen labelled questions as CSV."""
    return "text,label\n" + "".join(f"Where is order {start + i}?,{LABELS[i % 3]}\n" for i in range(16))


def fill(folder: Path) -> None:
    """Write the files that the pages name, and a database with their libraries."""
    for place, name in enumerate(("train", "problems", "questions", "tasks")):
        write(folder / f"{name}.jsonl", rows(12, 100 * place))
    for place, name in enumerate(("test", "heldout", "held", "gate")):
        write(folder / f"{name}.jsonl", rows(12, 1000 + 100 * place))
    (folder / "tickets.csv").write_text(tickets(1000))
    (folder / "new_tickets.csv").write_text(tickets(5000))
    write(folder / "answers.jsonl", [{"answer": "4", "response": "4"}])
    write(folder / "pages.jsonl", [{"url": "http://a.example/", "title": "A", "text": "Zurich lies on a lake."}])
    write(folder / "more.jsonl", [{"url": "http://b.example/", "title": "B", "text": "Bern lies on a river."}])
    for name in ("SKILL.md", "SKILL.new.md", "AGENTS.md", "brief.md", "old.md", "new.md"):
        (folder / name).write_text(f"- Read the question twice. ({name})\n")
    (folder / "weighted.toml").write_text("[grader.parts]\nexact = 1\n")
    (folder / "my_package").mkdir()
    (folder / "my_package" / "agents.py").write_text("async def my_agent(problem, lessons):\n    return '4'\n")
    examples = folder / "examples"
    examples.symlink_to(ROOT / "examples")
    for library in ("default", "support", "algebra", "web"):
        for n in range(8):
            added = invoke("lessons", "add", f"Look {n + 2} times.", "--library", library)
            assert added.exit_code == 0, added.output


def invoke(*words: str):
    """Run a command in this process."""
    return CliRunner().invoke(app, list(words))


def said(body: dict) -> str:
    """Answer any chat body: problems by their seed, whoever asks for lessons with none."""
    return f"Answer: {LABELS[body['seed'] % 3]}" if "seed" in body else '{"edits": []}'


@pytest.fixture
def place(tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A folder with everything that the pages name, and a server that answers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TFGRPO_DB", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.syspath_prepend(str(tmp_path))
    server.reply = said
    fill(tmp_path)
    return server


def here(words: list[str], url: str) -> list[str]:
    """Return a command with the address of the server; money needs a price, which an own address has not."""
    found = [re.sub(r"^http(s://api\.openai\.com|://127\.0\.0\.1:8000|://10\.0\.0\.1:8000)/v1$", url, w) for w in words]
    places = {"URL": url, "/home/me/experience.db": "experience.db"}
    found = [places.get(word, word) for word in found]
    if "--budget-usd" in words:
        model = words[words.index("--model") + 1]
        found += ["-s", f'engine.prices={{"{model}"={{prompt=0.1, completion=0.1}}}}']
    return found


@pytest.mark.parametrize("page", [page for page in PAGES if any(not reason(words) for words in commands(page))])
def test_the_commands_of_a_page_run(page: str, place: Server):
    """In the order of the page, each in the folder that the others left behind."""
    for words in commands(page):
        if reason(words):
            continue
        if words[0] in SERVING:
            serve(here(words, place.url))
            continue
        ended = invoke(*here(words, place.url))
        assert ended.exit_code in ENDS.get(words[0], {0}), (words, ended.output, ended.exception)


def serve(words: list[str]) -> None:
    """Start a command that serves, wait until it says where, and interrupt it."""
    if words[0] in ("ui", "proxy") and "--host" not in words:
        words = [*words, "--port", "0"]
    command = [sys.executable, "-m", "tfgrpo", *words]
    told = {**os.environ, "PYTHONUNBUFFERED": "1", "TFGRPO_PROXY_TOKEN": "none", "BROWSER": "true"}
    with subprocess.Popen(
        command, env=told, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        output = ""
        while words[0] != "mcp" and "http://" not in output and (line := process.stdout.readline()):
            output += line
        if words[0] != "mcp":
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode in (0, 130), (words, output)
    assert "http://" in output or words[0] == "mcp", (words, output)


def test_what_is_left_out_says_why():
    """Each reason holds for a command that is shown, and most commands are run."""
    shown = [words for page in PAGES for words in commands(page)]
    assert len(shown) > 70
    for found in NOT_RUN:
        assert any(re.search(found, " ".join(words)) for words in shown) or found.startswith("compose"), found
    assert sum(not reason(words) for words in shown) > len(shown) / 2, json.dumps([w for w in shown if reason(w)])
