"""The schema, as numbered functions. A released function is never edited: a change is a new function after it.

They need nothing but a connection, so that a file can be compared with them where sqlite-utils is not loaded.
"""

from __future__ import annotations

from typing import Any, Protocol

from experience_db.first_schema import HISTORY, RUNS, VIEWS
from experience_db.session_tables import SESSION_TABLES

_APPEND_ONLY = ("edits", "versions", "evidence")


class Executes(Protocol):
    """Something that runs statements: a connection of sqlite3, or a database of sqlite-utils."""

    def execute(self, statement: str, /) -> Any:
        """Run one statement."""
        ...


def m001_first_schema(db: Executes) -> None:
    """Create every table; history cannot be rewritten."""
    for statement in (*HISTORY, *RUNS, *VIEWS):
        db.execute(statement)
    for table in _APPEND_ONLY:
        for verb in ("UPDATE", "DELETE"):
            db.execute(
                f"CREATE TRIGGER {table}_refuse_{verb.lower()} BEFORE {verb} ON {table} BEGIN "
                f"SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def m002_endpoint_facts(db: Executes) -> None:
    """Remember what probes of endpoints found out."""
    db.execute(
        """
        CREATE TABLE endpoint_facts (
            endpoint TEXT NOT NULL,
            model TEXT NOT NULL,
            name TEXT NOT NULL,
            value TEXT NOT NULL,
            created REAL NOT NULL,
            PRIMARY KEY (endpoint, model, name)
        ) STRICT
        """
    )


def m003_lineage(db: Executes) -> None:
    """Keep what candidate versions come from."""
    db.execute(
        """
        CREATE TABLE lineage (
            library TEXT NOT NULL,
            version INTEGER NOT NULL,
            position INTEGER NOT NULL,
            origin INTEGER NOT NULL CHECK (origin < version),
            kind TEXT NOT NULL,
            run TEXT,
            step INTEGER,
            PRIMARY KEY (library, version, position),
            FOREIGN KEY (library, version) REFERENCES versions(library, version),
            FOREIGN KEY (library, origin) REFERENCES versions(library, version)
        ) STRICT
        """
    )
    for verb in ("UPDATE", "DELETE"):
        db.execute(
            f"CREATE TRIGGER lineage_refuse_{verb.lower()} BEFORE {verb} ON lineage BEGIN "
            "SELECT RAISE(ABORT, 'lineage is append-only'); END"
        )


def m004_reports(db: Executes) -> None:
    """Keep what users of a library report, apart from what was measured."""
    db.execute(
        """
        CREATE TABLE reports (
            id INTEGER PRIMARY KEY,
            library TEXT NOT NULL,
            version INTEGER NOT NULL,
            lesson_ids TEXT NOT NULL CHECK (json_valid(lesson_ids)),
            outcome TEXT NOT NULL CHECK (outcome IN ('succeeded', 'failed', 'unclear')),
            reward REAL CHECK (reward BETWEEN 0 AND 1),
            task TEXT NOT NULL,
            feedback TEXT NOT NULL,
            reporter TEXT NOT NULL,
            created REAL NOT NULL,
            FOREIGN KEY (library, version) REFERENCES versions(library, version)
        ) STRICT
        """
    )
    db.execute("CREATE INDEX reports_library ON reports(library)")
    for verb in ("UPDATE", "DELETE"):
        db.execute(
            f"CREATE TRIGGER reports_refuse_{verb.lower()} BEFORE {verb} ON reports BEGIN "
            "SELECT RAISE(ABORT, 'reports is append-only'); END"
        )


def m005_sessions(db: Executes) -> None:
    """Keep sessions of apps: what was served, by which draw, what was said, and what came of it."""
    for statement in SESSION_TABLES:
        db.execute(statement)
    for table in ("serving", "sessions", "session_turns", "session_reports"):
        for verb in ("UPDATE", "DELETE"):
            db.execute(
                f"CREATE TRIGGER {table}_refuse_{verb.lower()} BEFORE {verb} ON {table} BEGIN "
                f"SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def m006_lookups(db: Executes) -> None:
    """Find what was measured about a lesson, and its story, without looking at everything else."""
    db.execute(
        """
        CREATE TABLE evidence_lessons (
            library TEXT NOT NULL,
            lesson_id INTEGER NOT NULL,
            evidence INTEGER NOT NULL REFERENCES evidence(id),
            PRIMARY KEY (library, lesson_id, evidence)
        ) STRICT, WITHOUT ROWID
        """
    )
    db.execute(
        """
        CREATE TRIGGER evidence_named AFTER INSERT ON evidence BEGIN
            INSERT OR IGNORE INTO evidence_lessons
                SELECT new.library, value, new.id FROM json_each(new.lesson_ids) WHERE type = 'integer';
        END
        """
    )
    db.execute(
        "INSERT OR IGNORE INTO evidence_lessons SELECT library, named.value, evidence.id"
        " FROM evidence, json_each(evidence.lesson_ids) AS named WHERE named.type = 'integer'"
    )
    db.execute("CREATE INDEX edits_of_lesson ON edits(library, lesson_id) WHERE version IS NOT NULL")
    db.execute("CREATE INDEX edits_merged ON edits(library) WHERE op = 'MERGE' AND version IS NOT NULL")


def m007_vectors(db: Executes) -> None:
    """Keep embeddings of lessons and questions, which cost a call each."""
    db.execute(
        "CREATE TABLE vectors (model TEXT NOT NULL, mark TEXT NOT NULL, vector BLOB NOT NULL,"
        " PRIMARY KEY (model, mark)) STRICT, WITHOUT ROWID"
    )


def m008_texts(db: Executes) -> None:
    """Keep long texts once, some of them compressed; see `texts`."""
    db.execute("CREATE TABLE texts (id INTEGER PRIMARY KEY, mark BLOB NOT NULL UNIQUE, body ANY NOT NULL) STRICT")


def m009_words_by_library(db: Executes) -> None:
    """Let the index of words know whose lesson each is, so that a small library beside a large one is found at once."""
    for name in ("lessons_indexed", "lessons_unindexed"):
        db.execute(f"DROP TRIGGER {name}")
    db.execute("DROP TABLE lessons_fts")
    db.execute(
        """
        CREATE VIRTUAL TABLE lessons_fts USING fts5(
            text, library, content='lessons', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2'
        )
        """
    )
    db.execute(
        """
        CREATE TRIGGER lessons_indexed AFTER INSERT ON lessons BEGIN
            INSERT INTO lessons_fts(rowid, text, library) VALUES (new.id, new.text, new.library);
        END
        """
    )
    db.execute(
        """
        CREATE TRIGGER lessons_unindexed AFTER DELETE ON lessons BEGIN
            INSERT INTO lessons_fts(lessons_fts, rowid, text, library)
                VALUES ('delete', old.id, old.text, old.library);
        END
        """
    )
    # Whose lesson it is says nothing about how well it fits.
    db.execute("INSERT INTO lessons_fts(lessons_fts, rank) VALUES ('rank', 'bm25(1.0, 0.0)')")
    db.execute("INSERT INTO lessons_fts(lessons_fts) VALUES ('rebuild')")


def m010_books(db: Executes) -> None:
    """Keep what calls used in the index by run, so that a bill reads no texts: a row's numbers stand behind them."""
    db.execute("DROP INDEX calls_of_run")
    db.execute(
        "CREATE INDEX calls_of_run ON calls"
        " (run, role, model, prompt_tokens, completion_tokens, cached_tokens, usd, seconds)"
    )


STEPS = (
    m001_first_schema,
    m002_endpoint_facts,
    m003_lineage,
    m004_reports,
    m005_sessions,
    m006_lookups,
    m007_vectors,
    m008_texts,
    m009_words_by_library,
    m010_books,
)
"""All of them, in order."""
