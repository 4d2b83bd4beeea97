"""What a file seems to hold, and how to learn from it: kinds of data that people bring."""

# ruff: noqa: E501  (rows of a table, one a line)

from __future__ import annotations

import shlex

import pytest

from tfgrpo.datasets.proposal import propose

KINDS = {
    "support labels": (
        [{"question": f"Where is order {i}?", "label": ("billing", "account", "shipping")[i % 3]} for i in range(30)],
        {"answer": "label"},
        "exact",
    ),
    "sentiment": (
        [{"Text": f"It was thing {i}.", "Sentiment": ("good", "bad")[i % 2]} for i in range(40)],
        {"question": "Text", "answer": "Sentiment"},
        "exact",
    ),
    "unknown names": (
        [{"mail": f"A long letter about matter {i}", "team": ("red", "blue")[i % 2], "n": i} for i in range(40)],
        {"question": "mail", "answer": "team"},
        "exact",
    ),
    "sums": ([{"problem": f"{i} + {i}?", "solution": str(2 * i)} for i in range(50)], {"answer": "solution"}, "numeric"),
    "prices": ([{"q": f"Item {i}?", "question": f"Cost {i}?", "target": f"${i}.50"} for i in range(30)], {"answer": "target"}, "numeric"),
    "options": (
        [{"question": f"Which {i}?\nA) one\nB) two\nC) three", "answer": "ABC"[i % 3]} for i in range(30)],
        {},
        "choice",
    ),
    "formulas": ([{"prompt": f"Solve {i}", "answer": f"\\frac{{{i}}}{{7}}"} for i in range(30)], {}, "math"),
    "facts": ([{"question": f"Who {i}?", "answer": f"Person Number {i}"} for i in range(30)], {}, "web_qa"),
    "summaries": (
        [{"document": f"Text {i} " * 50, "summary": f"A summary of text {i} in a sentence of more words."} for i in range(30)],
        {"question": "document", "answer": "summary"},
        "judge",
    ),
    "no reference": ([{"question": f"Write about {i}."} for i in range(30)], {}, "judge"),
    "programs": ([{"prompt": f"Write f{i}", "tests": [{"input": "1"}]} for i in range(30)], {}, "program"),
    "verl": (
        [{"prompt": [{"role": "user", "content": f"{i}+1?"}], "reward_model": {"ground_truth": str(i + 1)}} for i in range(30)],
        {},
        "numeric",
    ),
    "own ids": ([{"id": f"t{i}", "ticket_id": i, "text": f"Some {i}", "intent": "xy"[i % 2]} for i in range(30)], {"question": "text", "answer": "intent"}, "exact"),
    "order numbers": (
        [{"Order No": 1000 + i, "Text": f"Where is it {i}?", "Label": "xyz"[i % 3]} for i in range(30)],
        {"question": "Text", "answer": "Label", "id": "Order No"},
        "exact",
    ),
    "humps": ([{"caseNumber": f"C-{i}", "Body": f"Some {i}", "Topic": "xy"[i % 2]} for i in range(30)], {"question": "Body", "answer": "Topic", "id": "caseNumber"}, "exact"),
    "numbers that recur": ([{"Shop No": i % 5, "Text": f"Some {i}", "Label": "xy"[i % 2]} for i in range(30)], {"question": "Text", "answer": "Label"}, "exact"),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_fields_and_grader_fit_the_kind(name: str):
    """By the names of columns, the length of their texts and how often they recur."""
    rows, fields, grader = KINDS[name]
    found = propose(rows)
    assert (dict(found.fields), found.grader) == (fields, grader)


def test_labels_are_told_to_the_model():
    """The instructions name every label; a set in which one label nearly always is right is noted."""
    rows, _, _ = KINDS["support labels"]
    found = propose(rows)
    assert "account, billing, shipping" in found.instructions
    lopsided = propose([{"question": f"q{i}", "label": "spam" if i % 10 == 0 else "ham"} for i in range(40)])
    assert any("always saying it would score as much" in note for note in lopsided.notes)


def test_the_command_is_one_that_a_shell_reads():
    """Quoted where it must be, and without what is the default anyway."""
    rows, _, _ = KINDS["support labels"]
    words = shlex.split(propose(rows).command("my tickets.csv"))
    assert words[:3] == ["tfgrpo", "learn", "my tickets.csv"]
    assert words[words.index("--field") + 1] == "answer=label"
    assert "--heldout" not in words
    assert "--heldout" in shlex.split(propose(rows[:12]).command("x.csv"))
