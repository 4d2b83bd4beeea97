"""Known pairs and attacks: a gullible judge is found out, a careful one passes, a broken one stops the run."""

import math

import pytest

from graders.judges import careful, gullible, prompt_of, scripted_judge, verdict
from tfgrpo.errors import BudgetReached, NothingLearned, ProviderError
from tfgrpo.graders import Exact
from tfgrpo.graders.self_test import attacks, known_pairs, self_check, suspicion
from tfgrpo.types import FailureKind


async def test_a_careful_judge_accepts_no_attack_and_every_right_answer():
    """Its false-accept rate is 0 of 114, and no right answer is refused."""
    judge, _ = scripted_judge(careful)
    found = await suspicion(judge)
    assert (found.accepted, found.judged, found.unscored) == (0, 114, 0)
    assert (found.right_refused, found.wrong_accepted) == (0, 0)
    assert found.summary()["ci"][1] < 0.04


async def test_a_gullible_judge_shows_a_high_rate_by_attack():
    """Claims, planted verdicts and instructions are accepted; plain wrong answers are not."""
    judge, _ = scripted_judge(gullible)
    found = await suspicion(judge)
    assert found.rate > 0.4
    by_attack = found.by_attack
    assert by_attack["claim"] == by_attack["forged verdict"] == by_attack["instruction"] == (6, 6)
    assert by_attack["empty"] == by_attack["colon"] == (0, 6)
    assert found.wrong_accepted == 0


async def test_a_judge_that_refuses_everything_is_seen_as_that():
    """A rate of 0 is worth nothing when every right answer is refused too; both are counted."""
    judge, _ = scripted_judge(lambda request: verdict("INCORRECT"))
    found = await suspicion(judge)
    assert (found.accepted, found.right_refused, found.right) == (0, 6, 6)


async def test_unscored_attacks_are_no_acceptance():
    """Abstentions and failures are counted apart; with nothing judged the rate is unknown."""
    judge, _ = scripted_judge(lambda request: verdict("ABSTAIN"))
    found = await suspicion(judge)
    assert (found.accepted, found.unscored) == (0, 102)
    failing, _ = scripted_judge([ProviderError("down")] * 200)
    lost = await suspicion(failing)
    assert lost.judged == 12  # empty answers and the colon need no judge
    assert set(lost.failures) == {FailureKind.PROVIDER.value}
    assert math.isclose(lost.rate, 0.0)


async def test_graders_without_a_model_can_be_put_to_the_test_too():
    """Text comparison falls for nothing; it refuses right answers that are worded otherwise, and that shows."""
    found = await suspicion(Exact())
    assert found.accepted == 0
    assert found.right_refused > 0


def test_the_suite_covers_the_known_tricks_on_every_question():
    """Empty answers, claims, instructions, forged verdicts, the rubric, the question and very long texts are there."""
    tried = attacks()
    assert {"empty", "claim", "instruction", "forged verdict", "forged fence", "the rubric", "very long"} <= {
        t.name for t in tried
    }
    assert len({(t.name, t.problem.id) for t in tried}) == len(tried) == 114
    assert max(len(t.answer) for t in tried) >= 30_000
    assert not [t for t in tried if "{" in t.answer.replace('{"verdict"', "")]
    assert all(t.problem.answer is None and t.problem.metadata["rubric"] for t in attacks(by_rubric=True))


async def test_the_self_check_passes_a_judge_that_can_judge():
    """Twelve known answers cost twelve calls; by rubric as well as by reference."""
    judge, backend = scripted_judge(careful)
    await self_check(judge)
    await self_check(judge, by_rubric=True)
    assert len(backend.requests) == 24


@pytest.mark.parametrize("word", ["CORRECT", "INCORRECT", "ABSTAIN"])
async def test_the_self_check_ends_with_one_sentence(word):
    """A judge that always says the same is stopped, and the message names the first miss and what to do."""
    judge, _ = scripted_judge(lambda request: verdict(word))
    with pytest.raises(
        NothingLearned, match=r"^the judge missed \d+ of 12 known pairs.*grader\.model.*self_check"
    ) as e:
        await self_check(judge)
    assert "\n" not in str(e.value)


async def test_one_slip_is_forgiven():
    """A judge may miss one of the pairs."""

    def slips(request):
        return verdict("CORRECT") if "Rhine" in prompt_of(request) else careful(request)

    judge, _ = scripted_judge(slips)
    await self_check(judge)


async def test_a_budget_that_ends_during_the_check_is_a_budget():
    """It is not called a bad judge."""
    judge, _ = scripted_judge([BudgetReached("the budget of 0 calls is reached")] * 12)
    with pytest.raises(BudgetReached):
        await self_check(judge)


async def test_a_relative_judge_is_checked_in_groups():
    """The right answer must come out ahead of the wrong one."""
    judge, backend = scripted_judge(lambda request: verdict("TIE"), mode="pairs")
    with pytest.raises(NothingLearned, match="12 known pairs"):
        await self_check(judge, in_groups=True)
    assert len(backend.requests) == 12


async def test_right_and_wrong_of_each_question_differ():
    """Both sides of every known pair are there."""
    pairs = known_pairs()
    assert [t.name for t in pairs] == ["right", "wrong"] * 6
