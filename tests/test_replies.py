r"""What models answer: JSON found and repaired, LaTeX kept, edits read one by one."""

import contextlib
import json
import os
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from json_repair import repair_json
from pydantic import BaseModel

from experience_db import Edit, Op
from tfgrpo.errors import MalformedReply
from tfgrpo.prompting.json_repair import cut_short
from tfgrpo.replies import EditsReply, parse_edits, parse_json, parse_reply, restore_latex
from tfgrpo.types import FailureKind

DATA = Path(os.environ.get("TFGRPO_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
CORPUS = DATA / "malformed_json.jsonl"

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
containers = st.lists(json_values) | st.dictionaries(st.text(), json_values)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ("\ufeff [1, 2] \n", [1, 2]),
        ("42", 42),
        ('Sure!\n```json\n{"a": 1}\n```\nHope it helps {friend}.', {"a": 1}),
        ('```\n{"draft": 1}\n```\nbetter:\n```json\n{"a": 1}\n```', {"a": 1}),
        ('scratch: 3 + 4\nso {1, 2} is a set\n{"a": 1}', {"a": 1}),
        ('The answer is {"a": {"b": "}"}} as shown in [3].', {"a": {"b": "}"}}),
        ('On [0, 1) it holds. {"a": 1}', {"a": 1}),
        ('Draft: {"a": 0}. Final: {"a": 1}', {"a": 1}),
        (r'{"a": "for \alpha, \"b\", \\beta: c"}', {"a": r'for \alpha, "b", \beta: c'}),
        ('Nothing to learn: {"edits": []}', {"edits": []}),
        ('<think>maybe {"a": 2}</think>{"a": 1}', {"a": 1}),
        ('{"a": 1,}', {"a": 1}),
        ("{'a': None, 'b': True}", {"a": None, "b": True}),
        ('{a: "b"}', {"a": "b"}),
        ('{"a": "line\nbreak"}', {"a": "line\nbreak"}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ('[{"a": 1}, {"a": 2}, {"a": "cut', [{"a": 1}, {"a": 2}, {"a": "cut"}]),
        ('{"a": "say "hi" now"}', {"a": 'say "hi" now'}),
        ('{"a": "```\\n[1]\\n```"}', {"a": "```\n[1]\n```"}),
    ],
)
def test_json_is_found(text, value):
    """Fences, prose, thinking and small faults around or inside the JSON do not matter."""
    assert parse_json(text) == value


@pytest.mark.parametrize("text", ["", "  \n", "I see nothing to change.", "{brute force} and [step 2]", "null"])
def test_no_json_is_a_malformed_reply(text):
    """A reply without JSON raises, and the error keeps the reply."""
    with pytest.raises(MalformedReply) as caught:
        parse_json(text)
    assert caught.value.reply == text


@given(containers)
def test_valid_json_is_read_unchanged(value):
    """Whatever is valid JSON comes back as it is, alone and in a fence, but for control characters before letters."""
    expected = restore_latex(value)
    assert parse_json(json.dumps(value)) == expected
    if value:
        assert parse_json(f"Here:\n```json\n{json.dumps(value)}\n```") == expected


@given(st.text(alphabet='{}[]":,\\ntfa1 `', max_size=60))
def test_recovery_never_raises_anything_else(text):
    """Any jumble of brackets and quotes is read or is a MalformedReply."""
    with contextlib.suppress(MalformedReply):
        parse_json(text)


def test_huge_and_deep_replies_are_survived():
    """Endless brackets are a malformed reply, not a crash."""
    for text in ("[" * 100_000, '{"a":' * 20_000, "[0,1) " * 5_000):
        with pytest.raises(MalformedReply):
            parse_edits(text)


LATEX = [
    r"\frac{1}{2}",
    r"3 \times 3",
    r"\beta and \boxed{7}",
    r"\rho, \right), \rangle",
    r"\nabla f \neq 0 \notin S",
    r"\theta = \tanh x \text{ if } x > 0",
    r"$x \to 0$ and $\nu \ne \tan x$",
    r"\(a \ne b\) then \[u \ni v\]",
    r"\alpha + \sqrt{2} \le \underline{x} \%",
    r"\binom{n}{k} \therefore \bar{x}",
]


@pytest.mark.parametrize("latex", LATEX)
def test_unescaped_latex_is_kept(latex):
    """LaTeX written into JSON without doubling its backslashes comes back as it was meant."""
    assert parse_json('{"text": "' + latex + '"}') == {"text": latex}


@pytest.mark.parametrize("latex", LATEX)
def test_escaped_latex_is_kept(latex):
    """LaTeX whose backslashes are doubled is not touched."""
    assert parse_json(json.dumps({"text": latex})) == {"text": latex}


@pytest.mark.parametrize(
    "text",
    [
        "one\ntwo",
        "a\n\nb",
        "list:\ni = 3\nu = 4",
        "col\top",
        "a\tan apple",
        "x\nexists",
        "end\r\nnext",
        "\n\t- item",
        "a\nNote",
    ],
)
def test_real_control_characters_are_kept(text):
    """New lines and tabs before ordinary words stay what they are."""
    assert parse_json(json.dumps({"text": text})) == {"text": text}


def test_latex_is_restored_everywhere_in_a_value():
    """Keys, lists and nested objects are restored as well."""
    assert parse_json(r'{"\tau": ["\frac12", {"a": "\nabla"}]}') == {r"\tau": [r"\frac12", {"a": r"\nabla"}]}


class Verdict(BaseModel):
    """A small reply model."""

    verdict: str
    confidence: float


def test_replies_are_validated():
    """A reply of the right shape becomes the object."""
    assert parse_reply('```json\n{"verdict": "yes", "confidence": 0.5}\n```', Verdict) == Verdict(
        verdict="yes", confidence=0.5
    )


def test_a_wrong_shape_is_described_briefly():
    """The message names the fields and faults in a line that can be shown to the model."""
    with pytest.raises(MalformedReply) as caught:
        parse_reply('{"verdict": 3}', Verdict)
    message = str(caught.value)
    assert "verdict: Input should be a valid string" in message
    assert "confidence: Field required" in message
    assert len(message) < 200


def test_all_forms_of_an_edit_list_are_read():
    """An object with edits, a bare list and a single edit mean the same."""
    one = {"op": "add", "text": " When x, do y. ", "why": "it won", "attempts": [1, "3"], "when": "geometry"}
    for form in ({"edits": [one]}, {"operations": [one]}, [one], one):
        parsed = parse_edits(json.dumps(form))
        assert parsed.edits == (Edit(Op.ADD, "When x, do y.", (), "it won"),)
        assert parsed.attempts == ((1, 3),)
        assert parsed.conditions == ("geometry",)
        assert parsed.malformed == ()


@pytest.mark.parametrize("id", [3, "3", "[3]", "L3", " #3 ", "lesson 3", "G3", [3], ["[3]"]])
def test_ids_come_in_many_forms(id):
    """However the model writes the id of a lesson, it is that lesson."""
    for key in ("id", "ids"):
        assert parse_edits(json.dumps([{"op": "DELETE", key: id}])).edits == (Edit(Op.DELETE, None, (3,)),)


def test_each_operation_has_its_form():
    """UPDATE and MERGE carry text and ids, DELETE drops its text, ADD drops an id."""
    reply = [
        {"op": "ADD", "id": None, "text": "a"},
        {"op": "ADD", "id": "new", "text": "b"},
        {"op": "Update", "id": 1, "content": "c"},
        {"op": "DELETE", "id": 2, "text": ""},
        {"op": "MERGE", "ids": [5, "4", 5], "text": "d"},
        {"op": "NONE", "id": 9},
        {"operation": "keep"},
    ]
    assert parse_edits(json.dumps(reply)).edits == (
        Edit(Op.ADD, "a"),
        Edit(Op.ADD, "b"),
        Edit(Op.UPDATE, "c", (1,)),
        Edit(Op.DELETE, None, (2,)),
        Edit(Op.MERGE, "d", (5, 4)),
    )


@pytest.mark.parametrize(
    ("operation", "complaint"),
    [
        ("add a lesson", "not an object"),
        ({"text": "x"}, "no op"),
        ({"op": "REPLACE", "text": "x"}, "unknown op 'REPLACE'"),
        ({"op": 1, "text": "x"}, "unknown op '1'"),
        ({"op": "ADD"}, "ADD without text"),
        ({"op": "ADD", "text": "  "}, "ADD without text"),
        ({"op": "ADD", "text": ["x"]}, "text is no string"),
        ({"op": "UPDATE", "text": "x"}, "UPDATE of 0 lessons"),
        ({"op": "UPDATE", "text": "x", "ids": [1, 2]}, "UPDATE of 2 lessons"),
        ({"op": "DELETE", "id": "the third"}, "'the third' is no lesson id"),
        ({"op": "DELETE", "id": True}, "'True' is no lesson id"),
        ({"op": "DELETE", "id": -1}, "'-1' is no lesson id"),
        ({"op": "MERGE", "text": "x", "ids": [4, "[4]"]}, "MERGE of 1 lessons"),
    ],
)
def test_a_bad_operation_costs_itself_only(operation, complaint):
    """The good operations around a bad one are kept, and the bad one says what is wrong with it."""
    good = {"op": "ADD", "text": "keep me"}
    parsed = parse_edits(json.dumps([good, operation, good]))
    assert [edit.text for edit in parsed.edits] == ["keep me", "keep me"]
    (failure,) = parsed.malformed
    assert failure.kind is FailureKind.MALFORMED
    assert failure.message.startswith("edit 2: ")
    assert complaint in failure.message


@pytest.mark.parametrize("text", ['{"edits": []}', "[]", '{"edits": null}', '[{"op": "NONE"}]', 'None. {"edits": []}'])
def test_no_edit_is_a_valid_answer(text):
    """Nothing to learn is an answer, not a fault."""
    assert parse_edits(text, max_edits=2) == parse_edits("[]")


@pytest.mark.parametrize("text", ["No change.", '{"verdict": "good"}', "7", '"add"'])
def test_a_reply_of_another_kind_is_malformed(text):
    """A reply without operations is not mistaken for one without edits."""
    with pytest.raises(MalformedReply):
        parse_edits(text)


def test_edits_beyond_the_limit_are_counted():
    """What exceeds the limit is not applied and not lost silently."""
    parsed = parse_edits(json.dumps([{"op": "ADD", "text": t} for t in "abc"] + [{"op": "NONE"}]), max_edits=2)
    assert [edit.text for edit in parsed.edits] == ["a", "b"]
    assert [failure.message for failure in parsed.malformed] == ["edit 3: more than 2 edits"]


@pytest.mark.parametrize("end", ["", "<oops>", ' \\"quoted\\" and'])
def test_an_edit_in_whose_words_the_reply_ends_is_not_believed(end):
    """Half a lesson may say the opposite of the whole one, so it counts as malformed; the edits before it stand."""
    whole = json.dumps({"edits": [{"op": "ADD", "text": "first"}, {"op": "ADD", "text": "never add the"}]})
    cut = whole[: whole.index("never add") + 9] + end
    parsed = parse_edits(cut)
    assert [edit.text for edit in parsed.edits] == ["first"]
    assert "ends in the middle of" in parsed.malformed[0].message
    assert cut_short(cut)


@pytest.mark.parametrize(
    "text",
    ['{"edits": [{"op": "ADD", "text": "whole"}', '[{"op": "ADD", "text": "a "b" c"}]', "None at all", '{"edits": []}'],
)
def test_a_reply_that_only_lacks_brackets_is_not_cut_short(text):
    """What can be repaired without losing words is repaired."""
    assert not cut_short(text)


def test_half_a_surrogate_pair_is_replaced():
    """A lesson can always be stored, also when the model sent half a character."""
    (edit,) = parse_edits('[{"op": "ADD", "text": "a\\ud83d"}]').edits
    edit.text.encode()


def test_the_schema_is_strict():
    """Every object forbids other keys and requires all its own, as structured outputs demand."""
    schema = EditsReply.model_json_schema()
    for shape in (schema, *schema["$defs"].values()):
        assert shape["additionalProperties"] is False
        assert sorted(shape["required"]) == sorted(shape["properties"])
    reply = {
        "op": "ADD",
        "ids": [],
        "text": "x",
        "reason": "y",
        "attempts": [1],
        "when": None,
        "when_not": None,
        "scope": None,
    }
    jsonschema.validate({"edits": [reply]}, schema)
    assert len(parse_edits(json.dumps({"edits": [reply]})).edits) == 1


@given(json_values)
def test_edits_are_read_from_anything(value):
    """Any JSON value gives edits, failures or a MalformedReply, and the parallel fields stay parallel."""
    try:
        parsed = parse_edits(json.dumps([value, {"op": value, "text": value, "ids": value, "attempts": value}]))
    except MalformedReply:
        return
    assert len(parsed.edits) == len(parsed.attempts) == len(parsed.conditions)


@pytest.mark.skipif(not CORPUS.is_file(), reason="needs malformed_json.jsonl (TFGRPO_DATA)")
def test_more_is_recovered_than_by_json_repair_alone():
    """On public malformed replies, at least 225 of 273 containers are read as expected, 209 by json-repair alone."""
    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if isinstance(row["expected"], dict | list)]
    ours = sum(matches(row, parse_json) for row in rows)
    plain = sum(matches(row, lambda raw: repair_json(raw, return_objects=True)) for row in rows)
    assert ours >= 225, f"{ours} of {len(rows)}, json-repair alone {plain}"
    assert ours > plain
    assert all(matches(row, parse_json) for row in rows if row["source"].startswith("synthetic"))


def matches(row, read):
    """Whether a reader gives what the row expects."""
    try:
        value = read(row["raw"])
    except MalformedReply:
        return False
    if row.get("expected_mode") and isinstance(value, list):
        return value[: len(row["expected"])] == row["expected"]
    return value == row["expected"]
