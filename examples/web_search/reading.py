"""How the scripted policy reads: names in a text, and a short answer to a question out of pages. No model is involved.

The rules are few and general: what kind of thing is asked for (a date, a number, a yes or no, one of two names, a
name), which sentences share most words with the question, and which things of that kind stand in them.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

NAME = re.compile(
    r"(?:[A-Z][\w'’.-]*|\d+(?:st|nd|rd|th))(?:(?:\s+(?:of|the|de|la|von|van|der|and|&|in|for|on|to|a)){0,2}\s+(?:[A-Z][\w'’.-]*|\d+))*"
)
YEAR = re.compile(r"\b(1[0-9]{3}|20[0-9]{2})\b")
MONTHS = tuple(calendar.month_name)[1:]
DATE = re.compile(rf"\b(?:\d{{1,2}} )?(?:{'|'.join(MONTHS)})(?: \d{{1,2}})?,? (?:1[0-9]{{3}}|20[0-9]{{2}})\b")
NUMBER = re.compile(r"\b\d[\d,.]*(?: (?:million|billion|thousand))?\b")
WORD = re.compile(r"\w+")
SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"“])")
COMMON = frozenset(
    """a an and are as at be been being but by did do does for from had has have he her his how i in is it its of on or
    she than that the their them they this to was were what when where which who whom whose why will with would you
    both same more most other one two first name named called also into after before during between about film movie
    person year born""".split()  # noqa: SIM905
)
STARTS = frozenset({"there", "since", "it's", "however", "while", "although", "besides", "despite", "until", "under"})
"""More words that begin a sentence and no name."""
YES_NO = re.compile(r"^(?:is|are|was|were|do|does|did|has|have|had|can|could|will)\b", re.IGNORECASE)
PERSON = re.compile(r"\b(?:who|whom|whose)\b", re.IGNORECASE)
WHEN = re.compile(r"\b(?:when|what year|which year|what date|what day|in which year|in what year)\b", re.IGNORECASE)
COUNT = re.compile(r"\b(?:how many|how much|what number|how old|how long|how large|population)\b", re.IGNORECASE)
PLACE = re.compile(r"\b(?:where|city|town|country|county|state|place|located|born in|headquartered)\b", re.IGNORECASE)
AT = re.compile(r"\b(?:in|at|from|of|near),? $")
BY = re.compile(r"\b(?:by|with|to|husband|wife|son|daughter) $")
HEAD = re.compile(r"\b(?:what|which)(?: is| was| are| were)?(?: the)? ((?:\w+ )?\w+)", re.IGNORECASE)
EARLIER = re.compile(r"\b(?:first|earlier|older|oldest|before)\b", re.IGNORECASE)
LATER = re.compile(r"\b(?:later|younger|last|more recently|newer|after|latest)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Page:
    """A page as the policy read it."""

    title: str
    text: str


def keywords(text: str) -> set[str]:
    """The words of a text that carry meaning, folded to five letters so that forms of a word meet."""
    return {w[:5] for w in (x.lower() for x in WORD.findall(text)) if w not in COMMON and len(w) > 1}


@lru_cache(maxsize=4096)
def names(text: str) -> tuple[str, ...]:
    """The names in a text, in order, each once; small words at their beginning are no part of them."""
    found: dict[str, None] = {}
    for match in NAME.finditer(text):
        parts = match[0].strip(" .,'’-").split()
        while parts and parts[0].lower() in COMMON | STARTS:
            parts = parts[1:]
        name = " ".join(parts)
        if len(name) > 1 and name[0].isupper():
            found.setdefault(name)
    return tuple(found)


def alike(name: str, title: str) -> bool:
    """Say whether a title may be that of a name: the words of one are among those of the other."""
    mine, others = keywords(name), keywords(title)
    return bool(mine and others) and (mine <= others or others <= mine)


def compared(question: str) -> tuple[str, ...]:
    """The two things that a question compares, or none."""
    plain = question.rstrip("?. ")
    wanted = YES_NO.match(question) or re.search(r"\b(?:which|who|what)\b", question, re.IGNORECASE)
    first, sign, second = plain.rpartition(" or ")
    if not sign and re.search(r"\b(?:both|same|share|either)\b", question, re.IGNORECASE):
        first, sign, second = plain.partition(" and ")
    left, right = names(first), names(second)
    return (left[-1], right[0]) if sign and wanted and left and right else ()


def next_names(question: str, pages: Sequence[Page]) -> list[str]:
    """Names on the pages that the question does not hold, those nearest to its words first."""
    asked = keywords(question)
    titles = {page.title.lower() for page in pages}
    ranked: list[tuple[float, int, str]] = []
    for page in pages:
        for place, sentence in enumerate(SENTENCE.split(page.text)):
            shared = len(asked & keywords(sentence))
            for name in names(sentence):
                own = keywords(name)
                if own and not own <= asked and name.lower() not in titles and not own <= keywords(page.title):
                    ranked.append((-(shared - 0.3 * place + 0.4 * min(len(name.split()), 3)), len(ranked), name))
    return list(dict.fromkeys(name for _, _, name in sorted(ranked)))


def answer(question: str, pages: Sequence[Page]) -> tuple[str, str]:
    """The short answer and the sentence it stands in; empty when the pages give none."""
    pair = compared(question)
    if YES_NO.match(question):
        return _yes_no(question, pages, pair), ""
    if pair:
        return _one_of_two(question, pages, pair), ""
    rows = [row for order, page in enumerate(pages) for row in _candidates(question, page, order)]
    _, found, sentence = max(rows, default=(0.0, pages[-1].title if pages else "", ""), key=lambda row: row[0])
    return found, sentence


def _candidates(question: str, page: Page, order: int) -> list[tuple[float, str, str]]:
    """Everything on a page that may answer: how well it fits, the thing, and its sentence."""
    asked, title = keywords(question), keywords(page.title)
    head = HEAD.search(question)
    kind = keywords(head[1]) if head else set()
    rows = []
    for place, sentence in enumerate(SENTENCE.split(page.text)):
        shared = len(asked & (keywords(sentence) | title))
        for thing in _things(question, sentence, page.title):
            if keywords(thing) <= asked:
                continue
            at = max(sentence.find(thing), 0)
            before, after = sentence[max(0, at - 40) : at], sentence[at + len(thing) : at + len(thing) + 40]
            near = len(asked & keywords(before)) + 0.5 * len(asked & keywords(after))
            named = kind & keywords(before[-20:] + thing + after[:20])
            placed = (PLACE.search(question) and AT.search(before)) or (PERSON.search(question) and BY.search(before))
            # The page that was looked for last is the one that the question leads to.
            fit = shared + 0.6 * order - 0.15 * place + 0.7 * near + 1.5 * bool(named) + 1.2 * bool(placed)
            rows.append((fit, thing, sentence))
    return rows


def _things(question: str, sentence: str, title: str) -> list[str]:
    """The things of the asked kind in a sentence."""
    if WHEN.search(question):
        dates = [] if "year" in question.lower() else DATE.findall(sentence)
        return dates or YEAR.findall(sentence)
    if COUNT.search(question):
        return [x for x in NUMBER.findall(sentence) if not YEAR.fullmatch(x)]
    found = [n for n in names(sentence) if n.split()[0] not in MONTHS]
    if PERSON.search(question):
        return [n for n in found if len(n.split()) >= 2] or found
    return [*found, *([title] if title in sentence else [])]


def _yes_no(question: str, pages: Sequence[Page], pair: Sequence[str]) -> str:
    asked = keywords(question) - {w for name in pair for w in keywords(name)}
    if not asked or not pages:
        return "yes"
    if "same" in question.lower() and len(pages) >= 2:
        left, right = ({*keywords(p.text[:300])} for p in pages[-2:])
        kinds = {n for n in names(pages[-2].text[:200]) if n in names(pages[-1].text[:200])}
        return "yes" if kinds or len(left & right) > 8 else "no"
    held = [len(asked & keywords(p.text)) / len(asked) for p in pages[-2:]]
    return "yes" if min(held) >= 0.5 else "no"


def _one_of_two(question: str, pages: Sequence[Page], pair: Sequence[str]) -> str:
    about = {name: next((p for p in pages if alike(name, p.title)), None) for name in pair}
    years = {name: [int(y) for y in YEAR.findall(p.text)] for name, p in about.items() if p}
    if len(years) == 2 and all(years.values()) and (EARLIER.search(question) or LATER.search(question)):
        pick = min if EARLIER.search(question) and not LATER.search(question) else max
        if "die" in question.lower() or "death" in question.lower():
            return pick(pair, key=lambda n: (years[n] + years[n])[1])
        return pick(pair, key=lambda n: years[n][0])
    asked = keywords(question)
    held = {name: len(asked & keywords(p.text)) if p else -1 for name, p in about.items()}
    return max(pair, key=lambda n: held[n])
