"""What a report takes from the store, and what it leaves because it belongs to another run or another time."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_stores import HARMFUL

from experience_db import Edit, Evidence, Op, Store
from experience_db.errors import UnknownRun
from tfgrpo.report import Report, gather


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """A run that added a lesson, updated it, and had one more update refused; another run came later."""
    with Store.open(tmp_path / "x.db") as store:
        store.create_library("web")
        for name in ("one", "two"):
            facts = {"kind": "learn", "fingerprint": name, "config": {}, "library": "web", "base_version": 0}
            store.start_run(name, name=name, dataset="d", **facts)
        first = Evidence("gate", 0.4, 0.2, 0.6, 9, (1,), "accepted")
        store.commit("web", [Edit(Op.ADD, "Draw.")], parent=0, run="one", step=0, evidence=[first])
        store.commit("web", [Edit(Op.UPDATE, "Draw first.", (1,))], parent=1, run="one", step=1)
        refused = Edit(Op.UPDATE, "Never draw.", (1,))
        told = {"edit": [["UPDATE", [1], "Never draw."]]}
        against = Evidence("gate", -0.3, -0.5, -0.1, 9, (1,), "rejected", "harmful", told)
        store.set_aside("web", [refused], status="rejected", reason="harmful", version=2, run="one", step=2)
        store.add_evidence("web", [against], version=2, run="one", step=2)
        for step in range(3):
            after = min(step + 1, 2)
            store.record_step("one", step, epoch=0, version_before=min(step, 2), version_after=after, summary={})
        store.record_uses("web", {1: 5}, run="one", step=1)
        store.record_uses("web", {1: 7}, run="two", step=0)
        late = Evidence("gate", 0.9, 0.8, 1.0, 9, (1,), "accepted")
        store.commit("web", [Edit(Op.UPDATE, "Draw twice.", (1,))], parent=2, run="two", step=0, evidence=[late])
        store.set_aside("web", [Edit(Op.DELETE, None, (1,))], status="rejected", reason="no", version=3, run="two")
        return gather(store, "one")


def test_a_report_ends_where_its_run_ended(report):
    """Lessons, edits and evidence of later versions are another run's story."""
    (story,) = report.lessons
    assert report.version == 2
    assert story.lesson.text == "Draw first."
    assert [edit.version for edit in story.edits] == [1, 2]
    assert [e.estimate for e in story.evidence] == [0.4]
    assert [change.version.number for change in report.changes] == [1, 2]
    assert [lesson.text for lesson in report.whole.added] == ["Draw first."]


def test_what_refused_an_edit_is_no_effect_of_the_lesson(report):
    """The lesson keeps its own evidence; the refused words have theirs, beside it and with the refused edit."""
    (story,) = report.lessons
    assert [e.estimate for e in story.tried] == [-0.3]
    (refused,) = report.refused
    assert (refused.item.edit.text, refused.item.reason) == ("Never draw.", "harmful")
    assert [e.estimate for e in refused.evidence] == [-0.3]


def test_rollouts_that_saw_a_lesson_are_counted_for_the_run_and_in_all(report):
    """A later run shows the lesson too, and that is said apart."""
    (story,) = report.lessons
    assert (story.shown, story.shown_ever) == (5, 12)


def test_a_harmful_edit_keeps_what_the_gate_measured(night):
    """In a real run the evidence finds its way to the edit that it refused."""
    (refused,) = night.refused
    assert refused.item.edit.text == HARMFUL
    assert refused.evidence[0].high < 0


def test_an_unknown_run_is_said_so(tmp_path):
    """The error names the way to list what there is."""
    with Store.open(tmp_path / "x.db") as store, pytest.raises(UnknownRun, match="runs list"):
        gather(store, "nowhere")
