"""From a model's name and the configured endpoints to the backends behind it, without a key in any configuration."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
from support import world
from support.server import Fault, Server

import tfgrpo
from tfgrpo import config
from tfgrpo.backends import LiteLLM, OpenAI
from tfgrpo.backends.endpoints import Endpoints, endpoint_paces, endpoints_of
from tfgrpo.backends.limited import Ledger
from tfgrpo.backends.pricing import Price
from tfgrpo.build import open_run
from tfgrpo.config.engine import EndpointConfig
from tfgrpo.datasets import from_rows
from tfgrpo.errors import EndpointError, UsageError
from tfgrpo.learning.setup import Setup

SECRET = "sk-very-secret-value"


def line(model: str, *endpoints: dict[str, Any], urls: tuple[str, ...] = ()) -> Endpoints:
    """Return the way to a model under `engine.endpoints`."""
    written = "[" + ", ".join("{" + ", ".join(f"{k} = {json.dumps(v)}" for k, v in e.items()) + "}" for e in endpoints)
    return endpoints_of(model, urls, config.load(overrides=[f"engine.endpoints={written}]"]).engine)


def learn(db: Any, **more: Any) -> dict[str, Any]:
    """Learn from 8 problems; returns the summary."""
    return tfgrpo.learn_sync(
        world.rows(8), heldout=0, gate="open", grader="exact", db=db, epochs=1, group_size=3, **more
    ).summary  # fmt: skip


def test_endpoints_share_the_slots_by_weight():
    """A list in the configuration becomes backends whose paces divide the concurrency."""
    found = line("openai/m", {"url": "http://a/v1", "weight": 3}, {"url": "http://b/v1", "model": "other"})
    engine = config.load(overrides=["engine.concurrency=8"]).engine
    assert found.model == "m"
    assert found.shares == (0.75, 0.25)
    assert [pace.width for pace in endpoint_paces([found], engine, Ledger())] == [6, 2]
    assert found.urls == ("http://a/v1", "http://b/v1")
    assert found.joining == "http://a/v1, http://b/v1"


def test_an_endpoint_without_a_url_goes_through_litellm():
    """Hosted providers are named by their litellm names; what joins identical calls is left out then."""
    found = line("openai/gpt-4o", {"model": "azure/gpt-4o"}, {"url": "http://b/v1", "client": "litellm"})
    assert [type(backend) for backend in found.backends] == [LiteLLM, LiteLLM]
    assert (found.model, found.joining, found.price) == ("openai/gpt-4o", None, None)


def test_an_endpoint_serves_whom_it_says():
    """With `serves` the summarizer goes its own way."""
    mine = {"url": "http://a/v1", "serves": "openai/m"}
    assert [backend.base_url for backend in line("openai/m", mine).backends] == ["http://a/v1"]
    assert isinstance(line("anthropic/claude-sonnet-4-5", mine).backend, LiteLLM)
    assert isinstance(line("openai/m", mine).backend, OpenAI)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"url": "http://a/v1", "weight": 0}, "weight is 0"),
        ({"url": "http://a/v1", "client": "curl"}, "there are: openai, litellm, router"),
        ({"url": "http://a/v1", "key": SECRET}, "never the key itself"),
        ({"url": "http://a/v1", "key": SECRET.replace("-", "_")}, "is not set"),
        ({"url": f"http://me:{SECRET}@a/v1"}, "holds a user, a password or a query"),
        ({"url": f"http://a/v1?key={SECRET}"}, "holds a user, a password or a query"),
        ({"url": "a/v1"}, "must begin with http"),
        ({"adress": "http://a/v1"}, "unknown configuration key"),
    ],
)
def test_an_endpoint_that_cannot_be_used_is_refused(entry, said):
    """One sentence says why, and never repeats what may be a key."""
    with pytest.raises(UsageError, match=said) as raised:
        line("openai/m", entry)
    assert SECRET not in str(raised.value)
    assert SECRET.replace("-", "_") not in str(raised.value)


def test_a_price_that_is_given_wins_and_charges_every_endpoint():
    """It replaces the list price, reaches backends and reservations, and is looked up by either form of the name."""
    engine = config.load(
        overrides=['engine.prices={m={prompt=1, completion=2.5}, "x/y"={prompt=0, completion=0}}']
    ).engine
    assert endpoints_of("openai/m", ("http://a/v1",), engine).price == Price(1.0, 2.5)
    assert endpoints_of("x/y", (), engine).price == Price(0.0, 0.0)
    assert endpoints_of("openai/other", ("http://a/v1",), engine).price is None
    one = replace(engine, endpoints=(EndpointConfig("http://a/v1"), EndpointConfig("http://b/v1", client="litellm")))
    found = endpoints_of("openai/m", (), one)
    assert found.price == Price(1.0, 2.5, 1.0)
    assert [backend.price_known for backend in found.backends if isinstance(backend, OpenAI)] == [True]


def test_two_places_for_endpoints_are_one_too_many():
    """A base URL beside configured endpoints is ambiguous."""
    with pytest.raises(UsageError, match="give one of them"):
        line("openai/m", {"url": "http://a/v1"}, urls=("http://b/v1",))


@pytest.mark.parametrize("client", ["openai", "litellm", "router"])
def test_a_run_goes_on_without_a_dead_endpoint(tmp_path, monkeypatch, client):
    """A key that is refused costs one request; keys come from the variables that are named, and none is stored."""
    monkeypatch.setenv("FIRST_KEY", "sk-first-key")
    monkeypatch.setenv("SECOND_KEY", "sk-second-key")
    with Server(reply=world.reply) as one, Server(reply=world.reply) as two:
        one.faults = lambda index, body: Fault.UNAUTHORIZED
        ways = [
            {"url": one.url, "key": "FIRST_KEY", "model": "openai/one", "client": client, "weight": 2.0},
            {"url": two.url, "key": "SECOND_KEY", "model": "openai/two", "client": client},
        ]
        told = learn(tmp_path / "x.db", model="openai/m", engine__endpoints=ways, engine__join=False)
    assert told["failures"] == {}
    assert told["rollouts"] == 24
    assert {headers["Authorization"] for headers in two.headers} == {"Bearer sk-second-key"}
    assert {body["model"] for body in two.bodies} == {"two"}
    questions = [json.dumps([body["messages"], body.get("seed")]) for body in two.bodies]
    assert len(set(questions)) == len(questions)
    assert two.chats == sum(role["new"] for role in told["calls"].values())
    stored = (tmp_path / "x.db").read_bytes()
    assert b"sk-first" not in stored
    assert b"sk-second" not in stored
    assert b"FIRST_KEY" in stored


@pytest.mark.parametrize("client", ["litellm", "router"])
def test_hosted_endpoints_share_the_load_without_litellms_retries(tmp_path, monkeypatch, client):
    """Through litellm and its Router a refusal costs one request, our own policy tries again, and weights hold."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with Server(reply=world.reply) as one, Server(reply=world.reply) as two:
        one.faults = [Fault.SERVER_ERROR]
        ways = [
            {"url": one.url, "weight": 3, "client": client, "model": "openai/m"},
            {"url": two.url, "weight": 1, "client": client, "model": "openai/m"},
        ]
        told = learn(tmp_path / "x.db", model="openai/m", engine__endpoints=ways, engine__concurrency=4)
    assert one.chats + two.chats == sum(role["new"] for role in told["calls"].values()) + 1
    # The Router leaves the one that failed alone for half a minute; ours lets it prove itself again.
    assert one.chats < two.chats if client == "router" else one.chats > 2 * two.chats


def test_a_router_whose_deployments_are_all_dead_ends_the_run(tmp_path, monkeypatch):
    """Refused keys everywhere are said in one sentence, after one request each."""
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with Server(reply=world.reply) as one, Server(reply=world.reply) as two:
        one.faults = two.faults = lambda index, body: Fault.UNAUTHORIZED
        ways = [{"url": server.url, "client": "router", "model": "openai/m"} for server in (one, two)]
        with pytest.raises(EndpointError, match="401"):
            learn(tmp_path / "x.db", model="openai/m", engine__endpoints=ways, engine__concurrency=1)
        assert (one.chats, two.chats) == (1, 1)


def test_a_router_has_all_endpoints_of_a_model_or_none():
    """Half a router is refused, naming the other half."""
    with pytest.raises(UsageError, match="http://b/v1 does not; give all of them the router"):
        line("openai/m", {"url": "http://a/v1", "client": "router"}, {"url": "http://b/v1"})


async def continued(db: Any, *urls: str, same: bool = False) -> str:
    """Return what a run says when it starts."""
    async with AsyncExitStack() as stack:
        settings = config.load(overrides=["gate=open", f"engine.same_model={str(same).lower()}"])
        wanted = Setup("openai/m", "exact", base_urls=urls, db=db, config=settings)
        return open_run(wanted, from_rows(world.rows(4)), (), stack).continuation


@pytest.mark.slow
async def test_a_run_at_another_address_is_another_run_unless_told_otherwise(tmp_path):
    """Replicas share an address; what shares none may be another model, which is said once, with the switch."""
    db = tmp_path / "x.db"
    one, two, three, four = (f"http://127.0.0.1:{port}/v1" for port in (1, 2, 3, 4))
    assert await continued(db, one) == ""
    assert "goes on with" in await continued(db, one)
    for urls in ((one, two), (two,)):
        said = await continued(db, *urls)
        assert "goes on with" in said
        assert "asked at" not in said
    said = await continued(db, three)
    assert "starts anew" in said
    assert f"endpoint.m was not set and is {three}" in said
    assert f"was asked at {one}, {two} before and is asked at {three} now" in said
    assert "-s engine.same_model=true" in said
    again = await continued(db, three)
    assert "goes on with" in again
    assert "asked at" not in again
    said = await continued(db, four, same=True)
    assert "goes on with" in said
    assert "it is the same model" in said
    assert "asked at" not in await continued(db, four)


def test_another_server_is_asked_its_own_questions(tmp_path):
    """Two servers that call different models the same share no record, until told that they do."""
    with Server(reply=world.reply) as one, Server(reply=world.reply) as two, Server(reply=world.reply) as three:
        first = learn(tmp_path / "x.db", model="openai/m", base_url=one.url)
        other = learn(tmp_path / "x.db", model="openai/m", base_url=two.url, library="b")
        assert first["calls"]["rollout"]["new"] == other["calls"]["rollout"]["new"] == 24
        assert two.chats
        asked = two.chats
        learn(tmp_path / "x.db", model="openai/m", base_url=two.url, library="b")
        assert two.chats == asked
        same = learn(tmp_path / "x.db", model="openai/m", base_url=three.url, library="c", engine__same_model=True)
        assert same["calls"]["rollout"]["replayed"] == 24
        assert three.chats == 0
