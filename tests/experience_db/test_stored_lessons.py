"""Versions that stay in their file: read when needed, the same whether small or large, and cheap to change."""

import pickle
import shutil
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experience_db import Edit, Evidence, Op, Store, StoreGone, UnknownLesson, open_library
from experience_db.codec import SUM, digest
from experience_db.stored_lessons import SMALL
from experience_db.word_search import MOST_SCORED, best_rows, words_of

COUNT = SMALL + 1


@pytest.fixture(scope="module")
def large_file(tmp_path_factory):
    """A library of one lesson more than is read at once."""
    file = tmp_path_factory.mktemp("large") / "experience.db"
    with Store.open(file) as store:
        store.create_library("web")
        edits = [Edit(Op.ADD, f"Lesson about topic{i} and all the rest") for i in range(1, COUNT + 1)]
        store.commit("web", edits, parent=0)
    return file


@pytest.fixture
def large(large_file, tmp_path):
    """A copy of it for one test."""
    return shutil.copyfile(large_file, tmp_path / "experience.db")


def test_a_large_version_is_read_when_needed(large):
    """Opening, counting, finding and naming lessons leave the others in the file, which may be closed by then."""
    library = open_library("web", db=large)
    assert library.stored.large
    assert len(library) == COUNT
    assert library.lesson(1500).text == "Lesson about topic1500 and all the rest"
    assert [lesson.id for lesson in library.stored.search("topic77", 5)] == [77]
    with pytest.raises(UnknownLesson):
        library.lesson(COUNT + 1)
    assert library.stored.large
    assert [lesson.id for lesson in library] == list(range(1, COUNT + 1))
    assert pickle.loads(pickle.dumps(library)) == library


def test_a_small_version_is_read_at_once(taught):
    """What is small is held in memory, so it outlives its file."""
    assert not taught.library("web").stored.large


def test_commits_to_a_large_version_read_what_they_touch(large):
    """One edit of many lessons leaves the rest unread, and every version is still what its edits make."""
    with Store.open(large) as store:
        made = store.commit("web", [Edit(Op.UPDATE, "New words", (9,))], parent=1)
        assert made.stored.large
        store.commit("web", [Edit(Op.DELETE, None, (3,)), Edit(Op.MERGE, "Both", (4, 5))], parent=2)
        after = store.commit("web", [Edit(Op.ADD, "One more")], parent=3)
        assert len(after) == COUNT - 1
        assert after.lesson(COUNT + 1).text == "One more"
        with pytest.raises(UnknownLesson, match="lessons present: 1, 2, 4, 6"):
            store.commit("web", [Edit(Op.DELETE, None, (3,))], parent=4)
        store.rollback("web", 1)
        digests = [version.digest for version in store.versions("web")]
        assert digests[5] == digests[1]
        assert len(set(digests)) == 5
        assert store.verify() == ()


def test_another_file_under_the_name_is_told(large, new_file):
    """A library whose file was replaced says so, and never shows lessons of the other one."""
    library = open_library("web", db=large)
    shutil.copyfile(new_file, large)
    with Store.open(large) as store:
        store.create_library("web")
        store.commit("web", [Edit(Op.ADD, "Of somebody else")], parent=0)
    with pytest.raises(StoreGone, match="open the library again"):
        _ = library.lessons


def test_files_with_digests_of_the_old_kind_go_on(taught, path):
    """Versions of earlier releases, whose digest is one hash, verify, and the next commit continues from them."""
    raw = sqlite3.connect(path)
    (trigger,) = raw.execute("SELECT sql FROM sqlite_master WHERE name = 'versions_refuse_update'").fetchone()
    raw.execute("DROP TRIGGER versions_refuse_update")
    for number in (0, 1):
        library = taught.library("web", number)
        old = digest(library.lessons, library.template, like="")
        raw.execute("UPDATE versions SET digest = ? WHERE version = ?", (old, number))
    raw.execute(trigger)
    raw.commit()
    raw.close()
    after = taught.commit("web", [Edit(Op.DELETE, None, (2,))], parent=1)
    assert [v.digest.startswith(SUM) for v in taught.versions("web")] == [False, False, True]
    assert taught.versions("web")[-1].digest == digest(after.lessons, after.template)
    assert taught.verify() == ()


def test_a_changed_word_is_found_by_verify(taught, path):
    """The sum over lessons tells a wording that somebody wrote past the edits."""
    with sqlite3.connect(path) as raw:
        raw.execute('UPDATE lessons SET sources = \'[{"problem_id": "other"}]\' WHERE lesson_id = 1')
    raw.close()
    assert any("is not what was written" in fault for fault in taught.verify())


def index_of(texts):
    """Return a runner of statements over an index of texts."""
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE VIRTUAL TABLE texts USING fts5(text)")
    connection.executemany("INSERT INTO texts(rowid, text) VALUES (?, ?)", enumerate(texts, 1))
    return lambda sql, *values: connection.execute(sql, values).fetchall()


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1).map(" ".join), min_size=1), st.text('abcdefgh "*(-'))
def test_few_texts_are_ranked_by_every_word(texts, query):
    """As long as the words of a question meet few texts, the order is that of BM25 over all words."""
    rows = index_of(texts)
    words = words_of(query)
    match = " OR ".join(f'"{word}"' for word in words)
    plain = "SELECT rowid FROM texts WHERE texts MATCH ? ORDER BY rank, rowid LIMIT 5"
    assert best_rows(rows, "texts", query, 5) == ([row[0] for row in rows(plain, match)] if words else [])


def test_common_words_are_looked_for_together():
    """Where every word stands in more texts than may be scored, texts with several of them come first."""
    texts = [f"the {'loop' if i % 3 else 'edge'} {'units' if i % 5 == 0 else ''} {i}" for i in range(2 * MOST_SCORED)]
    rows = index_of(texts)
    found = best_rows(rows, "texts", "the loop", 5)
    assert len(found) == 5
    assert all("loop" in texts[i - 1] for i in found)
    rare = best_rows(rows, "texts", f"the units {MOST_SCORED}", 5)
    assert texts[rare[0] - 1].endswith(f" {MOST_SCORED}")


def test_effects_speak_for_present_words_and_are_shrunk(taught):
    """The effect of a lesson's present words counts, less where it is unsure; the unmeasured have none."""
    taught.add_evidence("web", [Evidence("leave-one-out", 0.4, 0.0, 0.8, 9, (1,))])
    taught.add_evidence("web", [Evidence("leave-one-out", 0.2, 0.18, 0.22, 900, (2,)), Evidence("gate", 0.3, n=100)])
    found = taught.effects("web", (1, 2, 3))
    assert set(found) == {1, 2}
    assert 0.07 < found[1] < 0.08
    assert 0.19 < found[2] < 0.2
    taught.commit("web", [Edit(Op.UPDATE, "Other words", (2,))], parent=1)
    assert set(taught.effects("web", (1, 2, 3))) == {1}
    assert set(taught.effects("web", (1, 2, 3), version=1)) == {1, 2}
