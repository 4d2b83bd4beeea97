"""What an endpoint does is found by asking it, kept, and used: for the block of new libraries and for a warning."""

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from support.server import Server, error

from experience_db import Edit, Op, Store
from tfgrpo import api, build
from tfgrpo.backends.capabilities import Dialect
from tfgrpo.backends.endpoints import endpoints_of
from tfgrpo.backends.factory import make_models
from tfgrpo.config import BudgetConfig
from tfgrpo.config.engine import EngineConfig
from tfgrpo.lessons.blocks import (
    RATES,
    block_line,
    choose_block,
    place_note,
    probed_template,
    rates,
    room_note,
    template_of,
    warning,
    window,
)
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.prompting import templates
from tfgrpo.studies.probe import BLOCKS, CANARIES, DRAWS, LEAST, QUESTIONS, ROUNDS, probe
from tfgrpo.types import Request, Sampling

MODEL = f"scripted/{__name__}:late_reader"
ANSWERS = {"yes or no": "Yes.", "JSON": '{"a": 1}', "numbered": "1. One", "Step 1": "Step 1: go"}


def late_reader(request):
    """A model that follows what stands at the end of the user's turn, and reads no system message."""
    asked = request.messages[-1]["content"]
    return next((answer for word, answer in ANSWERS.items() if word in asked), f"I like {request.sampling.seed}.")


ROUND = (1 + len(BLOCKS) * len(CANARIES)) * DRAWS * len(QUESTIONS)
"""Replies to canaries in one round."""
READ: list[int] = []


async def slow_reader(request):
    """The same model, which answers one round of canaries and takes for ever over the next."""
    READ.append(request.sampling.temperature == 0.3)
    await asyncio.sleep(60 if sum(READ) > ROUND else 0)
    return late_reader(request)


@pytest.fixture
def store(tmp_path):
    """A database for facts."""
    with Store.open(tmp_path / "facts.db") as opened:
        yield opened


async def test_the_block_that_is_followed_becomes_that_of_new_libraries(store, tmp_path):
    """The safest block that is followed about as often as any other is chosen, kept, and given to new libraries."""
    found = await probe(MODEL, (), EngineConfig(), store)
    assert found.follows["default, system"] == 0.0
    assert found.follows["default, user_end"] == 1.0
    assert found.block == "default, user_end"
    assert found.replies == len(CANARIES) * len(QUESTIONS) * DRAWS * ROUNDS
    assert found.facts["seed"] is True
    assert found.facts["schema"] is False
    line = endpoints_of(MODEL, (), EngineConfig())
    assert probed_template(store, line) == template_of("default, user_end")
    wanted = api.setup(model=MODEL, grader="exact", db=store.path)
    async with AsyncExitStack() as stack:
        assert build.open_components(wanted, store, stack).block() == template_of("default, user_end")
        asked = api.setup(model=MODEL, grader="exact", db=store.path, lessons__place="system")
        assert build.open_components(asked, store, stack).block() == templates.load().block()


async def test_a_block_that_is_not_followed_is_told_before_a_run(store):
    """A library in a block that the endpoint does not follow brings a sentence with the block that it does follow."""
    line = endpoints_of(MODEL, (), EngineConfig())
    assert warning(store, line, template_of("default, system")) == ""
    await probe(MODEL, (), EngineConfig(), store)
    said = warning(store, line, template_of("default, system"))
    assert "(default, system) in 0% of replies" in said
    assert "--prompts default --place user_end" in said
    assert warning(store, line, template_of("small, user_end")) == ""


async def test_an_evaluation_tells_of_the_block_before_its_first_call(store):
    """Whoever measures lessons that the endpoint does not read can stop before it costs anything."""
    library = store.create_library("web")
    store.commit("web", [Edit(Op.ADD, "Answer yes or no.")], parent=library.version)
    await probe(MODEL, (), EngineConfig(), store)
    store.close()
    told = []

    def agent(problem, lessons):
        told.append("asked")
        return "b"

    asked = {"model": MODEL, "grader": "exact", "db": store.path, "environment": agent}
    said = await api.evaluate([{"question": "a", "answer": "b"}], library="web", on_notes=told.extend, **asked)
    assert "(default, system) in 0% of replies" in told[0]
    assert told[-1] == "asked"
    assert tuple(told[:-1]) == said.notes


async def test_a_probe_ends_in_time_and_says_what_it_did_not_measure(store):
    """What there was no time for is named, and what an earlier probe found of it stays."""
    line = endpoints_of(MODEL, (), EngineConfig())
    with Server(lambda body: "Blue.", models=("m",), delay=0.05) as server:
        address = endpoints_of("openai/m", [server.url], EngineConfig())
        store.record_endpoint_fact(server.url, "m", RATES, '{"small, user_end": 0.5}')
        found = await probe("openai/m", [server.url], EngineConfig(), store, seconds=0.3)
        assert found.unmeasured[-2:] == ("/health", "which block of lessons is followed")
        assert not {*found.unmeasured} & {*found.facts}
        assert (found.follows, found.block) == ({}, None)
        assert rates(store, address) == {"small, user_end": 0.5}
    assert (await probe(MODEL, (), EngineConfig(), store)).unmeasured == ()
    assert rates(store, line)["small, user_end"] == 1.0


async def test_a_slow_endpoint_is_asked_for_fewer_replies_of_every_block_alike(store):
    """Time that ends between two rounds leaves rates of one round; questions that were begun do not count."""
    READ.clear()
    found = await probe(f"scripted/{__name__}:slow_reader", (), EngineConfig(), store, seconds=6.0)
    assert found.replies == LEAST
    assert found.follows["small, user_end"] == 1.0


async def test_the_block_in_use_is_told_with_its_follow_rate(store):
    """What the report and `runs show` print names the block, and the rate once there is one."""
    line, template = endpoints_of(MODEL, (), EngineConfig()), template_of("default, user_end")
    assert "was not measured" in block_line(store, line, template)
    await probe(MODEL, (), EngineConfig(), store)
    said = block_line(store, line, template)
    assert "block default, user_end;" in said
    assert "in 100% of replies" in said
    assert block_line(store, line, "{{ lessons }}").startswith("lessons stand in a block of the library's own")


@pytest.mark.slow
async def test_the_room_is_kept_and_used(store):
    """The attempts in a prompt that asks for lessons fit the room that a probe found; too little room is told."""
    found = await probe("tiny", (), EngineConfig(), store, seconds=0.5)
    line = endpoints_of("tiny", (), EngineConfig())
    assert window(store, line) == found.facts["tokens of prompt and reply"]
    bare = "x" * 400
    free = Teacher(None, "m", templates.load(), None)
    assert free.attempt_tokens(bare) == 6000
    assert replace(free, window=4000).attempt_tokens(bare) == 4000 - 1000 - 100
    assert replace(free, window=200).attempt_tokens(bare) == 64
    assert replace(free, window=10**6).attempt_tokens(bare) == 6000
    for room in (1024, 2048):
        assert "--prompts small" in room_note(line, templates.load(), room)
    assert room_note(line, templates.load(), 32768) == ""
    assert room_note(line, templates.load("small"), 1024) == ""


async def test_prompts_that_cannot_apply_are_told(store):
    """A library with lessons keeps its block, and an evaluation with other prompts says so."""
    library = store.create_library("web")
    store.commit("web", [Edit(Op.ADD, "Look.")], parent=library.version)
    store.close()
    said = await api.evaluate([{"question": "a", "answer": "b"}], library="web", model=MODEL, grader="exact",
                              db=store.path, prompts="small")  # fmt: skip
    assert any("the block of lessons is that of library 'web'" in note for note in said.notes)


async def test_a_set_named_in_the_configuration_counts_as_asked_for(store, tmp_path):
    """What a configuration file says of prompts does not apply to a library with lessons either, and that is told."""
    library = store.create_library("web")
    store.commit("web", [Edit(Op.ADD, "Look.")], parent=library.version)
    store.close()
    file = tmp_path / "own.toml"
    file.write_text('prompts = "small"\n')
    problems = [{"question": "a", "answer": "b"}]
    said = await api.evaluate(problems, library="web", model=MODEL, grader="exact", db=store.path, config=file)
    assert any("the block of lessons is that of library 'web'" in note for note in said.notes)


async def test_lessons_in_another_place_than_that_of_the_models_own_set_are_told(store):
    """Without a probe nobody knows which place is followed; that the model's own set has another one is told."""
    library = store.create_library("web")
    web = store.commit("web", [Edit(Op.ADD, "Look.")], parent=library.version)
    line = endpoints_of(MODEL, (), EngineConfig())
    said = place_note(line, web, templates.load("small"))
    assert "stand at system" in said
    assert "--place user_end" in said
    assert place_note(line, web, templates.load("default")) == ""
    async with AsyncExitStack() as stack:
        wanted = api.setup(model=MODEL, grader="exact", db=store.path)
        parts = replace(build.open_components(wanted, store, stack), prompts=templates.load("small"))
        assert said in parts.block_notes(web)
        await probe(MODEL, (), EngineConfig(), store)
        assert said not in parts.block_notes(web)


def test_nothing_is_chosen_where_nothing_is_followed():
    """Without a block that is followed there is no choice; within the margin the safer one wins."""
    assert choose_block({"default, system": 0.05, "small, user_end": 0.1}) is None
    assert choose_block({"default, system": 0.5, "small, user_end": 0.55}) == "default, system"
    assert choose_block({"default, system": 0.3, "small, user_end": 0.55}) == "small, user_end"


def test_the_block_of_a_library_can_be_shown_and_changed(tmp_path):
    """`lessons block` prints what a model reads, and makes a new version with other words and another place."""
    from typer.testing import CliRunner

    from tfgrpo.cli.app import app

    db = tmp_path / "x.db"
    with Store.open(db) as opened:
        opened.commit("default", [Edit(Op.ADD, "Look.")], parent=opened.create_library("default").version)
    run = CliRunner()
    assert "[1] Look." in run.invoke(app, ["lessons", "block", "--db", str(db)]).output
    changed = run.invoke(app, ["lessons", "block", "--prompts", "small", "--db", str(db)])
    assert changed.exit_code == 0
    with Store.open(db) as opened:
        library = opened.library("default")
        assert (library.version, library.block(), library.place) == (2, "Look.", "user_end")
    assert json.dumps(changed.output)


PLAIN = {"role": "assistant", "content": "Blue."}


def modest(body):
    """An endpoint that knows tools one at a time and logprobs, and refuses schemas and two ways of drawing."""
    if (body.get("response_format") or {}).get("type") == "json_schema":
        return error(400, "response_format of type json_schema is not supported")
    if "top_p" in body and "temperature" in body:
        return error(400, "temperature and top_p cannot both be specified; use only one of them")
    if "prompt_logprobs" in body or "structured_outputs" in body:
        return error(400, "Unrecognized request argument supplied")
    if body.get("tools"):
        call = {"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    words = '{"colour": "blue"}' if "JSON object" in body["messages"][-1]["content"] else "Blue."
    choice = {"index": 0, "message": {**PLAIN, "content": words}, "finish_reason": "stop"}
    if body.get("logprobs"):
        choice["logprobs"] = {"content": [{"token": "Blue", "logprob": -0.1}]}
    if "novel" in body["messages"][-1]["content"]:
        choice["finish_reason"] = "recitation"
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    return {"choices": [choice], "usage": usage}


async def test_a_url_is_asked_row_by_row_and_later_runs_begin_with_what_it_takes(store):
    """What is refused, what comes and what is ignored is told apart; the next run sends nothing that is refused."""
    with Server(modest, models=("m",)) as server:
        found = await probe("openai/m", [server.url], EngineConfig(), store)
        wanted = {
            "log-probabilities": True,
            "log-probabilities of the prompt": "refused",
            "json_schema": "refused",
            "json_object": True,
            "structured outputs (a choice of words)": "refused",
            "tools": "1 calls, parsed",
            "parallel tools": "taken, 1 calls came",
            "system role": True,
            "temperature with top_p": "refused",
            "usage": True,
            "streaming": False,
            "usage of a stream": False,
            "end of a reply at the limit of tokens": "stop",
            "end of a reply that filters look at": "recitation",
            "/tokenize": False,
            "/metrics": False,
            "/health": False,
        }
        assert {name: found.facts[name] for name in wanted} == wanted
        assert store.endpoint_fact(server.url, "m", "takes tools") == "yes"
        line = endpoints_of("openai/m", [server.url], EngineConfig())
        models = make_models(line, line, store, EngineConfig(), BudgetConfig())
        before = server.chats
        schema = {"type": "object", "properties": {"colour": {"type": "string"}}, "required": ["colour"]}
        asked = Request("r", "m", ({"role": "user", "content": "JSON object"},), Sampling(0.5, top_p=0.5), (), schema)
        assert (await models.backend(line).complete(asked)).text == '{"colour": "blue"}'
        assert server.chats == before + 1
        await line.backend.aclose()


def test_a_kept_dialect_that_cannot_be_read_is_not_known():
    """A file of another release, or one that somebody wrote, costs a few refusals and nothing else."""
    known = Dialect(dropped={"top_p"}, system_in_user=True, limit_name="max_completion_tokens", refused_limit=9)
    assert Dialect.of_text(known.to_text()).to_text() == known.to_text()
    for text in ("", "[]", "{}", '{"schema_mode": "other"}', known.to_text().replace('"json_schema"', "7")):
        assert Dialect.of_text(text).to_text() == Dialect().to_text()
