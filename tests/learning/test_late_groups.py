"""Rollouts that an outage took are tried once more at the end of their step, so that their group can still teach."""

from __future__ import annotations

from collections import Counter

import pytest
from support import world
from support.server import Fault, Server

import tfgrpo
from experience_db import Library
from tfgrpo.backends import Scripted
from tfgrpo.environments import SingleTurn
from tfgrpo.errors import ProviderError
from tfgrpo.executors import Local
from tfgrpo.graders import Exact
from tfgrpo.prompting import templates
from tfgrpo.rollout import Actor, complete_group, may_complete, run_group
from tfgrpo.types import FailureKind, GroupStatus, Problem, Request, Sampling

PROBLEM = Problem("p1", "2 + 2?", "4")
LIBRARY = Library("x", 5)


def failing_once(kind: FailureKind) -> Scripted:
    """A model whose rollouts 1 and 2 fail the first time."""
    tries: Counter[int] = Counter()

    def reply(request: Request) -> str:
        tries[request.attempt] += 1
        if request.attempt in (1, 2) and tries[request.attempt] == 1:
            raise ProviderError("down", kind)
        return "4" if request.attempt else "5"

    return Scripted(reply)


async def test_only_what_failed_is_tried_again():
    """The others keep their answers, and the group gets the rewards of all."""
    script = failing_once(FailureKind.TIMEOUT)
    actor = Actor(SingleTurn(script, "m", templates.load()), Exact(), Local())
    group = await run_group(actor, PROBLEM, LIBRARY, 3, Sampling())
    assert (group.status, may_complete(group)) == (GroupStatus.FAILED, True)
    whole = await complete_group(actor, group, LIBRARY, Sampling())
    assert (whole.rewards_G, whole.status, may_complete(whole)) == ((0.0, 1.0, 1.0), GroupStatus.KEPT, False)
    assert [r.attempt for r in script.requests] == [0, 1, 2, 1, 2]


@pytest.mark.parametrize("kind", [FailureKind.BUDGET, FailureKind.REFUSED_REQUEST, FailureKind.ENVIRONMENT])
async def test_what_would_fail_again_is_left(kind):
    """A used-up budget, a refused request and a broken agent are no outage."""
    actor = Actor(SingleTurn(failing_once(kind), "m", templates.load()), Exact(), Local())
    assert not may_complete(await run_group(actor, PROBLEM, LIBRARY, 3, Sampling()))


def test_an_outage_in_the_middle_of_a_step_loses_no_group(tmp_path):
    """Calls that used up their tries are made later in the step, and every group is whole in the end."""
    down = range(6, 18)
    with Server(reply=world.reply, faults=lambda i, body: Fault.SERVER_ERROR if i in down else None) as server:
        told = tfgrpo.learn_sync(
            world.rows(8), heldout=0, gate="open", model="openai/m", base_url=server.url, grader="exact",
            db=tmp_path / "x.db", epochs=1, group_size=3, engine__attempts=1, engine__join=False,
        ).summary  # fmt: skip
    assert told["failures"] == {}
    assert told["groups"]["failed"] == 0
    assert told["rollouts"] == 24
