"""Libraries as files: JSON with evidence, Markdown for people, plain lists in."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experience_db import BadImport, BadTemplate, Edit, Evidence, Op, Source, Store, lesson_texts
from experience_db.exchange import lesson_edits
from experience_db.lesson_lists import read_list


@pytest.fixture
def grown(taught) -> Store:
    """A library with a gap in its ids, a template, sources and evidence."""
    source = Source("p1", (0, 2), "r")
    update = Edit(Op.UPDATE, "Convert ☃ first.", (1,), sources=(source,), tainted=True)
    edits = [Edit(Op.DELETE, ids=(2,)), update]
    good = Evidence("gate", 0.1, 0.02, 0.18, 64, (1,), "accepted", detail={"e": 20.5})
    evidence = [good, Evidence("gate", -0.1, lesson_ids=(2,))]
    taught.commit("web", edits, parent=1, evidence=evidence, template="{{ lessons | length }} lessons")
    taught.add_evidence("web", [Evidence("heldout", 0.2)])
    return taught


def words(lesson) -> tuple:
    """What a lesson says and where it comes from, without the versions it passed through."""
    return lesson.id, lesson.text, lesson.sources, lesson.tainted


def test_export_survives_json_and_another_database(grown, tmp_path):
    """An export read back elsewhere has the same ids, words, sources, template and evidence."""
    exported = json.loads(json.dumps(grown.export("web"), allow_nan=False))
    with Store.open(tmp_path / "other.db") as other:
        copy, original = other.import_(exported, "copy"), grown.library("web")
        assert list(map(words, copy)) == list(map(words, original))
        assert copy.block() == original.block() == "2 lessons"
        assert [(e.kind, e.estimate, e.lesson_ids, e.detail) for e in other.evidence("copy")] == [
            ("gate", 0.1, (1,), {"e": 20.5, "imported": "web@2"}),
            ("heldout", 0.2, (), {"imported": "web@2"}),
        ]
        assert other.verify() == ()
        assert other.versions("copy")[1].note == "import of web version 2"
        again = other.export("copy")
        assert [x["text"] for x in again["lessons"]] == [x["text"] for x in exported["lessons"]]


def test_import_into_a_library_with_history_gives_new_ids(grown):
    """Lessons of an export come in under fresh ids, and their evidence follows them."""
    exported = grown.export("web")
    made = grown.import_(exported, "web")
    assert [lesson.id for lesson in made] == [1, 3, 4, 5]
    assert made.lesson(4).text == made.lesson(1).text
    assert [e.estimate for e in grown.evidence("web", 4)] == [0.1]
    assert grown.verify() == ()


def test_export_of_an_old_version_holds_what_was_known_then(grown):
    """Exporting version 1 gives its lessons and no evidence measured later."""
    exported = grown.export("web", 1)
    assert [row["id"] for row in exported["lessons"]] == [1, 2, 3]
    assert exported["evidence"] == []


@pytest.mark.parametrize(
    "damage",
    [
        {"format": "experience_db/9"},
        {"lessons": [{"id": 1}]},
        {"lessons": [{"id": 0, "text": "x", "born": 1, "changed": 1, "sources": []}]},
        {"lessons": "text"},
        {"evidence": [{"colour": "red"}]},
        {"template": None, "lessons": None},
    ],
)
def test_damaged_export_is_refused_and_stores_nothing(grown, damage):
    """Whatever is wrong with an export, import_ raises BadImport and makes no library."""
    with pytest.raises(BadImport, match="export it anew"):
        grown.import_(grown.export("web") | damage, "copy")
    assert grown.libraries() == ("web",)


def test_export_with_a_broken_template_is_refused(grown):
    """A template that cannot be rendered raises BadTemplate and makes no library."""
    with pytest.raises(BadTemplate):
        grown.import_(grown.export("web") | {"template": "{{ x }}"}, "copy")
    assert grown.libraries() == ("web",)


def test_markdown_export_reads_like_a_list(grown):
    """People see lessons with ids and, below each, what was measured about it."""
    assert grown.export_markdown("web") == (
        "# web, version 2\n\n"
        "- [1] Convert ☃ first.\n"
        "  - tainted by tool output\n"
        "  - gate: +0.100 [+0.020, +0.180], n=64, accepted\n"
        "- [3] Check the edge cases of a loop.\n"
    )


def test_markdown_export_can_be_imported(grown):
    """Lessons read from our own Markdown are the lessons, without ids and evidence lines."""
    grown.commit("web", [Edit(Op.ADD, "Two\nlines.")], parent=2)
    texts = lesson_texts(grown.export_markdown("web"))
    assert texts == ("Convert ☃ first.", "Check the edge cases of a loop.", "Two\nlines.")
    made = grown.import_texts(texts, "copy")
    assert [(lesson.id, lesson.text) for lesson in made] == list(enumerate(texts, start=1))
    assert made.version == 1


def test_taint_survives_every_form_of_export(grown):
    """JSON, Markdown and JSONL rows bring the mark back; a list without it brings none."""
    grown.import_(grown.export("web"), "from-json")
    grown.import_texts(lesson_edits(grown.export_markdown("web")), "from-markdown")
    rows = '{"text": "Convert.", "tainted": true}\n{"text": "Check."}'
    grown.import_texts(lesson_edits(rows), "from-jsonl")
    for name in ("from-json", "from-markdown", "from-jsonl"):
        assert [lesson.tainted for lesson in grown.library(name)] == [True, False], name
    assert grown.verify() == ()


@pytest.mark.parametrize(
    ("text", "lessons"),
    [
        ('{"text": "a"}\n\n{"lesson": "b", "id": 3}\n"c"\n', ("a", "b", "c")),
        ("# Title\n\n- a\n* b\n1. c\n2) [G4] d\n   more\n", ("a", "b", "c", "d\nmore")),
        ("", ()),
        # Byte order marks and the line ends of other systems.
        ("\ufeff- Always check units first.\n- Then round.\n", ("Always check units first.", "Then round.")),
        ('\ufeff{"text": "a"}\n', ("a",)),
        ("- a\r\n- b\r\n", ("a", "b")),
        ("- a\r- b", ("a", "b")),
        # Other separators are part of the text.
        ("- Round late\u0085but only once.\n", ("Round late\u0085but only once.",)),
        ("- Round\u2028late.\n- b\u2029c\x0bd\x0ce\x1cf\n", ("Round\u2028late.", "b\u2029c\x0bd\x0ce\x1cf")),
        ('{"text": "a\u2028b"}', ("a\u2028b",)),
        # Signs that look like the end of a string.
        ('- A 65" pipe is no 12" pipe.', ('A 65" pipe is no 12" pipe.',)),
        # Headings, lines below an item, other bullets, tasks, indented lists.
        ("# A\n- a\n## B\n- b\n", ("a", "b")),
        ("- a long\nlesson\n- b\n", ("a long\nlesson", "b")),
        ("• a\n– b\n", ("a", "b")),
        ("- [ ] a\n- [x] b\n", ("a", "b")),
        ("  - a\n  - b\n", ("a", "b")),
        # Plain lines.
        ("Always check units.\nRound last.\n", ("Always check units.", "Round last.")),
        ("# Rules\nAlways check units.\n\nRound last.", ("Always check units.", "Round last.")),
        # Several values in a line, and arrays.
        ('{"text": "a"} {"text": "b"}', ("a", "b")),
        ('["a", {"lesson": "b"}]', ("a", "b")),
        ('[\n  {"text": "a"},\n  "b"\n]', ("a", "b")),
    ],
)
def test_plain_lists_are_read(text, lessons):
    """JSONL of strings or objects and Markdown lists of any bullet give lesson texts."""
    assert lesson_texts(text) == lessons


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"text": "a"}\nb', "line 2 is not JSON"),
        ('{"a": 1}', "line 1 holds no lesson"),
        ("just prose", "no list items"),
        ("a paragraph that\nis broken into lines.", "no list items"),
        ('{"text": "a", "text": "b"}', "line 1 gives a key twice"),
        ('{"text": "A 65" pipe"}', "line 1 is not JSON"),
        ('["a", 7]', "entry 2 holds no lesson"),
        ("[" * 100_000, "no list items"),
        ('["' + "[" * 10, "is not JSON"),
    ],
)
def test_unreadable_list_names_the_line(text, fault):
    """What is no list raises BadImport, which says where and what to write instead."""
    with pytest.raises(BadImport, match=fault):
        lesson_texts(text)


def test_what_is_left_out_is_told_line_by_line():
    """Lines of a list that become no lesson are counted and named; nothing is dropped in silence."""
    text = "# Rules\nWritten by hand.\n\n- a\n  - gate: +0.1, n=64\n- b\n\nThe end.\n---\n"
    listed = read_list(text)
    assert [edit.text for edit in listed.edits] == ["a", "b"]
    assert listed.lines == 7
    assert [(x.number, x.why) for x in listed.left_out] == [
        (1, "a heading"),
        (2, "a line outside the list"),
        (5, "an item below a lesson"),
        (8, "a line outside the list"),
        (9, "a rule"),
    ]


@given(st.text(alphabet="-# ab.1)\n\r\t\u2028\u0085>|", max_size=60))
def test_every_word_of_a_list_is_in_a_lesson_or_left_out(text):
    """Whatever a list looks like, its letters come back in lessons or in lines that are named."""
    try:
        listed = read_list(text)
    except BadImport:
        return
    kept = "".join([*(edit.text or "" for edit in listed.edits), *(x.text for x in listed.left_out)])
    assert sorted(c for c in kept if c in "ab") == sorted(c for c in text if c in "ab")


def test_an_export_with_a_clever_template_needs_permission(grown):
    """A template with conditions of its own is refused by name, and taken with a permission."""
    clever = "{% for x in lessons %}{{ x.text }}{% if x.id > 2 %}obey{% endif %}{% endfor %}"
    exported = grown.export("web") | {"template": clever}
    with pytest.raises(BadTemplate, match=r"its line 1 uses Compare.*--allow template"):
        grown.import_(exported, "copy")
    assert grown.libraries() == ("web",)
    assert "obey" in grown.import_(exported, "copy", allow_template=True).block()


@given(st.lists(st.text(min_size=1).filter(str.strip), max_size=4))
def test_jsonl_brings_any_text_in(texts):
    """Any text written as JSONL comes back unchanged."""
    assert lesson_texts("\n".join(json.dumps({"text": text}) for text in texts)) == tuple(texts)
