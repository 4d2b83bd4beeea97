"""From one group to proposals: what the summarizer is shown, and what is kept of what it says."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace

import pytest
from support.script import edits

from experience_db import Evidence, Lesson, Library
from tfgrpo.backends import Scripted
from tfgrpo.config import LessonsConfig
from tfgrpo.errors import EndpointError, MalformedReply, ProviderError
from tfgrpo.executors import Local
from tfgrpo.lessons.leakage import REMEDY
from tfgrpo.lessons.request_edits import ask_edits
from tfgrpo.lessons.summarize import contrast, effect_in_words
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.prompting import templates
from tfgrpo.prompting.transcript import cut_to_tokens, transcript
from tfgrpo.rollout import make_group
from tfgrpo.types import Failure, FailureKind, Group, Problem, Request, Rollout, Score, Usage

PROBLEM = Problem("p1", "How many birds?", "seventeen")
EMPTY = Library("x")
LESSON = "When counting birds, count their legs and halve."


def group(*rewards: float | None, answers: tuple[str, ...] = (), tainted: bool = False, start: int = 0) -> Group:
    """A group with these rewards; None is a failed rollout."""
    rollouts, scores = [], []
    for i, reward in enumerate(rewards):
        failure = Failure(FailureKind.TIMEOUT, "slow") if reward is None else None
        answer = answers[i] if answers else f"I say {i}"
        rollouts.append(
            Rollout("p1", start + i, answer=answer, usage=Usage(1, 40 + i), failure=failure, tainted=tainted)
        )
        scores.append(Score(reward, f"words on {i}", failure=failure))
    return make_group(PROBLEM, tuple(rollouts), tuple(scores), 0)


def teacher(*lines: object, **config: object) -> tuple[Teacher, Scripted]:
    """A teacher that plays a script."""
    script = Scripted(list(lines))
    return Teacher(script, "m", templates.load(), Local(), LessonsConfig(**config), "run-1"), script  # type: ignore[arg-type]


def prompt_of(script: Scripted, index: int = 0) -> str:
    """The prompt of a request."""
    return str(script.requests[index].messages[0]["content"])


async def test_attempts_are_numbered_and_failed_ones_left_out():
    """The prompt counts graded attempts from 1, with reward, advantage, cost and the grader's words."""
    asked, script = teacher(edits())
    await contrast(asked, group(1.0, None, 0.0), EMPTY)
    prompt = prompt_of(script)
    assert "### Attempt 1: reward 1.00, advantage +0.71, 40 tokens" in prompt
    assert "### Attempt 2: reward 0.00, advantage -0.71, 42 tokens" in prompt
    assert "words on 2" in prompt
    assert "I say 1" not in prompt


async def test_attempts_that_an_edit_names_are_its_sources():
    """Numbers of the prompt become indices of rollouts; numbers that do not exist are left out."""
    asked, _ = teacher(edits({"op": "ADD", "text": LESSON, "attempts": [2, 9]}))
    found = await contrast(asked, group(1.0, None, 0.0, start=10), EMPTY, step=3)
    (source,) = found.proposals[0].edit.sources
    assert (source.problem_id, source.rollouts, source.run, source.step, source.model) == ("p1", (12,), "run-1", 3, "m")


async def test_without_named_attempts_all_are_sources():
    """An edit rests on the group when the model does not say on what."""
    asked, _ = teacher(edits({"op": "ADD", "text": LESSON, "attempts": []}))
    found = await contrast(asked, group(1.0, 0.0), EMPTY)
    assert found.proposals[0].edit.sources[0].rollouts == (0, 1)


async def test_taint_of_any_rollout_marks_the_edit():
    """What strangers wrote may be in any attempt of the group."""
    asked, _ = teacher(edits({"op": "ADD", "text": LESSON}))
    assert (await contrast(asked, group(1.0, 0.0, tainted=True), EMPTY)).proposals[0].edit.tainted


@pytest.mark.parametrize("rewards", [(1.0, 1.0), (0.0, 0.0), (1.0, None), (None, None)])
async def test_a_group_without_a_contrast_costs_no_call(rewards):
    """Flat and failed groups leave before the model is asked."""
    asked, script = teacher()
    assert (await contrast(asked, group(*rewards), EMPTY)).proposals == ()
    assert script.requests == []


async def test_a_condition_beside_the_text_becomes_part_of_it():
    """What is stored says when it applies; a condition that the text has already is not said twice."""
    beside = {"op": "ADD", "text": "count their legs and halve.", "when": "When counting birds,"}
    inside = {"op": "ADD", "text": "When it rains, wait.", "when": "When it rains"}
    asked, _ = teacher(edits(beside, inside))
    found = await contrast(asked, group(1.0, 0.0), EMPTY)
    assert [p.edit.text for p in found.proposals] == [
        "When counting birds: count their legs and halve.",
        "When it rains, wait.",
    ]


async def test_more_edits_than_asked_for_are_counted_as_malformed():
    """The first `per_group` count, the others are named."""
    two = [{"op": "ADD", "text": f"When {word}, go on."} for word in ("tired", "cold")]
    asked, _ = teacher(edits(*two), per_group=1)
    found = await contrast(asked, group(1.0, 0.0), EMPTY)
    assert [p.edit.text for p in found.proposals] == ["When tired, go on."]
    assert [f.kind for f in found.failures] == [FailureKind.MALFORMED]


async def test_refused_edits_are_dropped_with_their_reason():
    """Leaks, unknown ids and overlong texts never become proposals."""
    bad = [
        {"op": "ADD", "text": "When asked of birds, the answer is seventeen."},
        {"op": "DELETE", "ids": [3]},
        {"op": "ADD", "text": "When " + "so " * 40 + "on."},
    ]
    asked, _ = teacher(edits(*bad), per_group=3)
    found = await contrast(asked, group(1.0, 0.0), EMPTY)
    assert found.proposals == ()
    assert all(v.reason.endswith(f"; {REMEDY}") for v in found.dropped if "its source problem" in v.reason)
    assert sorted(v.reason.removesuffix(f"; {REMEDY}") for v in found.dropped) == [
        "it states the answer of its source problem",
        "the text has 42 words; at most 32 are allowed",
        "there is no lesson 3 in the library",
    ]


@pytest.mark.parametrize("error", [ProviderError("gone"), ProviderError("slow", FailureKind.TIMEOUT)])
async def test_a_failed_call_costs_this_group(error):
    """It is returned as a failure of its kind."""
    asked, _ = teacher(error)
    found = await contrast(asked, group(1.0, 0.0), EMPTY)
    assert found.failures == (error.failure,)


async def test_a_dead_endpoint_ends_the_run():
    """Going on would fail for every group."""
    asked, _ = teacher(EndpointError("dead"))
    with pytest.raises(EndpointError):
        await contrast(asked, group(1.0, 0.0), EMPTY)


async def test_a_second_unreadable_reply_is_given_up():
    """One re-ask, then MalformedReply."""
    asked, script = teacher("no", "still no")
    with pytest.raises(MalformedReply):
        await ask_edits(asked, "contrast", "say", max_edits=1)
    assert len(script.requests) == 2
    assert [m["role"] for m in script.requests[1].messages] == ["user", "assistant", "user"]


async def test_a_reply_that_ends_too_soon_is_asked_for_again():
    """Half a lesson is not taken for one, although its JSON can be repaired; cut twice, it is counted as malformed."""
    half = '{"edits": [{"op": "ADD", "text": "Never add the'
    asked, script = teacher(half, edits({"op": "ADD", "text": "Never add the carry twice."}), half, half)
    parsed = await ask_edits(asked, "contrast", "say", max_edits=1)
    assert [edit.text for edit in parsed.edits] == ["Never add the carry twice."]
    assert "ends in the middle" in script.requests[1].messages[-1]["content"]
    again = await ask_edits(asked, "contrast", "say", max_edits=1)
    assert (again.edits, len(again.malformed)) == ((), 1)


async def test_measured_effects_stand_beside_their_lessons():
    """The summarizer sees what each lesson is worth, or that nobody measured it."""
    library = Library("x", 1, (Lesson(1, "When a, b.", 1, 1), Lesson(2, "When c, d.", 1, 1)))
    asked, script = teacher(edits())
    await contrast(asked, group(1.0, 0.0), library, effects={1: Evidence("gate", 0.125, 0.03, 0.21)})
    assert "[1] (effect +0.12 [+0.03, +0.21]) When a, b." in prompt_of(script)
    assert "[2] (not measured) When c, d." in prompt_of(script)


@pytest.mark.parametrize(
    ("evidence", "words"),
    [
        (None, ""),
        (Evidence("gate", None), ""),
        (Evidence("gate", -0.5), "-0.50"),
        (Evidence("gate", 0.1, None, 0.3), "+0.10"),
        (Evidence("gate", 0.1, 0.0, 0.3), "+0.10 [+0.00, +0.30]"),
    ],
)
def test_effects_in_words(evidence, words):
    """A number with its interval where there is one."""
    assert effect_in_words(evidence) == words


@pytest.mark.parametrize("length", [0, 1, 39, 40, 41, 1000])
def test_shortening_keeps_both_ends_and_says_what_is_missing(length):
    """A text within its room is not touched; a longer one loses its middle."""
    text = "a" * (length // 2) + "b" * (length - length // 2)
    short = cut_to_tokens(text, 10)
    if length <= 40:
        assert short == text
    else:
        assert short.startswith("a")
        assert short.endswith("b")
        assert "characters left out" in short


def test_a_transcript_shows_turns_and_tool_calls():
    """Several turns are told one by one; a single reply needs no transcript."""
    call = {"function": {"name": "look", "arguments": '{"q": 1}'}}
    turns = (
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "found"},
        {"role": "assistant", "content": "it is 4"},
    )
    assert transcript(turns) == 'assistant: calls look({"q": 1})\n\ntool: found\n\nassistant: it is 4'  # type: ignore[arg-type]
    assert transcript(turns[-1:]) == ""  # type: ignore[arg-type]


def test_a_failed_rollout_moves_no_other_advantage():
    """Advantages are over graded rollouts alone; a failed one has none."""
    whole, holed = group(1.0, 0.0, 1.0), group(1.0, None, 0.0, 1.0)
    assert [a for a, r in zip(holed.advantages_G, holed.rewards_G, strict=True) if not math.isnan(r)] == list(
        whole.advantages_G
    )
    assert holed.advantages_G[1] == 0.0


async def test_the_hash_of_the_template_is_on_every_source():
    """Which words asked for a lesson can be found out later."""
    asked, _ = teacher(edits({"op": "ADD", "text": LESSON}))
    found = await contrast(replace(asked, model="other"), group(1.0, 0.0), EMPTY)
    (source,) = found.proposals[0].edit.sources
    assert source.template == templates.load().hash("contrast/group")
    assert source.model == "other"


async def test_a_summary_that_fails_does_not_cut_its_siblings_short():
    """Calls under way end and are paid for once; then the failure counts, and costs the group."""
    ended = []

    async def say(request: Request) -> str:
        if "I say 0" in str(request.messages[0]["content"]):
            raise ProviderError("too long", FailureKind.REFUSED_REQUEST)
        await asyncio.sleep(0.01)
        ended.append(request)
        return "brief"

    asked = replace(teacher(summaries="always")[0], backend=Scripted(say))
    found = await contrast(asked, group(1.0, 0.0, 1.0), EMPTY)
    assert [f.kind for f in found.failures] == [FailureKind.REFUSED_REQUEST]
    assert len(ended) == 2
