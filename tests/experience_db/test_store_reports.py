"""Reports of users: kept, found again, and never taken for a measurement."""

from __future__ import annotations

import sqlite3

import pytest

from experience_db import InvalidEdit, Report, UnknownVersion


def test_a_report_is_kept_and_found_again(taught):
    """By library and by lesson, with the version it is about, in the order they came."""
    first = Report("succeeded", 1.0, (1,), "sum of two", "the hint helped", "some-agent 1.0")
    assert [taught.add_report("web", x) for x in (first, Report("failed"))] == [1, 2]
    about = taught.reports("web")
    assert (taught.count_reports("web"), taught.count_reports("other")) == (2, 0)
    assert [(x.id, x.version, x.outcome) for x in about] == [(1, 1, "succeeded"), (2, 1, "failed")]
    assert [x.feedback for x in taught.reports("web", 1)] == ["the hint helped"]
    assert about[0].created


def test_a_report_is_no_evidence(taught):
    """A hundred reports of success leave the measured effect, the lessons and the version as they were."""
    before = taught.library("web"), taught.evidence("web"), taught.export("web")
    for _ in range(100):
        taught.add_report("web", Report("succeeded", 1.0, (1,)))
    assert (taught.library("web"), taught.evidence("web"), taught.export("web")) == before


@pytest.mark.parametrize("wrong", [Report("great"), Report("failed", 1.5), Report("failed", float("nan"))])
def test_what_is_no_report_is_refused(taught, wrong):
    """An outcome that does not exist and a reward outside of [0, 1] are errors, and nothing is kept."""
    with pytest.raises(InvalidEdit):
        taught.add_report("web", wrong)
    assert taught.reports("web") == ()


def test_a_report_names_a_version_that_exists(taught):
    """A report about a version that was never made is refused."""
    with pytest.raises(UnknownVersion):
        taught.add_report("web", Report("failed"), version=99)


def test_reports_are_append_only(taught, path):
    """Nobody rewrites what was reported."""
    taught.add_report("web", Report("failed"))
    with sqlite3.connect(path) as raw:
        for statement in ("UPDATE reports SET outcome = 'succeeded'", "DELETE FROM reports"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                raw.execute(statement)
    raw.close()
