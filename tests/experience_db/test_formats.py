"""A library in the forms of other programs: their rules, and what comes back when it is read again."""

from __future__ import annotations

import csv
import io
import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from experience_db import BadImport, Evidence, Lesson, Library, Store
from experience_db.formats import (
    FORMATS,
    USER,
    agents_section,
    chat,
    escaped,
    promptfoo,
    skill,
    skill_name,
    system,
    table,
    with_section,
)
from experience_db.formats_read import read_format
from experience_db.templating import environment, line

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(str.strip)
ODD = st.sampled_from(
    ["- [9] not mine", "## Evidence", "a\n\n  b\n", "=1+1", "'quoted", "a\r\nb", "{{ x }} {% y %}", "---", "x,\"y\"\n,",
     "<!-- tfgrpo:web end -->", "a\n<!-- tfgrpo:web end -->", "\ufeffx",
     "</lessons-00000000>", "{{{% '{{' }} {{ '{%' }}"]
)  # fmt: skip
NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=200).filter(
    lambda x: x[0] not in "@ \t" and not x[0].isspace() and "\n" not in x and "@" not in x
)


@st.composite
def libraries(draw: st.DrawFn) -> Library:
    """Libraries with gaps in their ids, odd words and taint."""
    ids = sorted(draw(st.sets(st.integers(1, 10**12), max_size=5)))
    lessons = (Lesson(i, draw(TEXT | ODD), 1, 1, tainted=draw(st.booleans())) for i in ids)
    return Library(draw(NAME), 3, tuple(lessons))


def held(text: str) -> list[tuple]:
    """Id, words and taint of each lesson that a file holds."""
    found = read_format(text)
    assert found is not None
    return [(x["id"], x["text"], x["tainted"]) for x in found["lessons"]]


@pytest.mark.parametrize("form", ["skill", "agents", "csv"])
@given(library=libraries())
def test_ids_words_and_taint_come_back(form, library):
    """Whatever the lessons say, a file read again holds the same ids, the same words and the same taint."""
    assert held(FORMATS[form](library, ())) == [(x.id, x.text, x.tainted) for x in library]


@pytest.mark.parametrize("form", ["chat", "system", "promptfoo", "dspy"])
@given(library=libraries().filter(len))
def test_prompts_bring_back_what_a_prompt_holds(form, library):
    """Ids and words come back as the block has them: on one line each, closing tags of a fence escaped."""
    shown = [(i, text.replace("&lt;", "<")) for i, text, _ in held(FORMATS[form](library, ()))]
    assert shown == [(x.id, line(x.text).replace("&lt;", "<")) for x in library]


@given(libraries(), st.text(st.characters(exclude_categories=["Cs"])), st.text())
def test_a_section_changes_nothing_around_it(library, before, after):
    """Put into a file, again, and after the lessons changed: all else stays, and the second time changes nothing."""
    after = after.encode("utf-8", "replace").decode()
    once = with_section(before, library)
    assert once.startswith(before)
    assert with_section(once, library) == once
    around = once + "\n" + after.replace("<!--", "")
    later = Library(library.name, 4, (Lesson(7, "Only this.", 4, 4),))
    changed = with_section(around, later)
    assert changed.startswith(before)
    assert changed.endswith("\n" + after.replace("<!--", ""))
    assert "Only this." in changed
    assert with_section(changed, later) == changed


def test_a_section_keeps_the_line_ends_of_its_file():
    """A file of another system stays one."""
    library = Library("web", 1, (Lesson(1, "One.", 1, 1), Lesson(2, "Two\nlines.", 1, 1)))
    made = with_section("# Rules\r\n\r\nBe kind.\r\n", library)
    assert made.count("\n") == made.count("\r\n")
    assert held(made) == [(1, "One.", False), (2, "Two\nlines.", False)]
    assert with_section(made, library) == made


def test_two_libraries_live_in_one_file():
    """Each has a section of its own; reading such a file asks which."""
    web, tea = Library("web", 1, (Lesson(1, "One.", 1, 1),)), Library("web--tea>", 1, (Lesson(1, "Two.", 1, 1),))
    both = with_section(with_section("", web), tea)
    assert with_section(with_section(both, web), tea) == both
    with pytest.raises(BadImport, match=r"several sections \(web, web--tea>\)"):
        read_format(both)


def test_a_damaged_section_is_left_alone():
    """A marker without its other half is told, and nothing is written over."""
    library = Library("web", 1, (Lesson(1, "One.", 1, 1),))
    section = agents_section(library)
    for text in (section.rpartition("\n")[0], section.partition("\n")[2], f"{section}\n{section}\n"):
        with pytest.raises(BadImport, match="damaged"):
            with_section(text, library)


@given(libraries())
def test_a_skill_obeys_the_rules_of_skills(library):
    """The front matter is YAML; the name fits [a-z0-9-]{1,64}, the description has 1 to 1024 characters and no tags."""
    front = yaml.safe_load(skill(library).split("---\n")[1])
    assert front["name"] == skill_name(library.name)
    assert 1 <= len(front["name"]) <= 64
    assert set(front["name"]) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert "--" not in front["name"]
    assert front["name"].strip("-") == front["name"]
    assert 1 <= len(front["description"]) <= 1024
    assert not set("<>") & set(front["description"])
    assert front["metadata"]["tfgrpo-library"] == library.name


def test_a_skill_and_a_table_say_what_was_measured():
    """The evidence section and the columns hold effect, interval and n of the present words, or that there is none."""
    library = Library("web", 3, (Lesson(1, "One.", 1, 2), Lesson(2, "Two.", 1, 1)))
    measured = (
        Evidence("gate", 0.9, n=9, lesson_ids=(1,), version=1),
        Evidence("gate", 0.25, 0.1, 0.4, 64, (1,), "accepted", version=2),
        Evidence("gate", -0.5, n=8, lesson_ids=(2,), version=4),
    )
    text = skill(library, measured)
    assert "- [1] gate: +0.250 [+0.100, +0.400], n=64; written by hand" in text
    assert "- [2] not measured; written by hand" in text
    assert "1 with a measured effect" in text
    assert table(library, measured).split("\r\n")[1:3] == [
        "1,One.,0,1,2,0,gate,0.25,0.1,0.4,64,accepted", "2,Two.,0,1,1,0,,,,,,",
    ]  # fmt: skip


@given(TEXT | ODD)
def test_a_template_shows_escaped_text_as_it_is(text):
    """Rendered by a template engine, an escaped text is itself: no lesson runs in the prompts of an evaluation."""
    # Jinja ends every line of a template's source with a line feed.
    plain = text.replace("\r\n", "\n").replace("\r", "\n")
    assert environment().from_string(escaped(text)).render() == plain


def test_prompts_are_what_an_app_would_send():
    """Chat is what `inject` makes, system is the block, promptfoo has the question beside it; empty stays empty."""
    library = Library("web", 1, (Lesson(1, "Write {{x}}.", 1, 1),))
    assert json.loads(chat(library)) == library.inject([])
    assert system(library) == library.block() + "\n"
    made = json.loads(promptfoo(library))
    assert made[-1] == {"role": "user", "content": USER}
    assert "Write {{ '{{' }}x}}." in made[0]["content"]
    assert json.loads(promptfoo(Library("web"))) == [{"role": "user", "content": USER}]
    assert json.loads(chat(Library("web"))) == []


def test_ids_survive_in_a_new_library(tmp_path):
    """What was read comes in under its own ids, unproved, where the library has no history."""
    library = Library("web", 1, (Lesson(3, "Three.", 1, 1, tainted=True), Lesson(8, "Eight.", 1, 1)))
    with Store.open(tmp_path / "x.db") as store:
        for form in ("skill", "agents", "csv"):
            found = read_format(FORMATS[form](library, ()))
            assert found is not None
            made = store.import_(found, form)
            assert [(x.id, x.text, x.tainted) for x in made] == [(3, "Three.", True), (8, "Eight.", False)]
            assert store.evidence(form) == ()


@pytest.mark.parametrize(
    "text", ["", "- one\n- two\n", "# Skills\n\n- [1] a\n", '["a", "b"]', '{"text": "x"}', "One.\nTwo.\n", "<lessons>"]
)
def test_what_people_write_is_none_of_these(text):
    """Plain lists are left to the reader of lists."""
    assert read_format(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "id,text,tainted,born,changed,problems,evidence,estimate,low,high,n,verdict\nx,a,0\n",
        '---\nname: a\nmetadata:\n  tfgrpo-version: "1"\n---\n\nnothing\n',
        "<!-- tfgrpo:web begin -->\n- [1] a\n",
        '[{"role": "system", "content": "Be kind."}]',
        '[{"role": "system", "content": "<lessons-00000000>\\nfree\\n</lessons-00000000>"}]',
        '[{"role": ',
        '{"traces": [], "signature": {}}',
        '{"traces": [], "signature": {"instructions": "Be kind."}}',
    ],
)
def test_what_is_damaged_is_told(text):
    """A file of ours with a part missing is an error, never half a library."""
    with pytest.raises(BadImport):
        read_format(text)


@given(libraries())
def test_no_cell_begins_as_a_formula(library):
    """A spreadsheet runs no lesson of a table."""
    for row in list(csv.reader(io.StringIO(table(library), newline="")))[1:]:
        assert not row[1].startswith(("=", "+", "-", "@", "\t", "\r"))


def test_what_came_with_an_import_begins_no_line_and_no_formula():
    """A name or a kind of measurement with line ends stays in its line, a cell that would be run is marked."""
    library = Library("web\r# Obey\u2028## Obey", 3, (Lesson(1, "\uff1d1+1", 1, 1),))
    measured = (Evidence("=1\n# Obey", 0.5, n=9, lesson_ids=(1,), version=2),)
    for text in (skill(library, measured), agents_section(library)):
        assert not [line for line in text.splitlines() if line.startswith(("# Obey", "## Obey"))]
    assert "'\uff1d1+1" in table(library, measured)
    assert "'=1" in table(library, measured)
