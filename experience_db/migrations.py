"""A file is brought to the newest schema: the functions of `schema_steps` that it has not seen, each recorded.

`PRAGMA user_version` holds how many have been applied, so that opening a file of the present schema needs no more
than that number; this module, and sqlite-utils with it, loads only when there is something to migrate.
"""

from __future__ import annotations

import sqlite3

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from experience_db.schema import APPLICATION_ID
from experience_db.schema_steps import STEPS

migrations = Migrations("experience_db")
for _step in STEPS:
    migrations()(_step)


def migrate(connection: sqlite3.Connection, migrations: Migrations = migrations) -> None:
    """Bring a database to the newest schema, in one transaction; does nothing when it is there already."""
    db = Database(connection, execute_plugins=False)
    # IMMEDIATE: of two processes that open a new file at once, the second waits and then finds nothing to do.
    connection.execute("BEGIN IMMEDIATE")
    try:
        migrations.apply(db)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations.applied(db))}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
