"""The tables of sessions, as the fifth migration makes them; never edited after release."""

SESSION_TABLES = (
    """
    CREATE TABLE serving (
        id INTEGER PRIMARY KEY,
        library TEXT NOT NULL,
        base_version INTEGER NOT NULL,
        control REAL NOT NULL CHECK (control >= 0),
        canary REAL NOT NULL CHECK (canary >= 0 AND control + canary < 1),
        edits TEXT NOT NULL CHECK (json_valid(edits)),
        design TEXT NOT NULL CHECK (design IN ('randomized', 'paired')),
        reason TEXT NOT NULL,
        created REAL NOT NULL,
        FOREIGN KEY (library, base_version) REFERENCES versions(library, version)
    ) STRICT
    """,
    "CREATE INDEX serving_of_library ON serving(library)",
    """
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY,
        library TEXT NOT NULL,
        version INTEGER NOT NULL,
        serving INTEGER REFERENCES serving(id),
        arm TEXT NOT NULL CHECK (arm IN ('served', 'control', 'canary')),
        share REAL NOT NULL CHECK (share > 0 AND share <= 1),
        edits TEXT NOT NULL CHECK (json_valid(edits)),
        task TEXT NOT NULL,
        user TEXT NOT NULL,
        source TEXT NOT NULL,
        tainted INTEGER NOT NULL,
        created REAL NOT NULL,
        FOREIGN KEY (library, version) REFERENCES versions(library, version)
    ) STRICT
    """,
    "CREATE INDEX sessions_of_library ON sessions(library, created)",
    """
    CREATE TABLE session_turns (
        id INTEGER PRIMARY KEY,
        session TEXT NOT NULL REFERENCES sessions(id),
        messages TEXT NOT NULL CHECK (json_valid(messages)),
        failure TEXT NOT NULL,
        created REAL NOT NULL
    ) STRICT
    """,
    "CREATE INDEX session_turns_in_order ON session_turns(session, id)",
    """
    CREATE TABLE session_reports (
        id INTEGER PRIMARY KEY,
        session TEXT NOT NULL REFERENCES sessions(id),
        outcome TEXT NOT NULL CHECK (outcome IN ('succeeded', 'failed', 'unclear')),
        reward REAL CHECK (reward BETWEEN 0 AND 1),
        feedback TEXT NOT NULL,
        created REAL NOT NULL
    ) STRICT
    """,
    "CREATE INDEX session_reports_in_order ON session_reports(session, id)",
)
