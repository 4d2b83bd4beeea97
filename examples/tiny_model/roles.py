"""The four roles of the model in plain text: what each is asked, and what the teacher answers.

Long conclusions are broken into steps that a model of four layers takes reliably: a scratch line first looks
things up and compares them, and only the last line, one JSON object, is read by the program.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import product
from random import Random

from grammar import (
    BRIEF,
    CHECK,
    MEANINGS,
    ORDER,
    ORDERS,
    Attempt,
    Problem,
    do_not_start,
    do_not_treat,
    lesson_for,
    parse,
)

END = "<|im_end|>"
Message = dict[str, str]
Library = Sequence[tuple[int, str]]
"""Lessons with their permanent ids, ids increasing."""


def user(content: str) -> Message:
    """A user message."""
    return {"role": "user", "content": content}


def chat(messages: Sequence[Message]) -> str:
    """The text before the assistant's reply; the tokenizer's chat template renders the same."""
    turns = "".join(f"<|im_start|>{message['role']}\n{message['content']}{END}\n" for message in messages)
    return f"{turns}<|im_start|>assistant\n"


def numbered(library: Library) -> str:
    """Library lines, each with its id: `[3] Treat glorp as max.`."""
    return "\n".join(f"[{number}] {lesson}" for number, lesson in library)


def system(library: Library) -> list[Message]:
    """The system message that carries a library, or none for an empty one."""
    return [{"role": "system", "content": f"Lessons:\n{numbered(library)}"}] if library else []


def solve_messages(problem: Problem, library: Library) -> list[Message]:
    """Ask for a solution under a library."""
    return [*system(library), user(f"Problem: {problem.text}")]


def grade_word(right: bool) -> str:
    """How a grade reads in a prompt."""
    return "right" if right else "wrong"


def summarise_messages(attempt: Attempt, right: bool) -> list[Message]:
    """Ask for one line about one graded attempt."""
    lines = ("Summarise the attempt.", f"Problem: {attempt.problem.text}", attempt.text, f"Grade: {grade_word(right)}")
    return [user("\n".join(lines))]


def opening(attempt: Attempt, right: bool) -> str:
    """The first words of a summary: the grade, and whether results were checked."""
    return f"{grade_word(right)} {'long' if attempt.long else 'short'}:"


def said(attempt: Attempt) -> list[str]:
    """What an attempt decided, aspect by aspect: `glorp as max`, `left first`."""
    plan = attempt.plan
    return [f"{plan[name]} first" if name == ORDER else f"{name} as {plan[name]}" for name in attempt.problem.aspects]


def summary(attempt: Attempt, right: bool) -> str:
    """The teacher's line about an attempt: `wrong long: glorp as max, dax as gap, left first, slip.`."""
    decided = said(attempt) + ["slip"] * attempt.slipped
    return f"{opening(attempt, right)} {', '.join(decided)}."


def contrast_messages(problem: Problem, lines: Sequence[str], brief: bool = False) -> list[Message]:
    """Ask what the right attempts did that the wrong ones did not; right lines come first."""
    wish = " Prefer short ones." if brief else ""
    return [user(f"Compare the attempts.{wish}\nProblem: {problem.text}\n{listed(lines)}")]


def listed(lines: Sequence[str]) -> str:
    """Summaries with their numbers, right ones first."""
    ordered = sorted(lines, key=lambda line: not line.startswith("right"))
    return "\n".join(f"({index}) {line}" for index, line in enumerate(ordered, 1))


def edits_json(*edits: dict[str, object]) -> str:
    """The last line of a contrast or consolidation reply."""
    return json.dumps({"edits": list(edits)})


def add(lesson: str) -> dict[str, object]:
    """The edit that adds a lesson."""
    return {"op": "ADD", "text": lesson}


def agreeing(winner: Attempt, loser: Attempt) -> list[bool]:
    """For each aspect of the problem, whether both attempts said the same."""
    return [winner.plan[aspect] == loser.plan[aspect] for aspect in winner.problem.aspects]


def closest_pair(attempts: Sequence[Attempt], rights: Sequence[bool], rng: Random) -> tuple[int, int]:
    """A right and a wrong attempt that differ in as few aspects as possible, but in one at least if any pair does.

    Where a single decision sets them apart, that decision is what made the difference.
    """
    pairs = []
    for winner, loser in product(range(len(attempts)), repeat=2):
        if rights[winner] and not rights[loser]:
            apart = agreeing(attempts[winner], attempts[loser]).count(False)
            pairs.append((apart or math.inf, winner, loser))
    least = min(pairs)[0]
    _, winner, loser = rng.choice([pair for pair in pairs if pair[0] == least])
    return winner, loser


def compared(winner: Attempt, loser: Attempt, rng: Random) -> tuple[str, list[str], str]:
    """What a comparison writes: the winner's summary, the loser's in parts with verdicts, and the lesson.

    The lesson is about one aspect in which they differ, said as the winner did; where none differs, it is to check.
    """
    same = agreeing(winner, loser)
    aspects = winner.problem.aspects
    differing = [aspect for aspect, agrees in zip(aspects, same, strict=True) if not agrees]
    chosen = rng.choice(differing) if differing else None
    parts = said(loser)
    parts[0] = f"{opening(loser, False)} {parts[0]}"
    verdicts = [part + (" same" if agrees else " differ") for part, agrees in zip(parts, same, strict=False)]
    return summary(winner, True), verdicts, lesson_for(chosen, winner.plan[chosen]) if chosen else CHECK


def guess(attempts: Sequence[Attempt], rng: Random) -> str:
    """A hypothesis for a group without a winner: drop what was tried, or try something else."""
    attempt = rng.choice(attempts)
    aspect = rng.choice(attempt.problem.aspects)
    tried = attempt.plan[aspect]
    if rng.random() < 0.7:
        return do_not_start(tried) if aspect == ORDER else do_not_treat(aspect, tried)
    return lesson_for(aspect, rng.choice(ORDERS if aspect == ORDER else MEANINGS))


def contrast(attempts: Sequence[Attempt], rights: Sequence[bool], rng: Random, brief: bool = False) -> str:
    """The teacher's comparison of attempts in the order of the prompt: scratch lines, then the edits.

    The scratch quotes a right line and a wrong one, each with its number, and says in the wrong one where they differ.
    """
    if not any(rights):
        return f"No right one.\n{edits_json(add(guess(attempts, rng)))}"
    if all(rights):
        shorter = brief and len({attempt.long for attempt in attempts}) == 2
        return f"No wrong one.\n{edits_json(*[add(BRIEF)] * shorter)}"
    winner, loser = closest_pair(attempts, rights, rng)
    first, parts, lesson = compared(attempts[winner], attempts[loser], rng)
    return f"({winner + 1}) {first}\n({loser + 1}) {', '.join(parts)}.\n{edits_json(add(lesson))}"


def allowed(attempts: Sequence[Attempt], rights: Sequence[bool], brief: bool = False) -> set[str]:
    """Every last line that some contrast of one winner with one loser, or a hypothesis without winners, allows."""
    problem = attempts[0].problem
    winners = [attempt.plan for attempt, right in zip(attempts, rights, strict=True) if right]
    losers = [attempt.plan for attempt, right in zip(attempts, rights, strict=True) if not right]
    lessons = set()
    if not losers:
        shorter = brief and len({attempt.long for attempt in attempts}) == 2
        return {edits_json(*[add(BRIEF)] * shorter)}
    for aspect in problem.aspects:
        tried = {plan[aspect] for plan in losers}
        if winners:
            lessons |= {lesson_for(aspect, w[aspect]) for w in winners if tried != {w[aspect]}}
        else:
            values = ORDERS if aspect == ORDER else MEANINGS
            lessons |= {lesson_for(aspect, value) for value in values}
            lessons |= {do_not_start(v) if aspect == ORDER else do_not_treat(aspect, v) for v in tried}
    if any(winner == loser for winner in winners for loser in losers):
        lessons.add(CHECK)
    return {edits_json(add(lesson)) for lesson in lessons}


def update_messages(library: Library, new: str) -> list[Message]:
    """Ask what one new lesson changes in a library."""
    lines = f"\n{numbered(library)}" if library else ""
    return [user(f"Update the library.\nLibrary:{lines}\nNew: {new}")]


def topic(lesson: str) -> str:
    """The word under which the scratch line looks a lesson up."""
    aspect = parse(lesson).aspect
    return "with the" if aspect == ORDER else aspect


def value(lesson: str) -> str:
    """What a lesson says about its topic, as quoted in the scratch line."""
    parsed = parse(lesson)
    return f" as {parsed.value}" if parsed.decides and parsed.aspect != ORDER else f" {parsed.value}"


def positive(lesson: str) -> str:
    """The lesson that a proposal of the form `Do not ...` is against; any other lesson itself."""
    parsed = parse(lesson)
    return lesson_for(parsed.aspect, parsed.value) if parsed.negated else lesson


def find_line(library: Library, new: str) -> tuple[int, str] | None:
    """The line that an operation is about: the same lesson where there is one, else the first of its topic."""
    wanted = positive(new)
    same = [line for line in library if line[1] == wanted]
    about = [line for line in library if topic(line[1]) == topic(wanted)]
    return next(iter(same + about), None)


def operation(library: Library, new: str) -> list[dict[str, object]]:
    """The edits that a new lesson asks for: ADD, UPDATE or DELETE of one line, or none."""
    line = find_line(library, new)
    negated = parse(new).negated
    if line is None:
        return [] if negated else [add(new)]
    number, lesson = line
    if negated:
        return [{"op": "DELETE", "id": number}] if lesson == positive(new) else []
    return [] if lesson == new else [{"op": "UPDATE", "id": number, "text": new}]


def update_scratch(line: tuple[int, str] | None, new: str) -> tuple[str, str]:
    """The two halves of a scratch line: what was looked up, and whether old and new agree.

    What is new is said first, so that the look-up can prefer, among the lines of a topic, the one that says the same.
    """
    asked = f"Topic {'not' if parse(new).negated else 'new'}{value(new)} {topic(new)}"
    if line is None:
        return f"{asked}[none]", "."
    number, lesson = line
    verdict = "same" if value(lesson) == value(new) else "differ"
    return f"{asked}[{number}]{value(lesson)}", f" {verdict}."


def update(library: Library, new: str) -> str:
    """The teacher's update: `Topic new as sum glorp[3] as max differ.`, then the edits."""
    scratch = "".join(update_scratch(find_line(library, new), new))
    return f"{scratch}\n{edits_json(*operation(library, new))}"
