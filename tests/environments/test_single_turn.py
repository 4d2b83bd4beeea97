"""One prompt, one reply: what is sent, and what becomes of a reply or a failure."""

from __future__ import annotations

import pytest

from experience_db import Lesson, Library
from tfgrpo.backends import Scripted
from tfgrpo.environments import Environment, SingleTurn, Slot
from tfgrpo.errors import BudgetReached, EndpointError, ProviderError
from tfgrpo.prompting import templates
from tfgrpo.types import FailureKind, Problem, Reply, Sampling, Usage

PROBLEM = Problem("p1", "What is 2 + 2?", "4")
EMPTY = Library("x")
TAUGHT = Library("x", 1, (Lesson(1, "When adding, count.", 1, 1),))
SLOT = Slot("rollout", 0, Sampling(temperature=1.0, seed=7))


def asking(*lines: object, instructions: str = "") -> tuple[SingleTurn, Scripted]:
    """An environment over a script."""
    script = Scripted(list(lines))
    return SingleTurn(script, "m", templates.load(), instructions), script


async def test_a_rollout_holds_the_whole_conversation():
    """Prompt, answer, usage and reply are on the rollout."""
    environment, _ = asking(Reply("Answer: 4", "length", Usage(10, 3)))
    checked: Environment = environment
    rollout = await checked(PROBLEM, EMPTY, SLOT)
    assert [m["role"] for m in rollout.messages] == ["system", "user", "assistant"]
    assert (rollout.answer, rollout.finish_reason, rollout.usage) == ("Answer: 4", "length", Usage(10, 3))
    assert rollout.failure is None
    assert (rollout.problem_id, rollout.index) == ("p1", 0)


async def test_instructions_then_lessons_then_the_problem():
    """The shared part comes first, so that prefix caches hit; the problem is last."""
    environment, script = asking("4", instructions="Be brief.")
    await environment(PROBLEM, TAUGHT, SLOT)
    system, user = script.requests[0].messages
    assert system["content"].startswith("Be brief.") or "Be brief." in system["content"].split("When adding")[0]
    assert system["content"].index("Be brief.") < system["content"].index("When adding, count.")
    assert user["content"].endswith("What is 2 + 2?")


async def test_without_lessons_nothing_is_said_about_lessons():
    """An empty library leaves the prompt as it is."""
    environment, script = asking("4")
    await environment(PROBLEM, EMPTY, SLOT)
    assert "esson" not in script.requests[0].messages[0]["content"]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (ProviderError("slow", FailureKind.TIMEOUT), FailureKind.TIMEOUT),
        (ProviderError("long", FailureKind.REFUSED_REQUEST), FailureKind.REFUSED_REQUEST),
        ("", FailureKind.EMPTY),
        (" \n", FailureKind.EMPTY),
    ],
)
async def test_a_failed_call_is_a_value_on_the_rollout(line, kind):
    """The rollout says why there is no answer."""
    environment, _ = asking(line)
    rollout = await environment(PROBLEM, EMPTY, SLOT)
    assert rollout.failure is not None
    assert rollout.failure.kind is kind


@pytest.mark.parametrize("error", [EndpointError("dead"), BudgetReached("spent")])
async def test_what_ends_the_run_is_raised(error):
    """A dead endpoint or a used-up budget is not a failure of this rollout."""
    environment, _ = asking(error)
    with pytest.raises(type(error)):
        await environment(PROBLEM, EMPTY, SLOT)


def test_noise_belongs_to_role_problem_and_index():
    """Another role, problem, index or run seed draws anew; the library does not matter."""
    seeds = [
        SLOT.seeded(PROBLEM).seed,
        Slot("gate", 0, SLOT.sampling).seeded(PROBLEM).seed,
        Slot("rollout", 1, SLOT.sampling).seeded(PROBLEM).seed,
        Slot("rollout", 0, Sampling(seed=8)).seeded(PROBLEM).seed,
        SLOT.seeded(Problem("p2", "What is 2 + 2?")).seed,
    ]
    assert len(set(seeds)) == 5
    assert seeds[0] == Slot("rollout", 0, SLOT.sampling).seeded(Problem("p1", "other words")).seed
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_seeds_of_a_group_count_up():
    """An endpoint that counts seeds up over the choices of one request draws what single requests would."""
    seeds = [Slot("rollout", index, SLOT.sampling).seeded(PROBLEM).seed for index in range(5)]
    assert [seed - seeds[0] for seed in seeds] == [0, 1, 2, 3, 4]
