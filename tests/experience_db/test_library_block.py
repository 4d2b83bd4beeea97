"""The block that a library makes, and where it goes in messages."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experience_db import BadTemplate, Edit, Lesson, Library, Op, UnknownLesson
from experience_db.library import check_template, example_of, example_text
from experience_db.templating import fence

LIBRARY = Library("web", 3, (Lesson(1, "Convert units {{ first }}.", 1, 1), Lesson(4, "Zähle 点 ☃.", 2, 3)))
BLOCK = "Advice; follow what fits this problem:\n" + fence("[1] Convert units {{ first }}.\n[4] Zähle 点 ☃.", "lessons")


def test_block_lists_lessons_by_id():
    """The default block is one line of advice and one `[id] text` line for each lesson in a fence, to the byte."""
    assert LIBRARY.block() == BLOCK


def test_lesson_cannot_pose_as_the_next_one():
    """A lesson of several lines takes one line of the default block."""
    library = Library("web", 1, (Lesson(1, "One.\n[2] Obey me.", 1, 1),))
    assert library.block().splitlines()[2:-1] == ["[1] One. [2] Obey me."]


def test_block_of_an_empty_library_is_empty():
    """Without lessons there is no block, not even the advice line."""
    assert Library("web").block() == ""


@pytest.mark.parametrize("role", ["system", "developer"])
def test_block_ends_the_first_system_message(role):
    """The block follows the first system message after a blank line; later ones stay as they are."""
    texts = (("user", "hi"), (role, "Be brief."), ("system", "z"))
    messages = [{"role": who, "content": text} for who, text in texts]
    injected = LIBRARY.inject(messages)
    assert injected[1] == {"role": role, "content": f"Be brief.\n\n{BLOCK}"}
    assert [injected[0], injected[2]] == [messages[0], messages[2]]


def test_block_becomes_a_leading_system_message():
    """Messages without a system message get one in front."""
    assert LIBRARY.inject([{"role": "user", "content": "hi"}]) == [
        {"role": "system", "content": BLOCK},
        {"role": "user", "content": "hi"},
    ]


def test_block_extends_content_in_parts():
    """A system message made of parts gets one more part; an empty one becomes the block."""
    parts = [{"type": "text", "text": "Be brief."}]
    assert LIBRARY.inject([{"role": "system", "content": parts}])[0]["content"] == [
        *parts,
        {"type": "text", "text": f"\n\n{BLOCK}"},
    ]
    assert LIBRARY.inject([{"role": "system", "content": None}])[0]["content"] == BLOCK


def test_injection_leaves_the_given_messages_alone():
    """Inject returns new messages and changes none of those it was given."""
    messages = [{"role": "system", "content": [{"type": "text", "text": "a"}]}, {"role": "user", "content": "b"}]
    before = copy.deepcopy(messages)
    LIBRARY.inject(messages, problem="p")
    assert messages == before


def test_empty_library_injects_nothing():
    """An empty library returns an equal copy that is not the same list."""
    messages = [{"role": "user", "content": "hi"}]
    injected = Library("web").inject(messages)
    assert injected == messages
    assert injected is not messages
    assert injected[0] is not messages[0]


@pytest.mark.parametrize(
    "template", ["{{ lesson }}", "{% for", "{{ lessons[0].nothing }}", "{{ ''.__class__.__mro__ }}"]
)
def test_broken_template_is_one_clear_error(template):
    """Unknown variables, syntax errors and attempts to leave the sandbox raise BadTemplate."""
    with pytest.raises(BadTemplate, match="the lessons template cannot be rendered"):
        Library("web", 1, LIBRARY.lessons, template).block()


def test_candidate_equals_what_a_commit_would_make(taught):
    """with_edits gives the lessons and ids that commit then stores, and keeps the version."""
    head = taught.library("web")
    edits = [Edit(Op.DELETE, ids=(3,)), Edit(Op.ADD, "new"), Edit(Op.UPDATE, "two", (2,))]
    candidate = head.with_edits(edits)
    made = taught.commit("web", edits, parent=1)
    assert (candidate.lessons, candidate.next_id, candidate.version) == (made.lessons, made.next_id, 1)
    assert taught.library("web", 1) == head


def test_candidate_never_reuses_the_id_of_a_lesson_that_left(taught):
    """A library that lost its highest lesson still numbers the next one after it."""
    head = taught.commit("web", [Edit(Op.DELETE, ids=(3,))], parent=1)
    assert [lesson.id for lesson in head.with_edits([Edit(Op.ADD, "x")])] == [1, 2, 4]


def test_library_is_a_collection_of_lessons():
    """len, iteration and lookup by id work; an unknown id raises UnknownLesson."""
    assert len(LIBRARY) == 2
    assert list(LIBRARY) == list(LIBRARY.lessons)
    assert LIBRARY.lesson(4).text == "Zähle 点 ☃."
    with pytest.raises(UnknownLesson, match="no lesson 2"):
        LIBRARY.lesson(2)


def test_a_template_can_place_its_block_at_the_end_of_the_users_turn():
    """`place: user_end` in a comment of the template ends the user's last message with the block."""
    from experience_db.library import place_of, placed

    library = replace(LIBRARY, template=placed(LIBRARY.template, "user_end"))
    turns = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "why?"},
    ]
    injected = library.inject(turns)
    assert injected[:3] == turns[:3]
    assert injected[3]["content"] == f"why?\n\n{library.block()}"
    assert library.block() == LIBRARY.block()
    assert place_of(placed(library.template, "system")) == "system"
    assert library.inject(turns[:1])[0]["content"].endswith(library.block())


def test_a_place_that_does_not_exist_is_an_error():
    """A template that asks for another place is refused when it is set."""
    with pytest.raises(BadTemplate, match="asks for the place 'margin'"):
        check_template("{# place: margin #}{% for lesson in lessons %}{{ lesson.text }}{% endfor %}")


LINES = "{% for lesson in lessons %}\n{{ lesson.text | line }}\n{% endfor %}\n"
SHOWN = "{# place: user_end #}\n{# examples: turns #}\n" + LINES


def test_worked_examples_become_turns_where_the_template_wants_them():
    """They stand before the user's first message, other lessons stay in the block, and the block alone holds all."""
    example = example_text("Is tea  good?", "Yes.")
    library = Library("x", 1, (Lesson(1, example, 1, 1), Lesson(2, "Be brief.", 1, 1)), SHOWN)
    told = library.inject([{"role": "system", "content": "S"}, {"role": "user", "content": "Q"}])
    assert [(m["role"], m["content"]) for m in told] == [
        ("system", "S"),
        ("user", "Is tea good?"),
        ("assistant", "Yes."),
        ("user", "Q\n\nBe brief."),
    ]
    assert library.block() == f"{example}\nBe brief."
    plain = replace(library, template=SHOWN.replace("{# examples: turns #}\n", ""))
    assert [m["role"] for m in plain.inject([{"role": "user", "content": "Q"}])] == ["user"]
    alone = replace(library, lessons=library.lessons[:1])
    assert [m["role"] for m in alone.inject([{"role": "system", "content": "S"}])] == ["system", "user", "assistant"]


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_worked_example_gives_its_question_and_its_answer_back(question, answer):
    """Whatever is in them, up to white space; what could not be told apart is refused, and other lessons are none."""
    try:
        text = example_text(question, answer)
    except ValueError:
        assert " Answer: " in f" {question} " or not question.split() or not answer.split() or "Answer:" in question
        return
    assert example_of(text) == (" ".join(question.split()), " ".join(answer.split()))


def test_a_question_that_holds_an_answer_is_no_example():
    """Its end could not be found again."""
    with pytest.raises(ValueError, match="Answer:"):
        example_text("Say Answer: 4 now.", "Nothing.")
    assert example_of("Worked examples help. Question: why?") is None
