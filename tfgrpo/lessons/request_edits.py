"""How a model is asked for edits: one JSON reply, several draws of it, or plain lines where a form is too much to ask.

A reply that cannot be read is asked for once more with the fault quoted, one that was cut at its limit once more with
room. What is still of no use costs itself alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from experience_db import Edit, Op
from tfgrpo.backends.seeds import hash_words
from tfgrpo.boundary import failure_of
from tfgrpo.errors import BudgetReached, EndpointError, MalformedReply, ProviderError
from tfgrpo.lessons.edits import normalise
from tfgrpo.lessons.rivals import tokens
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.prompting.json_repair import cut_short
from tfgrpo.prompting.templates import Prompts
from tfgrpo.replies import ParsedEdits, edits_schema, parse_edits
from tfgrpo.types import Failure, FailureKind, Message, Reply, Request, Sampling

ROOM = 4
"""How much more a reply may hold that was cut at its limit."""
CHARS_PER_WORD = 16
"""Longest mean length of the words of a lesson that the schema lets through; code counts the words themselves."""
COPIED = 6
"""Words in a row that a lesson has in common with an example of the prompts only where it copies it."""
SPREAD = 256
"""Seeds between the draws of two groups."""
STOPS = ("\n", ".", ":", ";")
"""Where a lesson of one line ends."""


async def ask_proposals(teacher: Teacher, prompt: str, *, ids: Sequence[int], about: str = "") -> ParsedEdits:
    """Ask what one group teaches, as often as the configuration says, and put what the draws say together.

    Args:
        teacher: whom.
        prompt: the question.
        ids: lessons that there are to edit.
        about: what the group is called; groups that ask the same in lines draw apart.

    Raises:
        MalformedReply: not one draw could be read.
        ProviderError, BudgetReached: not one draw was answered.
    """
    most = teacher.config.per_group
    if teacher.lines:
        return await ask_lines(teacher, "contrast", prompt, about)
    if teacher.draws == 1:
        return await ask_edits(teacher, "contrast", prompt, max_edits=most, ids=ids)

    async def one(draw: int) -> ParsedEdits | ProviderError | MalformedReply | BudgetReached:
        try:
            return await ask_edits(teacher, "contrast", prompt, max_edits=most, attempt=draw, ids=ids)
        except EndpointError:
            raise
        except (ProviderError, MalformedReply, BudgetReached) as error:
            return error

    told = await teacher.executor.run([partial(one, draw) for draw in range(teacher.draws)])
    read = [each for each in told if isinstance(each, ParsedEdits)]
    lost = [each for each in told if not isinstance(each, ParsedEdits)]
    if not read:
        raise lost[0]
    return _together(read, [failure_of(error) for error in lost])


async def ask_edits(
    teacher: Teacher,
    role: str,
    prompt: str,
    *,
    max_edits: int | None,
    attempt: int = 0,
    ids: Sequence[int] | None = None,
) -> ParsedEdits:
    """Ask for edits in JSON.

    Args:
        teacher: whom.
        role: what for, as the journal knows it.
        prompt: the question.
        max_edits: most edits that count; None has no limit.
        attempt: number of the draw.
        ids: lessons that there are to edit; None leaves them open.

    Raises:
        MalformedReply: the second reply cannot be read either.
    """
    messages: tuple[Message, ...] = ({"role": "user", "content": prompt},)
    schema = None
    if teacher.prompts.settings.schema == "json":
        chars = CHARS_PER_WORD * teacher.config.max_words
        schema = edits_schema(max_edits, chars, None if ids is None else tuple(sorted(ids)))
    request = Request(role, teacher.model, messages, teacher.sampling, response_schema=schema, attempt=attempt)
    request, reply = await _whole(teacher, request)
    try:
        parsed = parse_edits(reply.text, max_edits=max_edits)
        if cut_short(reply.text):
            raise MalformedReply(f"{_cut(request, reply)}; write it again, and shorter", reply.text)  # noqa: TRY301
        return usable(parsed, teacher.prompts)
    except MalformedReply as error:
        again = teacher.prompts.render("repair", error=str(error), reply=reply.text)
        spoken: Message = {"role": "assistant", "content": reply.text}
        asked: Message = {"role": "user", "content": again}
        second = await teacher.backend.complete(replace(request, messages=(*messages, spoken, asked)))
        return usable(parse_edits(second.text, max_edits=max_edits), teacher.prompts)


async def _whole(teacher: Teacher, request: Request) -> tuple[Request, Reply]:
    """Ask; a reply that was cut at its limit is asked for once more with room, where the endpoint has it."""
    reply = await teacher.backend.complete(request)
    limit = request.sampling.max_tokens
    if reply.finish_reason != "length" or limit is None:
        return request, reply
    roomier = replace(request, sampling=replace(request.sampling, max_tokens=ROOM * limit))
    try:
        return roomier, await teacher.backend.complete(roomier)
    except EndpointError:
        raise
    except ProviderError as error:
        if error.failure.kind is FailureKind.REFUSED_REQUEST:
            return request, reply
        raise


def _cut(request: Request, reply: Reply) -> str:
    """Say how a reply ended too soon."""
    if reply.finish_reason == "length" and (limit := request.sampling.max_tokens):
        return f"the reply was cut at its limit of {limit} tokens (lessons.max_tokens), in the middle of an edit"
    return "the reply ends in the middle of an edit"


def usable(parsed: ParsedEdits, prompts: Prompts) -> ParsedEdits:
    """Return the edits that a model wrote itself, each with its condition in front of its words.

    What gives back words of an example in the prompts is a failure by name. A condition that stands beside the text is
    put in front of it: what is stored must say when it applies.
    """
    shown = {run for text in prompts.examples for run in _runs(text)}
    copied = [not shown.isdisjoint(_runs(edit.text or "")) for edit in parsed.edits]
    lost = [
        Failure(FailureKind.MALFORMED, f"edit {number}: {(edit.text or '')[:60]!r} copies the example of the question")
        for number, (edit, is_copy) in enumerate(zip(parsed.edits, copied, strict=True), 1)
        if is_copy
    ]
    rows = [
        (_conditioned(edit, when), named, when)
        for edit, named, when, is_copy in zip(parsed.edits, parsed.attempts, parsed.conditions, copied, strict=True)
        if not is_copy
    ]
    edits, attempts, conditions = tuple(zip(*rows, strict=True)) or ((), (), ())
    return ParsedEdits(edits, (*parsed.malformed, *lost), attempts, conditions)


def _runs(text: str) -> set[tuple[str, ...]]:
    """The words of a text, so many at a time."""
    words = normalise(text).split()
    return {tuple(words[i : i + COPIED]) for i in range(len(words) - COPIED + 1)}


def _conditioned(edit: Edit, when: str) -> Edit:
    return replace(edit, text=f"{when.rstrip(' .,:;')}: {edit.text}") if edit.text and when not in edit.text else edit


def _together(read: Sequence[ParsedEdits], lost: Sequence[Failure]) -> ParsedEdits:
    """Put the edits of several draws into one list: equal ones once, those that most draws say first."""
    rows = [
        (edit, named, when)
        for parsed in read
        for edit, named, when in zip(parsed.edits, parsed.attempts, parsed.conditions, strict=True)
    ]
    keys = [(edit.op, edit.ids, normalise(edit.text or "")) for edit, _, _ in rows]
    often = Counter(keys)
    first = dict(zip(reversed(keys), reversed(rows), strict=True))
    kept = [first[key] for key in sorted(dict.fromkeys(keys), key=lambda key: -often[key])]
    malformed = (*(failure for parsed in read for failure in parsed.malformed), *lost)
    columns = tuple(zip(*kept, strict=True)) or ((), (), ())
    return ParsedEdits(columns[0], malformed, columns[1], columns[2])


async def ask_lines(teacher: Teacher, role: str, prompt: str, about: str = "") -> ParsedEdits:
    """Draw lessons of one line, each from one of the openings of the prompt set in turn.

    Groups whose prompts are equal would bring the same lines, and their support would say nothing: each draws its own.
    """
    first = SPREAD * (hash_words(teacher.seed, about) % 2**22)
    openings = [part.strip() for part in teacher.prompts.settings.openings.split("|")]

    async def one(draw: int) -> Edit | Failure:
        opening = openings[draw % len(openings)]
        messages = _opened(teacher, prompt, opening)
        request = Request(role, teacher.model, messages, _short(teacher, first + draw), attempt=draw)
        try:
            reply = await teacher.backend.complete(request)
            return Edit(Op.ADD, line_of(reply, opening, prompt, teacher.config.max_words, openings))
        except EndpointError:
            raise
        except (ProviderError, MalformedReply, BudgetReached) as error:
            return failure_of(error)

    told = await teacher.executor.run([partial(one, draw) for draw in range(teacher.draws)])
    lost = [each for each in told if isinstance(each, Failure)]
    said = [each for each in told if isinstance(each, Edit)]
    return _together([ParsedEdits(tuple(said), (), ((),) * len(said), ("",) * len(said))], lost)


def _opened(teacher: Teacher, prompt: str, opening: str) -> tuple[Message, ...]:
    """Return the prompt with the first words of the reply; where the endpoint takes none, they are asked for."""
    if not opening:
        return ({"role": "user", "content": prompt},)
    if teacher.prefill:
        return ({"role": "user", "content": prompt}, {"role": "assistant", "content": opening})
    return ({"role": "user", "content": f"{prompt}\nBegin with: {opening}"},)


def _short(teacher: Teacher, seed: int) -> Sampling:
    # Seeds that count up let the draws of one opening go out as one request.
    most = teacher.config.max_tokens or teacher.prompts.settings.line_tokens
    return replace(teacher.sampling, max_tokens=most, seed=seed, stop=STOPS)


def line_of(reply: Reply, opening: str, prompt: str, max_words: int, openings: Sequence[str] = ()) -> str:
    """Return the lesson in a reply of one line, ended by a full stop.

    Args:
        reply: what the model said, with or without its opening.
        opening: the words that began it.
        prompt: what was asked.
        max_words: longest lesson.
        openings: all those of the prompt set; a line of their words alone is an empty one.

    Raises:
        MalformedReply: it was cut, says nothing beyond openings, only repeats the question or, over a comma, another
            line of the prompt, or is too long.
    """
    text = " ".join(re.split(r"[\n.:;]", reply.text.strip().strip("\"'*"))[0].split()).strip(" \"'*,-")
    # A reply may begin with another order of its own, which is as good.
    if opening and text.split()[:1] != opening.split()[:1]:
        text = f"{opening} {text}"
    added = text.removeprefix(opening).strip()
    if reply.finish_reason == "length":
        raise MalformedReply(f"the lesson {text[:60]!r} was cut at its limit of tokens", reply.text)
    if not added or not set(tokens(text)) - set(tokens(" ".join([opening, *openings]))):
        raise MalformedReply(f"the reply says nothing beyond {opening!r}", reply.text)
    if added.lower() in prompt.rstrip().splitlines()[-1].lower():
        raise MalformedReply(f"the reply {text[:60]!r} only repeats the question", reply.text)
    if "," in added and any(added.lower() in line.lower() for line in prompt.splitlines()):
        # Where half of a grader's sentence is about the answer that was wrong, the copy orders that too.
        raise MalformedReply(f"the reply {text[:60]!r} copies what was said of an answer", reply.text)
    if len(text.split()) > max_words:
        raise MalformedReply(f"the lesson has {len(text.split())} words and may have {max_words}", reply.text)
    return f"{text}."
