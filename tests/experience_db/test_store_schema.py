"""The schema: tables as documented, STRICT, and migrations that keep data."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
from sqlite_utils.migrations import Migrations

from experience_db import SCHEMA, Edit, NewerSchema, Op, Store, migrations, schema_steps
from experience_db.verify import MADE, RECORD

COLUMNS = {
    "libraries": "name created",
    "versions": "library version parent note run step created template next_lesson_id digest",
    "lessons": "id library lesson_id text since until born changed tainted sources",
    "edits": "id library status version position op lesson_id lesson_ids text reason sources tainted verdict"
    " base_version restored_born restored_changed settles run step created",
    "evidence": "id library version lesson_ids kind estimate low high n verdict reason detail run step created",
    "runs": "id name kind status library base_version dataset fingerprint config summary started finished",
    "steps": "run step epoch version_before version_after summary created",
    "calls": "key role model request reply prompt_tokens completion_tokens cached_tokens usd seconds run created",
    "groups": "id run step problem_id problem status version created",
    "rollouts": "id group_id rollout answer reward advantage failure_kind failure_message finish_reason tainted"
    " prompt_tokens completion_tokens cached_tokens usd seconds messages more",
    "scores": "rollout_id position grader score why failure_kind failure_message",
    "lesson_uses": "library lesson_id run step shown",
    "evaluations": "id run library version dataset model control k problems mean low high summary created",
    "endpoint_facts": "endpoint model name value created",
    "evidence_lessons": "library lesson_id evidence",
    "vectors": "model mark vector",
    "texts": "id mark body",
    "lineage": "library version position origin kind run step",
    "reports": "id library version lesson_ids outcome reward task feedback reporter created",
    "serving": "id library base_version control canary edits design reason created",
    "sessions": "id library version serving arm share edits task user source tainted created",
    "session_turns": "id session messages failure created",
    "session_reports": "id session outcome reward feedback created",
}


RELEASED = (
    schema_steps.m001_first_schema,
    schema_steps.m002_endpoint_facts,
    schema_steps.m003_lineage,
    schema_steps.m004_reports,
    schema_steps.m005_sessions,
    schema_steps.m006_lookups,
    schema_steps.m007_vectors,
    schema_steps.m008_texts,
    schema_steps.m009_words_by_library,
    schema_steps.m010_books,
)


@pytest.fixture
def raw(store, path):
    """A plain sqlite3 connection to the file of an open store."""
    connection = sqlite3.connect(path)
    yield connection
    connection.close()


@pytest.mark.parametrize("table", COLUMNS)
def test_table_has_its_documented_columns(raw, table):
    """Each table is STRICT and has exactly the columns that queries in the wild rely on."""
    assert [row[1] for row in raw.execute(f"PRAGMA table_info({table})")] == COLUMNS[table].split()
    assert raw.execute("SELECT strict FROM pragma_table_list WHERE name = ?", [table]).fetchone() == (1,)


def test_no_table_is_undocumented(raw):
    """Beside the documented tables there are only the search index and sqlite-utils' own record."""
    names = {row[0] for row in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert {n for n in names if not n.startswith(("lessons_fts", "_sqlite", "sqlite_"))} == set(COLUMNS)


def test_file_is_in_wal_mode_and_keeps_references(raw, store):
    """The file is in WAL mode; the store's own connection enforces foreign keys."""
    assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store._rows("PRAGMA foreign_keys")[0][0] == 1


def test_views_answer_in_plain_words(raw, taught, run):
    """The views that Datasette shows return a row for each lesson, edit and priced role."""
    assert raw.execute("SELECT lesson_id, measurements FROM current_lessons").fetchall() == [(1, 0), (2, 0), (3, 0)]
    assert raw.execute("SELECT count(*) FROM edit_log").fetchone() == (3,)
    assert raw.execute("SELECT count(*) FROM call_costs").fetchone() == (0,)


def more_migrations() -> Migrations:
    """The released migrations, and one of a release to come."""

    def m999_lessons_keep_a_mood(db):
        db.execute("ALTER TABLE lessons ADD COLUMN mood TEXT NOT NULL DEFAULT 'calm'")

    longer = Migrations("experience_db")
    for function in (*RELEASED, m999_lessons_keep_a_mood):
        longer()(function)
    return longer


def test_a_later_migration_keeps_the_data(path):
    """A file of this release is upgraded in place, and this release then refuses it as newer."""
    with Store.open(path) as store:
        store.create_library("web")
        store.commit("web", [Edit(Op.ADD, "kept")], parent=0)
    connection = sqlite3.connect(path, isolation_level=None)
    migrations.migrate(connection, more_migrations())
    migrations.migrate(connection, more_migrations())
    assert connection.execute("SELECT text, mood FROM lessons").fetchall() == [("kept", "calm")]
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA + 1,)
    connection.close()
    with pytest.raises(
        NewerSchema, match=f"has schema {SCHEMA + 1}, this release knows up to {SCHEMA}; upgrade tfgrpo"
    ):
        Store.open(path)


def test_a_file_of_the_first_release_is_upgraded(path):
    """A file made by migration 1 alone keeps its lessons and gets what came later."""
    first = Migrations("experience_db")
    first()(RELEASED[0])
    connection = sqlite3.connect(path, isolation_level=None)
    migrations.migrate(connection, first)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()
    with Store.open(path) as store:
        store.record_endpoint_fact("http://x/v1", "m", "honours_n", "yes")
        store.record_endpoint_fact("http://x/v1", "m", "honours_n", "no")
        assert store.endpoint_fact("http://x/v1", "m", "honours_n") == "no"
        assert store.endpoint_fact("http://y/v1", "m", "honours_n") is None


def test_failed_migration_leaves_the_file_as_it_was(path):
    """A migration that fails is undone with all that ran before it in the same opening."""
    Store.open(path).close()

    def m999_breaks(db):
        db.execute("ALTER TABLE lessons ADD COLUMN mood TEXT")
        db.execute("no such statement")

    longer = more_migrations()
    longer()(m999_breaks)
    connection = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError):
        migrations.migrate(connection, longer)
    connection.close()
    with Store.open(path) as store:
        assert store.verify() == ()


def test_schema_number_counts_the_migrations():
    """SCHEMA, which opening looks at, is the number of migrations that there are."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrations.migrate(connection)
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA,)
    connection.close()


def test_import_is_light_and_touches_nothing(tmp_path, package_path):
    """`import experience_db` loads neither sqlite-utils nor numpy and writes no file."""
    code = "import experience_db, sys; print(sorted({'sqlite_utils', 'numpy', 'openai', 'tfgrpo'} & set(sys.modules)))"
    command = [sys.executable, "-c", code]
    done = subprocess.check_output(command, cwd=tmp_path, env={"PYTHONPATH": package_path}, text=True)
    assert done.strip() == "[]"
    assert list(tmp_path.iterdir()) == []


def test_the_quick_check_knows_everything_that_migrations_make():
    """It compares with the steps alone, which leaves out nothing but what sqlite-utils keeps for itself."""
    made = []
    for make in (migrations.migrate, lambda connection: [step(connection) for step in schema_steps.STEPS]):
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
            make(connection)
            made.append({(row[0], row[1]) for row in connection.execute(MADE)})
    left = made[0] - made[1]
    assert RECORD in left
    assert all(RECORD[1] in name for _, name in left)
    assert made[1] < made[0]
    assert RELEASED == schema_steps.STEPS
