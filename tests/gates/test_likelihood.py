"""The likelihood gate: what it scores on, what its floor is, what it decides, and that it never speaks of effects."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from experience_db import Edit, Library, Op, Source
from tfgrpo import config
from tfgrpo.config.method import EditScoreConfig
from tfgrpo.edit_scores.tokens import LogProbs
from tfgrpo.errors import UsageError
from tfgrpo.gates import final
from tfgrpo.gates.edit_score import gains
from tfgrpo.gates.factory import likelihood_gate, paired_gate
from tfgrpo.gates.likelihood import LikelihoodGate, shuffle_words
from tfgrpo.gates.scored_rollouts import Floor, Sides, floor_of, right_shift
from tfgrpo.methods.method import form_group
from tfgrpo.types import Group, Problem, Proposal, Reply, Rollout, Score

from .tables import Table, add, library_of, solves, worded_pool

GOOD = "Treat glorp as max."
KINDS = ("surrogate", "gspo", "gvpo", "disco", "hicra")


def group(i: int, word: str, rewards: Sequence[float] = (1.0, 1.0, 0.0, 0.0)) -> Group:
    """A graded group whose rollouts have four token ids each."""
    problem = Problem(f"q{i}", f"Compute {i} {word} 3.")
    rollouts = tuple(
        Rollout(problem.id, n, answer="first take the larger one", reply=Reply("", token_ids=(n, 1, 2, 3)))
        for n in range(len(rewards))
    )
    scores = tuple(Score(r) for r in rewards)
    return form_group(problem, rollouts, scores, 0, config.load("dr-grpo"))


Shift = Callable[[frozenset[str], Problem, bool], float]
"""Change of log-prob per token, by lesson texts, problem, and whether the rollout was right."""


@dataclass
class Laboratory(Table):
    """A trial whose log-probs come from a function, beside its rewards."""

    shift: Shift = lambda texts, problem, right: 0.0
    groups: tuple[Group, ...] = ()
    on_policy: bool = True
    noise: float = 0.0
    """What another attempt differs by."""
    told: str | None = None
    spelling: tuple[str, ...] | None = None
    scored: list[str] = field(default_factory=list)
    """Problem of each rollout that was scored."""

    def stored(self, problem: Problem) -> Rollout | None:
        """A rollout of any problem."""
        return Rollout(problem.id, 0, reply=Reply("", token_ids=(1, 2)))

    async def paraphrase(self, text: str) -> str | None:
        """What was given."""
        return self.told

    def token_texts(self, rollout: Rollout) -> tuple[str, ...] | None:
        """What the tokens of any rollout spell, where the endpoint is one that says so."""
        return self.spelling

    async def log_probs(
        self, library: Library, pairs: Sequence[tuple[Problem, Rollout]], *, attempt: int = 0
    ) -> LogProbs:
        """Log-probs by rule."""
        texts = frozenset(lesson.text for lesson in library.lessons)
        rows = []
        for problem, rollout in pairs:
            self.scored.append(problem.id)
            ids = rollout.reply.token_ids if rollout.reply else None
            known = next((g for g in self.groups if g.problem.id == problem.id), None)
            right = known is not None and known.scores_G[rollout.index].value == 1.0
            moved = self.shift(texts, problem, right) + self.noise * attempt
            rows.append(tuple(-1.0 - 0.1 * i + moved for i, _ in enumerate(ids or ())))
        return rows


def helps(texts: frozenset[str], problem: Problem, right: bool) -> float:
    """The lesson makes right rollouts of its operator likelier and wrong ones less likely."""
    return (0.3 if right else -0.3) if GOOD in texts and "glorp" in problem.question else 0.0


def laboratory(**changed: Any) -> Laboratory:
    """Six groups of the operator glorp and two of another."""
    groups = tuple(group(i, "glorp" if i < 6 else "dax") for i in range(8))
    return Laboratory(solves("glorp", GOOD), **{"groups": groups, "shift": helps, **changed})


def proposal(text: str = GOOD, *problems: str) -> Proposal:
    """A proposal that came from these problems."""
    return Proposal(Edit(Op.ADD, text, sources=tuple(Source(p) for p in problems)))


@pytest.mark.parametrize("kind", KINDS)
async def test_every_kind_keeps_what_separates_right_from_wrong_and_prunes_the_opposite(kind):
    """A lesson that moves right rollouts up is kept, one that moves wrong ones up is pruned, an idle one is neither."""
    gate = LikelihoodGate(EditScoreConfig(kind), veto=False)
    for sign, decision in ((1.0, "accepted"), (-1.0, "rejected"), (0.0, "undecided")):
        trial = laboratory(shift=lambda t, p, r, sign=sign: sign * helps(t, p, r) * (1 + int(p.id[1:]) / 10))
        (verdict,) = await gate(library_of(), [proposal()], trial)
        assert verdict.decision == decision, verdict.reason


@pytest.mark.parametrize("kind", KINDS)
def test_the_edit_that_changes_nothing_scores_zero(kind):
    """Identical log-probs on both sides give a gain of 0 on every problem, whatever the kind."""
    rows = [(-1.0, -2.0), (-0.5, -3.0, -1.0), (-2.0,), (-1.5, -0.1)]
    sides = Sides(group(1, "glorp"), rows, rows)
    assert gains([sides], EditScoreConfig(kind), Floor()) == pytest.approx((0.0,), abs=1e-12)


def test_tau_as_wide_as_the_wrong_scores_weighs_the_hardest_wrong_rollout():
    """A lesson that pulls up the likeliest wrong rollout loses more than the plain mean says; tau 10 is that mean."""
    old = [(-1.0,), (-1.0,), (-0.5,), (-2.0,)]
    sides = Sides(group(1, "glorp"), old, [(-1.0,), (-1.0,), (-0.3,), (-2.0,)])
    options: list[dict[str, Any]] = [{}, {"tau": 10}, {"tau": "spread"}]
    plain, wide, near = (gains([sides], EditScoreConfig("disco", each), Floor())[0] for each in options)
    assert plain == pytest.approx(-0.1)
    assert wide == pytest.approx(plain, abs=0.01)
    assert near < plain - 0.02
    with pytest.raises(UsageError, match="'spread'"):
        gains([sides], EditScoreConfig("disco", {"tau": "wide"}), Floor())


async def test_a_problem_that_a_lesson_came_from_never_scores_it():
    """Cross-fitting is built in: source problems of the edit, and of the lesson it changes, are not asked."""
    trial = laboratory()
    await LikelihoodGate()(library_of(), [proposal(GOOD, "q0", "q3")], trial)
    assert trial.scored
    assert not {"q0", "q3"} & set(trial.scored)
    lessons = library_of("Treat glorp as min.")
    old = replace(lessons.lessons[0], sources=(Source("q1"),))
    trial = laboratory()
    await LikelihoodGate()(replace(lessons, lessons=(old,)), [Proposal(Edit(Op.UPDATE, GOOD, (1,)))], trial)
    assert "q1" not in trial.scored


async def test_a_lesson_whose_every_problem_is_its_source_stays_undecided():
    """With nothing left to score on there is no score, which is said."""
    every = [f"q{i}" for i in range(8)]
    (verdict,) = await LikelihoodGate()(library_of(), [proposal(GOOD, *every)], laboratory())
    assert verdict.decision == "undecided"
    assert "too few other problems that it speaks of" in verdict.reason
    assert verdict.evidence[0].detail["edit_score"] is None


async def test_problems_that_an_edit_does_not_speak_of_never_score_it_in_place_of_those_it_names():
    """Noise on problems that a lesson does not reach would rank and prune it; one named problem alone is too few."""
    for sources, scored in ((4, {"q4", "q5"}), (5, set()), (6, set())):
        trial = laboratory()
        (verdict,) = await LikelihoodGate()(library_of(), [proposal(GOOD, *(f"q{i}" for i in range(sources)))], trial)
        assert set(trial.scored) == scored
        assert verdict.decision == ("accepted" if scored else "undecided")
        assert not final(verdict)  # neither accepted nor without a score: both may be asked again
    trial = laboratory()
    await LikelihoodGate()(library_of(), [proposal("Check every step.")], trial)
    assert len(set(trial.scored)) == 4


async def test_what_is_smaller_than_the_noise_is_indistinguishable():
    """When words without meaning move as much as the edit, nothing is decided, and the floor is named."""

    def small(texts: frozenset[str], problem: Problem, right: bool) -> float:
        return helps(texts, problem, right) / 100

    quiet, noisy = laboratory(shift=small), laboratory(shift=lambda texts, problem, right: 0.01 * right * bool(texts))
    gate = LikelihoodGate(EditScoreConfig("disco"))
    (kept,) = await gate(library_of(), [proposal()], quiet)
    (inside,) = await gate(library_of(), [proposal()], noisy)
    assert kept.decision == "accepted"
    assert inside.decision == "undecided"
    assert "shuffled words +0.010" in inside.reason
    assert inside.evidence[0].detail["null_edits"]["re-score"] == 0.0


async def test_reordering_and_paraphrase_are_null_edits_where_they_can_be():
    """Two lessons can change places, and a summarizer of its own can say a lesson in other words."""
    library = library_of("Treat dax as min.", "Treat wug as sum.")
    trial = laboratory(told="Take glorp to mean the maximum.")
    (verdict,) = await LikelihoodGate()(library, [proposal()], trial)
    assert set(verdict.evidence[0].detail["null_edits"]) == {"re-score", "reorder", "shuffled words", "paraphrase"}


async def test_an_edit_that_makes_solved_problems_forgotten_is_vetoed():
    """Right rollouts of a solved problem that become less likely than any null edit makes them stop the edit."""

    def forgets(texts: frozenset[str], problem: Problem, right: bool) -> float:
        return -0.4 if GOOD in texts and problem.id == "q5" else helps(texts, problem, right)

    groups = (*laboratory().groups[:5], group(5, "glorp", (1.0, 1.0, 1.0, 1.0)))
    for veto, decision in ((True, "rejected"), (False, "accepted")):
        gate = LikelihoodGate(EditScoreConfig("disco"), veto=veto)
        (verdict,) = await gate(library_of(), [proposal()], laboratory(shift=forgets, groups=groups))
        assert verdict.decision == decision
        assert ("'q5' lose 0.400 nats" in verdict.reason) is veto


async def test_edits_are_ranked_by_their_scores():
    """The highest score has rank 1, and what has no score has none."""
    lessons = [
        proposal("Treat glorp as sum."),
        proposal(),
        proposal("Treat glorp as gap.", *(f"q{i}" for i in range(8))),
    ]
    assessed = await LikelihoodGate().assess(library_of(), [p.edit for p in lessons], laboratory())
    assert [a.rank for a in assessed] == [2, 1, 0]


async def test_rollouts_that_cannot_be_scored_count_against_the_coverage():
    """Below 95% of the rollouts the score is withheld."""
    bare = [
        replace(g, rollouts_G=(*g.rollouts_G[:3], replace(g.rollouts_G[3], reply=None))) for g in laboratory().groups
    ]
    (verdict,) = await LikelihoodGate()(library_of(), [proposal()], laboratory(groups=tuple(bare)))
    assert verdict.decision == "undecided"
    assert "only 75% of the rollouts" in verdict.reason


async def test_an_edit_score_is_never_called_an_effect():
    """The evidence has its own kind and no estimate, and no word of the reason promises improvement."""
    trial = laboratory(on_policy=False)
    (verdict,) = await LikelihoodGate()(library_of(), [proposal()], trial)
    (evidence,) = verdict.evidence
    assert (evidence.kind, evidence.estimate, evidence.low) == ("edit-score", None, None)
    assert evidence.detail["on_policy"] is False
    assert evidence.detail["noise_floor"] >= 0
    assert "edit score" in verdict.reason
    assert "no measured effect" in verdict.reason
    assert not {"improve", "better", "effect of"} & set(verdict.reason.split())
    assert trial.asked == []


async def test_the_prefilter_spends_no_rollout_on_what_it_prunes():
    """A pruned edit costs no held-out rollout; the other is accepted by rollouts and carries its edit score."""
    bad = "Treat glorp as min."

    def both(texts: frozenset[str], problem: Problem, right: bool) -> float:
        strength = 0.3 * (1 + int(problem.id[1:]) / 10) if "glorp" in problem.question else 0.0
        sign = (1.0 if right else -1.0) * ((GOOD in texts) - (bad in texts))
        return sign * strength

    gate = paired_gate(seed=1, prefilter=True, score=EditScoreConfig("disco"))
    trial = laboratory(shift=both)
    refused, accepted = await gate(library_of(), [proposal(bad), proposal()], trial)
    assert (refused.decision, accepted.decision) == ("rejected", "accepted")
    assert not [texts for texts, _ in trial.asked if bad in texts]
    assert [e.kind for e in accepted.evidence] == ["gate", "elsewhere", "edit-score"]
    assert [e.kind for e in refused.evidence] == ["edit-score"]


async def test_only_the_best_ranked_edits_go_on():
    """With `keep` the others wait, undecided, and cost nothing."""
    gate = paired_gate(seed=1, prefilter=True, keep=1, score=EditScoreConfig("disco"))
    trial = laboratory()
    waiting, best = await gate(library_of(), [proposal("Treat glorp as sum."), proposal()], trial)
    assert best.decision == "accepted"
    assert waiting.decision == "undecided"
    assert "ranked 2 by edit score" in waiting.reason


async def test_likelihood_finds_the_problems_that_share_no_word_with_the_lesson():
    """Where words name nothing, the problems whose stored rollout moves are those that are tested."""
    text = "Begin at the right end."

    def moves(texts: frozenset[str], problem: Problem, right: bool) -> float:
        return 0.2 if text in texts and "wug" in problem.question else 0.0

    trial = Laboratory(solves("wug", text), worded_pool(), shift=moves)
    gate = paired_gate(seed=1, prefilter=True)
    (verdict,) = await gate(library_of(), [add(text)], trial)
    named = {p.id for p in worded_pool() if "wug" in p.question}
    assert set(verdict.evidence[0].detail["touched"]) == named
    assert {problem for _, problem, _ in trial.rollouts[:32]} == named
    assert verdict.evidence[0].detail["touch"] == "likelihood"


def test_a_gate_says_what_it_does_not_take():
    """A trial without a scorer, and unknown options, end with what to do."""
    with pytest.raises(UsageError, match="does not take these options"):
        gains([Sides(group(1, "glorp"), [(-1.0,)] * 4, [(-1.0,)] * 4)], EditScoreConfig("gvpo", {"tau": 1}), Floor())
    with pytest.raises(UsageError, match="no clip"):
        gains([Sides(group(1, "glorp"), [(-1.0,)] * 4, [(-1.0,)] * 4)], EditScoreConfig("gspo", {"clip": "x"}), Floor())
    assert likelihood_gate(seed=3, prefilter=True).seed == 3


async def test_a_trial_without_a_scorer_is_refused():
    """The gate does not fall back on anything else."""
    with pytest.raises(UsageError, match="scores given tokens"):
        await LikelihoodGate()(library_of(), [proposal()], Table(solves("glorp", GOOD)))


def test_shuffled_words_keep_the_vocabulary_and_the_length():
    """The placebo has the same words in another order, the same for the same seed."""
    text = "When the topic is maple, double the figure before you answer."
    assert sorted(shuffle_words(text, 1).split()) == sorted(text.split())
    assert shuffle_words(text, 1) == shuffle_words(text, 1) != text


def test_the_floor_is_what_null_edits_move():
    """Shifts, tokens and falls of null edits bound what counts."""
    old, new = [(-1.0, -1.0)] * 4, [(-1.1, -1.1), (-1.0, -1.0), (-1.0, -1.2), (-1.0, -1.0)]
    sides = Sides(group(1, "glorp"), old, new)
    floor = floor_of([[sides]], q=1.0)
    assert floor.shift == pytest.approx(0.1)
    assert floor.token == pytest.approx(0.2)
    assert floor.worst == pytest.approx(0.05)
    assert right_shift(sides) == pytest.approx(-0.05)
    assert floor_of([]) == Floor()
    assert not math.isnan(floor.kl)
