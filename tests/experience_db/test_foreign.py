"""Lessons of other programs: found in the files that they write, marked as brought in, never as measured."""

import json
from contextlib import suppress

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from experience_db import BadImport, Evidence, Store
from experience_db.foreign import read_foreign

YOUTU = "# @package _global_\n" + yaml.safe_dump(
    {
        "type": "simple",
        "agent": {"name": "a", "instructions": "Solve it.\n[G0]. Units: convert\nfirst.\n[G12]. Draw [1]."},
    },
    sort_keys=False,
)
ACE = """## STRATEGIES & INSIGHTS
[sai-00001] helpful=3 harmful=1 :: Convert units first.
[sai-00004] helpful=0 harmful=0 :: Draw :: then compute.

## OTHERS
[oth-00002] helpful=0 harmful=2 :: Ask back.
"""
EXPEL = "1. Convert units first. {4}\n2. Draw {x} before you compute. {2}\n"
MEMORY = """```
# Memory Item 1
## Title Units
## Description When two units meet
## Content Convert them
first.

# Memory Item 2
## Title: Figures
## Content: Draw one!
```"""
BANK = json.dumps({"task_id": 7, "query": "q", "memory_items": MEMORY.split("\n\n")}) + "\n"
KNOWN = ["Units. When two units meet. Convert them first.", "Figures. Draw one!"]


@pytest.mark.parametrize(
    ("text", "program", "lessons"),
    [
        (YOUTU, "youtu-agent", ["Units: convert\nfirst.", "Draw [1]."]),
        ('{"G0": "Convert.", "G3": "Draw."}', "youtu-agent", ["Convert.", "Draw."]),
        (ACE, "ACE", ["Convert units first.", "Draw :: then compute.", "Ask back."]),
        (EXPEL, "ExpeL", ["Convert units first.", "Draw {x} before you compute."]),
        ('[["Convert.", 4], ["Draw.", 2]]', "ExpeL", ["Convert.", "Draw."]),
        (MEMORY, "ReasoningBank", KNOWN),
        (BANK, "ReasoningBank", KNOWN),
        (BANK.replace("\n", "\r\n"), "ReasoningBank", KNOWN),
        (
            json.dumps({"memory_items": [{"title": "Units", "description": "d", "content": "Convert."}]}),
            "ReasoningBank",
            ["Units. d. Convert."],
        ),
    ],
)
def test_files_of_other_programs_are_read(text, program, lessons):
    """Every lesson is found whole, with the program it is from."""
    found = read_foreign(text)
    assert found.program == program
    assert [edit.text for edit in found.edits] == lessons


def test_what_a_program_counted_is_a_claim(tmp_path):
    """Counts stay in the history, the lesson says where it came from, and no evidence comes of it."""
    with Store.open(tmp_path / "e.db") as store:
        library = store.import_texts(read_foreign(ACE).edits, "x")
        assert {lesson.origin for lesson in library} == {"imported from ACE"}
        assert store.evidence("x") == ()
        assert "helpful 3, harmful 1, section STRATEGIES & INSIGHTS" in store.log("x")[0].edit.reason
        assert store.log("x")[0].edit.sources[0].problem_id == "import: ACE sai-00001"


def test_imported_evidence_is_kept_and_does_not_count(taught, tmp_path):
    """What another library measured comes along, says so, and weighs nothing in what is chosen here."""
    taught.add_evidence("web", [Evidence("leave-one-out", 0.2, 0.1, 0.3, 90, (1,))])
    with Store.open(tmp_path / "other.db") as other:
        other.import_(taught.export("web"), "copy")
        assert other.evidence("copy")[0].detail["imported"] == "web@1"
        assert taught.effects("web", (1,))
        assert other.effects("copy", (1,)) == {}
        again = other.export("copy")
    with Store.open(tmp_path / "third.db") as third:
        third.import_(again, "copy")
        assert third.evidence("copy")[0].detail["imported"] == "web@1"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("agent:\n  instructions: |\n    Solve it.\n", "holds no experiences"),
        ("agent:\n  name: x\ninstructions: none\n", "no text under agent.instructions"),
        ("agent:\n  instructions: [\n", "YAML cannot be read"),
        ('{"memory_items": 3}\n', "line 1 has no list of memory_items"),
        ("a: &a [1]\nagent:\n  instructions: x\n", "anchors"),
    ],
)
def test_damaged_files_are_told(text, told):
    """A file that begins like one of them and is none says what is missing."""
    with pytest.raises(BadImport, match=told):
        read_foreign(text)


@pytest.mark.parametrize("text", ["- Convert units.\n- Draw.", '["Convert.", "Draw."]', "", "{}", '{"a": 1}', "x: 1\n"])
def test_other_files_are_left_to_others(text):
    """Plain lists and JSON of ours are none of them."""
    assert read_foreign(text) is None


@given(st.text())
def test_any_text_is_read_or_refused(text):
    """No text breaks the readers."""
    with suppress(BadImport):
        read_foreign(text)
