"""A dataset and a grader that do not go together are told apart from those that do, before any model is asked."""

from __future__ import annotations

import pytest

from tfgrpo.config.grader import GraderConfig
from tfgrpo.errors import UsageError
from tfgrpo.graders.dataset_check import require_fit, with_labels
from tfgrpo.graders.exact import Exact, named_label
from tfgrpo.types import Problem, Rollout

LABELS = ("billing", "account", "shipping")


def problems(answers, **metadata) -> list[Problem]:
    """Return problems with these references."""
    return [Problem(f"p{i}", f"Question {i}?", answer, dict(metadata)) for i, answer in enumerate(answers)]


@pytest.mark.parametrize(
    ("grader", "answers"),
    [
        ("exact", ["billing", "account"]),
        ("numeric", ["7", "-1.5", "1,000"]),
        ("choice", ["A", "C"]),
        ("math", ["\\frac{1}{2}", "x+1"]),
        ("exact", ["a", "b", None]),
        ("judge", [None, None]),
        (lambda problem, rollout: 1.0, [None]),
    ],
)
async def test_what_goes_together_passes(grader, answers):
    """Also where a few references are missing, and whatever a grader of one's own does."""
    await require_fit(problems(answers), grader, "rows.csv")


@pytest.mark.parametrize(
    ("grader", "answers", "said"),
    [
        ("exact", [None] * 4, "none of the 4 rows of rows.csv has one; its other columns are label, .*answer=label"),
        ("exact", [" ", "\t"], "none of the 2 rows"),
        ("exact", ["a", "b", None, None, None], "only 2 of the 5 rows of rows.csv have one"),
        ("web_qa", ["a", None], "only 1 of the 2 rows .* leave the rows without one out"),
        ("numeric", ["billing", "account", "7"], "cannot use 2 of 3 references .*'billing'.* --grader exact or judge"),
        ("choice", ["billing", "account"], "cannot use 2 of 2 references"),
    ],
)
async def test_what_does_not_is_refused_with_the_remedy(grader, answers, said):
    """With the columns, examples of what cannot be read, and what to give instead."""
    with pytest.raises(UsageError, match=said):
        await require_fit(problems(answers, label="billing", text="Where is it?"), grader, "rows.csv")


@pytest.mark.parametrize(
    ("answer", "label"),
    [
        ("billing", "billing"),
        ("this is a billing question", "billing"),
        ("i would route it to the shipping team.", "shipping"),
        ("not billing but account", ""),
        ("it is not billing", ""),
        ("billing or account", ""),
        ("nothing of that", ""),
        ("rebilling", ""),
    ],
)
def test_a_label_is_found_in_a_sentence(answer, label):
    """The one that is named and not denied; of two, none."""
    assert named_label(answer, LABELS) == label


def test_a_longer_label_is_not_its_part():
    """`not urgent` is one label and no denial of the other."""
    assert named_label("that is not urgent", ("urgent", "not urgent")) == "not urgent"


async def test_exact_reads_sentences_where_labels_recur_and_only_there():
    """The label set is that of the whole dataset; with other references the whole answer is compared."""
    rows = problems(LABELS * 4)
    config = with_labels(GraderConfig(), rows, "exact")
    assert config.options == {"labels": sorted(LABELS)}
    rollout = Rollout("p0", 0, (), "The customer asks about billing.", "stop")
    assert [s.value for s in await Exact(**config.options)(rows[0], [rollout])] == [1.0]
    assert [s.value for s in await Exact()(rows[0], [rollout])] == [0.0]
    for others in (problems(["1", "2", "3"] * 4), problems([f"text {i}" for i in range(12)])):
        assert with_labels(GraderConfig(), others, "exact") == GraderConfig()
