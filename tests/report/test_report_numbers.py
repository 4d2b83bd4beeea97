"""The numbers behind the page: what counts, what does not, and what may be claimed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experience_db import Evaluation, Evidence, RoleUsage, RunStep
from tfgrpo.report import formatting, numbers


def heldout(diff: float, low: float, high: float, p: float) -> dict:
    """What a run's summary says under `heldout`."""
    ends = {"before_ci": [0.1, 0.5], "after_ci": [0.2, 0.6], "ci": [low, high]}
    return {"before": 0.3, "after": 0.3 + diff, "diff": diff, "n": 60, "p": p, **ends}


def group(*rewards: float | None, status: str = "kept", step: int = 0, failure: dict | None = None) -> dict:
    """One group as the store returns it."""
    rollouts = [{"failure": failure if r is None else None} for r in rewards]
    return {
        "step": step,
        "status": status,
        "rewards": list(rewards),
        "rollouts": rollouts,
        "scores": [[] for _ in rewards],
    }


def step(index: int = 0, **summary: object) -> RunStep:
    """One recorded step."""
    return RunStep("r", index, 0, 0, 1, summary)


@pytest.mark.parametrize(
    ("numbers_of", "verdict", "said"),
    [
        (heldout(0.2, 0.1, 0.3, 0.001), "better", "rose from 0.300 to 0.500"),
        (heldout(-0.2, -0.3, -0.1, 0.001), "worse", "fell from 0.300 to 0.100"),
        (heldout(0.1, -0.1, 0.3, 0.4), "noise", "inside its noise"),
        (heldout(0.1, 0.01, 0.2, 0.08), "noise", "inside its noise"),
    ],
)
def test_the_headline_claims_no_more_than_the_numbers(numbers_of, verdict, said):
    """An interval that holds zero, or a large p, makes no effect."""
    found = numbers.headline(numbers_of, "finished", "paired")
    assert found.verdict == verdict
    assert said in found.claim


def test_the_headline_says_that_the_gate_saw_the_same_problems():
    """A gate that chose edits on the held-out problems makes their mean optimistic; an open gate does not."""
    told = heldout(0.2, 0.1, 0.3, 0.001)
    assert "optimistic" in " ".join(numbers.headline(told, "finished", "paired").notes)
    assert "optimistic" not in " ".join(numbers.headline(told, "finished", "open").notes)


def test_the_headline_carries_each_objective_and_what_chose_the_lessons():
    """An untouched figure stands beside that of the problems which chose the lessons."""
    told = heldout(0.2, 0.1, 0.3, 0.001) | {
        "selected_on": False,
        "chosen_on": {"before": 0.2, "after": 0.8, "diff": 0.6, "n": 64},
        "objectives": {"short": {"before": 0.9, "after": 0.4}, "tokens": {"before": 12.0, "after": None}},
    }
    found = numbers.headline(told, "finished", "paired")
    assert found.objectives == {"short": (0.9, 0.4), "tokens": (12.0, None)}
    assert "On the 64 problems that chose the lessons it went from 0.200 to 0.800." in found.notes


@pytest.mark.parametrize("status", ["finished", "running", "budget", "failed", "interrupted"])
def test_nothing_measured_makes_no_claim(status):
    """Without both measurements there is no number and no verdict."""
    found = numbers.headline(None, status, "paired")
    assert found.verdict == "unmeasured"
    assert found.diff is None
    assert "no held-out" in found.claim


def test_a_point_is_a_mean_over_problems_and_skips_what_was_not_scored():
    """A failed rollout counts for nothing, and a problem with one graded rollout weighs as much as another."""
    found = numbers.point(step(), [group(1.0, None, None, None), group(0.0, 0.0, 1.0, 1.0), group(None, None)], 0)
    assert found.reward == 0.75
    assert found.problems == 2


def test_a_step_without_rewards_is_a_gap():
    """No reward is not zero."""
    found = numbers.point(step(), [group(None, None, status="failed")], 0)
    assert (found.reward, found.low, found.high, found.problems) == (None, None, None, 0)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0, None]), min_size=1, max_size=4), min_size=2, max_size=6))
def test_the_interval_holds_the_mean(rewards):
    """The interval of a step lies around its mean and inside the range of rewards."""
    found = numbers.point(step(), [group(*r) for r in rewards], 0)
    if found.low is not None and found.high is not None:
        assert -1e-9 <= found.low <= found.reward + 1e-9
        assert found.reward - 1e-9 <= found.high <= 1 + 1e-9


def test_the_funnel_adds_up_over_steps():
    """Groups are counted by what became of them, edits by what was decided, and unknown words are kept."""
    first = numbers.point(
        step(0, edits={"proposed": 3, "accepted": 1}), [group(1.0, 0.0), group(1.0, status="flat")], 0
    )
    second = numbers.point(
        step(1, edits={"proposed": 2, "rejected": 2}, failures={"malformed": 4}), [group(0.0, status="odd")], 0
    )
    found = numbers.funnel([first, second])
    assert found.groups == {"kept": 1, "flat": 1, "failed": 0, "filtered": 0, "odd": 1}
    assert (found.proposed, found.accepted, found.rejected, found.undecided, found.malformed) == (5, 1, 2, 0, 4)


def test_a_step_whose_groups_are_gone_keeps_its_counts():
    """The step's own summary stands in for groups that were not stored."""
    assert numbers.point(step(groups={"kept": 2}), [], 0).groups == {"kept": 2}


def test_costs_are_split_into_learning_and_proving():
    """Each role has its part, unknown roles are neither, and roles that only replayed still show."""
    usage = {role: RoleUsage(role, 2, 10, 5, 1, 0.5, 1.0) for role in ("rollout", "gate", "judge")}
    rows = numbers.costs(usage, {"gate": {"new": 2, "replayed": 7}, "contrast": {"new": 0, "replayed": 3}})
    assert [(r.role, r.part) for r in rows] == [
        ("contrast", "learning"), ("rollout", "learning"), ("gate", "proving"), ("judge", "other"),
    ]  # fmt: skip
    assert [r.replayed for r in rows] == [3, 0, 7, 0]
    assert numbers.subtotal(rows).calls == 6
    assert numbers.subtotal(rows, "learning").prompt_tokens == 10


def test_unknown_money_makes_the_sum_unknown():
    """A price that nobody knows is not zero."""
    usage = {"rollout": RoleUsage("rollout", 1, 1, 1, 0, None, 1.0), "gate": RoleUsage("gate", 1, 1, 1, 0, 0.5, 1.0)}
    rows = numbers.costs(usage, {})
    assert numbers.subtotal(rows).usd is None
    assert numbers.subtotal(rows, "proving").usd == 0.5


def test_the_census_tells_rollouts_from_grading_from_writing():
    """What the groups do not explain of a step's failures happened while lessons were written."""
    broken = group(None, 1.0, failure={"kind": "timeout", "message": "late"})
    ungraded = group(0.5)
    ungraded["scores"] = [[{"failure": {"kind": "grader", "message": "crashed"}}]]
    at = numbers.point(step(0, failures={"timeout": 3, "grader": 1, "malformed": 2}), [broken, ungraded], 0)
    found = {(f.where, f.kind): (f.count, f.example) for f in numbers.failures([at], [broken, ungraded])}
    assert found == {
        ("rollout", "timeout"): (1, "late"),
        ("grading", "grader"): (1, "crashed"),
        ("writing lessons", "timeout"): (2, ""),
        ("writing lessons", "malformed"): (2, ""),
    }


def test_controls_stand_beside_their_evaluation():
    """A control keeps the dataset and its paired difference, and a set that the gate used is marked."""
    told = {"controls": {"empty": {"mean": 0.2, "ci": [0.1, 0.3], "diff": 0.3, "diff_ci": [0.1, 0.5], "p": 0.01}}}
    made = Evaluation("e", "held.jsonl", "m", "web", 2, 0.5, 0.4, 0.6, 30, 1, "", told)
    library, control = numbers.measured([made], "held.jsonl")
    assert (library.control, library.diff, library.seen_by_gate) == ("", None, True)
    assert (control.control, control.diff, control.p, control.dataset) == ("empty", 0.3, 0.01, "held.jsonl")
    assert not numbers.measured([made], "other.jsonl")[0].seen_by_gate


def test_a_control_with_a_row_of_its_own_is_told_once():
    """It stands beside the library it was measured with; alone it is told as it is."""
    told = {"controls": {"empty": {"mean": 0.2, "ci": [0.1, 0.3], "diff": 0.3, "diff_ci": [0.1, 0.5], "p": 0.01}}}
    made = Evaluation("e", "/data/held.jsonl", "m", "web", 2, 0.5, 0.4, 0.6, 30, 1, "", told)
    own = Evaluation("e", "/data/held.jsonl", "m", "web", 2, 0.2, 0.1, 0.3, 30, 1, "empty")
    assert [(m.control, m.diff) for m in numbers.measured([made, own], 0.3)] == [("", None), ("empty", 0.3)]
    assert [(m.control, m.diff) for m in numbers.measured([own], 0.3)] == [("empty", None)]
    assert formatting.file_name(made.dataset) == "held.jsonl"
    assert formatting.file_name("hf:owner/name") == "hf:owner/name"


def test_what_the_gate_has_seen_is_marked_whatever_the_file_is_called():
    """An evaluation keeps how many of its problems were held out in a run."""
    made = Evaluation("e", "x.jsonl", "m", "web", 2, 0.5, problems=30, summary={"seen": {"taught": 0, "gated": 3}})
    assert numbers.measured([made], "0.3")[0].seen_by_gate


def test_the_best_measurement_is_of_the_lesson_alone_and_of_its_present_words():
    """A bundle says less than a lesson alone, and what was measured about earlier words says nothing."""
    bundle = Evidence("gate", 0.5, 0.1, 0.9, 30, (1, 2), version=3)
    alone = Evidence("leave-one-out", 0.2, -0.1, 0.5, 12, (1,), version=3)
    old = Evidence("leave-one-out", 0.9, 0.8, 1.0, 12, (1,), version=1)
    empty = Evidence("dropout", None, lesson_ids=(1,), version=4)
    assert numbers.present_effect([alone, bundle, old, empty], changed=3) is alone
    assert numbers.present_effect([bundle, old], changed=3) is bundle
    assert numbers.present_effect([old, empty], changed=3) is None


def test_an_evaluation_on_other_data_is_set_beside_the_headline():
    """Only the final version, only against the empty library, and only on data that the gate did not use."""
    told = {"controls": {"empty": {"mean": 0.2, "ci": [0.1, 0.3], "diff": 0.3, "diff_ci": [0.1, 0.5], "p": 0.01}}}

    def made(dataset: str, version: int) -> Evaluation:
        return Evaluation("e", dataset, "m", "web", version, 0.5, 0.4, 0.6, 30, 1, "", told)

    rows = numbers.measured([made("gate.jsonl", 2), made("old.jsonl", 1), made("test.jsonl", 2)], "gate.jsonl")
    (note,) = numbers.confirmation(rows, 2, "gate.jsonl")
    assert "test.jsonl" in note
    assert "+0.300 [+0.100, +0.500], n=30" in note
    assert numbers.confirmation(rows, 2, 0.3) == ()


@pytest.mark.parametrize(
    ("kind", "summary", "said"),
    [
        (
            "eval",
            {"mean": 0.5, "ci": [0.4, 0.6], "k": 2, "problems": 9},
            "mean@2 is 0.500 [0.400, 0.600] on 9 problems.",
        ),
        ("eval", {"mean": 0.5, "k": 1, "problems": 9}, "mean@1 is 0.500 on 9 problems."),
        ("audit", {}, "single lessons"),
        ("eval", {}, "of kind eval"),
    ],
)
def test_a_run_that_did_not_learn_has_its_own_headline(kind, summary, said):
    """An evaluation says its mean, an audit points to the lessons."""
    assert said in numbers.unlearned_headline(kind, summary).claim


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (-0.04, 0.04, "hardly any effect"),
        (0.1, 0.3, "helps"),
        (-0.3, -0.1, "harms"),
        (-0.1, 0.3, "unclear alone"),
        (None, None, "no interval"),
    ],
)
def test_an_effect_is_told_in_words(low, high, words):
    """What a plot shows in colour is also said."""
    assert numbers.effect_words(Evidence("gate", 0.1, low, high, 9, (1,))) == words
