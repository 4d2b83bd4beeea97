"""Several graders as one reward, and what the method and the summarizer see of them."""

import pytest

from graders.judges import PROBLEM, group
from tfgrpo.advantages import gdpo
from tfgrpo.config import LearnConfig, load
from tfgrpo.config.grader import GraderConfig
from tfgrpo.errors import UnknownPlugin, UsageError
from tfgrpo.graders import from_function
from tfgrpo.graders.factory import grader_for
from tfgrpo.lessons.summarize import named_scores
from tfgrpo.methods.method import form_group

GDPO = load(overrides=["advantage.kind=gdpo", 'grader.parts={exact=1.0, "graders.test_weighted:brief"=0.5}'])


def brief(problem, rollout):
    """1 for up to ten letters."""
    return float(len(rollout.answer) <= 10)


def fussy(problem, rollout):
    """Break on one answer."""
    return 1 / (rollout.answer != "boom")


def made(**config):
    """The grader of a table."""
    return grader_for("weighted", GraderConfig(**config))[0]


async def test_the_value_is_the_weighted_sum_of_named_parts():
    """Weights multiply, parts keep their own values, names and words."""
    grader = made(parts={"exact": 1.0, "graders.test_weighted:brief": 0.5})
    right, wrong, long = await grader(PROBLEM, group("Danube", "Rhine", "surely the Danube"))
    assert [right.value, wrong.value, long.value] == [1.5, 0.5, 0.0]
    assert [(p.name, p.value) for p in wrong.parts] == [("exact", 0.0), ("graders.test_weighted:brief", 1.0)]
    assert "exact 0 (wrong: got 'Rhine'" in wrong.why


async def test_a_missing_part_leaves_the_whole_unscored():
    """Half a reward would be a wrong one; the others of the group keep theirs."""
    grader = made(parts={"exact": 1.0, "graders.test_weighted:fussy": 1.0})
    lost, kept = await grader(PROBLEM, group("boom", "Danube"))
    assert (lost.value, kept.value) == (None, 2.0)
    assert "ZeroDivisionError" in lost.failure.message
    assert [p.value for p in lost.parts] == [0.0, None]


async def test_conditioning_pays_the_rest_only_when_it_is_met():
    """Brevity pays only for a right answer, and the words say so; the parts show what they were."""
    grader = made(parts={"exact": 1.0, "graders.test_weighted:brief": 0.5}, condition_on="exact")
    right, wrong = await grader(PROBLEM, group("Danube", "Rhine"))
    assert [right.value, wrong.value] == [1.5, 0.0]
    assert wrong.parts[1].value == 1.0
    assert wrong.why.endswith("only exact counts, it is below 1")


async def test_gdpo_takes_the_weights_and_shows_each_advantage():
    """Each part is normalised by itself, and the summarizer sees its value and its advantage by name."""
    grader = made(parts=GDPO.grader.parts)
    rollouts = group("Danube", "Rhine", "surely the Danube")
    group_ = form_group(PROBLEM, tuple(rollouts), await grader(PROBLEM, rollouts), 0, GDPO)
    expected = gdpo([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]], [1.0, 0.5])
    assert group_.advantages_G == pytest.approx(tuple(expected))
    assert [name for name, _ in named_scores(group_, 0)] == [
        "exact",
        "exact, advantage",
        "graders.test_weighted:brief",
        "graders.test_weighted:brief, advantage",
    ]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, r"needs its parts, such as \[grader\] parts"),
        ({"parts": {"exact": "much"}}, r"grader\.parts\.exact is 'much'; a weight is a number"),
        ({"parts": {"exact": True}}, "a weight is a number"),
        ({"parts": {"exact": 1}, "condition_on": "math"}, "condition_on is 'math'; the parts are: exact"),
        ({"parts": {"weighted": 1}}, "names 'weighted' itself"),
        ({"parts": {"exact": 1}, "options": {"numeric": {}}}, "'numeric' is no part"),
        ({"parts": {"numeric": 1}, "options": {"numeric": 3}}, "is a table of options for that part"),
        ({"parts": {"numeric": 1}, "options": {"numeric": {"tol": 3}}}, "it knows: rel_tol, abs_tol"),
        ({"parts": {"judge": 1}}, "'judge' needs a model of its own"),
    ],
)
def test_tables_that_make_no_sense_are_refused(config, message):
    """What is wrong with the table is said before anything is graded."""
    with pytest.raises(UsageError, match=message):
        made(**config)


def test_unknown_parts_are_unknown_graders():
    """A part is a grader like any other."""
    with pytest.raises(UnknownPlugin, match="did you mean 'exact'"):
        made(parts={"exat": 1})


def test_options_reach_built_in_graders_and_no_functions():
    """`grader.options` are the fields of a grader; a function has none."""
    found, name = grader_for("numeric", GraderConfig(options={"rel_tol": 0.1}))
    assert (found.rel_tol, name) == (0.1, "numeric")
    with pytest.raises(UsageError, match="takes no options"):
        grader_for(brief, GraderConfig(options={"x": 1}))
    assert grader_for(from_function(brief))[1]


def test_the_configuration_takes_names_with_a_colon():
    """A dotted path is a quoted key."""
    assert GDPO.grader.parts == {"exact": 1.0, "graders.test_weighted:brief": 0.5}
    assert LearnConfig().grader.parts == {}


def by_turn(problem, rollout):
    """Reward the only turn by half, and the whole in full."""
    return {"whole": 1.0, "steps": [0.5]}


async def test_step_rewards_of_the_parts_are_added_with_their_weights():
    """Parts without step rewards have no say in those; without any such part there are none."""
    grader = made(parts={"exact": 1.0, "graders.test_weighted:by_turn": 0.5})
    (right,) = await grader(PROBLEM, group("Danube"))
    assert right.steps == (0.25,)
    (plain,) = await made(parts={"exact": 1.0})(PROBLEM, group("Danube"))
    assert plain.steps == ()
