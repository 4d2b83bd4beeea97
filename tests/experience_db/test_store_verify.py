"""verify finds what somebody changed behind the store's back."""

from __future__ import annotations

import sqlite3

import pytest

from experience_db import Edit, Op, Store

OTHER_HANDS = {
    "not what its edits make": [
        "DROP TRIGGER lessons_keep_words; UPDATE lessons SET text = 'evil' WHERE lesson_id = 1",
        "DROP TRIGGER edits_refuse_update; UPDATE edits SET text = 'evil' WHERE lesson_id = 1",
        "UPDATE lessons SET until = 2 WHERE lesson_id = 1",
        "DELETE FROM lessons WHERE lesson_id = 2",
    ],
    "not what was written": [
        "DROP TRIGGER versions_refuse_update; UPDATE versions SET template = 'evil' WHERE version = 1",
    ],
    "search index": [
        "INSERT INTO lessons_fts(lessons_fts, rowid, text) VALUES ('delete', 2, 'Draw the figure.')",
    ],
    "names a row of runs that is not there": [
        "INSERT INTO lesson_uses VALUES ('web', 1, 'nobody', 0, 1)",
    ],
}


@pytest.mark.parametrize(("fault", "tampering"), [(fault, sql) for fault, some in OTHER_HANDS.items() for sql in some])
def test_tampering_is_found(taught, path, tampering, fault):
    """A lesson, edit, template, index or reference that was changed by other hands is named; reading goes on."""
    taught.commit("web", [Edit(Op.ADD, "four")], parent=1)
    taught.close()
    other = sqlite3.connect(path)
    other.executescript(tampering)
    other.close()
    with Store.open(path) as store:
        assert fault in " ".join(store.verify())


def test_whole_file_has_no_faults(taught, path):
    """A store that only its own methods wrote is whole, for a writer and for a reader."""
    taught.rollback("web", 0)
    assert taught.verify() == ()
    with Store.open(path, readonly=True) as reader:
        assert reader.verify() == ()
