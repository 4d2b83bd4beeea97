"""Versions of libraries: commits, rollbacks, and what the history tells afterwards."""

from __future__ import annotations

import sqlite3

import pytest

from experience_db import (
    BadTemplate,
    ConflictingEdits,
    Edit,
    Evidence,
    InvalidName,
    Library,
    Op,
    Source,
    StaleVersion,
    Store,
    StoreError,
    StoreReadOnly,
    UnknownLibrary,
    UnknownVersion,
    open_library,
)


def test_new_library_is_version_zero_and_empty(store):
    """create_library makes version 0 without lessons, and is the same library when asked for again."""
    assert store.create_library("web", template="{{ lessons }}") == Library("web")
    assert store.libraries() == ("web",)
    assert [(v.number, v.parent, v.note) for v in store.versions("web")] == [(0, None, "new")]


@pytest.mark.parametrize("name", ["", " web", "web@3", "two\nlines", "x" * 201])
def test_library_name_that_cannot_be_typed_is_refused(store, name):
    """Names that would break NAME@VERSION or a line raise InvalidName."""
    with pytest.raises(InvalidName):
        store.create_library(name)


def test_commit_makes_the_next_version_with_its_facts(store):
    """A version knows its parent, time, run, step and note; the edit keeps text, reason and sources."""
    source = Source("p1", (0, 3), "r1", 2, "m", "h")
    edit = Edit(Op.ADD, "Check units.", reason="two winners did", sources=(source,), tainted=True)
    made = store.commit("web", [edit], parent=0, run="r1", step=2, note="learn")
    version = store.versions("web")[1]
    assert (version.number, version.parent, version.run, version.step, version.note) == (1, 0, "r1", 2, "learn")
    assert version.created >= 1000
    assert store.library("web") == made
    assert made.lesson(1).sources == edit.sources
    assert store.log("web")[0].edit == edit


def test_stale_parent_is_refused_and_changes_nothing(taught):
    """A commit on an old version raises StaleVersion that names both versions."""
    with pytest.raises(StaleVersion, match="at version 1, not 0") as caught:
        taught.commit("web", [Edit(Op.ADD, "late")], parent=0)
    assert (caught.value.parent, caught.value.head) == (0, 1)
    assert len(taught.versions("web")) == 2


def test_refused_edit_stores_nothing_of_its_batch(taught):
    """When one edit of a batch conflicts, neither the others nor the evidence are stored."""
    edits = [Edit(Op.ADD, "fine"), Edit(Op.DELETE, ids=(1,)), Edit(Op.DELETE, ids=(1,))]
    with pytest.raises(ConflictingEdits):
        taught.commit("web", edits, parent=1, evidence=[Evidence("gate", 0.1)])
    assert taught.library("web").version == 1
    assert taught.evidence("web") == ()


def test_commit_without_edits_keeps_the_version_and_the_evidence(taught):
    """An empty commit returns the same version and still stores what was measured."""
    kept = taught.commit("web", [], parent=1, evidence=[Evidence("gate", None, verdict="undecided")], run="r", step=4)
    assert kept == taught.library("web", 1)
    assert taught.evidence("web") == (Evidence("gate", None, verdict="undecided", version=1, run="r", step=4),)


def test_commit_repeated_by_a_resumed_run_returns_the_same_version(store):
    """The same step of the same run commits once, its evidence too, even when the library has moved on."""
    again = {"parent": 0, "run": "r1", "step": 0, "evidence": [Evidence("gate", 0.2, n=16)]}
    first = store.commit("web", [Edit(Op.ADD, "a")], **again)
    store.commit("web", [Edit(Op.ADD, "b")], parent=1, run="r1", step=1)
    assert store.commit("web", [Edit(Op.ADD, "a")], **again) == first
    assert len(store.versions("web")) == 3
    assert len(store.evidence("web")) == 1
    with pytest.raises(StaleVersion):
        store.commit("web", [Edit(Op.ADD, "other")], **again)


def test_template_belongs_to_the_version(taught):
    """A new template makes a version of its own; old versions keep theirs, and later ones inherit it."""
    short = "{% for lesson in lessons %}{{ lesson.id }};{% endfor %}"
    assert taught.commit("web", [], parent=1, template=short).block() == "1;2;3;"
    assert taught.commit("web", [Edit(Op.ADD, "x")], parent=2).block() == "1;2;3;4;"
    assert taught.library("web", 1).block().startswith("Advice; follow what fits this problem:")
    with pytest.raises(BadTemplate):
        taught.commit("web", [], parent=3, template="{{ nothing }}")


def test_rollback_brings_lessons_back_under_their_old_ids(taught):
    """A rollback is a new version that equals the old one; a deleted lesson has its old id again, a new one none."""
    taught.commit("web", [Edit(Op.DELETE, ids=(1,)), Edit(Op.UPDATE, "Sketch.", (2,)), Edit(Op.ADD, "four")], parent=1)
    back = taught.rollback("web", 1)
    assert (back.version, back.lessons, back.template) == (3, taught.library("web", 1).lessons, back.template)
    assert [lesson.id for lesson in taught.commit("web", [Edit(Op.ADD, "five")], parent=3)] == [1, 2, 3, 5]
    assert [(a.restored, a.edit.op, a.lesson_id) for a in taught.log("web") if a.version == 3] == [
        (False, Op.DELETE, 4),
        (True, Op.UPDATE, 1),
        (True, Op.UPDATE, 2),
    ]
    assert taught.versions("web")[3].note == "rollback to 1"


def test_diff_names_what_came_went_and_changed(taught):
    """Diff lists added, removed and reworded lessons between any two versions, in both directions."""
    taught.commit("web", [Edit(Op.DELETE, ids=(1,)), Edit(Op.UPDATE, "Sketch.", (2,)), Edit(Op.ADD, "four")], parent=1)
    there, back = taught.diff("web", 1, 2), taught.diff("web", 2, 1)
    assert [lesson.id for lesson in there.added] == [lesson.id for lesson in back.removed] == [4]
    assert [lesson.id for lesson in there.removed] == [lesson.id for lesson in back.added] == [1]
    assert [(a.text, b.text) for a, b in there.changed] == [("Draw the figure.", "Sketch.")]


def test_equal_versions_have_equal_digests(taught):
    """Digests differ between different versions and agree after a rollback."""
    taught.commit("web", [Edit(Op.DELETE, ids=(1,))], parent=1)
    taught.rollback("web", 1)
    digests = [version.digest for version in taught.versions("web")]
    assert digests[1] == digests[3]
    assert len(set(digests)) == 3


def test_unknown_names_say_what_there_is(taught):
    """Unknown libraries and versions raise errors that list what exists."""
    with pytest.raises(UnknownLibrary, match="no library 'wob'; it has: web"):
        taught.library("wob")
    for version in (-1, 2):
        with pytest.raises(UnknownVersion, match="it has 0 to 1"):
            taught.library("web", version)


@pytest.mark.parametrize("table", ["edits", "versions", "evidence"])
@pytest.mark.parametrize("verb", ["UPDATE {} SET created = 0", "DELETE FROM {}"])
def test_history_cannot_be_rewritten(taught, path, table, verb):
    """The database itself refuses to change or delete edits, versions and evidence."""
    taught.add_evidence("web", [Evidence("gate", 0.1)])
    other = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match=f"{table} is append-only"):
        other.execute(verb.format(table))
    other.close()


def test_atomic_undoes_everything_inside(taught):
    """An error inside atomic undoes all of it; an inner block that fails undoes only itself."""

    def fail_after_commit(parent):
        with taught.atomic():
            taught.commit("web", [Edit(Op.ADD, "undone")], parent=parent)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail_after_commit(parent=1)
    with taught.atomic():
        taught.commit("web", [Edit(Op.ADD, "kept")], parent=1)
        with pytest.raises(InterruptedError):
            fail_after_commit(parent=2)
    assert [lesson.text for lesson in taught.library("web")][3:] == ["kept"]
    assert taught.verify() == ()


def test_readers_see_whole_versions_while_the_writer_works(taught, path):
    """A second connection reads the last committed version during a transaction, and the new one after it."""
    with Store.open(path, readonly=True) as reader:
        with taught.atomic():
            taught.commit("web", [Edit(Op.ADD, "x")], parent=1)
            assert reader.library("web").version == 1
        assert reader.library("web").version == 2


def test_second_writer_with_a_stale_parent_is_refused(taught, path):
    """Two writers that start from one version make one version; the second hears of it."""
    with Store.open(path) as second:
        taught.commit("web", [Edit(Op.ADD, "first")], parent=1)
        with pytest.raises(StaleVersion):
            second.commit("web", [Edit(Op.ADD, "second")], parent=1)
        assert second.library("web") == taught.library("web")


def test_open_library_reads_without_writing(taught, path):
    """open_library returns any version; a read-only store refuses to write."""
    assert open_library("web", db=path) == taught.library("web")
    assert open_library("web", db=str(path), version=0) == Library("web")
    with Store.open(path, readonly=True) as reader, pytest.raises(StoreReadOnly, match="opened read-only"):
        reader.commit("web", [Edit(Op.ADD, "x")], parent=1)


def test_closed_store_says_so(path):
    """Work on a closed store raises a StoreError instead of a bare sqlite3 error."""
    with Store.open(path) as store:
        pass
    with pytest.raises(StoreError, match="closed"):
        store.libraries()


def test_any_text_survives(store):
    """Texts with quotes, control characters, NUL, emoji and right-to-left script come back as they went in."""
    text = "a'b\"c\\frac{1}{2}\t\0 ☃ 🦉 שלום \u202e x\r\n"
    store.commit("web", [Edit(Op.ADD, text, sources=(Source("p☃"),))], parent=0)
    assert store.library("web").lesson(1).text == text
    assert store.rebuild("web").lesson(1).text == text
    assert store.verify() == ()
