"""Which edits are rivals: they speak of the same thing and advise otherwise, so at most one of them may be active.

A model that consolidates may merge wordings; which of two claims is right is for the gate. Two edits are rivals when

* they touch the same lesson of the library, or
* they speak of the same thing and their advice differs: equal up to some words, another label, or one of them negated.

What a lesson speaks of is its condition ("When ..., ") and the rare words of the problems that it names; words that are
answers of several problems are what it advises, never what it speaks of. All functions are pure and know no task.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations

from experience_db import Edit, Lesson, Library, Op
from tfgrpo.datasets.content_words import words
from tfgrpo.lessons.edits import normalise
from tfgrpo.types import Problem, Proposal, Verdict

RARE = 0.4
"""A word of the problems is rare when at most this share of them has it."""
ALIKE = 0.6
"""Share of the words of two pieces of advice that must agree, in any order, for one to be a variant of the other."""
LABELS = 2
"""An answer that so many problems share is a label."""

_TOKEN = re.compile(r"\w+|[+\-*/=<>%^&|]")
_IDLE_WORDS = "a an the of to is are be as it its this that and so then please always just simply must should"
_IDLE = frozenset(_IDLE_WORDS.split())
_CONDITION = re.compile(
    r"^\s*((?:when|whenever|if|where|wherever|for|in|on|at|with|before|after|while|once|unless|until)\b[^,:]*)[,:]\s*(.+)$",
    re.IGNORECASE | re.DOTALL,
)
_TRAILING = re.compile(
    r"^(.+?)(?<!\s)\s+((?:when|whenever|if|where|wherever|unless|once)\b.+)$", re.IGNORECASE | re.DOTALL
)
_GROUNDS = re.compile(r"[,;]?(?<!\s)\s+(?:because|since|so that|as this|which)\b.*$", re.IGNORECASE | re.DOTALL)
_NEGATIONS = frozenset(("not", "never", "no", "without", "avoid", "don", "t", "cannot", "instead"))


@dataclass(frozen=True, slots=True)
class Topics:
    """What the problems of a run can be about, and what their answers are."""

    rare: frozenset[str] = frozenset()
    """Content words that at most RARE of the problems have."""
    labels: frozenset[str] = frozenset()
    """Words of answers that several problems share."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A lesson taken apart."""

    condition: tuple[str, ...]
    """Words of its condition, () where it has none."""
    advice: tuple[str, ...]
    """Words of what it says to do, without the grounds."""
    topic: frozenset[str]
    """The rare words of problems that it is about."""
    labels: frozenset[str]
    """The labels that its advice names."""

    @property
    def words(self) -> frozenset[str]:
        """All words that carry the claim."""
        return frozenset(self.condition) | frozenset(self.advice)


NOTHING = Topics()


def topics_of(problems: Sequence[Problem]) -> Topics:
    """Return the topics and labels of a set of problems."""
    questions = [words(problem.question) for problem in problems]
    frequency = Counter(word for found in questions for word in found)
    answers = Counter(normalise(problem.answer) for problem in problems if problem.answer)
    shared = [tokens(answer) for answer, count in answers.items() if count >= LABELS]
    labels = frozenset(word for found in shared if len(found) <= 3 for word in found if not word.isdigit())
    rare = {word for word, count in frequency.items() if count <= RARE * len(problems)}
    return Topics(frozenset(rare) - labels, labels)


@lru_cache(maxsize=4096)
def claim(text: str, topics: Topics = NOTHING) -> Claim:
    """Take a lesson apart."""
    plain = _GROUNDS.sub("", text.strip())
    found, trailing = _CONDITION.match(plain), _TRAILING.match(plain)
    condition, advice = "", plain
    if found:
        condition, advice = found[1], found[2]
    elif trailing:
        condition, advice = trailing[2], trailing[1]
    topic = (words(condition) & topics.rare) or (words(plain) & topics.rare)
    said = tokens(advice)
    return Claim(tokens(condition), said, topic, frozenset(said) & topics.labels)


def tokens(text: str) -> tuple[str, ...]:
    """Return the words, numbers and signs of a text that carry meaning, case-folded, in order."""
    return tuple(word for word in _TOKEN.findall(text.casefold()) if word not in _IDLE)


def contradict(a: str, b: str, topics: Topics = NOTHING) -> bool:
    """Whether two lessons speak of the same thing and their advice differs, be it only in a word."""
    if normalise(a) == normalise(b):
        return False
    one, other = claim(a, topics), claim(b, topics)
    if not _same_thing(one, other):
        return False
    if one.labels and other.labels and one.labels != other.labels:
        return True
    shared = (Counter(one.advice) & Counter(other.advice)).total()
    likeness = 2 * shared / max(len(one.advice) + len(other.advice), 1)
    negated = bool(_NEGATIONS & set(one.advice)) != bool(_NEGATIONS & set(other.advice))
    return likeness >= (ALIKE / 2 if negated and one.topic == other.topic else ALIKE)


def says_all(text: str, other: str, topics: Topics = NOTHING) -> bool:
    """Whether `text` holds every word that carries the claim of `other`: a merge of wordings, or a longer form."""
    return claim(other, topics).words <= claim(text, topics).words


def rivals(a: Edit, b: Edit, topics: Topics = NOTHING) -> bool:
    """Whether at most one of two edits may enter: they touch the same lesson, or their words contradict each other."""
    if set(a.ids) & set(b.ids):
        return True
    return a.text is not None and b.text is not None and contradict(a.text, b.text, topics)


def with_subjects(library: Library, proposals: Sequence[Proposal], topics: Topics = NOTHING) -> tuple[Proposal, ...]:
    """Return the proposals with `subject` set where they have rivals, among themselves or in the library.

    An edit whose words contradict an active lesson becomes one that takes that lesson's place, so that both are never
    active together. Rivals of rivals share the subject: one of them enters in a step, the others may come again. No two
    groups share one, so that lessons on different things never exclude each other; see `bridges`.
    """
    placed = [replace(p, edit=in_place(p.edit, library, topics), subject="") for p in proposals]
    groups = _components([p.edit for p in placed], topics)
    named, taken = list(placed), set[str]()
    for group in groups:
        if len(group) > 1:
            edits = [placed[i].edit for i in group]
            subject = _named(edits, topics)
            if subject in taken:
                subject = f"{subject}: {normalise(edits[0].text or '')}"
            taken.add(subject)
            for i in group:
                named[i] = replace(placed[i], subject=subject)
    return tuple(named)


def bridges(edits: Sequence[Edit], topics: Topics = NOTHING) -> frozenset[int]:
    """Return the places of edits that contradict two others which speak of different things.

    "Treat dax as sum and wug as max." is a rival of what is said on dax and of what is said on wug. As one of either
    group it would make both exclude each other; so it waits until those have met the gate.
    """
    about = [claim(edit.text or "", topics).topic for edit in edits]
    found = set()
    for i, edit in enumerate(edits):
        if len(about[i]) > 1:
            near = [about[j] for j, other in enumerate(edits) if j != i and about[j] and rivals(edit, other, topics)]
            found |= {i} if any(a.isdisjoint(b) for a, b in combinations(near, 2)) else set()
    return frozenset(found)


def without_bridges(
    proposals: Sequence[Proposal], topics: Topics = NOTHING
) -> tuple[tuple[Proposal, ...], tuple[Proposal, ...], tuple[Verdict, ...]]:
    """Return the proposals but for `bridges`, these, and a verdict `untested` for each of them."""
    waiting = bridges([p.edit for p in proposals], topics)
    why = "untested: it contradicts lessons on different things, which meet the gate first; it comes again"
    kept = tuple(p for i, p in enumerate(proposals) if i not in waiting)
    later = tuple(proposals[i] for i in sorted(waiting))
    return kept, later, tuple(Verdict("untested", (p.edit,), why) for p in later)


def in_place(edit: Edit, library: Library, topics: Topics = NOTHING) -> Edit:
    """Return the edit as one that replaces the active lessons its words contradict; itself where there are none."""
    if edit.text is None:
        return edit
    against = [x.id for x in _contradicted(edit.text, library.lessons, topics) if x.id not in edit.ids]
    if not against:
        return edit
    ids = (*edit.ids, *against)
    return replace(edit, op=Op.UPDATE if len(ids) == 1 else Op.MERGE, ids=ids)


def _contradicted(text: str, lessons: Iterable[Lesson], topics: Topics) -> list[Lesson]:
    return [lesson for lesson in lessons if contradict(text, lesson.text, topics)]


def _same_thing(a: Claim, b: Claim) -> bool:
    if bool(a.topic) != bool(b.topic):
        return False
    if a.topic and not (a.topic <= b.topic or b.topic <= a.topic):
        return False
    if a.condition and b.condition:
        one, other = set(a.condition), set(b.condition)
        return bool(a.topic) or one <= other or other <= one
    return bool(a.topic) or bool(a.condition) == bool(b.condition)


def _components(edits: Sequence[Edit], topics: Topics) -> list[list[int]]:
    """Group edits that are rivals, directly or over others; in order of first appearance."""
    groups: list[list[int]] = []
    for i, edit in enumerate(edits):
        near = [g for g in groups if any(rivals(edit, edits[j], topics) for j in g)]
        joined = sorted([i, *(j for g in near for j in g)])
        groups = [g for g in groups if g not in near] + [joined]
    return sorted(groups)


def _named(edits: Sequence[Edit], topics: Topics) -> str:
    """Return a name for what rivals are about: the lessons they touch, the words they share, else the first one."""
    ids = sorted({i for edit in edits for i in edit.ids})
    if ids:
        return f"lesson {', '.join(map(str, ids))}"
    said = [claim(edit.text or "", topics) for edit in edits]
    shared = frozenset.intersection(*(c.topic for c in said)) or frozenset.intersection(*(c.words for c in said))
    return " ".join(sorted(shared)) or normalise(edits[0].text or "")


def limit_rivals(
    proposals: Sequence[Proposal], most: int, *, ranked: bool = False
) -> tuple[tuple[Proposal, ...], tuple[Proposal, ...]]:
    """Return the proposals with at most `most` rivals of each subject, and those left over.

    The best supported ones stay, or with `ranked` those that come first.
    """
    order = range(len(proposals))
    ordered = order if ranked else sorted(order, key=lambda i: -proposals[i].support * proposals[i].weight)
    seen: Counter[str] = Counter()
    out = set()
    for i in ordered:
        if subject := proposals[i].subject:
            seen[subject] += 1
            out |= {i} if seen[subject] > most else set()
    kept = tuple(p for i, p in enumerate(proposals) if i not in out)
    return kept, tuple(proposals[i] for i in sorted(out))


def first_of_each_subject(proposals: Sequence[Proposal]) -> tuple[Proposal, ...]:
    """Return proposals that can be applied together: the first of each subject, and all without one."""
    first: dict[str, int] = {}
    for i, proposal in enumerate(proposals):
        first.setdefault(proposal.subject, i)
    return tuple(p for i, p in enumerate(proposals) if not p.subject or first[p.subject] == i)
