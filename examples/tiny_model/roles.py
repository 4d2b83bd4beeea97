"""The four roles of the model in plain text: what each is asked, and what the teacher answers.

Long conclusions are broken into steps that a model of four layers takes reliably: a scratch line first looks
things up and compares them, and only the last line, one JSON object, is read by the program.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from grammar import BRIEF, CHECK, MEANINGS, ORDER, ORDERS, Attempt, Problem
from grammar import do_not_start, do_not_treat, lesson_for, parse

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


def summary(attempt: Attempt, right: bool) -> str:
    """The teacher's line about an attempt: `wrong long: glorp as max, dax as gap, left first, slip.`."""
    said = [f"{name} as {attempt.plan[name]}" for name in attempt.problem.operators]
    if ORDER in attempt.plan:
        said.append(f"{attempt.plan[ORDER]} first")
    if attempt.slipped:
        said.append("slip")
    return f"{grade_word(right)} {'long' if attempt.long else 'short'}: {', '.join(said)}."


def contrast_messages(problem: Problem, lines: Sequence[str], brief: bool = False) -> list[Message]:
    """Ask what the right attempts did that the wrong ones did not; right lines come first."""
    ordered = sorted(lines, key=lambda line: not line.startswith("right"))
    listed = "\n".join(f"({index}) {line}" for index, line in enumerate(ordered, 1))
    wish = " Prefer short ones." if brief else ""
    return [user(f"Compare the attempts.{wish}\nProblem: {problem.text}\n{listed}")]


SHARES = ("none", "few", "most", "all")
"""How many of the wrong attempts share a value: 0, below a half, a half or more, 1."""


def share(values: Sequence[str], value: str) -> str:
    """The word for how many of `values` are `value`; `values` is not empty."""
    part = sum(each == value for each in values) / len(values)
    if part in (0, 1):
        return SHARES[int(part) * 3]
    return SHARES[1] if part < 0.5 else SHARES[2]


@dataclass(frozen=True, slots=True)
class Difference:
    """One aspect of a mixed group: what the right attempts mostly said, and how many wrong ones said it too."""

    aspect: str
    value: str
    share: str

    @property
    def text(self) -> str:
        """The aspect as it stands in the scratch line."""
        return f"{said(self.aspect, self.value)} {self.share}"


def said(aspect: str, value: str) -> str:
    """An aspect and its value as they stand in a summary: `glorp as max`, `left first`."""
    return f"{value} first" if aspect == ORDER else f"{aspect} as {value}"


def edits_json(*edits: dict[str, object]) -> str:
    """The last line of a contrast or consolidation reply."""
    return json.dumps({"edits": list(edits)})


def add(lesson: str) -> dict[str, object]:
    """The edit that adds a lesson."""
    return {"op": "ADD", "text": lesson}


def differences(attempts: Sequence[Attempt], rights: Sequence[bool]) -> list[Difference]:
    """Every aspect of a mixed group, set against the wrong attempts."""
    winners = [attempt.plan for attempt, right in zip(attempts, rights, strict=True) if right]
    losers = [attempt.plan for attempt, right in zip(attempts, rights, strict=True) if not right]
    found = []
    for aspect in attempts[0].problem.aspects:
        values = [plan[aspect] for plan in winners]
        usual = max(values, key=values.count)
        found.append(Difference(aspect, usual, share([plan[aspect] for plan in losers], usual)))
    return found


def conclude(found: Sequence[Difference], rng: Random) -> tuple[str, str]:
    """Scratch line and lesson of a mixed group: the lesson is about an aspect that the fewest wrong ones share."""
    lowest = min(SHARES.index(difference.share) for difference in found)
    chosen = rng.choice([difference for difference in found if SHARES.index(difference.share) == lowest])
    scratch = f"Contrast: {', '.join(difference.text for difference in found)}."
    return scratch, CHECK if lowest == 3 else lesson_for(chosen.aspect, chosen.value)


def guess(attempts: Sequence[Attempt], rng: Random) -> str:
    """A hypothesis for a group without a winner: drop what was tried, or try something else."""
    attempt = rng.choice(attempts)
    aspect = rng.choice(attempt.problem.aspects)
    tried = attempt.plan[aspect]
    if rng.random() < 0.7:
        return do_not_start(tried) if aspect == ORDER else do_not_treat(aspect, tried)
    return lesson_for(aspect, rng.choice(ORDERS if aspect == ORDER else MEANINGS))


def contrast(attempts: Sequence[Attempt], rights: Sequence[bool], rng: Random, brief: bool = False) -> str:
    """The teacher's comparison: a scratch line, then the edits."""
    if not any(rights):
        return f"Contrast: no right one.\n{edits_json(add(guess(attempts, rng)))}"
    if all(rights):
        shorter = brief and len({attempt.long for attempt in attempts}) == 2
        return f"Contrast: no wrong one.\n{edits_json(*[add(BRIEF)] * shorter)}"
    scratch, lesson = conclude(differences(attempts, rights), rng)
    return f"{scratch}\n{edits_json(add(lesson))}"


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
    """The two halves of a scratch line: what was looked up, and whether old and new agree."""
    asked = f"{' not' if parse(new).negated else ' new'}{value(new)}"
    if line is None:
        return f"Topic {topic(new)}[none]{asked}", "."
    number, lesson = line
    verdict = "same" if value(lesson) == value(new) else "differ"
    return f"Topic {topic(new)}[{number}]{value(lesson)}{asked}", f" {verdict}."


def update(library: Library, new: str) -> str:
    """The teacher's update: `Topic glorp[3] as max new as sum differ.`, then the edits."""
    scratch = "".join(update_scratch(find_line(library, new), new))
    return f"{scratch}\n{edits_json(*operation(library, new))}"
