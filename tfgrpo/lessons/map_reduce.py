"""Notes on each group, then one synthesis: what several problems show together that none shows alone.

A note keeps what the attempts leave open, so that the synthesis can rule it out. The shape, a call per part and one
that reduces, is that of the reflection which GEPA calls ComBEE.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from experience_db import Library
from tfgrpo.boundary import failure_of
from tfgrpo.errors import BudgetReached, EndpointError, MalformedReply, ProviderError
from tfgrpo.lessons.request_edits import ask_edits
from tfgrpo.lessons.summarize import (
    Contrast,
    Effects,
    checked_over,
    lesson_variables,
    numbered_attempts,
    reference_for,
    refused_lines,
)
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.methods.label_free import majority
from tfgrpo.types import Failure, Group, Message, Request, Verdict


async def map_reduce(
    teacher: Teacher,
    groups: Sequence[Group],
    library: Library,
    rejected: Sequence[Verdict],
    effects: Effects,
    step: int,
) -> Contrast:
    """Return the edits that one synthesis makes of a note on each group; a note that fails costs that note alone.

    Raises:
        EndpointError: the endpoint refuses every call.
    """
    told = await teacher.executor.run([partial(_note, teacher, group, library, effects) for group in groups])
    notes = [(group, note) for group, note in zip(groups, told, strict=True) if isinstance(note, str) and note]
    lost = tuple(note for note in told if isinstance(note, Failure))
    if not notes:
        return Contrast(failures=lost)
    prompt = teacher.prompts.render(
        "propose/synthesis",
        notes=[{"number": number, "text": note} for number, (_, note) in enumerate(notes, 1)],
        lessons=lesson_variables(library, effects),
        rejected=refused_lines(rejected),
        max_edits=teacher.config.per_group * len(notes),
        max_words=teacher.config.max_words,
    )
    try:
        parsed = await ask_edits(
            teacher, "synthesis", prompt, max_edits=teacher.config.per_group * len(notes), ids=[x.id for x in library]
        )
    except EndpointError:
        raise
    except (ProviderError, MalformedReply, BudgetReached) as error:
        return Contrast(failures=(*lost, failure_of(error)))
    origin = (teacher.prompts.hash("propose/synthesis"), step, rejected)
    return checked_over(teacher, [group for group, _ in notes], library, parsed, origin, lost)


async def _note(teacher: Teacher, group: Group, library: Library, effects: Effects) -> str | Failure:
    known = {
        "problem": group.problem,
        "reference": reference_for(teacher.config, group),
        "majority": majority(group.rollouts_G) if teacher.config.labels == "none" else "",
        "objective": group.objective,
        "lessons": lesson_variables(library, effects),
    }
    try:
        room = teacher.attempt_tokens(teacher.prompts.render("propose/note", attempts=(), **known))
        attempts = await numbered_attempts(teacher, group, room)
        prompt = teacher.prompts.render("propose/note", attempts=attempts, **known)
        asked: Message = {"role": "user", "content": prompt}
        reply = await teacher.backend.complete(Request("note", teacher.model, (asked,), teacher.sampling))
    except EndpointError:
        raise
    except (ProviderError, BudgetReached) as error:
        return failure_of(error)
    return reply.text.strip()
