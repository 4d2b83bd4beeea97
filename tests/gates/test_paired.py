"""The default gate: own tests, rivals, harm elsewhere, what is tried together, what is carried on."""

import json
import math
from dataclasses import replace
from itertools import cycle

import pytest

from experience_db import Edit, Op
from tfgrpo.errors import UsageError
from tfgrpo.gates import LITE, Alpha, Design, Missing, Observation, PairedGate, Rewards
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
    """A right lesson costs one look on its own problems, one elsewhere, and carries every number behind it."""
    (verdict,), trial = await ask(add(RIGHT))
    own, away = verdict.evidence
    assert verdict.decision == "accepted"
    assert verdict.reason.startswith("better: +1.000 on 16 of the 16 problems it touches, 16 won, 0 lost (p = ")
    assert (own.kind, own.estimate, own.n, own.lesson_ids) == ("gate", 1.0, 16, ())
    assert 0 < own.low < own.estimate <= own.high
    assert own.detail["touched"] == [f"p{i}" for i in range(0, 64, 4)]
    assert own.detail["rollouts"] == {"new": 32, "cached": 0}
    assert own.detail["p_better"] <= own.detail["level"] == 0.05
    assert (away.kind, away.verdict, away.estimate, away.n) == ("elsewhere", "undecided", 0.0, 16)
    met = {problem for _, problem, _ in trial.rollouts}
    assert met > set(own.detail["touched"])


async def test_harmful_edit_is_rejected_with_its_reason():
    """Deleting a right lesson is refused as harmful and speaks about that lesson."""
    (verdict,), _ = await ask(Proposal(Edit(Op.DELETE, None, (1,))))
    assert verdict.decision == "rejected"
    assert verdict.reason.startswith("harmful: -1.000")
    assert verdict.evidence[0].lesson_ids == (1,)
    assert verdict.evidence[0].high < 0


async def test_filler_is_refused_after_sixteen_pairs():
    """A lesson that changes nothing on its problems is not worth it, and that costs one look."""
    (verdict,), _ = await ask(add(FILLER))
    assert verdict.decision == "rejected"
    assert verdict.reason == (
        "not worth it: +0.000 on 16 of the 16 problems it touches, 0 won, 0 lost (no difference in 16 pairs)"
    )
    assert verdict.evidence[0].detail["pairs"] == 16


async def test_edit_without_known_touch_is_tested_everywhere():
    """A lesson about everything is tested on a sample of the whole pool."""
    (verdict,), trial = await ask(add("Check twice."))
    assert verdict.decision == "rejected"
    assert verdict.reason.startswith("not worth it: +0.000 on 48 problems")
    assert verdict.evidence[0].detail["touch"] == "all"
    assert len({problem for _, problem, _ in trial.rollouts}) == 48


async def test_lite_design_gives_up_earlier():
    """The lite design spends at most 32 pairs, in looks of 8."""
    (verdict,), trial = await ask(add(FILLER), gate=PairedGate(design=LITE))
    assert verdict.evidence[0].detail["pairs"] <= 32
    assert all(len(cases) <= 8 for _, cases in trial.asked)


async def test_edit_that_changes_nothing_costs_nothing():
    """An update to the words that are there already is rejected without a rollout, and keeps its place."""
    idle = Proposal(Edit(Op.UPDATE, "Treat dax as sum.", (1,)))
    (verdict,), trial = await ask(idle)
    assert (verdict.decision, verdict.reason) == ("rejected", "not worth it: the library stays as it is")
    assert trial.asked == []
    verdicts, _ = await ask(idle, add(RIGHT))
    assert [verdict.decision for verdict in verdicts] == ["rejected", "accepted"]


async def test_too_few_problems_leave_an_edit_undecided_without_a_rollout():
    """Three problems are nothing to draw a conclusion from, so none is rolled out."""
    (verdict,), trial = await ask(add(RIGHT), pool=12)
    assert verdict.decision == "undecided"
    assert verdict.reason == "undecided: it touches 3 held-out problems, too few for any verdict"
    assert trial.asked == []


@pytest.mark.parametrize("lost", [math.nan, Observation(missing=Missing.OUTAGE)])
async def test_failed_rollouts_leave_an_edit_undecided(lost):
    """Rollouts that fail on both sides are not evidence: the verdict says how many pairs have no reward."""
    (verdict,), _ = await ask(add(RIGHT), reward=lambda texts, problem, index: lost)
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
    """Two gates with one store of rewards pay for nothing twice."""
    rewards = Rewards()
    _, first = await ask(add(RIGHT), gate=PairedGate(rewards=rewards))
    _, second = await ask(add(RIGHT), gate=PairedGate(rewards=rewards))
    assert (len(first.rollouts), len(second.rollouts)) == (64, 0)


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


async def test_each_edit_of_a_batch_passes_a_test_of_its_own():
    """A companion that does nothing does not ride in with a right one, nor does one that harms."""
    spoil = Proposal(Edit(Op.UPDATE, "Treat dax as gap.", (1,)))
    for proposals in ((add(RIGHT), add(FILLER), spoil), (spoil, add(FILLER), add(RIGHT))):
        verdicts, _ = await ask(*proposals)
        decided = {verdict.edits[0].text: verdict.decision for verdict in verdicts}
        assert [verdict.edits[0] for verdict in verdicts] == [proposal.edit for proposal in proposals]
        assert decided == {RIGHT: "accepted", FILLER: "rejected", "Treat dax as gap.": "rejected"}


async def test_accepted_edit_is_part_of_the_baseline_of_the_next():
    """Two edits that do the same are not both accepted: the second finds nothing left to gain."""
    twin = "Treat glorp as the larger."
    verdicts, trial = await ask(add(RIGHT), add(twin), reward=solves("glorp", RIGHT, twin))
    assert [verdict.decision for verdict in verdicts] == ["accepted", "rejected"]
    assert any({RIGHT, twin} <= set(texts) for texts, _ in trial.asked)


def rival(text, support=1):
    """A proposal about glorp that excludes others about it."""
    return replace(add(text), subject="glorp", support=support)


async def test_of_rivals_the_best_is_tested_and_the_others_stay_untested():
    """The race finds the right one whatever the order and support; its pairs are no evidence."""
    wrong = ("Treat glorp as gap.", "Treat glorp as sum.")
    proposals = (rival(wrong[0], support=9), rival(RIGHT), rival(wrong[1]))
    verdicts, trial = await ask(*proposals)
    assert [verdict.decision for verdict in verdicts] == ["untested", "accepted", "untested"]
    assert verdicts[0].reason == "untested: came 2 of 3 in a race that is no evidence; it may come again"
    own = verdicts[1].evidence[0]
    assert own.detail["rollouts"]["new"] == 32
    raced = {(problem, index) for texts, problem, index in trial.rollouts if 10_000 <= index < 20_000}
    tested = {(problem, index) for texts, problem, index in trial.rollouts if index < 10_000}
    assert len(raced) == 2
    assert not raced & tested
    assert [e.kind for e in verdicts[1].evidence] == ["gate", "elsewhere", "race"]
    assert [e.verdict for e in verdicts[0].evidence] == ["undecided"]


async def test_where_problems_suffice_a_race_has_its_own():
    """With forty-eight touched problems the winner is tested on those that the race did not use."""
    verdicts, trial = await ask(rival(RIGHT), rival("Treat glorp as gap."), pool=192)
    assert verdicts[0].decision == "accepted"
    raced = {problem for texts, problem, index in trial.rollouts if 10_000 <= index < 20_000}
    tested = set(verdicts[0].evidence[0].detail["touched"])
    assert len(raced) == 2
    assert not raced & tested


@pytest.mark.parametrize(("right", "cases"), [("1111", 2), ("1011", 4), ("1010", 8), ("0000", 8)])
async def test_the_further_rivals_lie_apart_the_sooner_a_race_ends(right, cases):
    """Two rollouts end it where one fails at all and the other at none, four at more than .5, eight at .25 or at 0."""
    drawn = cycle(right)

    def reward(texts, problem, index):
        return float(RIGHT in texts and next(drawn) == "1")

    _, trial = await ask(rival("Treat glorp as gap."), rival(RIGHT), reward=reward)
    assert len([1 for _, _, index in trial.rollouts if 10_000 <= index < 20_000]) == 2 * cases


async def test_rivals_that_are_close_race_to_the_end():
    """Who trails the best by no more than a quarter after half of the race goes on; the current library never runs."""
    close = ("Treat glorp as gap.", "Treat glorp as sum.")
    _, trial = await ask(*map(rival, close), reward=lambda texts, problem, index: 0.5)
    raced = [(texts, problem) for texts, problem, index in trial.rollouts if index >= 10_000]
    assert len(raced) == 32
    assert all(texts[-1] in close for texts, _ in raced)


async def test_edits_of_one_lesson_are_rivals():
    """Two edits that touch the same lesson cannot both enter, with a subject or without."""
    twice = (Proposal(Edit(Op.UPDATE, "Treat dax as gap.", (1,))), Proposal(Edit(Op.DELETE, None, (1,))))
    verdicts, _ = await ask(*twice, reward=lambda texts, problem, index: 0.5)
    assert sorted(verdict.decision for verdict in verdicts) == ["rejected", "untested"]


@pytest.mark.parametrize("race", [4, 16])
async def test_words_far_behind_those_they_would_replace_get_no_test(race):
    """Two rollouts on each side of a race, a reason with both means, and no evidence that speaks for anything."""
    gate = PairedGate(0, Design(race=race))
    (verdict,), trial = await ask(Proposal(Edit(Op.UPDATE, "Treat dax as gap.", (1,))), gate=gate)
    assert verdict.decision == "rejected"
    assert verdict.reason == (
        "not tested: far behind the words that it would replace, mean 0.00 against 1.00 in a short race"
    )
    assert ([e.kind for e in verdict.evidence], len(trial.rollouts)) == (["race"], 4)
    assert all(10_000 <= index < 20_000 for _, _, index in trial.rollouts)


@pytest.mark.parametrize("text", ["Treat dax as sum, and dax alone.", "Treat dax as total."])
async def test_words_that_keep_up_with_those_they_would_replace_are_tested(text):
    """A race of its own costs eight rollouts and decides nothing."""

    def reward(texts, problem, index):
        return float(index % 2 or text in texts or "dax" not in problem.question)

    (verdict,), trial = await ask(Proposal(Edit(Op.UPDATE, text, (1,))), reward=reward)
    assert verdict.decision == "accepted"
    assert len([1 for _, _, index in trial.rollouts if 10_000 <= index < 20_000]) == 8


@pytest.mark.parametrize(("rivals", "beaten", "level"), [(2, 0, 0.05), (3, 0, 0.025), (1, 1, 0.05), (1, 2, 0.025)])
async def test_who_beat_several_on_the_problems_of_its_test_has_half_of_the_level(rivals, beaten, level):
    """A choice among three or more, by a race or by scores, favours what happens to suit these sixteen problems."""
    texts = ["Treat glorp as max.", "Treat glorp as min.", "Treat glorp as sum."][:rivals]
    verdicts, _ = await ask(*(replace(add(text), subject="glorp", beaten=beaten) for text in texts))
    (tested,) = [v for v in verdicts if v.decision == "accepted"]
    assert tested.evidence[0].detail["level"] == level


async def test_harm_elsewhere_keeps_an_edit_out():
    """A lesson that helps where it acts and harms everywhere else is refused, and says so."""

    def reward(texts, problem, index):
        return float(("glorp" in problem.question) == (RIGHT in texts))

    (verdict,), _ = await ask(add(RIGHT), reward=reward)
    assert verdict.decision == "rejected"
    assert verdict.reason.startswith("harmful elsewhere: -1.000 on 16 problems that its test had not met (p = ")
    assert verdict.evidence[0].verdict == "rejected"


async def test_what_looks_harmful_elsewhere_is_met_again_on_rollouts_of_its_own():
    """Luck of the first look keeps no edit out, and the evidence counts the rollouts of both."""

    def reward(texts, problem, index):
        right = RIGHT in texts
        return float(right) if "glorp" in problem.question else float(not (right and 20_000 <= index < 30_000))

    (verdict,), _ = await ask(add(RIGHT), reward=reward)
    _, away = verdict.evidence
    assert (verdict.decision, away.estimate, away.detail["rollouts"]["new"]) == ("accepted", 0.0, 64)


async def test_what_does_good_elsewhere_too_is_asked_no_further():
    """The look elsewhere is for harm: three wins in its first sixteen problems end it."""
    away = [problem.id for problem in worded_pool() if "glorp" not in problem.question]

    def reward(texts, problem, index):
        if "glorp" in problem.question:
            return float(RIGHT in texts)
        return float(RIGHT in texts or problem.id not in away[::4])

    (verdict,), _ = await ask(add(RIGHT), reward=reward)
    assert (verdict.decision, verdict.evidence[1].n) == ("accepted", 16)


@pytest.mark.parametrize(("losses", "again", "decision"), [(3, 3, "accepted"), (5, 5, "rejected"), (3, 7, "rejected")])
async def test_harm_elsewhere_that_repeats_needs_the_level_of_both_looks_together(losses, again, decision):
    """Three losses and no win of 48 are worth a second look; where it only repeats them, they stay p = .125."""
    elsewhere = [problem.id for problem in worded_pool() if "glorp" not in problem.question]

    def reward(texts, problem, index):
        if "glorp" in problem.question:
            return float(RIGHT in texts)
        return float(RIGHT not in texts or problem.id not in elsewhere[: losses if index < 30_000 else again])

    gate = PairedGate(0, Design(elsewhere=48))
    (verdict,), trial = await ask(add(RIGHT), reward=reward, gate=gate)
    _, away = verdict.evidence
    assert verdict.decision == decision
    passes = {index for _, _, index in trial.rollouts if index >= 30_000}
    assert len(passes) == 2
    assert f"(p = {0.5 ** max(losses, again):.2g})" in away.reason


async def test_edits_of_one_call_look_elsewhere_against_the_same_rollouts():
    """The library before the call is rolled out once for all of them, each edit alone on top of it."""
    other = "Treat blick as sum."

    def reward(texts, problem, index):
        return float(
            RIGHT in texts if "glorp" in problem.question else other in texts if "blick" in problem.question else 1
        )

    verdicts, trial = await ask(add(RIGHT), add(other), reward=reward)
    assert [[e.kind for e in v.evidence] for v in verdicts] == [["gate", "elsewhere"]] * 2
    away = [(texts, problem) for texts, problem, index in trial.rollouts if index >= 20_000]
    assert len(away) == len(set(away))
    assert {texts[2:] for texts, _ in away} == {(), (RIGHT,), (other,)}
    assert len([texts for texts, _ in away if not texts[2:]]) < 32


async def test_what_left_with_its_epoch_raises_no_later_level():
    """E-LOND counts what stays in: after an undone epoch the level is that of a run which accepted nothing."""
    gate = PairedGate(alpha=Alpha(0.05, "e-lond"))
    verdicts, _ = await ask(add(RIGHT), gate=gate)
    assert (verdicts[0].decision, gate.alpha.level) == ("accepted", pytest.approx(2 * 0.05 / 6))
    gate.undone(1)
    assert gate.alpha.level == pytest.approx(0.05 / 6)


async def test_edits_that_help_only_together_enter_together():
    """Two lessons of which either alone does nothing are tried together, and each must be missed."""
    both = ("Treat glorp as max.", "Treat glorp as whole numbers.")

    def reward(texts, problem, index):
        return float(set(both) <= texts) if "glorp" in problem.question else 0.5

    verdicts, _ = await ask(*map(add, both), reward=reward)
    assert [verdict.decision for verdict in verdicts] == ["accepted", "accepted"]
    own, together = verdicts[0].evidence
    assert (own.detail["role"], together.detail["role"], together.verdict) == ("together", "together", "undecided")
    verdicts, _ = await ask(add(both[0]), add(FILLER), reward=reward)
    assert [verdict.decision for verdict in verdicts] == ["rejected", "rejected"]


async def test_only_what_enters_raises_the_levels_of_e_lond():
    """Of three that were tried together one is not missed, so none enters, and none counts as accepted."""
    texts = ("Treat glorp as max.", "Treat glorp as whole numbers.", "Treat glorp as written.")

    def reward(seen, problem, index):
        return float(set(texts[:2]) <= seen) if "glorp" in problem.question else 0.5

    gate = PairedGate(alpha=Alpha(0.3, "e-lond"))
    verdicts = await gate(LIBRARY, list(map(add, texts)), Table(reward))
    assert "accepted" not in {verdict.decision for verdict in verdicts}
    assert any("helps together with an edit that did not prove itself" in verdict.reason for verdict in verdicts)
    assert gate.alpha.accepted == 0


async def test_an_undecided_edit_is_carried_on():
    """Its second test draws new seeds, and what the first one saw counts."""
    gate, trial = PairedGate(), Table(lambda texts, p, i: float(RIGHT in texts and int(p.id[1:]) % 16 == 0))
    (first,) = await gate(LIBRARY, [add(RIGHT)], trial)
    assert first.decision == "undecided"
    capital = first.evidence[0].detail["capital"]
    assert sum(n for _, n in capital.values()) == first.evidence[0].detail["pairs"]
    trial.asked.clear()
    later = Table(lambda texts, p, i: float(RIGHT in texts))
    (second,) = await gate(replace(LIBRARY, version=4), [add(RIGHT)], later)
    assert second.decision == "accepted"
    assert min(index for _, problem, index in later.rollouts if int(problem[1:]) % 4 == 0) == 4
    assert second.evidence[0].detail["passes"] > 4


async def test_a_test_that_is_carried_on_does_not_spend_its_level_twice():
    """It may accept by its own signs or by E over all tests, so each of the two has half of the level."""
    gate, trial = PairedGate(), Table(lambda texts, p, i: float(RIGHT in texts and int(p.id[1:]) % 16 == 0))
    levels = []
    for version in (3, 4):
        (verdict,) = await gate(replace(LIBRARY, version=version), [add(RIGHT)], trial)
        levels.append(verdict.evidence[0].detail["level"])
    assert levels == [0.05, 0.025]


async def test_what_an_edit_may_no_longer_be_proved_on_leaves_its_capital():
    """Problems that teach, or carry the untouched figure, in a later run add nothing to a test there."""
    gate, trial = PairedGate(), Table(lambda texts, p, i: float(RIGHT in texts and int(p.id[1:]) % 16 == 0))
    await gate(LIBRARY, [add(RIGHT)], trial)
    fewer = replace(trial, problems=tuple(p for p in trial.problems if int(p.id[1:]) % 32))
    (second,) = await gate(replace(LIBRARY, version=4), [add(RIGHT)], fewer)
    known = set(second.evidence[0].detail["capital"])
    assert known
    assert known <= {p.id for p in fewer.problems}


async def test_an_open_test_of_an_earlier_run_is_taken_up():
    """A new gate that is told the stored evidence goes on where the old one ended; a later answer closes the test."""
    old, trial = PairedGate(), Table(lambda texts, p, i: float(RIGHT in texts and int(p.id[1:]) % 16 == 0))
    (verdict,) = await old(LIBRARY, [add(RIGHT)], trial)
    (found,) = verdict.evidence
    stored = replace(found, detail=json.loads(json.dumps(found.detail)) | {"edit": [["ADD", [], RIGHT]]})
    fresh = PairedGate()
    fresh.recall([stored])
    assert {name: known.pooled for name, known in fresh.capital.items()} == {
        name: known.pooled for name, known in old.capital.items()
    }
    assert [known.passes for known in fresh.capital.values()] == [4]
    fresh.recall([replace(stored, verdict="rejected")])
    assert fresh.capital == {}


async def test_a_right_lesson_is_not_helped_by_rollouts_that_fail():
    """A candidate that answers only when it is right, and else is cut, gains what it gains in all."""

    def reward(texts, problem, index):
        right = (int(problem.id[1:]) // 4 + index) % 2
        return 1.0 if right else math.nan if RIGHT in texts else 0.0

    (verdict,), _ = await ask(add(RIGHT), reward=reward)
    assert verdict.decision == "rejected"
    assert verdict.evidence[0].estimate == 0.0
    assert "it fails more often with the edit" in verdict.reason


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
    assert {int(problem[1:]) % 4 for problem in verdict.evidence[0].detail["touched"]} == {2}
    assert {int(problem[1:]) % 4 for _, problem, _ in trial.rollouts[:32]} == {2}


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


async def test_e_lond_asks_for_more_evidence_as_tests_go_by_in_vain():
    """Under e-LOND the threshold of a test follows from the tests before it."""
    gate = PairedGate(alpha=Alpha(0.05, "e-lond"))
    trial = Table(world)
    wanted = []
    for proposal in (add("Check twice."), add("Look twice."), add(RIGHT), add("Treat blick as max.")):
        (verdict,) = await gate(LIBRARY, [proposal], trial)
        wanted.append(1 / verdict.evidence[0].detail["level"])
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
