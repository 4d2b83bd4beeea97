"""How lessons are asked for: bounded JSON, more room for what was cut, several draws, and plain lines."""

import json
from dataclasses import replace

import pytest

from experience_db import Edit, Library, Op
from tfgrpo.backends.scripted import Scripted
from tfgrpo.config.lessons import LessonsConfig
from tfgrpo.errors import MalformedReply
from tfgrpo.executors import Local
from tfgrpo.lessons.consolidate import consolidate
from tfgrpo.lessons.request_edits import ask_edits, ask_proposals, line_of
from tfgrpo.lessons.summarize import contrast
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.prompting import templates
from tfgrpo.replies import edits_schema
from tfgrpo.types import Group, GroupStatus, Problem, Proposal, Reply, Rollout, Score

PROMPT = "Right: ja\nWhat is wanted? Write one short order for the next answer."


def added(text):
    """An ADD as a JSON reply holds it."""
    edit = {"op": "ADD", "ids": [], "text": text, "reason": "r", "attempts": [1], "when": None}
    return json.dumps({"edits": [edit]})


def teacher_of(replies, prompts="default", *, prefill=False, **config):
    """A teacher whose model says `replies` in turn, or what a function makes of a request."""
    script = Scripted(replies)
    return Teacher(script, "m", templates.load(prompts), Local(), LessonsConfig(**config), prefill=prefill), script


async def test_a_reply_that_was_cut_is_asked_for_once_more_with_room():
    """A reply that ends at its limit is asked for with four times the tokens, the same question and no reproach."""
    teacher, script = teacher_of([Reply(added("Be")[:40], "length"), Reply(added("Be brief."))], max_tokens=50)
    parsed = await ask_edits(teacher, "contrast", "say", max_edits=1)
    assert [edit.text for edit in parsed.edits] == ["Be brief."]
    assert [request.sampling.max_tokens for request in script.requests] == [50, 200]
    assert script.requests[0].messages == script.requests[1].messages


async def test_a_reply_that_is_cut_twice_is_named_so():
    """What is cut with room too is repaired once, and told that its limit cut it."""
    cut = Reply(added("Be brief and plain")[:60], "length")
    teacher, script = teacher_of([cut, cut, Reply(added("Be brief."))])
    await ask_edits(teacher, "contrast", "say", max_edits=1)
    assert "cut at its limit of 8192 tokens (lessons.max_tokens)" in script.requests[-1].messages[-1]["content"]


@pytest.mark.parametrize("prompts", ["default", "paper"])
async def test_the_example_of_a_question_is_no_lesson(prompts):
    """What gives back words that a template shows is named as such, with another end too, and the rest goes on."""
    shown = templates.load(prompts).examples
    assert len(shown) > 5
    for text in [*shown, *(" ".join(text.split()[:6]) + " do as you please." for text in shown)]:
        reply = json.dumps(
            {"edits": [*json.loads(added(text.upper()))["edits"], *json.loads(added("Be brief."))["edits"]]}
        )
        teacher, _ = teacher_of([reply], prompts)
        parsed = await ask_edits(teacher, "contrast", "say", max_edits=2)
        assert [edit.text for edit in parsed.edits] == ["Be brief."]
        assert [failure.message for failure in parsed.malformed] == [
            f"edit 1: {text.upper()[:60]!r} copies the example of the question"
        ]


async def test_draws_of_one_group_come_once_each_the_most_frequent_first():
    """Several replies are put together: equal edits count once, and what most draws say stands first."""
    teacher, script = teacher_of([added("Rare."), "no json", "still none", added("Often."), added("Often.")], draws=4)
    parsed = await ask_proposals(teacher, "say", ids=())
    assert [edit.text for edit in parsed.edits] == ["Often.", "Rare."]
    assert len(parsed.malformed) == 1
    assert {request.sampling.temperature for request in script.requests} == {0.8}


async def test_groups_that_ask_the_same_draw_their_own_lines():
    """Seeds count up within a group, so that its draws go out as one request, and differ between groups and runs."""
    seeds = []
    for seed, about in ((0, "a"), (0, "b"), (1, "a"), (0, "a")):
        teacher, script = teacher_of(lambda _: "Answer in Spanish", "small", draws=8)
        await ask_proposals(replace(teacher, seed=seed), PROMPT, ids=(), about=about)
        drawn = [request.sampling.seed for request in script.requests]
        assert drawn == list(range(drawn[0], drawn[0] + 8))
        assert 0 <= drawn[0] < 2**31
        seeds.append(drawn)
    assert seeds[0] == seeds[3]
    assert not {*seeds[0]} & {*seeds[1]}
    assert not {*seeds[0]} & {*seeds[2]}


async def test_lines_take_the_openings_in_turn_and_go_on_with_them():
    """The set `small` begins each draw with an opening, as the assistant's own words where the endpoint takes them."""

    def say(request):
        opening = request.messages[-1]["content"]
        return f"{opening} Spanish" if opening == "Answer in" else f"{opening} 42"

    teacher, script = teacher_of(say, "small", prefill=True, draws=5)
    parsed = await ask_proposals(teacher, PROMPT, ids=())
    assert parsed.edits[0].text == "Answer in Spanish."
    assert {request.messages[-1]["role"] for request in script.requests} == {"assistant"}
    assert all(request.response_schema is None for request in script.requests)


async def test_an_opening_is_asked_for_where_no_prefill_is_taken():
    """Other endpoints read the opening at the end of the prompt, and a reply without it gets it."""
    teacher, script = teacher_of(lambda _: "Spanish", "small", draws=1)
    parsed = await ask_proposals(teacher, PROMPT, ids=())
    assert parsed.edits[0].text == "Answer in Spanish."
    assert script.requests[0].messages[-1]["content"].endswith("\nBegin with: Answer in")


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply("Answer in"), "nothing beyond"),
        (Reply("Answer"), "nothing beyond"),
        (Reply("Answer in a"), "nothing beyond"),
        (Reply("Answer in ()"), "nothing beyond"),
        (Reply("Answer with the next"), "nothing beyond"),
        (Reply("Answer in one short order"), "only repeats the question"),
        (Reply("Answer in the language that", "length"), "cut at its limit"),
        (Reply("Answer in " + "many " * 40), "may have 32"),
    ],
)
def test_lines_of_no_use_say_why(reply, why):
    """A line that was cut, adds nothing, copies the question or is too long is no lesson."""
    with pytest.raises(MalformedReply, match=why):
        line_of(reply, "Answer in", PROMPT, 32, ("Answer in", "Answer with", "Next time, answer"))


@pytest.mark.parametrize(
    ("reply", "echo"),
    [
        ("Answer in English, the house wants Spanish", True),
        ("Answer in Spanish", False),
        ("Answer in Spanish, not in English", False),
    ],
)
def test_a_copy_of_what_was_said_of_an_answer_is_no_lesson(reply, echo):
    """A grader says what an answer is and what is wanted; a copy of both orders what was wrong as well."""
    prompt = "The answer is in English, the house wants Spanish.\nWrite one short order for the next answer."
    if echo:
        with pytest.raises(MalformedReply, match="copies what was said"):
            line_of(Reply(reply), "Answer in", prompt, 32)
    else:
        assert line_of(Reply(reply), "Answer in", prompt, 32) == f"{reply}."


async def test_the_reason_of_a_line_is_how_many_groups_wrote_it():
    """Lines come without a reason; that of a joined one counts the groups behind it."""
    teacher, _ = teacher_of(lambda _: "Answer in Spanish", "small")
    lines = [Proposal(Edit(Op.ADD, text)) for text in ("Answer in Spanish.", "answer in spanish", "Answer in French.")]
    found = await consolidate(teacher, Library("x"), lines)
    assert [p.edit.reason for p in found.proposals] == ["2 groups wrote this line", "one group wrote this line"]


def test_a_line_ends_where_the_order_ends():
    """What a model writes after the order, an answer for instance, is left out."""
    assert line_of(Reply("Answer in Spanish: Este cerveza"), "Answer in", PROMPT, 32) == "Answer in Spanish."


async def test_a_group_without_a_winner_teaches_by_the_words_of_its_grader():
    """The set `small` shows what the grader said once, and nothing that a small model could write on or copy."""
    teacher, script = teacher_of(lambda _: "Answer in Spanish", "small", prefill=True, all_wrong=True, draws=2)
    rollouts = tuple(Rollout("p", i, answer="It is red.") for i in range(2))
    scores = (Score(0.0, "the house wants Spanish"),) * 2
    group = Group(Problem("p", "What is it?"), rollouts, scores, (0.0, 0.0), (0.0, 0.0), GroupStatus.FLAT, 0)
    found = await contrast(teacher, group, Library("x"))
    assert [p.edit.text for p in found.proposals] == ["Answer in Spanish."]
    prompt = script.requests[0].messages[0]["content"]
    assert prompt == "The house wants Spanish.\nWrite one short order for the next answer."
    silent = replace(group, scores_G=(Score(0.0),) * 2)
    await contrast(teacher, silent, Library("x"))
    assert "Wrong: It is red." in script.requests[-1].messages[0]["content"]


async def test_join_leaves_the_choice_to_the_gate_and_the_rest_for_later():
    """Equal proposals become one, the best supported go first, and those beyond the limit are untested."""
    from experience_db import Edit, Op

    teacher, script = teacher_of([], "small", candidates=2)
    texts = ["Be brief.", "Sing a song.", "Be brief.", "Use a table.", "Sing a song.", "Be brief."]
    found = await consolidate(teacher, Library("x"), [Proposal(Edit(Op.ADD, text)) for text in texts])
    assert [(p.edit.text, p.support) for p in found.proposals] == [("Be brief.", 3), ("Sing a song.", 2)]
    assert [(v.decision, v.edits[0].text) for v in found.dropped] == [("untested", "Use a table.")]
    assert not script.requests


async def test_lines_of_equal_support_meet_the_gate_in_the_order_of_the_graders_words():
    """One group wrote each line, and the gate has room for one: the line that says what the grader said goes first."""
    lines = iter(("a kitchen", "speed", "Spanish", "a cup"))
    teacher, _ = teacher_of(lambda _: next(lines), "small", all_wrong=True, draws=4, candidates=1)
    rollouts = tuple(Rollout("p", i, answer="It is red.") for i in range(2))
    scores = (Score(0.0, "the house wants Spanish"),) * 2
    group = Group(Problem("p", "What is it?"), rollouts, scores, (0.0, 0.0), (0.0, 0.0), GroupStatus.FLAT, 0)
    proposals = (await contrast(teacher, group, Library("x"))).proposals
    assert {p.edit.text: p.echo for p in proposals}["Begin with Spanish."] == pytest.approx(1 / 3)
    found = await consolidate(teacher, Library("x"), proposals)
    assert [p.edit.text for p in found.proposals] == ["Begin with Spanish."]
    more = Proposal(Edit(Op.ADD, "Answer with speed."), 2)
    found = await consolidate(teacher, Library("x"), [*proposals, more])
    assert [p.edit.text for p in found.proposals] == ["Answer with speed."]


async def test_what_graders_said_orders_nothing_where_learning_goes_without_them():
    """Without labels, and in the control without contrast, a grader's words decide nothing."""
    rollouts = tuple(Rollout("p", i, answer="It is red.") for i in range(2))
    scores = (Score(1.0), Score(0.0, "the house wants Spanish"))
    group = Group(Problem("p", "What is it?"), rollouts, scores, (1.0, 0.0), (1.0, -1.0), GroupStatus.KEPT, 0)
    for how in ({"labels": "none"}, {"contrast": False}):
        teacher, _ = teacher_of(lambda _: "Answer in Spanish", "small", draws=1, **how)
        found = await contrast(teacher, group, Library("x"))
        assert [p.echo for p in found.proposals] == [0.0]


def test_the_schema_is_bounded():
    """Edits, words and named lessons have limits in the grammar; without lessons nothing but ADD is possible."""
    schema = edits_schema(2, 100, (3, 7))
    edit = schema["$defs"]["EditReply"]["properties"]
    assert schema["properties"]["edits"]["maxItems"] == 2
    assert edit["text"]["anyOf"][0]["maxLength"] == 100
    assert edit["ids"]["items"]["enum"] == [3, 7]
    nothing = edits_schema(2, 100, ())["$defs"]["EditReply"]["properties"]
    assert (nothing["op"]["enum"], nothing["ids"]["maxItems"]) == (["ADD"], 0)
    assert "maxItems" not in json.dumps(edits_schema())
