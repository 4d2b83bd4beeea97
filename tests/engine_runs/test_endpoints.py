"""Whole runs over several endpoints, and over endpoints that differ in what they honour."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support import world
from support.server import Answer, Fault, Server, error

import tfgrpo
from experience_db import Store
from tfgrpo.report import gather


def learn(db: Path, urls: list[str], **more: Any) -> dict[str, Any]:
    """Learn from 8 problems in two steps; returns the summary."""
    return tfgrpo.learn_sync(
        world.rows(8), heldout=0, gate="open", model="openai/m", base_url=urls, grader="exact", db=db,
        epochs=1, group_size=3, batch_size=4, concurrency=8, **more,
    ).summary  # fmt: skip


def test_a_run_goes_on_when_one_of_its_endpoints_dies(tmp_path):
    """Two endpoints share the calls; one turns its key down in the middle, and nothing is lost."""
    with Server() as one, Server(reply=world.reply, delay=0.01) as two:
        one.reply = world.reply
        one.faults = lambda index, body: None if index < 4 else Fault.UNAUTHORIZED
        told = learn(tmp_path / "x.db", [one.url, two.url], engine__join=False)
    assert told["failures"] == {}
    assert told["rollouts"] == 24
    assert min(one.chats, two.chats) >= 3


@pytest.mark.parametrize("honours", [False, True])
def test_joined_or_not_a_run_learns_the_same(tmp_path, honours):
    """Whether an endpoint honours `n`, ignores it, or is never asked for it, the replies are those of the seeds."""
    with Server(reply=world.reply, honours_n=honours) as server:
        joined = learn(tmp_path / "a.db", [server.url])
        requests = server.chats
        alone = learn(tmp_path / "b.db", [server.url], engine__join=False)
    for part in ("groups", "edits", "reward", "lessons"):
        assert joined[part] == alone[part], part
    assert (requests < server.chats - requests) is honours


def seedless(body: dict[str, Any]) -> Answer:
    """Refuse seeds; a rollout is then told from a contrast by its words."""
    if "seed" in body:
        return error(400, "Unsupported parameter: 'seed' is not supported with this model.")
    asked = world.PROBLEM.fullmatch(body["messages"][-1]["content"].strip())
    return world.reply({**body, "seed": len(str(body["messages"]))} if asked else body)


def test_a_gate_without_seeds_says_that_it_needed_more(tmp_path):
    """An endpoint that takes no seed is named among the warnings and in the report; one that does is not."""
    found = {}
    for name, reply in (("with", world.reply), ("without", seedless)):
        with Server(reply=reply) as server:
            asked = {"model": "openai/m", "base_url": server.url, "grader": "exact", "db": tmp_path / f"{name}.db"}
            more = {"epochs": 1, "group_size": 3, "batch_size": 4, "run": name}
            told = tfgrpo.learn_sync(world.rows(4), heldout=world.rows(16, seed=1), **asked, **more).summary
        with Store.open(tmp_path / f"{name}.db", readonly=True) as store:
            notes = gather(store, name).headline.notes
        found[name] = [any("takes no seed" in said for said in place) for place in (told["warnings"], notes)]
    assert found == {"with": [False, False], "without": [True, True]}
