"""Short answers from the web: exact match and F1 of normalised words, and a judge for what words cannot decide."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from tfgrpo.config.grader import GraderConfig
from tfgrpo.graders.base import no_reference, reference_of, unscored
from tfgrpo.graders.extract import after_thinking, final_answer
from tfgrpo.graders.judge import judge_answer, rubric
from tfgrpo.graders.votes import JudgeModel
from tfgrpo.graders.web_words import says_something, squad_text, words
from tfgrpo.types import Problem, Rollout, Score

_YES_NO = frozenset({"yes", "no", "noanswer"})


@dataclass(frozen=True, slots=True)
class WebQA:
    """EM and F1 against the reference and its aliases (`metadata["answer_aliases"]`), the best of them.

    Both are named scores, `em` and `f1`. With a judge (`grader.model`) an answer that does not match exactly gets its
    verdict, as WebWalkerQA is scored (arXiv 2501.07572); without one the value is F1, and the words say so.
    """

    config: GraderConfig = GraderConfig()
    judge_model: JudgeModel | None = None

    @property
    def asks(self) -> bool:
        """Whether a judge was named."""
        return bool(self.config.model)

    def with_model(self, judge_model: JudgeModel) -> WebQA:
        """Return this grader with its judge."""
        return replace(self, judge_model=judge_model)

    async def __call__(self, problem: Problem, rollouts: Sequence[Rollout]) -> tuple[Score, ...]:
        """Score every rollout; equal answers are judged once."""
        if reference_of(problem) is None:
            return (no_reference(problem),) * len(rollouts)
        references = [text for text in accepted_answers(problem) if says_something(text)]
        if not references:
            message = f"the reference answer {problem.answer!r} of problem {problem.id!r} holds no word, number or sign"
            return (unscored(message),) * len(rollouts)
        measured = {r.answer: best_match(final_answer(r.answer), references) for r in rollouts}
        judged = await self._judged(problem, [text for text, (em, _) in measured.items() if em < 1])
        return tuple(_score(*measured[r.answer], judged.get(r.answer), asked=self.asks) for r in rollouts)

    async def _judged(self, problem: Problem, texts: Sequence[str]) -> dict[str, Score]:
        """The verdicts on answers that match no reference; none without a judge."""
        if self.judge_model is None:
            return {}
        empty = [text for text in texts if not any(c.isalnum() for c in after_thinking(text))]
        rest = [text for text in texts if text not in empty]
        rule = rubric(problem, self.config)
        jobs = [partial(judge_answer, self.judge_model, self.config, problem, after_thinking(t), rule) for t in rest]
        found = dict(zip(rest, await self.judge_model.executor.run(jobs), strict=True))
        return found | dict.fromkeys(empty, Score(0.0, "wrong: no answer"))


def best_match(answer: str, references: Sequence[str]) -> tuple[float, float]:
    """Return exact match and F1 with the reference that fits best."""
    return max((float(squad_text(answer) == squad_text(r)), f1(answer, r)) for r in references)


def f1(answer: str, reference: str) -> float:
    """Harmonic mean of precision and recall over shared words, each as often as it occurs in both.

    Source: the SQuAD evaluation (Rajpurkar et al. 2016, arXiv 1606.05250); an answer that is "yes" or "no" on one side
    only shares nothing (HotpotQA, arXiv 1809.09600).
    """
    got, wanted = words(answer), words(reference)
    if not got or not wanted:
        return float(got == wanted)
    if got != wanted and ({" ".join(got), " ".join(wanted)} & _YES_NO):
        return 0.0
    shared = sum((Counter(got) & Counter(wanted)).values())
    return 2 * shared / (len(got) + len(wanted))


def accepted_answers(problem: Problem) -> list[str]:
    """The reference and its aliases."""
    aliases = problem.metadata.get("answer_aliases", ())
    extra = [alias for alias in aliases if isinstance(alias, str)] if isinstance(aliases, list | tuple) else []
    return [problem.answer or "", *extra]


def _score(em: float, overlap: float, verdict: Score | None, *, asked: bool) -> Score:
    parts: tuple[Score, ...] = (Score(em, name="em"), Score(overlap, name="f1"))
    said = f"em {em:g}, f1 {overlap:.2f}"
    if not asked:
        return Score(overlap, f"{said}; no judge was asked, the value is f1", parts=parts)
    if em == 1:
        return Score(1.0, f"correct: {said}", parts=(*parts, Score(1.0, name="judge")))
    if verdict is None:
        return Score(None, f"{said}; not judged", parts=parts)
    parts = (*parts, replace(verdict, name="judge"))
    return replace(verdict, why=f"{said}; judge: {verdict.why}" if verdict.why else said, parts=parts)
