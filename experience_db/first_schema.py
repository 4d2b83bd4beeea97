"""The tables of the first release, as statements; `migrations` runs them. Never edited: a change is a migration."""

from __future__ import annotations

HISTORY = (
    """
    CREATE TABLE libraries (
        name TEXT PRIMARY KEY,
        created REAL NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE versions (
        library TEXT NOT NULL REFERENCES libraries(name),
        version INTEGER NOT NULL CHECK (version >= 0),
        parent INTEGER,
        note TEXT NOT NULL,
        run TEXT,
        step INTEGER,
        created REAL NOT NULL,
        template TEXT NOT NULL,
        next_lesson_id INTEGER NOT NULL,
        digest TEXT NOT NULL,
        PRIMARY KEY (library, version),
        FOREIGN KEY (library, parent) REFERENCES versions(library, version)
    ) STRICT
    """,
    """
    CREATE TABLE edits (
        id INTEGER PRIMARY KEY,
        library TEXT NOT NULL REFERENCES libraries(name),
        status TEXT NOT NULL CHECK (status IN ('applied', 'rejected', 'undecided')),
        version INTEGER,
        position INTEGER NOT NULL,
        op TEXT NOT NULL CHECK (op IN ('ADD', 'UPDATE', 'DELETE', 'MERGE', 'RESTORE')),
        lesson_id INTEGER,
        lesson_ids TEXT NOT NULL CHECK (json_valid(lesson_ids)),
        text TEXT,
        reason TEXT NOT NULL,
        sources TEXT NOT NULL CHECK (json_valid(sources)),
        tainted INTEGER NOT NULL,
        verdict TEXT NOT NULL,
        base_version INTEGER NOT NULL,
        restored_born INTEGER,
        restored_changed INTEGER,
        settles INTEGER REFERENCES edits(id),
        run TEXT,
        step INTEGER,
        created REAL NOT NULL,
        FOREIGN KEY (library, version) REFERENCES versions(library, version),
        CHECK ((status = 'applied') = (version IS NOT NULL))
    ) STRICT
    """,
    "CREATE UNIQUE INDEX edits_in_order ON edits(library, version, position) WHERE version IS NOT NULL",
    "CREATE INDEX edits_unapplied ON edits(library, status) WHERE version IS NULL",
    "CREATE UNIQUE INDEX edits_settled ON edits(settles) WHERE settles IS NOT NULL",
    """
    CREATE TABLE lessons (
        id INTEGER PRIMARY KEY,
        library TEXT NOT NULL REFERENCES libraries(name),
        lesson_id INTEGER NOT NULL,
        text TEXT NOT NULL,
        since INTEGER NOT NULL,
        until INTEGER CHECK (until > since),
        born INTEGER NOT NULL,
        changed INTEGER NOT NULL,
        tainted INTEGER NOT NULL,
        sources TEXT NOT NULL CHECK (json_valid(sources)),
        UNIQUE (library, lesson_id, since)
    ) STRICT
    """,
    "CREATE INDEX lessons_present ON lessons(library, until)",
    """
    CREATE VIRTUAL TABLE lessons_fts USING fts5(
        text, content='lessons', content_rowid='id', tokenize='porter unicode61 remove_diacritics 2'
    )
    """,
    """
    CREATE TRIGGER lessons_indexed AFTER INSERT ON lessons BEGIN
        INSERT INTO lessons_fts(rowid, text) VALUES (new.id, new.text);
    END
    """,
    """
    CREATE TRIGGER lessons_unindexed AFTER DELETE ON lessons BEGIN
        INSERT INTO lessons_fts(lessons_fts, rowid, text) VALUES ('delete', old.id, old.text);
    END
    """,
    """
    CREATE TRIGGER lessons_keep_words BEFORE UPDATE OF text ON lessons BEGIN
        SELECT RAISE(ABORT, 'a lesson row keeps its words; new words are a new row');
    END
    """,
    """
    CREATE TABLE evidence (
        id INTEGER PRIMARY KEY,
        library TEXT NOT NULL,
        version INTEGER NOT NULL,
        lesson_ids TEXT NOT NULL CHECK (json_valid(lesson_ids)),
        kind TEXT NOT NULL,
        estimate REAL,
        low REAL,
        high REAL,
        n INTEGER NOT NULL,
        verdict TEXT NOT NULL,
        reason TEXT NOT NULL,
        detail TEXT NOT NULL CHECK (json_valid(detail)),
        run TEXT,
        step INTEGER,
        created REAL NOT NULL,
        FOREIGN KEY (library, version) REFERENCES versions(library, version)
    ) STRICT
    """,
    "CREATE INDEX evidence_of_library ON evidence(library, version)",
)

RUNS = (
    """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        kind TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('running', 'finished', 'budget', 'interrupted', 'failed')),
        library TEXT REFERENCES libraries(name),
        base_version INTEGER,
        dataset TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        config TEXT NOT NULL,
        summary TEXT NOT NULL,
        started REAL NOT NULL,
        finished REAL
    ) STRICT
    """,
    "CREATE INDEX runs_by_name ON runs(name, started)",
    """
    CREATE TABLE steps (
        run TEXT NOT NULL REFERENCES runs(id),
        step INTEGER NOT NULL,
        epoch INTEGER NOT NULL,
        version_before INTEGER NOT NULL,
        version_after INTEGER NOT NULL,
        summary TEXT NOT NULL,
        created REAL NOT NULL,
        PRIMARY KEY (run, step)
    ) STRICT
    """,
    """
    CREATE TABLE calls (
        key TEXT PRIMARY KEY,
        role TEXT NOT NULL,
        model TEXT NOT NULL,
        request TEXT NOT NULL,
        reply TEXT NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL,
        cached_tokens INTEGER NOT NULL,
        usd REAL,
        seconds REAL NOT NULL,
        run TEXT REFERENCES runs(id),
        created REAL NOT NULL
    ) STRICT
    """,
    "CREATE INDEX calls_of_run ON calls(run, role)",
    """
    CREATE TABLE groups (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs(id),
        step INTEGER NOT NULL,
        problem_id TEXT NOT NULL,
        problem TEXT NOT NULL,
        status TEXT NOT NULL,
        version INTEGER NOT NULL,
        created REAL NOT NULL,
        UNIQUE (run, step, problem_id)
    ) STRICT
    """,
    """
    CREATE TABLE rollouts (
        id INTEGER PRIMARY KEY,
        group_id INTEGER NOT NULL REFERENCES groups(id) ON DELETE CASCADE,
        rollout INTEGER NOT NULL,
        answer TEXT NOT NULL,
        reward REAL,
        advantage REAL,
        failure_kind TEXT,
        failure_message TEXT,
        finish_reason TEXT NOT NULL,
        tainted INTEGER NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL,
        cached_tokens INTEGER NOT NULL,
        usd REAL,
        seconds REAL NOT NULL,
        messages TEXT NOT NULL,
        more TEXT NOT NULL,
        UNIQUE (group_id, rollout)
    ) STRICT
    """,
    """
    CREATE TABLE scores (
        rollout_id INTEGER NOT NULL REFERENCES rollouts(id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        grader TEXT NOT NULL,
        score REAL,
        why TEXT NOT NULL,
        failure_kind TEXT,
        failure_message TEXT,
        PRIMARY KEY (rollout_id, position)
    ) STRICT
    """,
    """
    CREATE TABLE lesson_uses (
        library TEXT NOT NULL REFERENCES libraries(name),
        lesson_id INTEGER NOT NULL,
        run TEXT NOT NULL REFERENCES runs(id),
        step INTEGER NOT NULL,
        shown INTEGER NOT NULL,
        PRIMARY KEY (library, lesson_id, run, step)
    ) STRICT
    """,
    """
    CREATE TABLE evaluations (
        id INTEGER PRIMARY KEY,
        run TEXT NOT NULL REFERENCES runs(id),
        library TEXT,
        version INTEGER,
        dataset TEXT NOT NULL,
        model TEXT NOT NULL,
        control TEXT NOT NULL,
        k INTEGER NOT NULL,
        problems INTEGER NOT NULL,
        mean REAL,
        low REAL,
        high REAL,
        summary TEXT NOT NULL,
        created REAL NOT NULL,
        FOREIGN KEY (library, version) REFERENCES versions(library, version)
    ) STRICT
    """,
    "CREATE INDEX evaluations_of_library ON evaluations(library, version)",
)

VIEWS = (
    """
    CREATE VIEW current_lessons AS
    SELECT library, lesson_id, text, born, changed, tainted, json_array_length(sources) AS sources,
        (SELECT count(*) FROM evidence, json_each(evidence.lesson_ids) AS named
         WHERE evidence.library = lessons.library AND named.value = lessons.lesson_id) AS measurements,
        (SELECT sum(shown) FROM lesson_uses
         WHERE lesson_uses.library = lessons.library AND lesson_uses.lesson_id = lessons.lesson_id) AS shown
    FROM lessons WHERE until IS NULL ORDER BY library, lesson_id
    """,
    """
    CREATE VIEW edit_log AS
    SELECT datetime(created, 'unixepoch') AS at, library, version, status, op, lesson_id, text, reason, verdict, run
    FROM edits ORDER BY id
    """,
    """
    CREATE VIEW call_costs AS
    SELECT run, role, model, count(*) AS calls, sum(prompt_tokens) AS prompt_tokens,
        sum(completion_tokens) AS completion_tokens, sum(cached_tokens) AS cached_tokens,
        CASE WHEN count(*) = count(usd) THEN sum(usd) END AS usd
    FROM calls GROUP BY run, role, model
    """,
)
