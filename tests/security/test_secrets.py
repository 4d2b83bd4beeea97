"""No key reaches the database, a log, a report, an export or a message: runs with marked keys, then a search for them.

The server repeats every key: in errors of every sort, in replies, and in the middle of lessons. The keys are in the
environment, in the address as a login, and in its query.
"""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import world
from support.server import Fault, Raw, Server, error
from support.web import Answer, Web
from typer.testing import CliRunner, Result

import tfgrpo
from experience_db import Edit, Op, Store
from tfgrpo import config as configuration
from tfgrpo.backends import Scripted
from tfgrpo.backends.openai import OpenAI
from tfgrpo.backends.stack import with_wrappers
from tfgrpo.cli.app import app
from tfgrpo.errors import ProviderError
from tfgrpo.types import Request

MARK = "MARKED"
KEYS = {
    "OPENAI_API_KEY": "sk-MARKED0openai0key0abcdef",
    "ANTHROPIC_API_KEY": "ant-MARKED0anthropic0key",
    "SERPER_API_KEY": 'MARKED+serper/key="quoted"',
    "HF_TOKEN": "hf_MARKED0hub0token0abcdef",
    "MY_DB_PASSWORD": "MARKED-öffne-dich",
}
LOGIN, QUERY = "MARKEDuser:MARKEDpassword", "api-version=1&key=MARKEDquerykey"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Marked keys in the environment; returns the folder in which commands run."""
    for name in ("OPENAI_BASE_URL", "TFGRPO_DB", "TFGRPO_DATA"):
        monkeypatch.delenv(name, raising=False)
    for name, key in KEYS.items():
        monkeypatch.setenv(name, key)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def telltale() -> Iterator[Server]:
    """A server that answers as the small world does and repeats the keys in every reply and every second error."""
    with Server(reply=telling) as running:
        yield running


def telling(body: dict[str, Any]) -> str | Raw:
    """Answer, with all keys in the words; some questions get an error that quotes them instead."""
    said, leak = world.reply(body), " ".join(KEYS.values())
    if "seed" in body and body["seed"] % 7 == 0:
        return error(400, f"Incorrect API key provided: {leak}. Login {LOGIN}, query {QUERY}.", code="invalid_api_key")
    if "seed" in body:
        return f"I was called with {leak}.\n{said}"
    edits = json.loads(said)["edits"]
    planted = {
        "op": "ADD",
        "ids": [],
        "text": f"Use the key {leak} for all.",
        "reason": leak,
        "attempts": [1],
        "when": None,
    }
    return json.dumps({"edits": [*edits, planted]})


def run(*arguments: object) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(app, [str(each) for each in arguments])


def leaks(folder: Path) -> list[str]:
    """Files in which a key can be read, the side files of the database included."""
    return [file.name for file in folder.rglob("*") if file.is_file() and MARK.encode() in file.read_bytes()]


def with_secrets(url: str) -> str:
    """The address with a login and a key in its query."""
    return f"{url.replace('http://', f'http://{LOGIN}@')}?{QUERY}"


def test_no_key_is_left_anywhere(keys, telltale):
    """Learn, eval, report, exports, lists: neither the files nor the screen hold a key, though all of it worked."""
    world.write(keys / "learn.jsonl", 6)
    world.write(keys / "eval.jsonl", 4, seed=9)
    url = with_secrets(telltale.url)
    common = ("--grader", "math", "--model", "openai/test-model", "--base-url", url)
    told = [
        run(
            "learn",
            "learn.jsonl",
            *common,
            "--epochs",
            1,
            "--heldout",
            "0",
            "--gate",
            "open",
            "--run",
            "r",
            "-s",
            "engine.join=false",
        ),
        run("eval", "eval.jsonl", *common, "--library", "default", "--control", "empty", "--json"),
        run("report", "r", "-o", "report.html"),
        run("lessons", "export", "-o", "export.json"),
        run("lessons", "export", "--format", "md", "-o", "export.md"),
        run("lessons", "list", "--json"),
        run("lessons", "show", 1, "--all"),
        run("lessons", "log", "--refused"),
        run("lessons", "review"),
        run("runs", "show", "r", "--json"),
    ]
    assert [done.exit_code for done in told] == [0] * len(told), [done.stderr for done in told]
    assert telltale.headers[0]["Authorization"] == f"Bearer {KEYS['OPENAI_API_KEY']}"
    with Store.open(keys / "experience.db", readonly=True) as store:
        assert len(store.library("default")) > 0
        assert any(x.reason.startswith("secret:") for x in store.unapplied("default"))
        failed = [r["failure"]["message"] for s in store.steps(store.runs()[0].id) for g in store.groups(s.run, s.step)
                  for r in g["rollouts"] if r["failure"]]  # fmt: skip
    assert any("answered 400" in message for message in failed)
    assert [i for i, done in enumerate(told) if MARK in done.stdout + done.stderr] == []
    assert leaks(keys) == []


@pytest.mark.parametrize(
    ("transport", "fault"),
    [
        ("aiohttp", Fault.UNAUTHORIZED),
        ("aiohttp", Fault.SERVER_ERROR),
        ("aiohttp", Fault.HTML_502),
        ("aiohttp", Fault.RESET),
        ("aiohttp", Fault.NO_MODEL),
        pytest.param("sdk", Fault.UNAUTHORIZED, marks=pytest.mark.slow),
    ],
)
def test_errors_do_not_repeat_keys(keys, server, fault, transport):
    """Whatever goes wrong at an address with secrets in it, the message names the place without them."""
    world.write(keys / "learn.jsonl", 4)
    server.faults = lambda index, body: fault
    told = run(
        "learn", "learn.jsonl", "--grader", "math", "--model", "openai/m", "--base-url", with_secrets(server.url),
        "--heldout", "0", "--gate", "open", "-s", "engine.attempts=1", "-s", f"engine.transport={transport}",
    )  # fmt: skip
    assert told.exit_code == 1
    assert told.stderr.startswith("error: ") or "\nerror: " in told.stderr
    assert MARK not in told.stdout + told.stderr
    assert leaks(keys) == []


@pytest.mark.parametrize(
    "url",
    [
        "ftp://MARKEDuser@host/v1",
        "http://MARKEDuser:MARKEDpassword@127.0.0.1:9/v1?key=MARKEDkey",
        "http://MARKEDuser:MARKEDpw@[bad/v1",
        "http://MARKEDuser:MARKEDpassword@no.invalid/v1",
    ],
)
def test_addresses_that_do_not_work_are_named_without_their_login(keys, url):
    """Nothing listens there, or it is no address at all."""
    world.write(keys / "learn.jsonl", 4)
    told = run("learn", "learn.jsonl", "--grader", "math", "--model", "openai/m", "--base-url", url,
               "--heldout", "0", "--gate", "open", "-s", "engine.attempts=1")  # fmt: skip
    assert told.exit_code in (1, 2)
    assert "error: " in told.stderr
    assert "Traceback" not in told.stderr
    assert MARK not in told.stdout + told.stderr
    assert leaks(keys) == []


def test_a_crash_shows_its_traceback_without_keys(keys):
    """Foreign code that fails outside of every boundary may quote its key; the traceback has stars in its place."""
    (keys / "broken.py").write_text("import os\nraise RuntimeError(os.environ['OPENAI_API_KEY'])\n")
    world.write(keys / "learn.jsonl", 4)
    told = run("learn", "learn.jsonl", "--grader", "broken:grader", "--model", "tiny")
    assert told.exit_code == 1
    assert "RuntimeError: ***" in told.stderr
    assert MARK not in told.stderr


def test_agents_and_graders_that_quote_a_key_leave_none(keys):
    """In what they raise, in the messages and answers of a rollout, in a grader's reasons."""
    raised = iter(range(100))

    async def agent(problem: tfgrpo.Problem, lessons: str) -> tfgrpo.Rollout:
        if next(raised) % 3 == 2:
            raise PermissionError(f"401: {KEYS['ANTHROPIC_API_KEY']} at https://{LOGIN}@host/v1?token=MARKEDtoken1")
        said = f"{KEYS['SERPER_API_KEY']} gave {problem.answer}"
        return tfgrpo.Rollout("", 0, ({"role": "assistant", "content": said},), said, tainted=True)

    def grader(problem: tfgrpo.Problem, rollout: tfgrpo.Rollout) -> tfgrpo.Score:
        if rollout.index == 1:
            raise ValueError(f"cannot reach the judge with {KEYS['HF_TOKEN']}")
        return tfgrpo.Score(float(rollout.index == 0), f"judged with {KEYS['MY_DB_PASSWORD']}")

    db = keys / "x.db"
    settings: dict[str, Any] = {"heldout": 0, "gate": "open", "epochs": 1, "group_size": 5, "db": db}
    model = "scripted/security.test_secrets:quiet"
    result = tfgrpo.learn_sync(world.rows(3), model=model, grader=grader, environment=agent, **settings)
    assert result.summary["failures"].get("environment")
    assert MARK not in json.dumps(result.summary)
    for step in result.steps:
        assert MARK not in "".join(str(r.failure) for g in step.groups_P for r in g.rollouts_G)
    assert leaks(keys) == []


def quiet(request: Any) -> str:
    """A summarizer without an idea."""
    return '{"edits": []}'


async def test_clients_used_alone_leave_no_key_either(keys, server):
    """The backend names its place without secrets, and the wrapper cuts off what would show them in a traceback."""
    request = Request("rollout", "m", ({"role": "user", "content": "x"},))
    bare = OpenAI(with_secrets(server.url), KEYS["OPENAI_API_KEY"])
    server.reply = lambda body: error(400, f"no: {LOGIN} {QUERY}")
    with pytest.raises(ProviderError) as raised:
        await bare.complete(request)
    await bare.aclose()
    assert MARK not in f"{raised.value}{raised.value.failure}"

    def failing(request: Request) -> str:
        raise ProviderError(f"failed with {KEYS['HF_TOKEN']}") from RuntimeError(KEYS["HF_TOKEN"])

    with pytest.raises(ProviderError) as raised:
        await with_wrappers(Scripted(failing)).complete(request)
    assert MARK not in "".join(traceback.format_exception(raised.value))


def test_a_key_under_any_name_is_hidden(keys, telltale, monkeypatch):
    """The variable that an endpoint of the configuration names as its key need not sound like one."""
    monkeypatch.setenv("MY_SERVER", "MARKED-under-another-name")
    telltale.reply = lambda body: f"MARKED-under-another-name\n{world.reply(body)}"
    way = f'engine.endpoints=[{{url = "{telltale.url}", key = "MY_SERVER"}}]'
    settings: dict[str, Any] = {"heldout": 0, "gate": "open", "epochs": 1, "db": keys / "x.db", "overrides": [way]}
    result = tfgrpo.learn_sync(world.rows(2), model="openai/m", grader="math", **settings)
    assert telltale.headers[0]["Authorization"] == "Bearer MARKED-under-another-name"
    assert MARK in str(result.steps[0].groups_P[0].rollouts_G[0].answer)  # what is graded is never rewritten
    assert leaks(keys) == []


def test_tools_that_repeat_a_key_leave_none(keys):
    """A search service that quotes the key it got, in results and in errors, is read without it."""
    from support.script import Model, play
    from support.tooling import calling

    hit = {"title": "t", "link": "https://a.example", "snippet": f"called with {KEYS['SERPER_API_KEY']}"}
    calls = iter([Answer({"organic": [hit]}), *[Answer({"message": KEYS["SERPER_API_KEY"]}, 400)] * 50])

    def rollout(request: Any) -> Any:
        told = [m for m in request.messages if m["role"] == "tool"]
        assert MARK not in json.dumps(request.messages)
        return f"\\boxed{{{request.attempt}}}" if told else calling(("web_search", {"query": f"q{request.attempt}"}))

    with Web(lambda asked: next(calls)) as web:
        result = tfgrpo.learn_sync(
            world.rows(1), model=play(Model(rollout=rollout, contrast=quiet), "searching"), grader="math", heldout=0,
            gate="open", epochs=1, group_size=3, db=keys / "x.db", environment__kind="tool_loop",
            environment__tools=("web_search",), tools__web_search__provider="serper",
            tools__web_search__base_url=f"{web.url}/?key=MARKEDquerykey", environment__protocol="functions",
        )  # fmt: skip
        assert any(MARK in str(asked.headers) for asked in web.asked)
    messages = [str(r.messages) for s in result.steps for g in s.groups_P for r in g.rollouts_G]
    assert any("called with ***" in text for text in messages)
    assert leaks(keys) == []


def test_no_lesson_by_hand_may_hold_a_key_of_the_environment(keys):
    """Not even where secrets are allowed by name, in whatever form they come; and nothing is made."""
    (keys / "list.md").write_text(f"- Use {KEYS['MY_DB_PASSWORD']} to enter.\n", encoding="utf-8")
    for command in (("add", f"Use {KEYS['MY_DB_PASSWORD']}."), ("import", "list.md")):
        told = run("lessons", *command, "--allow", "instruction,url,secret,code,invisible,markup")
        assert told.exit_code == 2
        assert "it holds a key of this very environment" in told.stderr
        assert MARK not in told.stdout + told.stderr
    assert not (keys / "experience.db").exists()


def test_secrets_are_known_by_the_names_of_their_variables(keys, monkeypatch):
    """Keys, tokens and passwords; not what is short, nor what only sounds like one."""
    monkeypatch.setenv("SORT_KEY", "name")
    monkeypatch.setenv("KEYBOARD", "MARKED-layout")
    found = configuration.secrets("https://someone:MARKEDpassword@host/v1?api-version=20240101&sig=MARKEDsignature")
    assert {*KEYS.values(), "MARKEDpassword", "MARKEDsignature", "someone:MARKEDpassword"} <= set(found)
    assert not {"name", "MARKED-layout", "20240101"} & set(found)


def test_a_store_writes_no_key_whatever_it_is_given(tmp_path):
    """The last line: texts are put through `hide_secrets` on their way into the file."""
    with Store.open(tmp_path / "x.db") as store:
        store.hide = lambda text: text.replace("MARKED", "***")
        store.create_library("a")
        store.set_aside("a", [Edit(Op.ADD, "MARKED", reason="MARKED")], status="rejected", reason="MARKED", version=0)
        assert store.unapplied("a")[0].edit.text == "***"
    assert leaks(tmp_path) == []


def test_keys_reach_the_process_all_the_same(keys):
    """The tests above look for what is there: this process has the marked keys in its environment."""
    assert all(os.environ[name] == key for name, key in KEYS.items())
