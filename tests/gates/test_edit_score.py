"""What a configuration can ask of an edit score: token masks, trust regions, distance, fitted constants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tfgrpo.config.method import EditScoreConfig
from tfgrpo.edit_scores import gvpo, gvpo_pooled, planning_advantages
from tfgrpo.edit_scores.gspo import gspo
from tfgrpo.errors import UsageError
from tfgrpo.gates.edit_score import assessment_detail, check, components, gains, next_beta, penalty, planning_found
from tfgrpo.gates.factory import likelihood_gate, paired_gate
from tfgrpo.gates.likelihood import LikelihoodGate
from tfgrpo.gates.score_kinds import planning_masks, trust_region
from tfgrpo.gates.scored_rollouts import Floor, Sides

from .tables import library_of
from .test_likelihood import GOOD, group, helps, laboratory, proposal

SPELLED = ("first", " take", " the", " larger one")
"""What the four tokens of a rollout in these tests spell: `first take the larger one`."""


def sides(moved: Sequence[Sequence[float]], i: int = 1, **more: Any) -> Sides:
    """Four rollouts, right, right, wrong, wrong, whose tokens moved by so many nats."""
    return Sides(
        group(i, "glorp"), [(-1.0,) * len(row) for row in moved], [tuple(d - 1 for d in r) for r in moved], **more
    )


def test_planning_tokens_are_exact_where_it_is_known_what_the_tokens_spell():
    """A token that holds part of a planning word is marked, whatever the lengths of the others."""
    own = replace(group(1, "glorp"), grams=("take the larger",))
    rows = [(-1.0,) * 4] * 4
    spread, exact = Sides(own, rows, rows), Sides(own, rows, rows, (SPELLED,) * 4)
    assert planning_masks(exact)[0] == (0, 1, 1, 1)
    assert planning_masks(spread)[0] == (0, 1, 1, 1)
    long = ("f", "irst", " take the", " larger one")
    assert planning_masks(Sides(own, rows, rows, (long,) * 4))[0] == (0, 0, 1, 1)
    assert planning_found([exact]) == {"exact": 4, "spread": 0}
    assert planning_found([spread]) == {"exact": 0, "spread": 4}


def test_token_texts_that_do_not_spell_the_answer_are_not_trusted():
    """Half characters, lost spaces or too few tokens fall back on the even spread, and that is counted."""
    own = replace(group(1, "glorp"), grams=("take the larger",))
    rows = [(-1.0,) * 4] * 4
    texts = (("first", "take", "the", "larger"), ("\ufffd", "x", "y", "z"), None, SPELLED)
    found = Sides(own, rows, rows, texts)
    assert planning_found([found]) == {"exact": 1, "spread": 3}
    assert planning_masks(found)[0] == planning_masks(Sides(own, rows, rows))[0]


async def test_a_verdict_says_how_the_planning_tokens_were_found():
    """The evidence of HICRA's score names exact and spread rollouts; other kinds have no such thing."""
    for spelling, expected in ((SPELLED, {"exact": 32, "spread": 0}), (None, {"exact": 0, "spread": 32})):
        gate = LikelihoodGate(EditScoreConfig("hicra"))
        (verdict,) = await gate(library_of(), [proposal()], laboratory(shift=helps, spelling=spelling))
        found = verdict.evidence[0].detail["planning_tokens"]
        assert sum(found.values()) == 24
        assert (found["exact"] > 0) is (expected["exact"] > 0)
    (verdict,) = await LikelihoodGate(EditScoreConfig("gvpo"))(library_of(), [proposal()], laboratory())
    assert "planning_tokens" not in verdict.evidence[0].detail


def test_gspo_token_weighs_planning_tokens():
    """With `token` the advantages are HICRA's, and without planning words it is plain GSPO."""
    own = replace(group(1, "glorp"), grams=("take the larger",))
    moved = [[0.2] * 4, [0.1] * 4, [-0.1] * 4, [-0.2] * 4]
    new = [tuple(d - 1 for d in row) for row in moved]
    given = Sides(own, [(-1.0,) * 4] * 4, new, (SPELLED,) * 4)
    (found,) = gains([given], EditScoreConfig("gspo", {"token": True, "alpha": 0.5}), Floor())
    rows = planning_advantages(own.advantages_G, [(0, 1, 1, 1)] * 4, alpha=0.5)
    assert found == pytest.approx(gspo(new, given.old_G, rows, trust_region("gspo", 0.0)).gain)
    bare = replace(given, group=replace(own, grams=("never said here",)))
    plain, token = (gains([bare], EditScoreConfig("gspo", {"token": t}), Floor()) for t in (False, True))
    assert plain == pytest.approx(token)


def test_gvpo_fits_beta_on_the_other_problems():
    """Each problem's gain uses |beta*| of the others, never its own."""
    a, b = sides([[0.4], [0.2], [-0.1], [-0.3]]), sides([[0.1], [0.3], [-0.2], [-0.4]], 2)
    first, second = gains([a, b], EditScoreConfig("gvpo", {"beta": "fit"}), Floor())
    rewards = (1.0, 1.0, 0.0, 0.0)
    beta = gvpo_pooled([[0.1, 0.3, -0.2, -0.4]], [rewards]).beta_star
    assert first == pytest.approx(gvpo([0.4, 0.2, -0.1, -0.3], rewards, beta=beta).gain)
    assert second > 0
    wrong = sides([[-0.4], [-0.2], [0.1], [0.3]])
    assert gains([wrong, b], EditScoreConfig("gvpo", {"beta": "fit"}), Floor())[0] < 0
    still = sides([[0.0]] * 4)
    assert math.isnan(gains([a, still], EditScoreConfig("gvpo", {"beta": "fit"}), Floor())[0])


def test_gvpo_by_length_divides_each_rollout_by_its_tokens():
    """Two tokens that moved half as far each are one that moved once."""
    one = gains([sides([[0.4], [0.2], [-0.1], [-0.3]])], EditScoreConfig("gvpo", {"per_token": True}), Floor())
    two = sides([[0.4, 0.4], [0.2, 0.2], [-0.1, -0.1], [-0.3, -0.3]])
    assert gains([two], EditScoreConfig("gvpo", {"per_token": True}), Floor()) == pytest.approx(one)


def test_distance_is_charged_by_the_configured_weight():
    """A ratio score pays beta times k3; DisCO pays its hinge beyond what is free; GVPO has its own trust region."""
    given = sides([[0.5], [0.5], [0.5], [0.5]])
    k3 = math.exp(0.5) - 1.5
    assert penalty([given], EditScoreConfig("surrogate", {"kl_beta": 2.0}), Floor()) == pytest.approx(2 * k3)
    assert penalty([given], EditScoreConfig("surrogate", {"kl_beta": 2.0}), Floor(), 0.5) == pytest.approx(0.5 * k3)
    assert penalty([given], EditScoreConfig("surrogate"), Floor()) == 0.0
    hinged = EditScoreConfig("disco", {"beta": 10.0, "delta": 0.1, "hinge_factor": 0.5})
    assert penalty([given], hinged, Floor()) == pytest.approx(5 * (k3 - 0.1) ** 2)
    assert penalty([given], EditScoreConfig("disco"), Floor(kl=1.0)) == 0.0
    assert penalty([given], EditScoreConfig("gvpo"), Floor()) == 0.0


@pytest.mark.parametrize(("rule", "expected"), [("fixed", 1.0), ("adaptive", 2.0), ("proportional", 1 + 0.2 * 8 / 100)])
async def test_the_weight_of_distance_follows_the_accepted_edits(rule, expected):
    """PPO doubles it after an edit that moved too far; the proportional controller turns it a little."""
    options = {"kl_beta": 1.0, "kl_rule": rule, "kl_target": 1e-4, "kl_horizon": 100}
    assert next_beta(1.0, 1e-3, 1e-4, EditScoreConfig("surrogate", options), 8) == pytest.approx(expected)
    gate = LikelihoodGate(EditScoreConfig("surrogate", {**options, "kl_beta": 0.01}), rollouts=8, veto=False)
    (verdict,) = await gate(library_of(), [proposal()], laboratory())
    assert verdict.decision == "accepted", verdict.reason
    assert verdict.evidence[0].detail["distance_weight"] == 0.01
    # Four rollouts a problem are drawn, but the controller counts what the configuration asks for.
    assert gate.weight == pytest.approx(0.01 * expected)


async def test_the_prefilter_follows_only_what_rollouts_accepted():
    """An edit that the paired gate does not accept leaves the weight as it was."""
    score = EditScoreConfig("surrogate", {"kl_beta": 0.01, "kl_rule": "adaptive", "kl_target": 1e-6})
    gate = paired_gate(seed=1, prefilter=True, score=score)
    await gate(library_of(), [proposal()], laboratory())
    after_good = gate.filter.weight
    (verdict,) = await gate(library_of(), [proposal("Treat dax as odd.")], laboratory())
    assert verdict.decision != "accepted"
    assert gate.filter.weight == after_good


async def test_an_edit_outside_its_trust_region_is_not_kept():
    """With a cap on the clipped share a high score alone does not do; the reason says by how much."""
    gate = LikelihoodGate(EditScoreConfig("surrogate", {"max_clipped": 0.2, "clip": {"low": 0.01, "high": 0.01}}))
    (verdict,) = await gate(library_of(), [proposal()], laboratory())
    assert verdict.decision == "undecided"
    assert "outside its trust region on 100%, at most 20% are allowed" in verdict.reason
    free = LikelihoodGate(EditScoreConfig("surrogate", {"clip": {"low": 0.01, "high": 0.01}}))
    assert (await free(library_of(), [proposal()], laboratory()))[0].decision == "accepted"


def test_every_edit_is_told_by_several_scores():
    """Components at their defaults stand beside the score, with Kish's share of effective rollouts."""
    given = [sides([[0.4], [0.2], [-0.1], [-0.3]]), sides([[0.1], [0.3], [-0.2], [-0.4]], 2)]
    assert set(components(given, Floor())) == {"gvpo", "disco", "gspo", "surrogate"}
    assert all(value is not None and value > 0 for value in components(given, Floor()).values())
    assert 0.9 < assessment_detail(given)["ess_fraction"] <= 1.0


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("gvpo", {"tau": 1}, "it takes: beta, per_token"),
        ("gvpo", {"beta": "best"}, "'fit'"),
        ("disco", {"tau": "wide"}, "'spread'"),
        ("disco", {"score": "likely"}, "log_likelihood or likelihood_ratio"),
        ("surrogate", {"clip": "none"}, "no clip"),
        ("surrogate", {"clip": {"low": 0.1}}, "low, high and perhaps dual"),
        ("surrogate", {"aggregation": "mean"}, "aggregation 'mean' is unknown"),
        ("surrogate", {"aggregation": "constant-length"}, "positive scale"),
        ("hicra", {"kl_rule": "sometimes"}, "fixed, adaptive, proportional"),
        ("entropy", {}, "no edit score"),
    ],
)
def test_options_that_cannot_be_are_refused_before_anything_is_asked(kind, options, said):
    """The gate is not even built, and the message lists what there is."""
    with pytest.raises(UsageError, match=said):
        check(EditScoreConfig(kind, options))
    with pytest.raises(UsageError):
        likelihood_gate(score=EditScoreConfig(kind, options))
    with pytest.raises(UsageError):
        paired_gate(prefilter=True, score=EditScoreConfig(kind, options))
    assert GOOD
