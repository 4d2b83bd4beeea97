"""Rewards of single steps decide which turn of a rollout is shown as the one that won or lost."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.script import Model, learn, rows

import tfgrpo
from experience_db import Store
from tfgrpo import config
from tfgrpo.advantages import Critic, critic_value, grpo
from tfgrpo.config import LearnConfig
from tfgrpo.errors import UsageError
from tfgrpo.graders.base import as_score, grade
from tfgrpo.lessons.summarize import template_for
from tfgrpo.methods.method import batch_monitor, choose_groups, compares_groups, form_group, initial_memory, remember
from tfgrpo.methods.step_credit import step_key
from tfgrpo.types import FailureKind, Group, GroupStatus, Message, Problem, Rollout, Score

NONE = math.nan


def spoken(turns: int) -> tuple[Message, ...]:
    """A conversation with so many assistant messages, each followed by what a tool said."""
    said: list[Message] = [{"role": "user", "content": "go"}]
    for t in range(turns):
        said += [{"role": "assistant", "content": f"turn {t + 1}"}, {"role": "tool", "content": "seen"}]
    return tuple(said[:-1])


def group(settings: LearnConfig, scores: list[Score], turns: list[int] | None = None, **more: Any) -> Group:
    """A group of one problem whose rollouts have as many steps as their scores say."""
    sizes = turns or [max(len(s.steps), 1) for s in scores]
    rollouts = tuple(Rollout("p", i, spoken(n), f"turn {n}") for i, n in enumerate(sizes))
    return form_group(
        Problem("p", "?"), rollouts, tuple(scores), 0, settings, more.get("memory", initial_memory(settings))
    )


def process(*overrides: str) -> LearnConfig:
    """GRPO with process supervision."""
    return config.load("grpo", overrides=["advantage.kind=process", "advantage.eps=0", *overrides])


def gae(*overrides: str) -> LearnConfig:
    """PPO with its own estimator."""
    return config.load("ppo", overrides=["advantage.kind=gae", *overrides])


def test_process_supervision_normalizes_all_steps_together_and_sums_what_follows():
    """Worked by hand: rewards 1, 0 and 0, 1 have mean .5 and sample deviation 1/sqrt(3)."""
    found = group(process(), [Score(1.0, steps=(1.0, 0.0)), Score(0.0, steps=(0.0, 1.0))])
    z = 0.5 * math.sqrt(3)
    assert found.step_advantages_G[0] == pytest.approx((0.0, -z))
    assert found.step_advantages_G[1] == pytest.approx((0.0, z))
    assert found.status is GroupStatus.KEPT
    assert template_for(process().lessons, found) == "contrast/group"


def test_equal_outcomes_teach_where_their_steps_differ_and_flat_steps_do_not():
    """Two wins of which one took a bad step are a contrast of steps; equal steps are none, whatever the outcomes."""
    assert group(process(), [Score(1.0, steps=(1.0, 1.0)), Score(1.0, steps=(0.0, 1.0))]).status is GroupStatus.KEPT
    flat = group(process(), [Score(1.0, steps=(0.5, 0.5)), Score(0.0, steps=(0.5, 0.5))])
    assert flat.status is GroupStatus.FILTERED
    assert flat.step_advantages_G == ()
    assert set(flat.advantages_G) == {0.0}


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(1, 4)), min_size=2, max_size=6))
def test_without_step_rewards_process_supervision_is_outcome_supervision(drawn):
    """Every step of a rollout then has the advantage that GRPO gives the rollout."""
    found = group(process(), [Score(r) for r, _ in drawn], [n for _, n in drawn])
    plain = tuple(grpo([r for r, _ in drawn], eps=0))
    assert found.advantages_G == pytest.approx(plain)
    if found.step_advantages_G:
        for row, a in zip(found.step_advantages_G, plain, strict=True):
            assert row == pytest.approx((a,) * len(row))


STEPS = st.lists(
    st.lists(st.sampled_from([-1.0, 0.0, 0.25, 1.0, NONE]), min_size=1, max_size=4), min_size=1, max_size=5
)


def stepped(rows: list[list[float]], shift: float = 0.0) -> list[Score]:
    """Scores of a group with these step rewards."""
    return [Score(float(i % 2), steps=tuple(r + shift for r in row)) for i, row in enumerate(rows)]


@given(STEPS, st.floats(-5, 5))
def test_a_shift_of_all_step_rewards_changes_nothing_in_process_supervision(rows, shift):
    """What is compared is how steps differ, not where zero is; over a group the advantages of the rollouts sum to 0."""
    plain, moved = group(process(), stepped(rows)), group(process(), stepped(rows, shift))
    assert plain.status == moved.status
    for a, b in zip(plain.step_advantages_G, moved.step_advantages_G, strict=True):
        assert a == pytest.approx(b, abs=1e-6)
    assert sum(plain.advantages_G) == pytest.approx(0.0, abs=1e-9)


@given(STEPS, st.permutations(range(5)))
def test_failed_rollouts_and_the_order_of_a_group_change_nobodys_step(rows, order):
    """Neither kind looks at who stands where, nor at a rollout without a reward, whatever its steps say."""
    kept = [i for i in order if i < len(rows)]
    for settings in (process(), gae("advantage.surprise=0")):
        scores = stepped(rows)
        plain = group(settings, scores)
        turned = group(settings, [scores[i] for i in kept])
        more = group(settings, [*scores, Score(None, steps=(1.0, 1.0))])
        if plain.step_advantages_G:
            for place, i in enumerate(kept):
                assert turned.step_advantages_G[place] == pytest.approx(plain.step_advantages_G[i], abs=1e-9)
            assert more.step_advantages_G == (*plain.step_advantages_G, (0.0, 0.0))


def test_a_rollout_without_step_rewards_among_others_has_no_say():
    """Its outcome is in another unit than their steps: advantage 0, and nobody else's number changes."""
    two = [Score(1.0, steps=(1.0, 0.0)), Score(0.0, steps=(0.0, 0.2))]
    with_third = group(process(), [*two, Score(1.0)])
    assert with_third.advantages_G == pytest.approx((*group(process(), two).advantages_G, 0.0))
    failed = group(process(), [*two, Score(None, steps=(1.0,))])
    assert failed.advantages_G == pytest.approx(with_third.advantages_G)
    assert group(gae(), [*two, Score(1.0)]).step_advantages_G[2] == (0.0,)


def test_gae_compares_each_step_with_what_earlier_rollouts_earned_from_there():
    """Worked by hand with gamma 1, lambda .5: the untried problem is believed to earn .5 from every step on."""
    settings = gae("advantage.lam=0.5")
    found = group(settings, [Score(1.0, steps=(0.25, 0.0))])
    # Rewards .25 and 0 + the outcome 1; delta_2 = 1 - .5, delta_1 = .25 + .5 - .5.
    assert found.step_advantages_G == (pytest.approx((0.25 + 0.5 * 0.5, 0.5)),)
    assert found.advantages_G == pytest.approx((0.5,))
    memory = remember(initial_memory(settings), [found], settings)
    assert critic_value(memory.steps, step_key("p", 0)) == pytest.approx((1.25 + 2 * 0.5) / 3)
    assert critic_value(memory.steps, step_key("p", 1)) == pytest.approx((1.0 + 2 * 0.5) / 3)
    again = group(settings, [Score(1.0, steps=(0.25, 0.0))], memory=memory)
    assert abs(again.advantages_G[0]) < abs(found.advantages_G[0])


def test_gae_over_outcomes_alone_is_the_critic_when_nothing_is_discounted():
    """With gamma and lambda 1 the first step's advantage is R - V, as PPO's tabular critic has it."""
    settings = gae("advantage.lam=1")
    assert group(settings, [Score(1.0)], [3]).advantages_G == pytest.approx((0.5,))
    assert group(settings, [Score(0.0)], [3]).advantages_G == pytest.approx((-0.5,))


def test_without_outcome_and_steps_gae_knows_nothing():
    """A rollout that earned nothing anywhere is no surprise; missing is not zero."""
    settings = gae("advantage.outcome=0", "advantage.prior_strength=1")
    found = group(settings, [Score(1.0)], [2])
    assert (found.status, found.advantages_G) == (GroupStatus.FLAT, (0.0,))
    assert remember(initial_memory(settings), [found], settings).steps.history == {}


def test_whitening_spans_the_batch_and_leaves_out_what_has_no_reward():
    """Over all steps with a reward the advantages have mean 0 and deviation 1; the others stay exactly 0."""
    settings = gae("advantage.batch_scale=true", "advantage.surprise=0", "rollout.group_size=2")
    assert compares_groups(settings)
    scores = ([Score(1.0, steps=(0.2, 0.9)), Score(0.0, steps=(0.1, NONE))], [Score(0.0, steps=(0.4,)), Score(None)])
    made = [group(settings, s) for s in scores]
    found, _ = choose_groups(made, settings, initial_memory(settings))
    steps = [a for g in found for row in g.step_advantages_G for a in row]
    assert steps[-1] == 0.0
    assert sum(steps) == pytest.approx(0.0)
    assert sum(a * a for a in steps) / (len(steps) - 2) == pytest.approx(1.0, abs=1e-6)


def test_a_critic_is_watched_by_its_error_and_stepwise_methods_by_who_gave_steps():
    """The value loss of an untried problem that is won is half the square of .5."""
    found = [group(gae(), [Score(1.0, steps=(1.0, 0.0)), Score(1.0)])]
    assert batch_monitor(found, gae(), initial_memory(gae())) == {
        "value_loss": pytest.approx(0.125),
        "with_step_rewards": 1,
        "outcome_only": 1,
    }
    assert batch_monitor(found, config.load("grpo"), initial_memory(gae())) == {}


def test_a_dict_of_scores_may_hold_steps_which_are_no_part_of_the_mean():
    """`steps` is read as a list of numbers; None and nan are steps without a reward."""
    found = as_score({"right": 1.0, "brief": 0.0, "steps": [0.5, None]}, "g")
    assert found.value == 0.5
    assert [p.name for p in found.parts] == ["right", "brief"]
    assert found.steps[0] == 0.5
    assert math.isnan(found.steps[1])
    wrong = as_score({"right": 1.0, "steps": "many"}, "g")
    assert wrong.value is None
    assert "no list of numbers" in wrong.failure.message
    assert as_score({"steps": [1.0]}, "g").value is None


async def test_steps_that_do_not_match_the_assistant_messages_are_a_failure_of_the_grader():
    """Three rewards for two turns cannot be placed: the rollout is unscored and the reason names both numbers."""

    async def three(problem: Problem, rollouts: Any) -> list[Score]:
        return [Score(1.0, steps=(1.0, 0.0, 1.0)) for _ in rollouts]

    short, fitting = await grade(three, Problem("p", "?"), [Rollout("p", 0, spoken(2)), Rollout("p", 1, spoken(3))])
    assert short.value is None
    assert short.failure.kind is FailureKind.GRADER
    assert "3 steps of a rollout with 2 assistant messages" in short.failure.message
    assert fitting.steps == (1.0, 0.0, 1.0)


def test_discounts_outside_the_unit_interval_are_refused():
    """Gamma and lambda are shares."""
    with pytest.raises(UsageError, match=r"advantage\.gamma"):
        gae("advantage.gamma=1.5")
    assert Critic().history == {}


# Whole runs: a scripted summarizer, an agent of two turns, and a grader that rewards each.


async def agent(problem: tfgrpo.Problem, lessons: str) -> tfgrpo.Rollout:
    """Look up, then answer; the lookup goes wrong every second time, which the answer only repeats."""
    agent.calls = getattr(agent, "calls", -1) + 1  # type: ignore[attr-defined]
    good = agent.calls % 2 == 0 or "double" in lessons  # type: ignore[attr-defined]
    figure = problem.answer if good else "7"
    messages: tuple[Message, ...] = (
        {"role": "user", "content": problem.question},
        {"role": "assistant", "content": "I look up the table" if good else "I guess"},
        {"role": "tool", "content": f"row {figure}"},
        {"role": "assistant", "content": f"Answer: {figure}"},
    )
    return tfgrpo.Rollout(problem.id, 0, messages, f"Answer: {figure}", "stop")


def grader(problem: tfgrpo.Problem, rollout: tfgrpo.Rollout) -> dict[str, Any]:
    """Right or wrong, and whether each turn was one to learn from."""
    looked = "look up" in str(rollout.messages[1]["content"])
    return {"right": float(str(problem.answer) in rollout.answer), "steps": [float(looked), 0.5]}


@pytest.mark.parametrize(
    ("method", "overrides", "size"),
    [("grpo", ["advantage.kind=process"], 4), ("ppo", ["advantage.kind=gae", "advantage.prior_mean=1"], 2)],
)
def test_a_run_shows_the_summarizer_which_step_won_and_stores_it(method, overrides, size, tmp_path):
    """The prompt lists each step's reward and advantage beside numbered turns; the database keeps both."""
    agent.calls = -1  # type: ignore[attr-defined]
    model, db = Model(), tmp_path / "a.db"
    options: dict[str, Any] = {"method": method, "group_size": size, "grader": grader, "environment": agent}
    result = learn(model, rows(1), db, overrides=overrides, **options)
    (prompt,) = model.asked("contrast")
    assert "step 1: I look up the table" in prompt
    assert "- step 1: reward 1.00, advantage +" in prompt
    assert "- step 1: reward 0.00, advantage -" in prompt
    assert "- step 2: reward 0.50, advantage" in prompt
    assert "A step is one turn of the solver" in prompt
    assert result.steps[0].monitor["with_step_rewards"] == size
    stored = groups(db)[0]["rollouts"]
    assert [r["step_rewards"] for r in stored[:2]] == [[1.0, 0.5], [0.0, 0.5]]
    assert stored[0]["step_advantages"][0] > 0 > stored[1]["step_advantages"][0]
    asked = len(model.requests)
    again = learn(model, rows(1), db, overrides=overrides, **options)
    assert len(model.requests) == asked
    assert [x.text for x in again.library] == [x.text for x in result.library]


def test_summaries_keep_the_steps_and_the_no_contrast_control_hides_them(tmp_path):
    """A retold attempt is retold with the advantages of its steps; without contrast no number of a step is shown."""
    for overrides, shown in (([], True), (["lessons.contrast=false"], False)):
        agent.calls = -1  # type: ignore[attr-defined]
        model = Model()
        more = ["advantage.kind=process", "lessons.summaries=always", *overrides]
        options: dict[str, Any] = {"method": "grpo", "grader": grader, "environment": agent, "overrides": more}
        learn(model, rows(1), tmp_path / f"{shown}.db", **options)
        assert ("Keep the numbers of the steps." in model.asked("summarize")[0]) is shown
        assert ("- step 1: reward" in model.asked("contrast")[0]) is shown


def groups(db: Path) -> tuple[dict[str, Any], ...]:
    """The stored groups of the only run."""
    with Store.open(db, readonly=True) as store:
        return store.groups(store.runs()[0].id)
