"""The objects that learning and evaluation share, and what is made of them: an actor, a teacher, a block of lessons."""

from __future__ import annotations

from dataclasses import dataclass

from experience_db import Library, Store
from tfgrpo.backends.factory import Models
from tfgrpo.environments.factory import EnvironmentParts, instructions_note, make_environment
from tfgrpo.executors import Local
from tfgrpo.executors.factory import Placement
from tfgrpo.graders import Grader
from tfgrpo.graders.factory import JudgeConnection
from tfgrpo.learning.progress import Progress
from tfgrpo.learning.setup import Setup
from tfgrpo.lessons.blocks import PREFILL, fact_key, probed_template, warning
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.prompting.templates import Prompts
from tfgrpo.rollout import Actor


@dataclass(slots=True)
class Components:
    """The objects that learning and evaluation share."""

    setup: Setup
    store: Store
    models: Models
    prompts: Prompts
    """What the model that attempts is told."""
    writing: Prompts
    """What the model that writes lessons is told."""
    grader: Grader
    judge_connection: JudgeConnection | None = None
    """The way to the judge's model, where the grader asks one."""
    progress: Progress | None = None
    placed: Placement = Placement()  # noqa: RUF009 - holds nothing
    """Where the user's agent runs."""

    def grader_with_model(self) -> Grader:
        """Return the grader, with its model where it asks one."""
        if self.judge_connection is None:
            return self.grader
        models = self.models
        return self.judge_connection.with_model(
            self.grader, prompts=self.prompts, store=self.store, policy=models.policy, ledger=models.ledger,
            tally=models.tally, run=models.run,
        )  # fmt: skip

    def actor(self) -> Actor:
        """Return what attempts problems and judges the attempts."""
        config, models, line = self.setup.config, self.models, self.models.attempting
        where, backend = ", ".join(sorted(line.urls)), models.backend(line)
        books = (self.store, models.ledger, models.tally, models.run)
        ways = EnvironmentParts(backend, line.model, self.prompts, *books, where, self.placed.agent)
        environment = make_environment(self.setup.environment, config, self.setup.tools, ways)
        seen = self.progress.count_group if self.progress else None
        return Actor(environment, self.grader_with_model(), Local(), config.seed, config.engine.concurrency, seen)

    def block(self) -> str:
        """Return the template of a new library's lessons: what was asked for, else what suits the probed endpoint."""
        setup, place = self.setup, self.setup.config.lessons.place
        asked = bool(setup.prompts_dir or setup.config.prompts or place)
        probed = None if asked else probed_template(self.store, self.models.attempting)
        return probed or self.prompts.block(place)

    def block_notes(self, library: Library) -> list[str]:
        """Return what a reader should know of the block in use: not the one asked for, or not followed."""
        told = [warning(self.store, self.models.attempting, library.template)]
        setup = self.setup
        asked = setup.prompts_dir is not None or setup.config.lessons.place
        if library.lessons and asked and library.template != self.block():
            told.append(
                f"the block of lessons is that of library {library.name!r}, whatever --prompts and lessons.place say; "
                "`tfgrpo lessons block` changes it"
            )
        return [said for said in told if said]

    def untold(self) -> list[str]:
        """Return what a reader should know of instructions that reach no prompt; empty where they do or are none."""
        said = instructions_note(self.setup.environment, self.setup.config, self.prompts)
        return [said] if said else []

    def teacher(self) -> Teacher:
        """Return the model that writes lessons."""
        models, line = self.models, self.models.writing
        way, config = models.backend(line), self.setup.config.lessons
        known = self.store.endpoint_fact(fact_key(line), line.model, PREFILL)
        prefill = known == "yes" or all(getattr(backend, "prefill", False) for backend in line.backends)
        return Teacher(way, line.model, self.writing, Local(), config, models.run or "", prefill)
