"""The default gate: singles, bundles, baselines, evidence."""

import json
import math
import re
from dataclasses import replace

import pytest

from experience_db import Edit, Op
from tfgrpo.errors import UsageError
from tfgrpo.gates import LITE, Alpha, Design, PairedGate, Rewards
from tfgrpo.types import Problem, Proposal, Rollout

from .tables import Table, add, library_of, solves, worded_pool

LIBRARY = library_of("Treat dax as sum.", "Treat wug as min.")
RIGHT = "Treat glorp as max."
FILLER = "Treat blick with care."


def world(texts: frozenset[str], problem: Problem, index: int) -> float:
    """Glorp is max, dax is sum, wug is min; a problem is solved by its operator's right lesson alone."""
    needed = {"glorp": {RIGHT}, "dax": {"Treat dax as sum."}, "wug": {"Treat wug as min."}, "blick": set()}
    wrong = {"glorp": "Treat glorp as gap.", "dax": "Treat dax as gap.", "wug": "Treat wug as gap.", "blick": "-"}
    operator = next(word for word in needed if word in problem.question)
    return float(bool(needed[operator] & texts) and wrong[operator] not in texts)


async def ask(*proposals, reward=world, gate=None, pool=64):
    """Send proposals through a gate; returns verdicts and trial."""
    trial = Table(reward, worded_pool(pool))
    return await (gate or PairedGate())(LIBRARY, proposals, trial), trial


async def test_right_edit_is_accepted_on_the_problems_it_touches():
    """A right lesson costs one look on its own problems and carries every number behind it."""
    (verdict,), trial = await ask(add(RIGHT))
    (evidence,) = verdict.evidence
    assert verdict.decision == "accepted"
    assert verdict.reason.startswith("better: +1.000 over 16 pairs on 16 touched problems")
    assert (evidence.kind, evidence.estimate, evidence.n, evidence.lesson_ids) == ("gate", 1.0, 16, ())
    assert 0 < evidence.low < evidence.estimate <= evidence.high
    assert evidence.detail["touched"] == [f"p{i}" for i in range(0, 64, 4)]
    assert evidence.detail["rollouts"] == {"new": 32, "cached": 0}
    assert evidence.detail["e_better"] >= evidence.detail["accept"] == pytest.approx(20)
    assert {problem for _, problem, _ in trial.rollouts} == set(evidence.detail["touched"])


async def test_harmful_edit_is_rejected_with_its_reason():
    """Deleting a right lesson is refused as harmful and speaks about that lesson."""
    (verdict,), _ = await ask(Proposal(Edit(Op.DELETE, None, (1,))))
    assert verdict.decision == "rejected"
    assert verdict.reason.startswith("harmful: -1.000")
    assert verdict.evidence[0].lesson_ids == (1,)
    assert verdict.evidence[0].high < 0


async def test_filler_is_undecided_after_64_pairs():
    """A lesson without effect on its problems is not shown to be useless in 64 pairs, and is not accepted."""
    (verdict,), trial = await ask(add(FILLER))
    assert verdict.decision == "undecided"
    assert verdict.evidence[0].detail["pairs"] == 64
    assert {index for _, _, index in trial.rollouts} == {0, 1, 2, 3}


async def test_edit_without_known_touch_is_tested_everywhere():
    """A lesson that names no problem gets up to 128 pairs of the whole pool, and here is not worth it."""
    (verdict,), trial = await ask(add("Check twice."))
    assert verdict.decision == "rejected"
    assert verdict.reason.startswith("not worth it: +0.000")
    assert verdict.evidence[0].detail["touch"] == "all"
    assert {problem for _, problem, _ in trial.rollouts} == {problem.id for problem in trial.problems}


async def test_lite_design_gives_up_earlier():
    """The lite design spends at most 32 pairs, in looks of 8."""
    (verdict,), trial = await ask(add(FILLER), gate=PairedGate(design=LITE))
    assert verdict.evidence[0].detail["pairs"] <= 32
    assert all(len(cases) <= 8 for _, cases in trial.asked)


async def test_edit_that_changes_nothing_costs_nothing():
    """An update to the words that are there already is rejected without a rollout."""
    (verdict,), trial = await ask(Proposal(Edit(Op.UPDATE, "Treat dax as sum.", (1,))))
    assert (verdict.decision, verdict.reason) == ("rejected", "not worth it: the library stays as it is")
    assert trial.asked == []


async def test_idle_edit_does_not_join_a_bundle():
    """An edit that changes nothing is left out of the bundle test and keeps its place among the verdicts."""
    idle = Proposal(Edit(Op.UPDATE, "Treat dax as sum.", (1,)))
    verdicts, _ = await ask(idle, add(RIGHT))
    assert [verdict.decision for verdict in verdicts] == ["rejected", "accepted"]
    assert [evidence.detail["role"] for evidence in verdicts[1].evidence] == ["single"]


async def test_failed_rollouts_leave_an_edit_undecided():
    """An outage is not evidence: the verdict says how many pairs have no reward."""
    (verdict,), _ = await ask(add(RIGHT), reward=lambda texts, problem, index: math.nan)
    assert verdict.decision == "undecided"
    assert verdict.reason == "undecided: 64 of 64 pairs have no reward on at least one side"
    assert verdict.evidence[0].estimate is None
    assert (verdict.evidence[0].low, verdict.evidence[0].high) == (-1.0, 1.0)


async def test_accepted_candidate_is_the_next_baseline_for_free():
    """Gates of one run share rewards: the second gate finds its baseline measured."""
    gate = PairedGate()
    trial = Table(world)
    await gate(LIBRARY, [add(RIGHT)], trial)
    after = LIBRARY.with_edits([Edit(Op.ADD, RIGHT)])
    trial.asked.clear()
    (verdict,) = await gate(after, [add("Treat glorp as gap.")], trial)
    assert verdict.decision == "rejected"
    assert verdict.evidence[0].detail["rollouts"] == {"new": 16, "cached": 16}
    assert all("Treat glorp as gap." in texts for texts, _ in trial.asked)


async def test_rewards_are_shared_between_gates_that_are_given_the_same_store():
    """Two gates with one store of rewards pay for the baseline once."""
    rewards = Rewards()
    _, first = await ask(add(RIGHT), gate=PairedGate(rewards=rewards))
    _, second = await ask(add(RIGHT), gate=PairedGate(rewards=rewards))
    assert (len(first.rollouts), len(second.rollouts)) == (32, 0)


def trace(trial):
    """The order in which problems were met."""
    return [case for _, cases in trial.asked[:1] for case in cases]


async def test_order_is_reproducible_and_differs_by_edit_seed_and_version():
    """The same gate asks in the same order; another edit, seed or version in another."""
    one, other = add("Treat glorp as max."), add("Treat glorp as min.")
    (_, first), (_, again), (_, edit), (_, seed) = (
        await ask(one),
        await ask(one),
        await ask(other),
        await ask(one, gate=PairedGate(seed=1)),
    )
    version = Table(world)
    await PairedGate()(replace(LIBRARY, version=9), [one], version)
    assert trace(first) == trace(again)
    assert len({tuple(trace(trial)) for trial in (first, edit, seed, version)}) == 4


async def test_bundle_is_accepted_whole_and_each_member_must_not_be_missed():
    """Members of an accepted bundle get their leave-one-out effect and the bundle's own evidence."""
    trial = Table(world)
    verdicts = await PairedGate(companions="harmless")(LIBRARY, [add(RIGHT), add(FILLER)], trial)
    assert [verdict.decision for verdict in verdicts] == ["accepted", "accepted"]
    own, bundle = verdicts[0].evidence
    assert (own.kind, own.estimate, own.verdict) == ("leave-one-out", 1.0, "accepted")
    assert own.low > 0
    assert (bundle.detail["role"], bundle.detail["edits"], bundle.verdict) == ("bundle", 2, "accepted")
    assert verdicts[1].evidence[0].estimate == 0.0
    assert verdicts[1].evidence[1] == bundle
    assert verdicts[0].reason.startswith("part of an accepted bundle")


async def test_by_default_a_member_that_nobody_misses_leaves():
    """Filler in an accepted bundle is refused with its effect of zero; a deletion may have none."""
    verdicts, _ = await ask(add(RIGHT), add(FILLER))
    assert [verdict.decision for verdict in verdicts] == ["accepted", "rejected"]
    assert verdicts[1].reason.startswith("not missed: leaving it out changes the bundle by +0.000")
    assert verdicts[1].evidence[0].verdict == "rejected"
    cluttered = library_of("Treat dax as sum.", "Treat wug as min.", FILLER)
    verdicts = await PairedGate()(cluttered, [add(RIGHT), Proposal(Edit(Op.DELETE, None, (3,)))], Table(world))
    assert [verdict.decision for verdict in verdicts] == ["accepted", "accepted"]


async def test_member_whose_check_fails_says_so():
    """An outage during the leave-one-out of an accepted bundle leaves its mark in the reason, and no effect."""

    def reward(texts, problem, index):
        return math.nan if texts == {RIGHT, *start} else world(texts, problem, index)

    start = {lesson.text for lesson in LIBRARY}
    verdicts, _ = await ask(add(RIGHT), add(FILLER), reward=reward)
    assert [verdict.decision for verdict in verdicts] == ["accepted", "accepted"]
    assert verdicts[1].reason.startswith("part of an accepted bundle, not checked alone: 64 of 64 pairs")
    assert verdicts[1].evidence[0].estimate is None


async def test_bad_companion_does_not_ride_in():
    """A member without which the rest is better leaves an accepted bundle as harmful."""

    def reward(texts, problem, index):
        if "glorp" in problem.question:
            return float(RIGHT in texts)
        return 0.0 if "Treat dax as gap." in texts and "dax" in problem.question and int(problem.id[1:]) % 3 else 0.5

    bad = Proposal(Edit(Op.UPDATE, "Treat dax as gap.", (1,)))
    for proposals in ((add(RIGHT), bad), (bad, add(RIGHT))):
        verdicts, _ = await ask(*proposals, reward=reward)
        by_text = {verdict.edits[0].text: verdict for verdict in verdicts}
        assert [verdict.edits[0] for verdict in verdicts] == [proposal.edit for proposal in proposals]
        assert by_text[RIGHT].decision == "accepted"
        dropped = by_text["Treat dax as gap."]
        assert dropped.decision == "rejected"
        assert dropped.reason.startswith("harmful companion: leaving it out changes the bundle by +0.")
        assert dropped.evidence[0].estimate < 0
        assert dropped.evidence[0].lesson_ids == (1,)


async def test_of_two_rivals_only_one_leaves():
    """Each check is made without the members that left already, so a conflict costs one of the two, not both."""
    rivals = ("Treat dax as gap.", "Treat dax as max.")

    def reward(texts, problem, index):
        if "glorp" in problem.question:
            return float(RIGHT in texts)
        both = len(texts & set(rivals))
        return (0.5, 1.0, 0.1)[both] if "dax" in problem.question else 0.5

    verdicts, _ = await ask(add(RIGHT), *map(add, rivals), reward=reward)
    assert [verdict.decision for verdict in verdicts] == ["accepted", "rejected", "accepted"]
    assert verdicts[2].evidence[0].estimate == pytest.approx(0.5)


async def test_refused_bundle_is_taken_apart():
    """When the whole is not better, each edit is asked alone, and keeps the bundle's evidence beside its own."""
    spoil = Proposal(Edit(Op.UPDATE, "Treat dax as gap.", (1,)))
    drop = Proposal(Edit(Op.DELETE, None, (2,)))
    verdicts, _ = await ask(spoil, add(RIGHT), drop)
    assert [verdict.decision for verdict in verdicts] == ["rejected", "accepted", "rejected"]
    assert [evidence.detail["role"] for evidence in verdicts[1].evidence] == ["single", "bundle"]
    assert verdicts[1].evidence[1].verdict != "accepted"


async def test_accepted_single_is_part_of_the_baseline_of_the_next():
    """Two edits that do the same are not both accepted: the second finds nothing left to gain."""
    twin = "Take the larger for glorp."
    reward = solves("glorp", RIGHT, twin, base=0.0)

    def spoiled(texts, problem, index):
        if "Treat dax as gap." in texts and "glorp" not in problem.question:
            return 0.0
        return reward(texts, problem, index) if "glorp" in problem.question else 1.0

    spoil = [Proposal(Edit(Op.UPDATE, "Treat dax as gap.", (1,))), Proposal(Edit(Op.DELETE, None, (2,)))]
    verdicts, trial = await ask(*spoil, add(RIGHT), add(twin), reward=spoiled)
    assert [verdict.decision for verdict in verdicts] == ["rejected", "undecided", "accepted", "undecided"]
    assert any({RIGHT, twin} <= set(texts) for texts, _ in trial.asked)


async def test_empty_batch_is_no_question():
    """Without proposals there is no verdict and no rollout."""
    assert (await ask())[0] == ()


async def test_gate_without_problems_says_what_to_do():
    """An empty pool is a usage error that names both ways out."""
    with pytest.raises(UsageError, match=r"--heldout.*--gate open"):
        await ask(add(RIGHT), pool=0)


async def test_score_changes_find_problems_that_no_word_names():
    """Where no word matches, the quarter with the largest change of likelihood is tested."""

    async def score_changes(current, candidate, problems):
        assert len(candidate.lessons) == len(current.lessons) + 1
        return tuple(1.0 if "wug" in problem.question else 0.0 for problem in problems)

    gate = PairedGate(score_changes=score_changes)
    (verdict,), trial = await ask(add("Start left."), gate=gate, reward=solves("wug", "Start left."))
    assert (verdict.decision, verdict.evidence[0].detail["touch"]) == ("accepted", "likelihood")
    assert {int(problem[1:]) % 4 for _, problem, _ in trial.rollouts} == {2}


class Scored(Table):
    """A trial that scores: a lesson moves the log-prob of the stored rollouts that name wug."""

    can_score = True

    def stored(self, problem):
        """A rollout of each problem but the first."""
        return None if problem.id == "p0" else Rollout(problem.id, 0)

    async def log_probs(self, library, pairs, *, attempt=0):
        """Two tokens each; those of the second problem cannot be scored."""
        moved = 0.5 * len(library.lessons)
        return tuple(() if p.id == "p1" else (-1.0, -1.0 - (moved if "wug" in p.question else 0.0)) for p, _ in pairs)


async def test_a_trial_that_scores_finds_the_problems_that_no_word_names():
    """Words come first; without one, stored rollouts whose log-prob moves name the problems, and reward has no say."""
    trial = Scored(solves("wug", "Start left."))
    named, moved = [(await PairedGate()(LIBRARY, [add(text)], trial))[0] for text in (RIGHT, "Start left.")]
    assert named.evidence[0].detail["touch"] == "word"
    assert (moved.decision, moved.evidence[0].detail["touch"]) == ("accepted", "likelihood")
    assert {int(problem[1:]) % 4 for problem in moved.evidence[0].detail["touched"]} == {2}


async def test_a_kept_member_is_told_with_the_evidence_that_it_is_missed():
    """The E value beside it is the one that speaks for it, and grows with what leaving it out costs."""
    verdicts, _ = await ask(add(RIGHT), add("Treat blick as gap."), reward=lambda t, p, i: float(RIGHT in t))
    kept = verdicts[0]
    assert kept.decision == "accepted"
    told = re.search(r"leaving it out changes the bundle by -1\.000 \(E that this harms = ([\d.e+]+)\)", kept.reason)
    assert float(told[1]) == pytest.approx(kept.evidence[0].detail["e_worse"], rel=0.01)
    assert float(told[1]) >= 10


async def test_e_lond_asks_for_more_evidence_as_tests_go_by_in_vain():
    """Under e-LOND the threshold of a test follows from the tests before it."""
    gate = PairedGate(alpha=Alpha(0.05, "e-lond"))
    trial = Table(world)
    wanted = []
    for proposal in (add("Check twice."), add("Look twice."), add(RIGHT), add("Treat blick as max.")):
        (verdict,) = await gate(LIBRARY, [proposal], trial)
        wanted.append(verdict.evidence[0].detail["accept"])
    assert wanted == pytest.approx([40, 120, 240, 200])
    assert (gate.alpha.tests, gate.alpha.accepted) == (4, 1)


async def test_evidence_is_plain_json():
    """The detail of each evidence goes into the database as it is."""
    verdicts, _ = await ask(add(RIGHT), add(FILLER), Proposal(Edit(Op.DELETE, None, (1,))))
    for evidence in (evidence for verdict in verdicts for evidence in verdict.evidence):
        assert json.loads(json.dumps(evidence.detail, allow_nan=False)) == evidence.detail


async def test_same_run_gives_equal_verdicts():
    """The gate is a function of its arguments: run again, everything is equal."""
    proposals = (add(RIGHT), add(FILLER), Proposal(Edit(Op.UPDATE, "Treat wug as gap.", (2,))))
    assert (await ask(*proposals))[0] == (await ask(*proposals))[0]


async def test_small_looks_cost_no_more_than_needed():
    """Looking after each pair stops at the seventh win."""
    (verdict,), _ = await ask(add(RIGHT), gate=PairedGate(design=Design(look=1)))
    assert verdict.evidence[0].detail["pairs"] == 7
