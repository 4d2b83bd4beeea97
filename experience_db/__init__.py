"""The experience library: lessons, their versions, their edits and the evidence for each, in one SQLite file.

In: edits with reasons and sources, evidence, rollouts, calls. Out: `Library` versions, and the history of each
lesson. Imports nothing from `tfgrpo`, so that an app can read lessons without a model client. Read `library.py`
first, then `libraries.py`; `store.py` puts the parts together, `schema_steps.py` holds the tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from experience_db.lazy_names import names_on_use

if TYPE_CHECKING:
    from experience_db.apply import Applied, apply_edits
    from experience_db.errors import (
        BadImport,
        BadTemplate,
        ConflictingEdits,
        CorruptStore,
        InvalidEdit,
        InvalidName,
        NewerSchema,
        NotAStore,
        RunConflict,
        StaleVersion,
        StoreBusy,
        StoreError,
        StoreFull,
        StoreGone,
        StoreNotFound,
        StoreReadOnly,
        UnknownEdit,
        UnknownLesson,
        UnknownLibrary,
        UnknownRun,
        UnknownSession,
        UnknownVersion,
    )
    from experience_db.exchange import lesson_texts
    from experience_db.journal import Journal
    from experience_db.library import DEFAULT_TEMPLATE, Library
    from experience_db.records import (
        OUTCOMES,
        AppliedEdit,
        Blame,
        Call,
        Diff,
        Edit,
        Evaluation,
        Evidence,
        Lesson,
        Op,
        Origin,
        Report,
        RoleUsage,
        Run,
        RunStep,
        Source,
        UnappliedEdit,
        Version,
        effect_of,
        own_words,
    )
    from experience_db.retrieval import Retrieval
    from experience_db.schema import SCHEMA
    from experience_db.session_records import Serving, SessionRecord, Turn
    from experience_db.store import Store, open_library

__all__ = [
    "DEFAULT_TEMPLATE",
    "OUTCOMES",
    "SCHEMA",
    "Applied",
    "AppliedEdit",
    "BadImport",
    "BadTemplate",
    "Blame",
    "Call",
    "ConflictingEdits",
    "CorruptStore",
    "Diff",
    "Edit",
    "Evaluation",
    "Evidence",
    "InvalidEdit",
    "InvalidName",
    "Journal",
    "Lesson",
    "Library",
    "NewerSchema",
    "NotAStore",
    "Op",
    "Origin",
    "Report",
    "Retrieval",
    "RoleUsage",
    "Run",
    "RunConflict",
    "RunStep",
    "Serving",
    "SessionRecord",
    "Source",
    "StaleVersion",
    "Store",
    "StoreBusy",
    "StoreError",
    "StoreFull",
    "StoreGone",
    "StoreNotFound",
    "StoreReadOnly",
    "Turn",
    "UnappliedEdit",
    "UnknownEdit",
    "UnknownLesson",
    "UnknownLibrary",
    "UnknownRun",
    "UnknownSession",
    "UnknownVersion",
    "Version",
    "apply_edits",
    "effect_of",
    "lesson_texts",
    "open_library",
    "own_words",
]

__getattr__, __dir__ = names_on_use(
    __name__,
    {
        "experience_db.apply": (
            "Applied",
            "apply_edits",
        ),
        "experience_db.errors": (
            "BadImport",
            "BadTemplate",
            "ConflictingEdits",
            "CorruptStore",
            "InvalidEdit",
            "InvalidName",
            "NewerSchema",
            "NotAStore",
            "RunConflict",
            "StaleVersion",
            "StoreBusy",
            "StoreError",
            "StoreFull",
            "StoreGone",
            "StoreNotFound",
            "StoreReadOnly",
            "UnknownEdit",
            "UnknownLesson",
            "UnknownLibrary",
            "UnknownRun",
            "UnknownSession",
            "UnknownVersion",
        ),
        "experience_db.exchange": ("lesson_texts",),
        "experience_db.journal": ("Journal",),
        "experience_db.library": (
            "DEFAULT_TEMPLATE",
            "Library",
        ),
        "experience_db.records": (
            "OUTCOMES",
            "AppliedEdit",
            "Blame",
            "Call",
            "Diff",
            "Edit",
            "Evaluation",
            "Evidence",
            "Lesson",
            "Op",
            "Origin",
            "Report",
            "RoleUsage",
            "Run",
            "RunStep",
            "Source",
            "UnappliedEdit",
            "Version",
            "effect_of",
            "own_words",
        ),
        "experience_db.retrieval": ("Retrieval",),
        "experience_db.schema": ("SCHEMA",),
        "experience_db.session_records": (
            "Serving",
            "SessionRecord",
            "Turn",
        ),
        "experience_db.store": (
            "Store",
            "open_library",
        ),
    },
)
