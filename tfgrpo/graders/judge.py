"""A model decides where text cannot be compared: a verdict is a vote, a split vote is none, and none is not 0."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from tfgrpo.config.grader import GraderConfig
from tfgrpo.errors import GraderError
from tfgrpo.graders import judge_group
from tfgrpo.graders.base import reference_of, unscored
from tfgrpo.graders.extract import after_thinking
from tfgrpo.graders.judge_reply import Verdict, VerdictReply, abstained, read_verdict
from tfgrpo.graders.votes import NEEDS, JudgeModel, Question, ask, sampling, shortened
from tfgrpo.types import Failure, FailureKind, Problem, Rollout, Score


@dataclass(frozen=True, slots=True)
class Judge:
    """1 where the judge says CORRECT, 0 where it says INCORRECT, unscored where it abstains or its votes are split.

    It compares with the reference answer, with a rubric (`metadata["rubric"]` of the problem, else that of the
    configuration), or with both. An empty answer is wrong without a call, and equal answers are judged once. The modes
    `pairs`, `rank` and `grades` compare the rollouts of a group with each other; see `judge_group`. A single rollout,
    as in an evaluation, is judged by itself in every mode but `grades`.
    """

    config: GraderConfig = GraderConfig()
    judge_model: JudgeModel | None = None

    @property
    def asks(self) -> bool:
        """Always: without a model there is no judge."""
        return True

    def with_model(self, judge_model: JudgeModel) -> Judge:
        """Return this judge with its model."""
        return replace(self, judge_model=judge_model)

    async def __call__(self, problem: Problem, rollouts: Sequence[Rollout]) -> tuple[Score, ...]:
        """Score every rollout."""
        if self.judge_model is None:
            raise GraderError(f"the judge {NEEDS}")
        texts = [_read(rollout, self.config) for rollout in rollouts]
        distinct = [text for text in dict.fromkeys(texts) if text]
        mode = self.config.mode
        if mode == "answer" or (mode in ("pairs", "rank") and len(rollouts) == 1):
            known = await self._each(problem, distinct)
        elif mode == "grades" or len(distinct) > 1:
            known = await judge_group.MODES[mode](
                self.judge_model, self.config, problem, distinct, rubric(problem, self.config)
            )
        else:
            known = {text: Score(0.5, "all answers are the same") for text in distinct}
        wrong = Score(0.0, "wrong: no answer")
        return tuple(known[text] if text else wrong for text in texts)

    async def _each(self, problem: Problem, texts: Sequence[str]) -> dict[str, Score]:
        """Judge every text by itself."""
        rule = rubric(problem, self.config)
        if reference_of(problem) is None and not rule:
            words = f"problem {problem.id!r} has neither a reference answer nor a rubric for the judge to go by"
            return dict.fromkeys(texts, unscored(words))
        assert self.judge_model is not None
        jobs = [partial(judge_answer, self.judge_model, self.config, problem, text, rule) for text in texts]
        return dict(zip(texts, await self.judge_model.executor.run(jobs), strict=True))


async def judge_answer(
    judge_model: JudgeModel, config: GraderConfig, problem: Problem, text: str, rule: str = ""
) -> Score:
    """Return the score of one answer: the verdict that more than half of the votes agree on.

    No more votes are asked for than the majority needs.

    Raises:
        EndpointError: the judge's endpoint can never answer.
    """
    prompt = judge_model.prompts.render(
        "judge/answer", problem=problem, reference=problem.answer, rubric=rule or None, answer=text
    )
    question = Question(prompt, VerdictReply.model_json_schema(), read_verdict, sampling(config), abstained)
    need = config.votes // 2 + 1
    votes = await ask(judge_model, question, range(need))
    while len(votes) < config.votes and _winner(votes, need) is None:
        if max(_counts(votes).values(), default=0) + config.votes - len(votes) < need:
            break
        one_more = await ask(judge_model, question, [len(votes)])
        votes += one_more
    return _decided(votes, _winner(votes, need))


def rubric(problem: Problem, config: GraderConfig) -> str:
    """Return what a right answer must have: the problem's own rubric, else the configuration's, else ''."""
    own = problem.metadata.get("rubric")
    return own if isinstance(own, str) and own.strip() else config.rubric


def _read(rollout: Rollout, config: GraderConfig) -> str:
    """What the judge gets to see of a rollout: its answer without the thinking, not too long."""
    text = after_thinking(rollout.answer).strip()
    return shortened(text, config.answer_tokens) if any(c.isalnum() for c in text) else ""


def _counts(votes: Sequence[Verdict | Failure]) -> Counter[str]:
    return Counter(vote.word for vote in votes if isinstance(vote, Verdict) and vote.word != "ABSTAIN")


def _winner(votes: Sequence[Verdict | Failure], need: int) -> str | None:
    return next((word for word, count in _counts(votes).items() if count >= need), None)


def _decided(votes: Sequence[Verdict | Failure], word: str | None) -> Score:
    """The score of a vote; its words are those of the first judge on the winning side."""
    given = [vote for vote in votes if isinstance(vote, Verdict)]
    tally = f" ({_counts(votes)[word]} of {len(votes)} votes)" if word and len(votes) > 1 else ""
    if word is not None:
        reason = next(vote.reason for vote in given if vote.word == word)
        return Score(1.0 if word == "CORRECT" else 0.0, f"{word.lower()}{tally}: {reason}")
    failed = next((vote for vote in votes if isinstance(vote, Failure)), None)
    abstained = next((vote for vote in given if vote.word == "ABSTAIN"), None)
    if failed is not None and (not given or failed.kind is FailureKind.BUDGET):
        return Score(None, failure=failed)
    if abstained is not None and not _counts(votes):
        return Score(None, f"the judge abstained: {abstained.reason}")
    said = ", ".join(f"{count} {name}" for name, count in sorted(Counter(vote.word for vote in given).items()))
    return Score(None, f"no verdict has a majority: {said} of {len(votes)} votes")
