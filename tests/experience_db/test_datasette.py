"""The canned queries for Datasette run on a real database and find what is in it."""

import sqlite3
from pathlib import Path

import pytest
import yaml

from experience_db import Edit, Evidence, Op, SessionRecord

FOUND = yaml.safe_load((Path(__file__).parents[2] / "docs" / "datasette.yaml").read_text(encoding="utf-8"))
TOLD = FOUND["databases"]["experience"]


@pytest.fixture
def raw(taught, run, path):
    """A plain connection to a database with a run, evidence and a refused edit."""
    taught.add_evidence("web", [Evidence("leave-one-out", 0.2, 0.1, 0.3, 90, (2,))])
    taught.set_aside("web", [Edit(Op.ADD, "Guess.")], status="rejected", reason="harms", version=1)
    taught.record_group(
        run, 0, problem={"id": "p"}, status="kept", version=1, rollouts=[{"answer": "a"}], rewards=[0.5]
    )
    for arm in ("served", "control"):
        taught.start_session(SessionRecord(arm, "web", 1, arm, 0.5, "a task", "u", "app", False))
    taught.report_session("served", reward=0.0)
    taught.report_session("served", reward=1.0)
    connection = sqlite3.connect(path)
    yield connection
    connection.close()


@pytest.mark.parametrize("name", TOLD["queries"])
def test_canned_queries_run(raw, name):
    """Each query is valid for the schema of this release."""
    values = {"library": "web", "lesson_id": 2, "run": "night"}
    query = TOLD["queries"][name]
    rows = raw.execute(query["sql"], {key: values[key] for key in query.get("params", ())}).fetchall()
    if name == "lessons_by_effect":
        assert [row[1] for row in rows] == [2, 1, 3]
        assert rows[0][4] == 0.2
    if name == "lesson_story":
        assert [row[1] for row in rows] == ["ADD"]
    if name == "learning_curve":
        assert rows == [(0, 0.5, 1)]
    if name == "sessions_by_arm":
        assert [row[:6] for row in rows] == [("web", 1, "control", 1, 0, None), ("web", 1, "served", 1, 1, 1.0)]
    if name == "refused_edits":
        assert rows[0][4] == "harms"


def test_described_tables_are_there(raw):
    """Every table and view has a description or is hidden, and none is described that does not exist."""
    names = {row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")}
    indexed = {name for name in names if name.startswith("lessons_fts")}  # Datasette hides these by itself.
    assert set(TOLD["tables"]) == names - indexed
    assert all(table.get("hidden") or table["description"].endswith(".") for table in TOLD["tables"].values())


def test_sorted_and_faceted_columns_are_there(raw):
    """A column that a table is sorted or counted by exists."""
    for name, told in TOLD["tables"].items():
        columns = {row[1] for row in raw.execute(f"PRAGMA table_info({name})")}
        named = {told[key] for key in ("sort", "sort_desc") if key in told} | set(told.get("facets", ()))
        assert named <= columns, name
