"""Parquet files that lose nothing, the published schema of exports, and skills by topic."""

import json
from pathlib import Path

import jsonschema
import pytest

from experience_db import BadImport, Evidence, Lesson, Source
from experience_db.parquet import from_parquet, to_parquet
from experience_db.topics import GENERAL, by_topic

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "library.schema.json").read_text(encoding="utf-8"))


@pytest.fixture
def exported(taught):
    """An export with sources, evidence of a lesson, of two together and of the version."""
    edits = taught.log("web")
    assert edits
    taught.add_evidence(
        "web",
        [
            Evidence("leave-one-out", 0.2, 0.1, 0.3, 90, (1,), detail={"e": 21.5, "touched": ["p1"]}),
            Evidence("gate", None, n=4, lesson_ids=(1, 2), verdict="undecided"),
            Evidence("heldout", 0.1, n=9),
        ],
    )
    return taught.export("web")


def test_a_parquet_file_loses_nothing(exported, tmp_path):
    """What is read back is what was written, and the table itself has a row for each lesson with its evidence."""
    from pyarrow import parquet

    exported["lessons"][0]["sources"] = [
        {"problem_id": "p", "rollouts": [0, 2], "run": "r", "step": 1, "model": "m", "template": "t"}
    ]
    data = to_parquet(exported)
    assert from_parquet(data) == json.loads(json.dumps(exported))
    file = tmp_path / "x.parquet"
    file.write_bytes(data)
    rows = parquet.read_table(file).to_pylist()
    assert [row["text"] for row in rows] == [lesson["text"] for lesson in exported["lessons"]]
    assert [e["kind"] for e in rows[0]["evidence"]] == ["leave-one-out", "gate"]
    assert rows[0]["sources"][0]["rollouts"] == [0, 2]


def test_other_parquet_files_are_told(tmp_path):
    """A table of somebody else, and a file cut short, are refused with a sentence."""
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"a": [1]}), tmp_path / "x")
    with pytest.raises(BadImport, match="was not written by"):
        from_parquet((tmp_path / "x").read_bytes())
    with pytest.raises(BadImport, match="damaged"):
        from_parquet((tmp_path / "x").read_bytes()[:40])


def test_exports_obey_the_published_schema(exported):
    """The JSON export is what the schema says, and the schema refuses what an import would refuse."""
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(json.loads(json.dumps(exported)), SCHEMA)
    for broken in ({"format": "other/1"}, {"lessons": [{"id": 0, "text": "x"}]}, {"evidence": [{"kind": 1}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(json.loads(json.dumps({**exported, **broken})), SCHEMA)


def test_the_schema_names_every_field(exported):
    """A field that an export gets later is added to the schema."""
    assert set(SCHEMA["properties"]) == set(exported)
    assert set(SCHEMA["$defs"]["lesson"]["properties"]) == set(Lesson.__dataclass_fields__)
    assert set(SCHEMA["$defs"]["evidence"]["properties"]) == set(Evidence.__dataclass_fields__)
    assert set(SCHEMA["$defs"]["source"]["properties"]) == set(Source.__dataclass_fields__)


def test_topics_part_the_lessons():
    """Every lesson is in exactly one topic, named by a word that its lessons share and most others lack."""
    texts = (
        "Convert units of time.",
        "Units differ: convert.",
        "Draw triangles.",
        "A triangle has angles.",
        "Be calm.",
    )
    lessons = [Lesson(i, text, 1, 1) for i, text in enumerate(texts, 1)]
    found = by_topic(lessons, 9)
    assert {word: [x.id for x in some] for word, some in found.items()} == {
        "convert": [1, 2],
        "triangle": [3, 4],
        GENERAL: [5],
    }
    assert list(by_topic(lessons, 1)) == ["convert", GENERAL]
    assert by_topic([], 3) == {}
