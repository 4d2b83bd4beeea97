"""A whole run at an endpoint that fails in every way it can: nothing is lost, and nobody needs to look."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import pytest
from support import world
from support.server import Fault, Server

import tfgrpo

WEATHER = {
    Fault.RATE_LIMITED: 0.05,
    Fault.SERVER_ERROR: 0.03,
    Fault.HANG: 0.01,
    Fault.RESET: 0.005,
    Fault.RESET_MID_BODY: 0.005,
    Fault.NULL_CONTENT: 0.02,
    Fault.EMPTY_CONTENT: 0.02,
    Fault.CUT: 0.02,
    Fault.HTML_200: 0.02,
}


def sloppy(body: dict[str, Any]) -> str:
    """Answer, but break the JSON of 3% of the first replies that should hold edits."""
    said = world.reply(body)
    luck = hashlib.sha256(repr(body["messages"]).encode()).digest()[0] / 256
    first = len(body["messages"]) == 1
    return said[: len(said) // 2] + "<oops>" if "seed" not in body and first and luck < 0.03 else said


def learn(folder: Path, server: Server, problems: int, join: bool) -> dict[str, Any]:
    """Learn from so many problems, 5 rollouts each, in one epoch; returns the summary."""
    return tfgrpo.learn_sync(
        world.rows(problems), heldout=0, gate="open", model="openai/m", base_url=server.url, grader="exact",
        db=folder / f"{server.url[-8:-3]}.db", epochs=1, concurrency=128, engine__join=join, engine__timeout=5,
    ).summary  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("join", [False, True])
def test_faults_cost_time_and_nothing_else(tmp_path, join):
    """With a fault in every fifth reply no rollout, no group and no contrast is lost, and the lessons are the same."""
    told = {}
    for name, faults in (("fair", {}), ("bad", WEATHER)):
        with Server(reply=sloppy, faults=faults) as server:
            began = time.monotonic()
            told[name] = learn(tmp_path, server, 100, join)
            print(f"join={join} {name}: {time.monotonic() - began:.1f} s, {server.chats} requests")
    for part in ("rollouts", "groups", "edits", "lessons", "reward"):
        assert told["bad"][part] == told["fair"][part], part
    assert told["bad"]["failures"] == {}
    assert told["bad"]["rollouts"] == 500
    assert told["bad"]["groups"]["failed"] == 0


def test_faults_of_every_kind_lose_nothing(tmp_path):
    """The same, in small: every third call meets another fault until all have been met."""
    left = [fault for fault in WEATHER if fault is not Fault.HANG]
    with Server(reply=sloppy, faults=lambda index, body: left.pop() if index % 3 == 0 and left else None) as server:
        told = learn(tmp_path, server, 12, False)
    assert left == []
    assert told["failures"] == {}
    assert told["groups"]["failed"] == 0
