"""Instructions by a grounded proposer: it knows what the dataset is like, what the prompt says now, what worked, a tip.

MIPROv2 (arXiv 2406.11695, section 3) grounds its proposals so. One call describes the dataset from its learning
problems; each candidate is one more call with that description, the prompt as it is, a few worked examples and a tip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random

from experience_db import Edit, Op, Source
from experience_db.prompt_parts import INSTRUCTIONS, TOOL, part_text
from tfgrpo.boundary import failure_of
from tfgrpo.errors import BudgetReached, EndpointError, MalformedReply, ProviderError
from tfgrpo.learning.run import Run
from tfgrpo.lessons.edits import normalise
from tfgrpo.lessons.leakage import REMEDY
from tfgrpo.lessons.request_edits import ask_edits
from tfgrpo.search.components import current_words, tool_words
from tfgrpo.search.reflect import leak_in_edit
from tfgrpo.types import Failure, Message, Problem, Request, Verdict

ROLE = "ground"
SHOWN = 12
"""Learning problems that describe the dataset."""
EXAMPLES = 3
"""Worked examples that a proposal sees."""
TIPS = (
    "",
    "Be creative: say something about how to go about such problems that the present words do not say.",
    "Be short and clear: what can be left out is left out.",
    "Describe in detail what a good answer has to contain and how to check it before it is given.",
    "Name the commonest mistake in such problems and what to do in its place.",
    "Speak to the solver as to an expert of the field, and say which expert.",
)
"""What each proposal is told beside; the first is told nothing."""


@dataclass(frozen=True, slots=True)
class Grounded:
    """What came of asking for instructions."""

    edits: tuple[Edit, ...] = ()
    """One ADD for each candidate, all for the same part of the prompt."""
    dropped: tuple[Verdict, ...] = ()
    failures: tuple[Failure, ...] = ()
    stopped: str = ""
    """Which budget cut it short."""


async def propose_instructions(run: Run, problems: Sequence[Problem], examples: Sequence[Edit]) -> Grounded:
    """Return up to `search.instructions` instructions, all different; what fails costs itself alone.

    Raises:
        EndpointError: the endpoint refuses every call.
    """
    count = run.config.search.instructions
    # A prompt set that cannot reflect cannot write instructions either.
    if not count or run.teacher.prompts.settings.reflect != "reflect":
        return Grounded()
    rng = Random(f"{run.config.seed}/instructions")
    shown = rng.sample(list(problems), min(SHOWN, len(problems)))
    prompts, teacher = run.teacher.prompts, run.teacher
    asked: Message = {"role": "user", "content": prompts.render("propose/dataset", problems=shown)}
    try:
        described = (await teacher.backend.complete(Request(ROLE, teacher.model, (asked,), teacher.sampling))).text
    except EndpointError:
        raise
    except BudgetReached as error:
        return Grounded(stopped=str(error))
    except ProviderError as error:
        return Grounded(failures=(failure_of(error),))
    drawn = [rng.sample(list(examples), min(EXAMPLES, len(examples))) for _ in range(count)]
    told = await run.actor.executor.run([partial(_one, run, described, n, drawn[n]) for n in range(count)])
    stopped = next((str(each) for each in told if isinstance(each, BudgetReached)), "")
    failures = tuple(each for each in told if isinstance(each, Failure))
    known, kept, dropped = {normalise(current_words(run, run.library, INSTRUCTIONS))}, list[Edit](), list[Verdict]()
    sources = tuple(Source(p.id, (), run.id, 0, teacher.model, prompts.hash("propose/instructions")) for p in shown)
    for each in told:
        if not isinstance(each, Edit) or each.text is None or normalise(each.text) in known:
            continue
        known.add(normalise(each.text))
        edit = Edit(Op.ADD, part_text(INSTRUCTIONS, each.text), (), each.reason or "proposed", sources)
        leak = leak_in_edit(edit, shown, teacher.public)
        if leak:
            dropped.append(Verdict("rejected", (edit,), f"{leak}; {REMEDY}"))
        else:
            kept.append(edit)
    return Grounded(tuple(kept), tuple(dropped), failures, stopped)


async def _one(
    run: Run, described: str, number: int, examples: Sequence[Edit]
) -> Edit | Failure | BudgetReached | None:
    most = run.config.search.part_words
    prompt = run.teacher.prompts.render(
        "propose/instructions",
        dataset=described.strip(),
        current=current_words(run, run.library, INSTRUCTIONS),
        tools=[{"name": name.removeprefix(TOOL), "text": words} for name, words in tool_words(run).items()],
        examples=[edit.text or "" for edit in examples],
        tip=TIPS[number % len(TIPS)],
        number=number + 1,
        max_words=most,
    )
    asked = replace(run.teacher, config=replace(run.teacher.config, max_words=most))
    try:
        parsed = await ask_edits(asked, ROLE, prompt, max_edits=1, attempt=number)
    except EndpointError:
        raise
    except BudgetReached as error:
        return error
    except (ProviderError, MalformedReply) as error:
        return failure_of(error)
    return next((edit for edit in parsed.edits if edit.text and len(edit.text.split()) <= most), None)
