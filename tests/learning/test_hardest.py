"""The wrong attempt that stands beside a right one: the likeliest, where the model can score given tokens."""

from __future__ import annotations

from collections.abc import Sequence

from experience_db import Library
from tfgrpo import config
from tfgrpo.edit_scores.teacher_forced import Likelihood
from tfgrpo.executors import Local
from tfgrpo.learning.hardest import with_hardest
from tfgrpo.methods.method import form_group
from tfgrpo.methods.questions import questions
from tfgrpo.types import Group, Message, Problem, Reply, Rollout, Score

DISCO = config.load("disco")


class Scores:
    """Log-probs by the first token of a rollout, and the prompts they are asked after."""

    def prompt(self, problem: Problem, library: Library) -> tuple[Message, ...]:
        """The question."""
        return ({"role": "user", "content": problem.question},)

    def offered(self, library) -> tuple[()]:
        """No tools."""
        return ()

    async def score(
        self, messages: Sequence[Message], completion_ids: Sequence[int], *, attempt: int = 0, tools: object = ()
    ) -> tuple[float, ...]:
        """Minus the first id, for each token."""
        return (-float(completion_ids[0]),) * len(completion_ids)

    def token_texts(self, completion_ids: Sequence[int]) -> None:
        """Unknown."""


def group(rewards: Sequence[float], firm: Sequence[int]) -> Group:
    """Rollouts of these rewards; the smaller their number in `firm`, the likelier. 0 has no token ids."""
    problem = Problem("q", "Compute.")
    rollouts = tuple(Rollout("q", i, reply=Reply("", token_ids=(n, 1, 1) if n else None)) for i, n in enumerate(firm))
    return form_group(problem, rollouts, tuple(Score(r) for r in rewards), 0, DISCO)


async def shown(rewards: Sequence[float], firm: Sequence[int]) -> tuple[int, ...] | None:
    """What the one contrast of a group lays side by side."""
    likelihood = Likelihood(Scores(), Scores(), Local())
    found = await with_hardest(likelihood, Library("x"), group(rewards, firm))
    (asked,) = questions(found, DISCO)
    return asked.shown


async def test_the_likeliest_wrong_attempt_stands_beside_a_right_one():
    """Of four wrong attempts the one of the highest mean log-prob, wherever it stands; a right one beside it."""
    assert await shown((0.0, 1.0, 0.0, 0.0, 1.0), (5, 1, 2, 9, 1)) == (1, 2)
    assert await shown((0.0, 1.0, 0.0, 0.0, 1.0), (5, 1, 9, 2, 1)) == (1, 3)


async def test_without_scores_the_pair_is_that_of_the_advantages():
    """Where no wrong attempt can be scored, the first of the worst is shown; what was scored decides among the rest."""
    assert await shown((0.0, 1.0, 0.0), (0, 1, 0)) == (1, 0)
    assert await shown((0.0, 1.0, 0.0), (0, 1, 7)) == (1, 2)
    (asked,) = questions(group((0.0, 1.0, 0.0), (3, 1, 2)), DISCO)
    assert asked.shown == (1, 0)
