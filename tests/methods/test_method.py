"""Each method changes a run as it says: which groups and rollouts teach, with what numbers, in what order."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.script import Model, edits, learn, rows, text_of

from experience_db import Store
from tfgrpo import config
from tfgrpo.config import LearnConfig
from tfgrpo.datasets import batches, from_rows
from tfgrpo.errors import UsageError
from tfgrpo.graders.base import as_score
from tfgrpo.lessons.summarize import numbered_attempts, planning_first, template_for
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.methods.method import (
    FIRST_RETRY_INDEX,
    choose_groups,
    compares_groups,
    form_group,
    initial_memory,
    remember,
)
from tfgrpo.methods.questions import questions
from tfgrpo.types import Group, GroupStatus, Problem, Request, Rollout, Usage

KEPT, FLAT, FAILED, FILTERED = GroupStatus.KEPT, GroupStatus.FLAT, GroupStatus.FAILED, GroupStatus.FILTERED


def group(
    settings: LearnConfig, values: list[Any], lengths: list[int] | None = None, *, name: str = "p", **more: Any
) -> Group:
    """A group whose graders gave `values`; None stands for a rollout that could not be scored."""
    sizes = lengths or [10] * len(values)
    texts = more.pop("texts", ["an answer"] * len(values))
    rollouts = tuple(
        Rollout(name, i, answer=text, usage=Usage(completion_tokens=n), finish_reason=more.get("ended", "stop"))
        for i, (n, text) in enumerate(zip(sizes, texts, strict=True))
    )
    scores = tuple(as_score(v, "g") for v in values)
    return form_group(Problem(name, "?"), rollouts, scores, 0, settings, more.get("memory", initial_memory(settings)))


def preset(name: str, *overrides: str) -> LearnConfig:
    """The configuration of a preset."""
    return config.load(name, overrides=overrides)


def test_dr_grpo_keeps_the_unit_of_the_reward_and_grpo_does_not():
    """Dr.GRPO's advantages are rewards minus their mean, GRPO's are divided by the deviation."""
    values = [1.0, 0.0, 0.0, 0.0]
    assert group(preset("dr-grpo"), values).advantages_G == (0.75, -0.25, -0.25, -0.25)
    assert group(preset("grpo"), values).advantages_G == pytest.approx((1.5, -0.5, -0.5, -0.5), abs=1e-4)


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=2, max_size=8))
def test_a_failed_rollout_changes_nobodys_advantage(values):
    """Adding a rollout without a score leaves the numbers of the others as they were, whatever the method."""
    for name in ("grpo", "dr-grpo", "gdpo", "dapo", "ppo"):
        settings = preset(name)
        with_one = group(settings, [*values, None])
        assert with_one.advantages_G == (*group(settings, values).advantages_G, 0.0)


def test_weights_follow_the_difficulty_only_where_the_method_says_so():
    """An even group counts most with Dr.GRPO, less so with GRPO, and like every other one by default."""
    even, lopsided = [1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]
    for name, expected in (("default", (1.0, 1.0)), ("grpo", (1.0, math.sqrt(0.75))), ("dr-grpo", (0.5, 0.375))):
        settings = preset(name)
        chosen, _ = choose_groups(
            [group(settings, even), group(settings, lopsided)], settings, initial_memory(settings)
        )
        assert tuple(g.weight for g in chosen) == pytest.approx(expected)


def test_only_the_heaviest_groups_teach_where_their_number_is_limited():
    """With `selection.groups` the lighter groups leave as filtered, and the order stays."""
    settings = preset("dr-grpo", "selection.groups=1")
    assert compares_groups(settings)
    made = [group(settings, v) for v in ([1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1])]
    chosen, _ = choose_groups(made, settings, initial_memory(settings))
    assert [g.status for g in chosen] == [FILTERED, KEPT, FLAT]


def test_dynamic_sampling_looks_at_accuracy_and_not_at_the_shaped_reward():
    """Right answers of different length are flat for DAPO, though their shaped rewards differ."""
    settings = preset("dapo", "rollout.max_tokens=100")
    found = group(settings, [1.0, 1.0], [10, 95])
    assert found.rewards_G == pytest.approx((1.0, 0.25))
    assert found.status is FLAT
    assert set(found.advantages_G) == {0.0}
    plain = preset("grpo", "shaping.overlong=0.2", "rollout.max_tokens=100")
    assert group(plain, [1.0, 1.0], [10, 95]).status is KEPT


def test_overlong_punishment_orders_right_answers_by_length():
    """In a mixed group the right answer that nearly hit the limit has less advantage than the short one."""
    settings = preset("dapo", "rollout.max_tokens=100")
    short, long, wrong = group(settings, [1.0, 1.0, 0.0], [10, 99, 10]).advantages_G
    assert short > long > wrong


def test_masked_rollouts_are_unknown_and_not_wrong():
    """A rollout that was cut at the limit leaves the group's numbers."""
    settings = preset("default", "shaping.mask_truncated=true")
    found = group(settings, [1.0, 0.0], ended="length")
    assert found.status is FAILED
    assert all(map(math.isnan, found.rewards_G))


def test_gfpo_shows_the_short_rollouts_and_forgets_the_others():
    """The k shortest teach, shortest first; the rest has advantage 0 and is not shown."""
    settings = preset("gfpo", "selection.k=2")
    found = group(settings, [1.0, 0.0, 1.0, 0.0], [40, 30, 5, 20])
    assert found.shown == (2, 3)
    assert found.advantages_G == (0.0, 0.0, 1.0, -1.0)
    assert group(settings, [1.0, 0.0, 1.0, 1.0], [40, 30, 5, 6]).shown == (2, 1)
    strict = preset("gfpo", "selection.k=2", "selection.stratified=false", "selection.contrast=all")
    assert group(strict, [1.0, 0.0, 1.0, 1.0], [40, 30, 5, 6]).status is FILTERED


def test_right_rollouts_of_different_length_teach_brevity():
    """An all-right group is asked for what the shortest left out; with even lengths, or wrong answers, it is not."""
    settings = preset("gfpo", "selection.k=2")
    found = group(settings, [1.0, 1.0, 1.0], [40, 10, 30])
    assert (found.status, found.objective) == (KEPT, "tokens")
    (asked,) = questions(found, settings)
    assert (asked.shown, template_for(settings.lessons, asked)) == ((1, 0), "contrast/all_right")
    assert found.advantages_G[1] > 0 > found.advantages_G[0]
    assert group(settings, [1.0, 1.0], [10, 11]).status is FLAT
    assert group(settings, [0.0, 0.0], [10, 40]).status is FLAT
    mixed = group(settings, [1.0, 1.0, 0.0, 1.0], [40, 10, 5, 30])
    assert [q.objective for q in questions(mixed, settings)] == ["", "tokens"]


def test_best_and_worst_are_contrasted_and_length_counts_for_grpo_alone():
    """GRPO spreads an advantage over the tokens of a rollout, so that of equal ones the shorter is shown."""
    values, lengths = [1.0, 0.4, 1.0, 0.0, 0.0], [50, 1, 10, 60, 5]
    for name, pair in (("grpo", (2, 4)), ("dr-grpo", (0, 3))):
        settings = preset(name)
        (asked,) = questions(group(settings, values, lengths), settings)
        assert asked.shown == pair
    control = preset("grpo", "selection.contrast=random-pair")
    (asked,) = questions(group(control, values, lengths), control)
    assert asked.shown is not None
    better, worse = asked.shown
    assert values[better] > values[worse]


def test_nearly_flat_groups_weigh_as_much_as_any_with_grpo_and_next_to_nothing_with_dr_grpo():
    """Dividing by the spread makes a hundredth as large as one; without it the raw difference orders the groups."""
    near, far = [0.5, 0.51, 0.5, 0.51], [0.0, 1.0, 0.0, 1.0]
    for name, expected in (("grpo", (1.0, 1.0)), ("dr-grpo", (0.005, 0.5))):
        settings = preset(name)
        chosen, _ = choose_groups([group(settings, v) for v in (near, far)], settings, initial_memory(settings))
        assert tuple(g.weight for g in chosen) == pytest.approx(expected)


def test_gdpo_asks_for_each_score_on_its_own_and_for_scores_that_cancel():
    """Right and brief pull against each other: the sum is tied, and two questions are asked all the same."""
    settings = preset("gdpo")
    found = group(settings, [{"right": 1.0, "brief": 0.0}, {"right": 0.0, "brief": 1.0}, {"right": 0.0, "brief": 1.0}])
    assert found.status is KEPT
    asked = questions(found, settings)
    assert [(q.objective, q.shown) for q in asked] == [("right", (0, 1)), ("brief", (1, 0))]
    assert asked[1].rewards_G == (0.0, 1.0, 1.0)
    on = preset("gdpo", "advantage.condition_on=right")
    found = group(on, [{"right": 1.0, "brief": 0.0}, {"right": 0.0, "brief": 1.0}])
    assert [q.objective for q in questions(found, on)] == ["right"]
    assert group(settings, [{"right": 1.0, "brief": 1.0}] * 2).status is FLAT


def test_a_slip_in_the_figures_teaches_no_plan():
    """A wrong attempt that says what a right one says but for figures is left out; one with another plan stays."""
    texts = ["First we add both. 3 + 4 = 7.", "First we add both. 3 + 4 = 8.", "First we multiply both. 3 x 4 = 12."]
    settings = preset("hicra")
    slip, plan = (
        choose_groups([group(settings, v, texts=t)], settings, initial_memory(settings))[0][0]
        for v, t in (([1.0, 0.0], texts[:2]), ([1.0, 0.0, 0.0], texts))
    )
    assert slip.status is FILTERED
    assert (plan.status, plan.shown) == (KEPT, (0, 2))
    (asked,) = questions(plan, settings)
    assert asked.shown == (0, 2)


def test_token_efficiency_ranks_by_reward_per_token():
    """Right and short comes first, and the stratified choice keeps a wrong one for contrast."""
    settings = preset("gfpo-efficiency", "selection.k=2")
    found = group(settings, [1.0, 1.0, 1.0, 0.0], [40, 10, 20, 5])
    assert found.shown is not None
    assert found.shown == (1, 3)
    assert found.status is KEPT
    bare = preset("gfpo-efficiency", "selection.k=2", "selection.stratified=false")
    assert group(bare, [1.0, 1.0, 1.0, 0.0], [40, 10, 20, 5]).status is FILTERED


def test_adaptive_gfpo_keeps_more_of_hard_problems_once_it_knows_the_others():
    """Before enough groups are known all keep the most; then easy problems keep fewest."""
    settings = preset("gfpo-adaptive", "selection.min_history=4")
    values = ([0, 0, 0, 1] * 2, [0, 1] * 4, [1, 1, 1, 0] * 2, [1] * 7 + [0])
    batch = [group(settings, list(map(float, v)), list(range(1, 9))) for v in values]
    early, _ = choose_groups(batch[:1], settings, initial_memory(settings))
    assert len(early[0].shown or ()) == 4
    later, _ = choose_groups(batch, settings, initial_memory(settings))
    assert [len(g.shown or ()) for g in later] == [4, 4, 3, 2]
    memory = remember(initial_memory(settings), batch, settings)
    again, _ = choose_groups(batch[3:], settings, memory)
    assert len(again[0].shown or ()) == 2


def test_gdpo_sees_what_one_number_hides():
    """Two graders that disagree leave a flat mean, from which GRPO learns nothing and GDPO each grader's part."""
    values = [{"right": 1.0, "brief": 0.0}, {"right": 0.0, "brief": 1.0}, {"right": 1.0, "brief": 0.0}]
    assert group(preset("grpo"), values).status is FLAT
    settings = preset("gdpo", "advantage.weights={right = 2.0}")
    found = group(settings, values)
    assert found.status is KEPT
    assert found.advantages_G[0] > 0 > found.advantages_G[1]
    assert found.grader_advantages_G[1] == pytest.approx({"right": -1.1547, "brief": 1.1547}, abs=1e-3)


def test_gdpo_lets_an_easy_grader_pay_only_after_the_hard_one():
    """With a condition a brief wrong answer earns nothing for being brief."""
    values = [{"right": 1.0, "brief": 0.0}, {"right": 0.0, "brief": 1.0}, {"right": 1.0, "brief": 1.0}]
    found = group(preset("gdpo", "advantage.condition_on=right"), values)
    assert found.grader_advantages_G[1]["brief"] < 0
    with pytest.raises(UsageError, match="the graders are: right, brief"):
        group(preset("gdpo", "advantage.condition_on=short"), values)


def test_batch_scale_makes_groups_comparable():
    """Over the batch the advantages have deviation 1, and flat groups stay exactly 0."""
    settings = preset("gdpo")
    batch = [group(settings, v) for v in ([1.0, 0.0], [0.6, 0.5], [1.0, 1.0])]
    chosen, _ = choose_groups(batch, settings, initial_memory(settings))
    heard = [a for g in chosen[:2] for a in g.advantages_G]
    assert sum(a * a for a in heard) / 5 == pytest.approx(1.0, abs=1e-3)
    assert chosen[2].advantages_G == (0.0, 0.0)


def test_a_named_score_that_is_missing_leaves_the_rollout_unscored():
    """A mean over the graders that answered would reward a grader's failure."""
    assert as_score({"right": 1.0, "brief": None}, "g").value is None
    assert as_score({"right": 1.0, "brief": 0.5}, "g").value == 0.75
    assert [p.name for p in as_score({"right": 1.0, "brief": 0.5}, "g").parts] == ["right", "brief"]


def test_the_critic_teaches_from_one_rollout_by_what_earlier_steps_expected():
    """A win is good news on a problem never tried, and none on one that is always won; a loss there is."""
    settings = preset("ppo")
    first = group(settings, [1.0])
    assert (first.status, first.advantages_G) == (KEPT, (0.5,))
    assert template_for(settings.lessons, first) == "contrast/all_right"
    memory = initial_memory(settings)
    for _ in range(4):
        memory = remember(memory, [group(settings, [1.0])], settings)
    assert group(settings, [1.0], memory=memory).status is FLAT
    lost = group(settings, [0.0], memory=memory)
    assert lost.advantages_G == pytest.approx((-5 / 6,))
    assert template_for(settings.lessons, lost) == "contrast/all_wrong"
    assert group(settings, [None]).status is FAILED


def test_planning_sentences_come_first_with_the_published_weights():
    """A success on planning counts 1 + alpha, blame for it 1 - alpha, and the other sentences follow."""
    text = "2 and 2 is 4. First split the sum into halves. Done."
    assert planning_first(text, 0.5, ["split the sum"], 0.2).splitlines() == [
        "[plan +0.60] First split the sum into halves.",
        "2 and 2 is 4.",
        "Done.",
    ]
    assert planning_first(text, -0.5, ["split the sum"], 0.2).startswith("[plan -0.40]")
    assert planning_first(text, 0.5, ["never said here"], 0.2) == text


def test_strategic_grams_are_mined_from_correct_rollouts_and_their_variety_is_watched():
    """A phrase of two correct rollouts becomes a gram, one of wrong rollouts does not."""
    settings = preset("hicra")
    texts = ["Let us split the sum.", "Here I split the sum.", "We guess at random now.", "We guess at random now."]
    chosen, watched = choose_groups(
        [group(settings, [1.0, 1.0, 0.0, 0.0], texts=texts)], settings, initial_memory(settings)
    )
    assert chosen[0].grams == ("split the sum",)
    assert watched["strategic_grams"] == 1
    assert watched["semantic_entropy"] == 0.0
    assert watched["clustering"] == "exact (embedding-free)"
    joined = preset("hicra", "lessons.clusters=jaccard")
    _, other = choose_groups([group(joined, [1.0, 1.0], texts=texts[:2])], joined, initial_memory(joined))
    assert other["clustering"] == "jaccard (embedding-free)"


# Whole runs with a scripted model.


def hard_maple(request: Request) -> str:
    """Wrong on the topic maple, but for further groups; right every second time elsewhere."""
    figure = text_of(request).rpartition("comes of ")[2].split("?")[0]
    right = request.attempt % 2 == 0 and ("maple" not in text_of(request) or request.attempt >= FIRST_RETRY_INDEX)
    return f"Answer: {2 * int(figure) if right else figure}"


def statuses(db: Path) -> list[list[tuple[str, str, int]]]:
    """Problem, status and number of rollouts of each group, step by step."""
    with Store.open(db, readonly=True) as store:
        (run,) = store.runs()
        found: dict[int, list[tuple[str, str, int]]] = {}
        for g in store.groups(run.id):
            found.setdefault(g["step"], []).append((g["problem"]["id"], g["status"], len(g["rollouts"])))
    return list(found.values())


def easy_first(first: str) -> Callable[[Request], str]:
    """Right on the problem `first` whatever is drawn, and every second time elsewhere."""

    def solve(request: Request) -> str:
        figure = text_of(request).rpartition("comes of ")[2].split("?")[0]
        return f"Answer: {2 * int(figure) if figure == first or request.attempt % 2 == 0 else figure}"

    return solve


def test_dynamic_sampling_replaces_flat_groups_by_new_problems_of_the_epoch(tmp_path):
    """A batch without a contrast takes the next problem before its turn, which then has no turn of its own."""
    problems, db = from_rows(rows(4)), tmp_path / "a.db"
    first, second, *_ = (b[0].id for b in batches(problems, 1, 0, 0))
    model = Model(rollout=easy_first(first.rpartition("-")[2]))
    result = learn(model, problems, db, method="dapo", group_size=4, batch_size=1, overrides=["selection.wanted=1"])
    assert statuses(db)[0] == [(first, "flat", 4), (second, "kept", 2)]
    assert [len(step) for step in statuses(db)] == [2, 1, 1]
    assert result.steps[0].monitor["fresh"] == 1
    met = [problem for step in statuses(db) for problem, *_ in step]
    assert sorted(met) == sorted(p.id for p in problems)


def test_sampling_ends_with_its_rounds_and_says_what_it_has(tmp_path):
    """All problems are easy: the rounds end, nothing is taken twice, and the step says that it is empty."""
    model = Model(rollout=lambda r: f"Answer: {2 * int(text_of(r).rpartition('comes of ')[2].split('?')[0])}")
    result = learn(
        model, rows(8), tmp_path / "a.db", method="dapo", group_size=4, batch_size=1, overrides=["selection.rounds=3"]
    )
    assert {step.monitor["sampling"] for step in result.steps} == {"empty"}
    assert [len(step) for step in statuses(tmp_path / "a.db")] == [3, 3, 2]


def test_an_unsolved_problem_is_tried_again_under_a_later_library_only(tmp_path):
    """While the library stands, further rollouts would buy the same outcome; once it moved, the problem comes again."""
    problems = from_rows(rows(3))
    seed = next(s for s in range(9) if "maple" in batches(problems, 1, s, 0)[0][0].id)
    options: dict[str, Any] = {"method": "dapo", "group_size": 4, "batch_size": 1, "seed": seed}
    more = ["selection.fresh=false"]
    learn(Model(rollout=hard_maple), problems, tmp_path / "a.db", overrides=more, **options)
    first, second, third = statuses(tmp_path / "a.db")
    assert first == [("maple-200", "flat", 4)]
    assert len(second) == 1
    assert ("maple-200", "kept", 2) in third
    still = Model(rollout=hard_maple, contrast=lambda _: edits())
    learn(still, problems, tmp_path / "b.db", overrides=more, **options)
    assert [len(step) for step in statuses(tmp_path / "b.db")] == [1, 1, 1]


def test_proposals_of_heavier_groups_come_first(tmp_path):
    """With Dr.GRPO the even group's proposal stands before the lopsided one's, by default they keep their order."""

    def uneven(request: Request) -> str:
        figure = int(text_of(request).rpartition("comes of ")[2].split("?")[0])
        right = request.attempt == 0 or (request.attempt == 1 and "granite" in text_of(request))
        return f"Answer: {2 * figure if right else figure}"

    problems = from_rows(rows(2))
    seed = next(s for s in range(9) if "maple" in batches(problems, 2, s, 0)[0][0].id)
    for method, first in (("default", "maple"), ("dr-grpo", "granite")):
        model = Model(rollout=uneven)
        learn(model, problems, tmp_path / f"{method}.db", method=method, group_size=4, seed=seed)
        (prompt,) = model.asked("consolidate")
        (other,) = {"maple", "granite"} - {first}
        assert prompt.index(f"topic is {first}") < prompt.index(f"topic is {other}")


def test_waves_stop_once_a_group_has_its_contrast(tmp_path):
    """Two rollouts that differ are enough; a group without contrast is drawn to its full size."""
    model, flat = Model(), {"id": "flat", "question": "In topic maple: what comes of 7?", "answer": "none of it"}
    learn(model, [*rows(1), flat], tmp_path / "a.db", group_size=5, overrides=["selection.wave=2"])
    assert sorted(statuses(tmp_path / "a.db")[0]) == [("flat", "flat", 5), ("maple-200", "kept", 2)]
    assert sorted(r.attempt for r in model.requests if r.role == "rollout") == [0, 0, 1, 1, 2, 3, 4]


def test_what_was_expected_stops_teaching_in_later_steps(tmp_path):
    """A critic with a fixed prior that has seen three wins is not surprised by the fourth."""

    def right(request: Request) -> str:
        return f"Answer: {2 * int(text_of(request).rpartition('comes of ')[2].split('?')[0])}"

    learn(
        Model(rollout=right),
        rows(1),
        tmp_path / "a.db",
        method="ppo",
        group_size=1,
        epochs=4,
        overrides=["advantage.prior=fixed"],
    )
    assert [step[0][1] for step in statuses(tmp_path / "a.db")] == ["kept", "kept", "kept", "flat"]


def test_what_is_usual_teaches_nothing_from_the_first_visit_on(tmp_path):
    """Of twelve problems one is missed: that is the surprise of the first step, the eleven wins are none."""

    def all_but_one(request: Request) -> str:
        figure = int(text_of(request).rpartition("comes of ")[2].split("?")[0])
        return f"Answer: {figure if figure == 203 else 2 * figure}"

    learn(Model(rollout=all_but_one), rows(12), tmp_path / "a.db", method="ppo", group_size=1, epochs=1)
    (first,) = statuses(tmp_path / "a.db")
    assert [problem for problem, status, _ in first if status == "kept"] == ["copper-203"]


def test_a_critic_shows_the_earlier_tries_that_its_expectation_rests_on(tmp_path):
    """A win after a loss is contrasted with it, and the group that is stored holds the new rollout alone."""

    def second_time(request: Request) -> str:
        figure = int(text_of(request).rpartition("comes of ")[2].split("?")[0])
        return f"Answer: {2 * figure if request.attempt else figure}"

    model = Model(rollout=second_time, contrast=lambda request: '{"edits": []}')
    learn(model, rows(1), tmp_path / "a.db", method="ppo", group_size=1, epochs=2)
    (beside,) = model.asked("contrast")
    assert beside.count("### Attempt") == 2
    assert "reward 1.00, advantage +0.67" in beside
    assert "reward 0.00, advantage -0.33" in beside
    assert statuses(tmp_path / "a.db") == [[("maple-200", "kept", 1)], [("maple-200", "kept", 1)]]


@pytest.mark.slow
def test_methods_resume_to_the_same_library(tmp_path):
    """Running again from the journal calls nobody and ends in the same steps, also where the method remembers."""
    for name in ("dapo", "ppo", "gfpo-adaptive", "hicra"):
        db, model = tmp_path / f"{name}.db", Model(rollout=hard_maple)
        options: dict[str, Any] = {"method": name, "batch_size": 3, "epochs": 2}
        options["group_size"] = 1 if name == "ppo" else 4
        first = learn(model, rows(6), db, name=name, **options)
        asked = len(model.requests)
        again = learn(model, rows(6), db, name=name, **options)
        assert len(model.requests) == asked
        assert [s.monitor for s in again.steps] == [s.monitor for s in first.steps]
        assert [x.text for x in again.library] == [x.text for x in first.library]


def test_ppo_learns_from_single_rollouts(tmp_path):
    """With one rollout a problem a first visit has no contrast; the second one, that came out otherwise, has."""
    model = Model()
    result = learn(model, rows(4), tmp_path / "a.db", method="ppo", group_size=1, epochs=2)
    assert model.calls["rollout"] == 8
    assert result.summary["groups"]["kept"] == model.calls["contrast"] == 4
    assert {step.decided["contrasts"] for step in result.steps} == {0, 4}
    assert len(result.library) > 0


def test_gfpo_shows_the_summarizer_fewer_attempts(tmp_path):
    """The contrast prompt holds k attempts where the default holds all."""
    for name, shown in (("gfpo", 2), ("default", 4)):
        model = Model()
        more = ["selection.k=2", "selection.stratified=true"] if name == "gfpo" else []
        learn(model, rows(1), tmp_path / f"{name}.db", method=name, group_size=4, overrides=more)
        assert model.asked("contrast")[0].count("### Attempt") == shown


def two_graders(problem: Problem, rollout: Rollout) -> dict[str, float]:
    """Right or wrong, and how short."""
    return {"right": float(str(problem.answer) in rollout.answer), "brief": 1.0 / len(rollout.answer)}


def test_gdpo_shows_each_graders_advantage_and_stores_each_score(tmp_path):
    """The contrast prompt lists the graders with their advantages, and the database has a row for each."""
    model = Model()
    learn(model, rows(1), tmp_path / "a.db", method="gdpo", grader=two_graders)
    (prompt,) = model.asked("contrast")
    assert "- right, advantage: 0.87" in prompt
    assert "- brief: 0." in prompt
    with Store.open(tmp_path / "a.db", readonly=True) as store:
        (found,) = store.groups(store.runs()[0].id)
    assert [s["name"] for s in found["scores"][0]] == ["", "right", "brief"]


def test_hicra_puts_the_plan_before_the_summarizer(tmp_path):
    """Sentences with a phrase that correct rollouts share stand first in each attempt."""

    def planned(request: Request) -> str:
        figure = int(text_of(request).rpartition("comes of ")[2].split("?")[0])
        if request.attempt % 2:
            return f"It may be {figure}. I just take the figure.\nAnswer: {figure}"
        return f"It may be {figure}. Now double what is there.\nAnswer: {2 * figure}"

    model = Model(rollout=planned)
    result = learn(model, rows(2), tmp_path / "a.db", method="hicra", group_size=4)
    assert "[plan +0.60] Now double what is there." in model.asked("contrast")[0]
    assert result.steps[0].monitor["strategic_grams"] > 0
    with Store.open(tmp_path / "a.db", readonly=True) as store:
        (step,) = store.steps(store.runs()[0].id)
    assert step.summary["semantic_entropy"] >= 0


async def test_summaries_and_sources_name_the_rollouts_that_were_shown():
    """Attempt 1 of a filtered group is its shortest rollout."""
    settings = preset("gfpo", "selection.k=2")
    found = group(settings, [1.0, 0.0, 1.0, 0.0], [40, 30, 5, 20], texts=list("abcd"))
    teacher = Teacher(None, "m", _Never(), None)  # type: ignore[arg-type]
    assert [a.text for a in await numbered_attempts(teacher, found, 6000)] == ["c", "d"]


class _Never:
    """A prompt set that wants no summaries."""

    class settings:
        summaries = "never"


def test_a_method_that_cannot_be_is_refused_with_what_to_do():
    """Unknown names and settings that exclude each other end before anything is done."""
    with pytest.raises(UsageError, match="gdpo"):
        preset("default", "advantage=ppo2")
    with pytest.raises(UsageError, match="at least 2, or --method ppo"):
        preset("default", "rollout.group_size=1")
    settings = preset("gfpo-adaptive", "selection.k_adaptive=3")
    with pytest.raises(UsageError, match="8,8,6,4"):
        choose_groups([group(settings, [1.0, 0.0])], settings, initial_memory(settings))
    assert preset("default", "selection=dynamic", "selection.rounds=2").selection.rounds == 2
    assert preset("default", "selection=dynamic", "selection.rounds=2").selection.kind == "dynamic"


def test_every_preset_names_a_source_for_every_choice():
    """Each line of a preset that sets something says where the value comes from."""
    for name in config.preset_names():
        for line in config.preset_path(name).read_text(encoding="utf-8").splitlines():
            if "=" in line.partition("#")[0]:
                assert line.partition("#")[2].strip(), f"{name}: {line}"
        assert preset(name).method == name


def test_presets_are_listed_with_what_they_say_of_themselves():
    """`tfgrpo plugins --kind presets` has a line per preset, with its source."""
    from typer.testing import CliRunner

    from tfgrpo.cli.app import app

    shown = CliRunner().invoke(app, ["plugins", "--kind", "presets"]).stdout.splitlines()
    assert [line.split()[0] for line in shown] == list(config.preset_names())
    assert any(line.startswith("gdpo") and "arXiv 2601.05242" in line for line in shown)


def test_progress_says_what_the_method_watches(tmp_path, capsys):
    """A step of HICRA reports its semantic entropy, a step of DAPO its rounds."""
    from tfgrpo.cli.progress_lines import ProgressLines

    for name, word in (("hicra", "semantic_entropy"), ("dapo", "rounds 1")):
        result = learn(Model(), rows(2), tmp_path / f"{name}.db", method=name, group_size=4)
        with ProgressLines() as progress:
            progress.step(result.steps[0])
        assert word in capsys.readouterr().err
