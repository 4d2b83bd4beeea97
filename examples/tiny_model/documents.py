"""Training documents: what the four roles read and write, and dense drills of the steps inside them.

A drill asks many small questions about one context and puts the loss on the answers alone. Most of what a
role needs (find a line, compare two values, count who shares one) is learnt there at a fraction of the tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

import roles
from grammar import (
    BRIEF,
    CHECK,
    FUNCTIONS,
    GENERIC,
    MEANINGS,
    OPERATORS,
    ORDER,
    ORDERS,
    Attempt,
    Problem,
    attempt,
    do_not_start,
    do_not_treat,
    lesson_for,
    parse,
    random_problem,
    results,
    start,
    treat,
)

Segment = tuple[str, bool]
"""Text, and whether its tokens carry loss."""
HIGHEST_ID = 99


@dataclass(frozen=True, slots=True)
class Stage:
    """How large the drills are: small ones first, until looking up works at all."""

    lessons: tuple[int, ...] = (2, 3, 4, 6, 8, 12)
    extra: tuple[int, ...] = (0, 1, 3, 6)
    library: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16, 20)


EASY = Stage(lessons=(2, 4, 6, 8), extra=(0, 1), library=(2, 4, 8, 12))
FULL = Stage()
Maker = Callable[[Random, Stage], list[Segment]]


def random_lesson(rng: Random) -> str:
    """Any lesson, mostly one about an operator."""
    kind = rng.random()
    if kind < 0.72:
        return treat(rng.choice(OPERATORS), rng.choice(MEANINGS))
    if kind < 0.82:
        return start(rng.choice(ORDERS))
    if kind < 0.90:
        return rng.choice([CHECK, BRIEF])
    return rng.choice(GENERIC)


def random_lessons(rng: Random, count: int, need: Sequence[str] = (), conflicts: float = 0.1) -> list[str]:
    """About `count` different lessons that include `need`; a second one on a topic comes in with chance `conflicts`."""
    lessons = list(need)
    topics = {roles.topic(lesson) for lesson in lessons}
    for _ in range(200):
        if len(lessons) >= count:
            break
        lesson = random_lesson(rng)
        if lesson in lessons or (roles.topic(lesson) in topics and rng.random() > conflicts):
            continue
        topics.add(roles.topic(lesson))
        lessons.append(lesson)
    rng.shuffle(lessons)
    return lessons


def with_ids(rng: Random, lessons: Sequence[str]) -> list[tuple[int, str]]:
    """Give lessons increasing ids from 1 to 99: dense for a young library, with gaps for an old one."""
    count = len(lessons)
    highest = min(HIGHEST_ID, rng.choice([count, count + 3, 2 * count + 4, HIGHEST_ID]))
    return list(zip(sorted(rng.sample(range(1, highest + 1), count)), lessons, strict=True))


def random_library(rng: Random, count: int, need: Sequence[str] = (), conflicts: float = 0.1) -> list[tuple[int, str]]:
    """Random lessons with random ids."""
    return with_ids(rng, random_lessons(rng, count, need, conflicts))


def begin(messages: Sequence[roles.Message]) -> list[Segment]:
    """The prompt of a document, without loss."""
    return [(roles.chat(messages), False)]


def reply(text: str) -> Segment:
    """A whole reply, with loss."""
    return (text + roles.END, True)


def next_turn(content: str) -> Segment:
    """A further user message, so that one long prompt serves several replies."""
    return ("\n" + roles.chat([roles.user(content)]), False)


# ------------------------------------------------------------------ the four roles


def solve(rng: Random, stage: Stage) -> list[Segment]:
    """Solve one to four problems under one library."""
    del stage
    problem = random_problem(rng)
    size = rng.random()
    count = 0 if size < 0.2 else rng.randint(1, 8) if size < 0.75 else rng.randint(9, 24)
    need = [treat(name, rng.choice(MEANINGS)) for name in problem.operators if rng.random() < 0.8]
    if problem.kind == "C" and rng.random() < 0.6:
        need.append(start(rng.choice(ORDERS)))
    if rng.random() < 0.25:
        need.append(rng.choice([CHECK, BRIEF]))
    rng.shuffle(need)
    library = random_library(rng, count, need[:count])
    lessons = [lesson for _, lesson in library]
    segments = [*begin(roles.solve_messages(problem, library)), reply(attempt(problem, lessons, rng).text)]
    known = sorted({parse(lesson).aspect for lesson in lessons} & set(OPERATORS))
    for _ in range(rng.choice([0, 1, 2, 3])):
        about = known if len(known) > 1 and rng.random() < 0.8 else OPERATORS
        problem = random_problem(rng, about)
        segments += [next_turn(f"Problem: {problem.text}"), reply(attempt(problem, lessons, rng).text)]
    return segments


def summarise(rng: Random, stage: Stage) -> list[Segment]:
    """Sum up one attempt; slips are frequent here, so that they are learnt at all."""
    del stage
    tried = attempt(random_problem(rng), (), rng, slip=0.2)
    right = rng.random() < 0.5
    return [*begin(roles.summarise_messages(tried, right)), reply(roles.summary(tried, right))]


def random_group(rng: Random, kinds: str = "SPC") -> tuple[Problem, list[Attempt], list[bool]]:
    """A group as the loop meets it: attempts under one library that is partly right, and their grades."""
    wanted = rng.choices([(True, True), (False, True), (True, False)], [0.70, 0.13, 0.17])[0]
    for _ in range(60):
        problem = random_problem(rng, kinds=kinds)
        truth = {name: rng.choice(MEANINGS) for name in problem.operators}
        order = rng.choice(ORDERS)
        lessons = []
        for name, meaning in truth.items():
            kind = rng.random()
            if kind < 0.5:
                lessons.append(treat(name, meaning if kind < 0.35 else rng.choice(MEANINGS)))
        if rng.random() < 0.5:
            lessons.append(start(order if rng.random() < 0.7 else rng.choice(ORDERS)))
        attempts = [attempt(problem, lessons, rng) for _ in range(rng.choice([2, 3, 4, 5, 5, 5, 6, 7, 8, 8, 8]))]
        answer = " ".join(str(digit) for digit in results(problem, truth, order))
        rights = [tried.answer == answer for tried in attempts]
        if (any(rights), not all(rights)) == wanted:
            break
    return problem, attempts, rights


def contrast(rng: Random, stage: Stage) -> list[Segment]:
    """Compare one group; problems with two operators are twice as frequent, being the hard ones."""
    del stage
    problem, attempts, rights = random_group(rng, "SPCC")
    brief = rng.random() < 0.25
    order = sorted(range(len(attempts)), key=lambda index: not rights[index])
    attempts = [attempts[index] for index in order]
    rights = [rights[index] for index in order]
    lines = [roles.summary(tried, right) for tried, right in zip(attempts, rights, strict=True)]
    said = roles.contrast(attempts, rights, rng, brief)
    return [*begin(roles.contrast_messages(problem, lines, brief)), reply(said)]


def opposite(lesson: str) -> str:
    """The proposal that denies a lesson about an operator or the order."""
    parsed = parse(lesson)
    return do_not_start(parsed.value) if parsed.aspect == ORDER else do_not_treat(parsed.aspect, parsed.value)


def other_value(lesson: str, rng: Random) -> str:
    """A lesson on the same operator or on the order that says something else."""
    parsed = parse(lesson)
    values = ORDERS if parsed.aspect == ORDER else MEANINGS
    return lesson_for(parsed.aspect, rng.choice([value for value in values if value != parsed.value]))


def random_new(rng: Random, lessons: Sequence[str]) -> str:
    """A new lesson for a library, such that ADD, UPDATE, DELETE and no edit are all frequent, near misses too."""
    deciding = [lesson for lesson in lessons if parse(lesson).decides]
    plain = [lesson for lesson in lessons if not parse(lesson).decides]
    if deciding and rng.random() < 0.12:
        return opposite(other_value(rng.choice(deciding), rng))
    if plain and rng.random() < 0.06:
        lesson = rng.choice(plain)
        return {CHECK: BRIEF, BRIEF: CHECK}.get(lesson, lesson) if rng.random() < 0.6 else lesson
    kind = rng.random()
    if kind < 0.37 and (kind >= 0.3 or not deciding):
        return do_not_treat(rng.choice(OPERATORS), rng.choice(MEANINGS))
    if not deciding or kind >= 0.75:
        return random_lesson(rng)
    known = rng.choice(deciding)
    if kind < 0.3:
        return opposite(known)
    return known if kind < 0.5 else other_value(known, rng)


def update(rng: Random, stage: Stage) -> list[Segment]:
    """Bring one to six new lessons into one library, which stays as it is.

    Topics on which two lines disagree are rare in a real library and hard, so every third library has many of them.
    """
    del stage
    conflicts = rng.choice([0.05, 0.05, 0.5])
    library = random_library(rng, rng.choice([0, 1, 2, 3, 4, 6, 8, 10, 12, 16, 20]), conflicts=conflicts)
    lessons = [lesson for _, lesson in library]
    known = [roles.topic(lesson) for lesson in lessons]
    contested = [lesson for lesson in lessons if known.count(roles.topic(lesson)) > 1]

    def proposal() -> str:
        return random_new(rng, contested if contested and rng.random() < 0.5 else lessons)

    new = proposal()
    segments = [*begin(roles.update_messages(library, new)), reply(roles.update(library, new))]
    for _ in range(rng.choice([0, 0, 2, 5])):
        new = proposal()
        segments += [next_turn(f"New: {new}"), reply(roles.update(library, new))]
    return segments


# ------------------------------------------------------------------ drills


def facts(rng: Random, stage: Stage) -> list[Segment]:
    """The tables of all functions; loss on the results."""
    del stage
    segments = [*begin([roles.user("Practice the work.")]), ("Work:", False)]
    for _ in range(rng.randint(6, 14)):
        name, a, b = rng.choice(MEANINGS), rng.randrange(10), rng.randrange(10)
        segments += [(f" {name} of {a} and {b} is", False), (f" {FUNCTIONS[name](a, b)}", True), (".", False)]
    return segments


def recall(rng: Random, stage: Stage) -> list[Segment]:
    """Look lessons up in a library; loss on the meanings. Questions repeat, so that elimination does not help."""
    names = rng.sample(OPERATORS, rng.choice(stage.lessons))
    need = [treat(name, rng.choice(MEANINGS)) for name in names]
    library = random_library(rng, len(need) + rng.choice(stage.extra), need, 0.0)
    meanings = {parse(lesson).aspect: parse(lesson).value for _, lesson in library if roles.topic(lesson) in OPERATORS}
    short = rng.random() < 0.5
    segments = [*begin([*roles.system(library), roles.user("Recite the lessons.")]), ("Plan:", False)]
    for name in rng.choices(sorted(meanings), k=rng.choice([8, 16])):
        segments.append((f" {name}" if short else f" I treat {name}", False))
        segments += [(f" as {meanings[name]}", True), ("," if short else ".", False)]
    return segments


def topics(rng: Random, stage: Stage) -> list[Segment]:
    """Quote the line that a new lesson is about with its id, or say that there is none."""
    library = random_library(rng, rng.choice(stage.library), conflicts=rng.choice([0.0, 0.4]))
    present = [lesson for _, lesson in library if parse(lesson).decides] or [treat(OPERATORS[0], MEANINGS[0])]
    contested = [lesson for lesson in present if sum(roles.topic(lesson) == roles.topic(o) for o in present) > 1]
    absent = sorted({*OPERATORS} - {roles.topic(lesson) for lesson in present})
    segments = begin(roles.update_messages(library, "Find the topics."))
    for _ in range(rng.choice([6, 12])):
        known = rng.choice(contested if contested and rng.random() < 0.5 else present)
        if rng.random() < 0.25 and absent:
            known = treat(rng.choice(absent), rng.choice(MEANINGS))
        new = known if rng.random() < 0.5 else other_value(known, rng)
        new = opposite(new) if rng.random() < 0.5 else new
        looked_up, _ = roles.update_scratch(roles.find_line(library, new), new)
        asked, bracket, quoted = looked_up.partition("[")
        segments += [(asked, False), (bracket + quoted, True), ("\n", False)]
    return segments


def decide(rng: Random, stage: Stage) -> list[Segment]:
    """Decide from a given scratch line, without a library; all ids are equally frequent."""
    del stage
    segments = begin([roles.user("Practice the decision.")])
    for _ in range(rng.choice([3, 6])):
        library = [(rng.randint(1, HIGHEST_ID), random_lesson(rng))]
        new = random_new(rng, [library[0][1]])
        looked_up, verdict = roles.update_scratch(roles.find_line(library, new), new)
        edits = roles.edits_json(*roles.operation(library, new))
        segments += [(looked_up, False), (f"{verdict}\n{edits}", True), ("\n", False)]
    return segments


def invented_group(rng: Random) -> tuple[list[Attempt], list[bool]]:
    """Attempts that nobody made, right ones first: more various than real ones, and quick to draw."""
    problem = random_problem(rng, kinds="SPCC")
    pools = {aspect: rng.sample(MEANINGS, rng.choice([1, 2, 2, 3, 8])) for aspect in problem.operators}
    pools[ORDER] = rng.sample(ORDERS, rng.choice([1, 2, 2]))
    attempts = []
    for _ in range(rng.choice([2, 3, 4, 5, 5, 6, 8, 8])):
        plan = {aspect: rng.choice(pools[aspect]) for aspect in problem.aspects}
        written = (0,) * rng.choice([1, 2])
        attempts.append(Attempt(problem, plan, (("sum", 0, 0, written),), rng.random() < 0.1))
    right = rng.randint(0, len(attempts))
    return attempts, [index < right for index in range(len(attempts))]


def quote(rng: Random, stage: Stage) -> list[Segment]:
    """Quote the lines of a group by their numbers, in any order."""
    del stage
    attempts, rights = invented_group(rng)
    lines = [roles.summary(tried, right) for tried, right in zip(attempts, rights, strict=True)]
    segments = begin([roles.user(f"Quote the attempts.\n{roles.listed(lines)}")])
    for _ in range(rng.choice([3, 6])):
        index = rng.randrange(len(lines))
        segments += [(f"({index + 1}) ", False), (lines[index], True), ("\n", False)]
    return segments


def conclude(rng: Random, stage: Stage) -> list[Segment]:
    """Compare two given lines part by part, and draw the lesson."""
    del stage
    segments = begin([roles.user("Practice the lesson.")])
    for _ in range(rng.choice([3, 6])):
        attempts, _ = invented_group(rng)
        winner, loser = attempts[0], rng.choice(attempts[1:])
        first, parts, lesson = roles.compared(winner, loser, rng)
        one, other = sorted(rng.sample(range(1, 9), 2))
        segments.append((f"({one}) {first}\n({other}) ", False))
        for index, part in enumerate(parts):
            text, verdict = part.rsplit(" ", 1)
            segments += [(f", {text}" if index else text, False), (f" {verdict}", True)]
        segments += [(f".\n{roles.edits_json(roles.add(lesson))}", True), ("\n", False)]
    return segments


ROLES: tuple[Maker, ...] = (solve, summarise, contrast, update)
DRILLS: tuple[Maker, ...] = (facts, recall, topics, decide, quote, conclude)
