"""The model that writes lessons, and how it is asked."""

from __future__ import annotations

from dataclasses import dataclass

from tfgrpo.backends.base import Backend
from tfgrpo.config.lessons import LessonsConfig
from tfgrpo.executors import Executor
from tfgrpo.lessons.dataset_vocabulary import EVERYTHING_SECRET, DatasetVocabulary
from tfgrpo.prompting.templates import Prompts
from tfgrpo.types import Sampling


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
    def draws(self) -> int:
        """How many candidate lessons are drawn of a group."""
        return self.config.draws or self.prompts.settings.draws

    @property
    def lines(self) -> bool:
        """Whether a lesson is asked for as one plain line, in place of edits in JSON."""
        return self.prompts.settings.reply == "line"

    @property
    def sampling(self) -> Sampling:
        """How summaries, contrasts and operations are drawn; several draws at temperature 0 would be one."""
        settings, temperature = self.prompts.settings, self.config.temperature
        if temperature == 0 and self.draws > 1:
            temperature = settings.temperature or 0.8
        return Sampling(temperature=temperature, max_tokens=self.config.max_tokens or settings.max_tokens)
