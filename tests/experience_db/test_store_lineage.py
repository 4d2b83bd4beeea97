"""Candidates that go on from any earlier version: what they hold, what they come from, and that history replays."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experience_db import Edit, Library, Op, StaleVersion, Store


def child(base: Library, head: Library, *edits: Edit) -> Library:
    """The candidate that `edits` make of an earlier version, with ids that the newest one would give."""
    return replace(base, version=head.version, next_id=head.next_id).with_edits(edits)


def test_a_candidate_goes_on_from_any_version(taught):
    """The second candidate starts where the first did: it has nothing of its sibling."""
    base = taught.library("web")
    one = taught.branch(
        child(base, base, Edit(Op.ADD, "Name the unit.")), parent=1, origins=(1,), kind="mutation", note="x"
    )
    goal = child(base, one, Edit(Op.UPDATE, "Draw it.", (2,)), Edit(Op.ADD, "Count twice."))
    two = taught.branch(goal, parent=2, origins=(1,), kind="mutation")
    assert [x.text for x in one] == [*(x.text for x in base), "Name the unit."]
    assert [(x.id, x.text) for x in two] == [
        (1, base.lesson(1).text),
        (2, "Draw it."),
        (3, base.lesson(3).text),
        (5, "Count twice."),
    ]
    assert taught.library("web") == two
    assert [(o.version, o.origins, o.kind) for o in taught.lineage("web")] == [
        (2, (1,), "mutation"),
        (3, (1,), "mutation"),
    ]
    assert taught.verify() == ()


def test_a_merge_has_two_origins_and_belongs_to_its_run(taught, run):
    """Two parents are two rows of one candidate; other runs do not see it."""
    head = taught.library("web")
    taught.branch(replace(head, lessons=head.lessons[:1]), parent=1, origins=(0, 1), kind="merge", run=run, step=4)
    (origin,) = taught.lineage("web", run)
    assert (origin.origins, origin.run, origin.step) == ((0, 1), run, 4)
    assert taught.lineage("web", "another") == ()


def test_a_stale_candidate_stores_nothing(taught):
    """Whoever does not know the newest version is told so."""
    with pytest.raises(StaleVersion):
        taught.branch(taught.library("web"), parent=0, origins=(0,), kind="mutation")
    assert taught.lineage("web") == ()


def test_lineage_cannot_be_rewritten(taught, path):
    """The table refuses updates and deletions, as the edits do."""
    head = taught.library("web")
    taught.branch(child(head, head, Edit(Op.DELETE, None, (1,))), parent=1, origins=(1,), kind="mutation")
    with sqlite3.connect(path) as raw:
        for statement in ("UPDATE lineage SET origin = 0", "DELETE FROM lineage"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                raw.execute(statement)


MOVES = st.lists(st.tuples(st.integers(0, 30), st.sampled_from(["add", "delete", "update"])), max_size=12)


@given(MOVES)
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_tree_of_candidates_can_be_rebuilt_from_its_edits(tmp_path_factory, new_file, moves):
    """Whatever branches were taken, every version is what its edits make, and verification finds nothing."""
    path = tmp_path_factory.mktemp("tree") / "x.db"
    path.write_bytes(new_file.read_bytes())
    with Store.open(path) as store:
        head = store.create_library("web")
        made = [head]
        for number, (pick, move) in enumerate(moves):
            base = made[pick % len(made)]
            ids = [x.id for x in base]
            edit = Edit(Op.ADD, f"lesson {number}")
            if ids and move != "add":
                i = ids[pick % len(ids)]
                edit = Edit(Op.DELETE, None, (i,)) if move == "delete" else Edit(Op.UPDATE, f"words {number}", (i,))
            goal = child(base, head, edit)
            head = store.branch(
                goal, parent=head.version, origins=(base.version,), kind="mutation", why={ids[0]: edit} if ids else {}
            )
            assert [(x.id, x.text) for x in head] == [(x.id, x.text) for x in goal]
            made.append(head)
        assert store.verify() == ()
        assert all(store.rebuild("web", v.version) == store.library("web", v.version) == v for v in made)
