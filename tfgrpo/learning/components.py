"""The objects that learning and evaluation share, and what is made of them: an actor, a teacher, a block of lessons."""

from __future__ import annotations

from dataclasses import dataclass

from experience_db import Library, Store
from tfgrpo.backends.endpoints import Endpoints
from tfgrpo.backends.factory import Models
from tfgrpo.environments.factory import EnvironmentParts, instructions_note, make_environment
from tfgrpo.environments.retrieving import retrieving
from tfgrpo.executors import Local
from tfgrpo.executors.factory import Placement
from tfgrpo.graders import Grader
from tfgrpo.graders.factory import JudgeConnection
from tfgrpo.learning.progress import Progress
from tfgrpo.learning.setup import Setup
from tfgrpo.lessons.blocks import (
    PREFILL,
    block_line,
    fact_key,
    place_note,
    probed_template,
    rates,
    room_note,
    warning,
    window,
)
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.prompting.templates import Prompts
from tfgrpo.retrieval import retrieval_for
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

    def actor(self, retrieval: str | None = None) -> Actor:
        """Return what attempts problems and judges the attempts; `retrieval` is in place of the configured one."""
        config, models, line = self.setup.config, self.models, self.models.attempting
        where, mark, backend = ", ".join(sorted(line.urls)), models.mark(line.model), models.backend(line)
        books = (self.store, models.ledger, models.tally, models.run)
        ways = EnvironmentParts(backend, line.model, self.prompts, *books, where, mark, self.placed.agent)
        chosen = retrieval_for(retrieval or config.lessons.retrieval, config.lessons, self.store)
        environment = retrieving(make_environment(self.setup.environment, config, self.setup.tools, ways), chosen)
        seen = self.progress.count_group if self.progress else None
        return Actor(environment, self.grader_with_model(), Local(), config.seed, config.engine.concurrency, seen)

    def block(self) -> str:
        """Return the template of a new library's lessons: what was asked for, else what suits the probed endpoint."""
        probed = None if self._asked() else probed_template(self.store, self.models.attempting)
        return probed or self.prompts.block(self.setup.config.lessons.place)

    def _asked(self) -> bool:
        """Whether somebody named a prompt set, templates or a place."""
        config = self.setup.config
        return bool(self.setup.prompts_dir or config.prompts or config.lessons.place)

    def block_line(self, library: Library) -> str:
        """Return in words which block a library's lessons stand in, and how often the actor follows it."""
        return block_line(self.store, self.models.attempting, library.template)

    def block_notes(self, library: Library) -> list[str]:
        """Return what a reader should know of the block in use: not the one asked for, not followed, or unlike."""
        line = self.models.attempting
        told = [warning(self.store, line, library.template)]
        if library.lessons and self._asked() and library.template != self.block():
            told.append(
                f"the block of lessons is that of library {library.name!r}, whatever --prompts and lessons.place say; "
                "`tfgrpo lessons block` changes it"
            )
        elif library.lessons and not rates(self.store, line):
            told.append(place_note(line, library, self.prompts))
        if (room := self._window(self.models.writing)) is not None:
            told.append(room_note(self.models.writing, self.writing, room))
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
        room = self._window(line)
        return Teacher(
            way, line.model, self.writing, Local(), config, models.run or "", prefill, room, self.setup.config.seed
        )

    def _window(self, line: Endpoints) -> int | None:
        """Return the tokens that one call to an endpoint may have: what a probe found, or what its slots are given."""
        known = window(self.store, line)
        return self.setup.config.engine.local.context if known is None and line.model.startswith("local/") else known
