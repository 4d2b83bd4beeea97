"""Learning without labels: nothing that a grader said reaches the summarizer, and every group teaches."""

from __future__ import annotations

import pytest
from support.script import TOPICS, Model, edits, learn, lesson, rows, text_of

from tfgrpo import config
from tfgrpo.errors import UsageError
from tfgrpo.methods.label_free import majority
from tfgrpo.types import Failure, FailureKind, Request, Rollout

FREE = ["lessons.labels=none"]


def said(*answers: str) -> tuple[Rollout, ...]:
    """Rollouts with these answers."""
    return tuple(Rollout("p", i, answer=a) for i, a in enumerate(answers))


def test_the_majority_is_an_answer_given_more_often_than_any_other():
    """Two of three make one; two against two, or all apart, make none, and failures have no voice."""
    assert majority(said("Answer: 7", "so it is 8. Answer: 8", "Answer: 7")) == "7"
    assert majority(said("Answer: 7", "Answer: 8")) == ""
    assert majority(said("Answer: 7", "Answer: 8", "Answer: 7", "Answer: 8")) == ""
    broken = Rollout("p", 2, answer="Answer: 7", failure=Failure(FailureKind.TIMEOUT, "late"))
    assert majority((*said("Answer: 7"), broken)) == ""


def always_right(request: Request) -> str:
    """Right, whatever is asked."""
    return f"Answer: {2 * int(text_of(request).rpartition('comes of ')[2].split('?')[0])}"


def test_all_groups_teach_and_the_summarizer_sees_no_reward_and_no_reference(tmp_path):
    """Groups that all agree teach too; prompts of every stage hold neither reward nor reference, but the majority."""
    for name, play in (("agreed", always_right), ("mixed", None)):
        model = Model(**({"rollout": play} if play else {}), operations=lambda _: edits())
        result = learn(model, rows(4), tmp_path / f"{name}.db", method="training-free-grpo", overrides=FREE)
        assert result.summary["groups"]["kept"] == 4
        assert model.calls["contrast"] == 4
        assert model.calls["summarize"] == (4 if play else 8)  # equal attempts are the same question
        for prompt in (*model.asked("contrast"), *model.asked("summarize")):
            assert ": reward" not in prompt
            assert ", reward" not in prompt
            assert "Reference answer" not in prompt
            assert "true answer, for comparison" not in prompt
        assert sum("What most of the attempts answered" in p for p in model.asked("contrast")) == (4 if play else 0)


def test_a_gate_that_measures_and_a_method_that_filters_need_labels():
    """Both are refused before anything is asked."""
    with pytest.raises(UsageError, match="--gate open"):
        config.load("default", overrides=FREE)
    with pytest.raises(UsageError, match="informative selection"):
        config.load("dapo", overrides=[*FREE, "gate.kind=open"])


def add_all(request: Request) -> str:
    """Add each lesson that was proposed."""
    named = [lesson(topic) for topic in TOPICS if lesson(topic) in text_of(request)]
    return edits(*({"op": "ADD", "text": words, "attempts": [1]} for words in named))


def test_what_a_person_said_of_solver_and_lessons_is_told_at_every_stage(tmp_path):
    """Both objectives stand in the prompts of all four stages, and in none where nothing was said."""
    told = ["lessons.agent_objective=doubles figures", "lessons.learning_objective=fewer slips"]
    for overrides, expected in ((told, True), ([], False)):
        model = Model(operations=add_all)
        learn(model, rows(4), tmp_path / f"{expected}.db", method="training-free-grpo", overrides=overrides)
        for stage in ("summarize", "contrast", "operations", "consolidate"):
            assert model.asked(stage)
            for prompt in model.asked(stage):
                assert ("What the solver is for: doubles figures" in prompt) is expected, stage
                assert ("What the lessons shall achieve: fewer slips" in prompt) is expected, stage


RIGHT = {"maple": (1, 0, 1, 0), "granite": (1, 1, 1, 1), "velvet": (0, 0, 0, 0), "copper": (1, 0, 0, 0)}
"""Which attempts at each problem are right: two groups are mixed, one is all right, one all wrong."""


@pytest.mark.parametrize(
    ("overrides", "taught"), [([], {"maple", "copper"}), (FREE, set(RIGHT))], ids=["labels", "label-free"]
)
def test_each_stage_is_asked_of_the_groups_that_the_published_code_asks_of(tmp_path, overrides, taught):
    """What the published code, executed on these attempts, did: its summaries, contrasts, operations, merge, library.

    Source: TencentCloudADP/youtu-agent at bef6ba5, utu/practice/experience_updater.py, with and without ground truth.
    """

    def solve(request: Request) -> str:
        topic, _, figure = text_of(request).rpartition("In topic ")[2].partition(": what comes of ")
        number = int(figure.split("?")[0])
        return f"Try {request.attempt}.\nAnswer: {2 * number if RIGHT[topic][request.attempt] else number}"

    model = Model(rollout=solve, operations=add_all, consolidate=add_all)
    result = learn(model, rows(4), tmp_path / "a.db", method="training-free-grpo", overrides=overrides)
    for stage, times in (("summarize", 4), ("contrast", 1)):
        asked = [text.rpartition("In topic ")[2].partition(":")[0] for text in model.asked(stage)]
        assert sorted(asked) == sorted([*taught] * times), stage
    named = [topic for text in model.asked("operations") for topic in RIGHT if lesson(topic) in text]
    assert sorted(named) == sorted(taught)
    assert model.calls["consolidate"] == 1
    assert {x.text for x in result.library} == set(map(lesson, taught))
