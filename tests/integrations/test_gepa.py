"""The acceptance rule inside the real gepa: its protocol, its engine, its budget, and what it lets through."""

import random
from dataclasses import dataclass, field

import gepa
import pytest
from gepa.strategies.acceptance import AcceptanceCriterion

from tfgrpo.errors import UsageError
from tfgrpo.integrations.gepa import Acceptance


@dataclass
class Proposal:
    """The fields of gepa's proposal that the rule reads."""

    candidate: dict
    subsample_scores_before: list
    subsample_scores_after: list
    subsample_indices: list = field(default_factory=lambda: [0, 1, 2])
    parent_program_ids: list = field(default_factory=lambda: [0])


@dataclass
class State:
    """The fields of gepa's state that the rule reads."""

    program_candidates: list = field(default_factory=lambda: [{"p": "old"}])
    i: int = 0
    total: int = 0

    def increment_evals(self, count):
        """Count."""
        self.total += count


class Coin:
    """Scores 0 or 1 by chance, `gain` more often for a new prompt."""

    def __init__(self, seed, gain=0.0, base=0.5):
        """Take a seed."""
        self.rng, self.gain, self.base = random.Random(seed), gain, base

    def __call__(self, candidate, batch):
        """Score."""
        chance = self.base + (self.gain if candidate["p"] == "new" else 0.0)
        return [float(self.rng.random() < chance) for _ in batch]


def asked(seed, gain=0.0, **options):
    """Put one proposal of the default minibatch to the rule; returns (accepted, rule, state)."""
    coin = Coin(seed, gain)
    before, after = coin({"p": "old"}, range(3)), coin({"p": "new"}, range(3))
    rule, state = Acceptance(coin, range(200), seed=seed, **options), State()
    return rule.should_accept(Proposal({"p": "new"}, before, after), state), rule, state


def test_it_is_an_acceptance_criterion():
    """The package takes it for one of its own."""
    assert isinstance(Acceptance(), AcceptanceCriterion)


@pytest.mark.slow
def test_candidates_that_do_nothing_are_refused():
    """Of 300 candidates that do nothing at most 2% are accepted, where gepa's default takes a third."""
    assert sum(asked(seed)[0] for seed in range(300)) <= 6


def test_candidates_that_help_are_accepted():
    """A gain of .35 is accepted as often as it passes gepa's own screen, and without the screen nearly always."""
    assert sum(asked(seed, 0.35)[0] for seed in range(60)) >= 25
    assert sum(asked(seed, 0.35, screen=False)[0] for seed in range(60)) >= 57


def test_what_fails_the_screen_costs_nothing():
    """A candidate that is not better on the minibatch is refused without a call, with a reason."""
    rule, state, proposal = Acceptance(Coin(1), range(50)), State(), Proposal({"p": "new"}, [1, 1, 0], [1, 0, 1])
    assert not rule.should_accept(proposal, state)
    assert (rule.calls, state.total) == (0, 0)
    assert "minibatch" in rule.reject_reason(proposal, state)


def test_calls_are_counted_in_the_budget():
    """Every metric call of the test is counted in gepa's own budget."""
    _, rule, state = asked(3, 0.5, screen=False)
    assert rule.calls == state.total > 0


def test_the_minibatch_is_no_evidence():
    """Examples that the candidate was written from are never asked again."""
    met = []

    def evaluate(candidate, batch):
        met.extend(batch)
        return [1.0 if candidate["p"] == "new" else 0.0 for _ in batch]

    rule = Acceptance(evaluate, list(range(40)))
    assert rule.should_accept(Proposal({"p": "new"}, [0, 0, 0], [1, 1, 1], [4, 5, 6]), State())
    assert not {4, 5, 6} & set(met)


def test_few_examples_are_visited_again():
    """Ten examples suffice for a clear gain, in several visits."""
    rule = Acceptance(Coin(5, 0.75, 0.2), range(13))
    assert rule.should_accept(Proposal({"p": "new"}, [0, 0, 0], [1, 1, 1]), State())


def test_scores_need_their_range():
    """A score outside of the range is an error that names the setting, and a range of its own is taken."""
    five = lambda candidate, batch: [5.0 if candidate["p"] == "new" else 1.0 for _ in batch]  # noqa: E731
    proposal = Proposal({"p": "new"}, [1, 1, 1], [5, 5, 5])
    with pytest.raises(UsageError, match="range"):
        Acceptance(five, range(40)).should_accept(proposal, State())
    assert Acceptance(five, range(40), range=(1, 5)).should_accept(proposal, State())


class Adapter(gepa.GEPAAdapter):
    """A task where one word in the prompt decides."""

    def __init__(self, word):
        """Take the word that helps."""
        self.word, self.rng = word, random.Random(0)

    def evaluate(self, batch, candidate, capture_traces=False):
        """Score 1 with chance .9 where the prompt has the word, else .3."""
        chance = 0.9 if self.word in candidate["p"] else 0.3
        scores = [float(self.rng.random() < chance) for _ in batch]
        traces = [{"x": x} for x in batch] if capture_traces else None
        return gepa.EvaluationBatch(outputs=[str(s) for s in scores], scores=scores, trajectories=traces)

    def make_reflective_dataset(self, candidate, eval_batch, components_to_update):
        """Return a record per example."""
        return {c: [{"Inputs": "x", "Feedback": "f"} for _ in eval_batch.scores] for c in components_to_update}


@pytest.mark.parametrize(("word", "kept"), [("double", True), ("nothing of it", False)])
def test_in_the_real_optimizer(word, kept):
    """gepa.optimize asks the rule: a proposal that helps enters the pool, one that does nothing does not."""
    adapter = Adapter(word)
    rule = Acceptance.of_adapter(adapter, list(range(80)), screen=False)
    result = gepa.optimize(
        seed_candidate={"p": "Answer."}, trainset=list(range(80)), valset=list(range(10)), adapter=adapter,
        reflection_lm=lambda _: "```\nAlways double.\n```", max_metric_calls=150, acceptance_criterion=rule,
        display_progress_bar=False,
    )  # fmt: skip
    assert (result.num_candidates > 1) is kept
    assert rule.calls > 0
