"""Thinking is dropped whatever marks stand around it; words about marks are kept."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrpo.prompting.thinking import after_thinking
from tfgrpo.replies import parse_edits

BLOCKS = [
    "<think>{}</think>",
    "<THINK>\n{}\n</think>",
    "<thinking>{}</thinking>",
    '<think effort="high">{}</think>',
    "<thought>{}</thought>",
    "<reasoning>{}</reasoning>",
    "<scratchpad>{}</scratchpad>",
    "<seed:think>{}</seed:think>",
    "<mm:think>{}</mm:think>",
    "[THINK]{}[/THINK]",
    "◁think▷{}◁/think▷",
    "<|begin_of_thought|>{}<|end_of_thought|>",
    "<|START_THINKING|>{}<|END_THINKING|>",
    "<|inner_prefix|>{}<|inner_suffix|>",
    "<antThinking>{}</antThinking>",
    "<longcat_think>{}</longcat_think>",
    "<seed:cot_budget_reflect>{}</seed:cot_budget_reflect>",
    "<unused94>{}<unused95>",
    "<｜begin▁of▁thought｜>{}<｜end▁of▁thought｜>",
    "<begin_of_thought>{}<end_of_thought>",
    "<reasoning_content>{}</reasoning_content>",
    "<|channel>thought\n{}<channel|>",
    "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>",
    "<|start|>assistant<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>commentary<|message|>x<|end|>"
    "<|start|>assistant<|channel|>final<|constrain|>json<|message|>",
    "analysis{}assistantfinal",
]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("thought", ["", "maybe 4", "Answer: 4\n\n\\boxed{4}", 'it is 6" or [3, 4] {x}', "a `word`"])
def test_a_block_is_dropped_whatever_its_marks(block, thought):
    """What follows the thinking is the reply."""
    assert after_thinking(block.format(thought) + "5").strip() == "5"


@pytest.mark.parametrize("block", BLOCKS[:22])
def test_a_block_that_was_opened_in_the_prompt_or_never_closes_is_dropped(block):
    """A closing mark alone ends the thinking before it; an opening one alone begins thinking to the end."""
    head, tail = block.split("{}")
    assert after_thinking(f"maybe 4{tail}5") == "5"
    assert after_thinking(f"5{head}maybe 4") == "5"
    assert after_thinking(f"{head}maybe 4") == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("5<|return|>", "5"),
        ("5<|im_end|>", "5"),
        ("<think>a</think>5<think>b</think>", "5"),
        ("<think>a <think>b</think> c</think>5", "5"),
        ("<|channel|>analysis<|message|>only thought", ""),
        ("<|channel|>final<|message|>5<|return|>", "5"),
        ("<|begin_of_thought|>x<|end_of_thought|><|begin_of_solution|>5<|end_of_solution|>", "5"),
        ("Write `<think>` before the answer 5", "Write `<think>` before the answer 5"),
        ('{"text": "never write </think> twice"}', '{"text": "never write </think> twice"}'),
        ("analysis of variance gives 5", "analysis of variance gives 5"),
        ("if x < 3 then [think] 5", "if x < 3 then "),
        ("a < b > c", "a < b > c"),
        ("", ""),
    ],
)
def test_what_is_said_stays(text, said):
    """Frames are dropped, several blocks are, and a mark that is only spoken of is a word."""
    assert after_thinking(text) == said


@pytest.mark.parametrize("block", BLOCKS)
def test_drafts_in_the_thinking_are_no_edits(block):
    """The reader of lessons sees what the graders see."""
    draft, meant = (json.dumps({"edits": [{"op": "ADD", "text": text}]}) for text in ("Draft.", "Meant."))
    edits = parse_edits(block.format(draft.replace('"', "'")) + meant).edits
    assert [edit.text for edit in edits] == ["Meant."]


@given(st.text(alphabet='<>[]/|think "`\n:{', max_size=60))
def test_nothing_is_made_up(text):
    """Whatever comes in, only signs of it come out, in their order."""
    signs = iter(text)
    assert all(sign in signs for sign in after_thinking(text))
