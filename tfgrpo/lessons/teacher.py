"""The model that writes lessons, and how it is asked."""

from __future__ import annotations

from dataclasses import dataclass

from tfgrpo.backends.base import Backend
from tfgrpo.config.lessons import LessonsConfig
from tfgrpo.executors import Executor
from tfgrpo.lessons.dataset_vocabulary import EVERYTHING_SECRET, DatasetVocabulary
from tfgrpo.prompting.templates import Prompts
from tfgrpo.prompting.transcript import CHARS_PER_TOKEN
from tfgrpo.types import Sampling

LEAST = 64
"""Tokens that the attempts of a prompt get in any case; where even these do not fit, the endpoint says so."""

SAMPLED = 8
"""Candidates of a group where lessons are sampled."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """The model that writes lessons, and how it is asked; where the configuration is silent, the prompt set decides."""

    backend: Backend
    model: str
    prompts: Prompts
    executor: Executor
    config: LessonsConfig = LessonsConfig()
    run: str = ""
    prefill: bool = False
    """Whether the endpoint goes on with the words that a last message of the assistant begins."""
    window: int | None = None
    """Tokens of prompt and reply that one call may have; None where nobody knows."""
    seed: int = 0
    """Of the run: other runs draw other lines."""
    public: DatasetVocabulary = EVERYTHING_SECRET
    """What the dataset makes public, so that lessons may name it."""

    @property
    def summaries(self) -> str:
        """`never`, `when-long` or `always`."""
        if self.config.stages == "four":
            return "always"
        return self.config.summaries or self.prompts.settings.summaries

    @property
    def consolidate(self) -> str:
        """`none`, `join`, `batch` or `each`."""
        wanted, own = self.config.consolidate, self.prompts.settings.consolidate
        if wanted == "model":
            return own if own in ("batch", "each") else "batch"
        return wanted or own

    @property
    def objectives(self) -> dict[str, str]:
        """What each question about lessons is told of solver and lessons; empty words say nothing."""
        return {
            "agent_objective": self.config.agent_objective,
            "learning_objective": self.config.learning_objective,
        }

    @property
    def draws(self) -> int:
        """How many candidate lessons are drawn of a group."""
        if self.config.proposer == "sampled":
            return self.config.draws or max(SAMPLED, self.prompts.settings.draws)
        return self.config.draws or self.prompts.settings.draws

    @property
    def lines(self) -> bool:
        """Whether a lesson is asked for as one plain line, in place of edits in JSON."""
        return self.prompts.settings.reply == "line"

    def attempt_tokens(self, bare: str) -> int:
        """Return the token budget that all attempts in a prompt share: the configured one, as far as it fits.

        Args:
            bare: the prompt without any attempt.
        """
        wanted = self.config.attempt_tokens
        if self.window is None:
            return wanted
        limit = self.prompts.settings.line_tokens if self.lines else self.sampling.max_tokens or 0
        # An endpoint ends a long reply where its window ends; a quarter holds any list of edits.
        left = self.window - min(limit, self.window // 4) - len(bare) // CHARS_PER_TOKEN
        return max(LEAST, min(wanted, left))

    @property
    def sampling(self) -> Sampling:
        """How summaries, contrasts and operations are drawn; several draws at temperature 0 would be one."""
        settings, temperature = self.prompts.settings, self.config.temperature
        if temperature == 0 and self.draws > 1:
            temperature = 1.0 if self.config.proposer == "sampled" else settings.temperature or 0.8
        return Sampling(temperature=temperature, max_tokens=self.config.max_tokens or settings.max_tokens)
