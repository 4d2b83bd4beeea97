"""Checks in code on whatever edits a model proposes: no model is trusted to keep a library consistent.

All functions are pure. An edit passes unchanged or is dropped with a reason; none is repaired into another one, so an
UPDATE of an unknown lesson never turns into an ADD. Edits are judged in their order and the first one wins: a later
edit that touches the same lesson, or says the same words, is dropped.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from experience_db import Edit, Lesson, Op

if TYPE_CHECKING:
    from tfgrpo.types import Proposal

CHARS_PER_TOKEN = 4
EMPTY: Mapping[int, str] = {}


@dataclass(frozen=True, slots=True)
class CheckedEdits:
    """What passed, in order, and what did not, each with the reason."""

    kept: tuple[Edit, ...]
    """The very objects that were given."""
    dropped: tuple[tuple[Edit, str], ...]


def check_edits(
    edits: Sequence[Edit], lessons: Sequence[Lesson], *, max_words: int = 32, protected: Collection[int] = ()
) -> CheckedEdits:
    """Keep the edits that can be applied to `lessons` together.

    Args:
        edits: as a model proposed them, most important first.
        lessons: the library as it stands.
        max_words: longest lesson, see `count_words`.
        protected: ids of lessons that no edit may touch.
    """
    texts = {lesson.id: normalise(lesson.text) for lesson in lessons}
    touched: set[int] = set()
    written: set[str] = set()
    kept, dropped = [], []
    for edit in edits:
        fault = (
            _shape_fault(edit)
            or _id_fault(edit, texts, touched, protected)
            or (None if edit.op is Op.DELETE else _text_fault(edit, texts, written, max_words))
        )
        if fault:
            dropped.append((edit, fault))
            continue
        kept.append(edit)
        touched.update(edit.ids)
        if edit.op is not Op.DELETE:
            written.add(normalise(edit.text or ""))
    return CheckedEdits(tuple(kept), tuple(dropped))


def net_edits(
    before: Sequence[Lesson], after: Sequence[Lesson], reasons: Mapping[int, str] = EMPTY
) -> tuple[Edit, ...]:
    """Return the net edits that turn one set of lessons into the other.

    For edits made one after the other: a lesson that was added and then updated is one ADD; one that was added and then
    deleted is nothing; a MERGE is an UPDATE of the lesson that lives on and DELETEs of the others. A lesson that left
    and came back in the same words under a new id did not change.

    Args:
        before: the library at the start.
        after: the library in the end; ids that are not in `before` are new.
        reasons: why, by id of the lesson that was written or left; empty where not given.

    Returns:
        UPDATE, then DELETE, then ADD, each in order of id. Sources of an UPDATE are those the lesson gained.
    """
    old, new = {x.id: x for x in before}, {x.id: x for x in after}
    gone = [x for x in before if x.id not in new]
    came = [x for x in after if x.id not in old]
    for lesson in tuple(came):
        twin = next((x for x in gone if normalise(x.text) == normalise(lesson.text)), None)
        if twin:
            gone.remove(twin)
            came.remove(lesson)
    changed = [x for x in after if x.id in old and old[x.id].text != x.text]
    edits = [_written(Op.UPDATE, x, old[x.id], reasons) for x in sorted(changed, key=_id)]
    edits += [Edit(Op.DELETE, ids=(x.id,), reason=reasons.get(x.id, "")) for x in sorted(gone, key=_id)]
    return tuple(edits + [_written(Op.ADD, x, None, reasons) for x in sorted(came, key=_id)])


def join_duplicates(proposals: Sequence[Proposal]) -> tuple[Proposal, ...]:
    """Join proposals of the same operation, lessons and normalised words.

    Support is summed, sources are put together, the words and the reason of the first one stay. Order of first
    appearance. The words of a DELETE and the order of ids in a MERGE make no difference.
    """
    joined: dict[tuple[Op, tuple[int, ...], str], Proposal] = {}
    for proposal in proposals:
        edit = proposal.edit
        text = "" if edit.op is Op.DELETE else normalise(edit.text or "")
        key = (edit.op, tuple(sorted(edit.ids)), text)
        first = joined.get(key)
        joined[key] = proposal if first is None else _joined(first, proposal)
    return tuple(joined.values())


def fit_budget(
    lessons: Sequence[Lesson],
    budget_tokens: int,
    effect: Mapping[int, float],
    count: Callable[[str], int] | None = None,
) -> tuple[int, ...]:
    """Name the lessons that leave so that the rest fits into `budget_tokens`, first to leave first.

    The order is measured effect per token, lowest first. An unmeasured lesson counts as effect 0, hence it leaves after
    those that harm and before those that help; among equals the oldest leaves first.

    Args:
        lessons: the library.
        budget_tokens: most tokens that all texts together may have.
        effect: measured effect by lesson id; missing or nan is unmeasured.
        count: tokens of a text; `estimate_tokens` by default.
    """
    tokens = {lesson.id: (count or estimate_tokens)(lesson.text) for lesson in lessons}

    def worth(lesson: Lesson) -> tuple[float, int, int]:
        value = effect.get(lesson.id, math.nan)
        return (0.0 if math.isnan(value) else value / max(tokens[lesson.id], 1), lesson.born, lesson.id)

    total = sum(tokens.values())
    leaving: list[int] = []
    for lesson in sorted(lessons, key=worth):
        if total <= budget_tokens:
            break
        leaving.append(lesson.id)
        total -= tokens[lesson.id]
    return tuple(leaving)


def estimate_tokens(text: str) -> int:
    """Estimate tokens as a quarter of the characters, rounded up."""
    return math.ceil(len(text) / CHARS_PER_TOKEN)


def normalise(text: str) -> str:
    """Bring a text into the form in which lessons are compared: case, spaces, quotes and final stops do not count.

    Other signs do: "treat it as +" and "treat it as -" are different lessons.
    """
    plain = unicodedata.normalize("NFC", text).translate({0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"'})
    return " ".join(plain.casefold().split()).strip("\"' ").rstrip(".;! ")


def count_words(text: str) -> int:
    """Count words; in scripts that are written without spaces two characters count as one word."""
    dense = sum(1 for sign in text if unicodedata.name(sign, "").startswith(("CJK", "HIRAGANA", "KATAKANA", "THAI")))
    return (
        len(text.split()) if not dense else math.ceil(dense / 2) + len(re.findall(r"[a-zA-Z0-9\u00c0-\u024f]+", text))
    )


def looks_like_markup(text: str) -> bool:
    """Tell whether a text is a piece of a reply, code or a table rather than a sentence."""
    stripped = text.strip()
    bracketed = stripped[:1] in "{[<" and stripped[-1:] in "}]>"
    return bracketed or "```" in text or re.search(r'["\'](op|edits|text)["\']\s*:', text) is not None


def _shape_fault(edit: Edit) -> str | None:
    """Say what is wrong with the number of lessons an edit names."""
    distinct = len(set(edit.ids))
    match edit.op:
        case Op.MERGE if distinct < 2:
            return f"a MERGE names at least two different lessons, not {distinct}"
        case _ if distinct < len(edit.ids):
            return "it names a lesson twice"
        case Op.ADD if distinct:
            return "an ADD names no lesson; was an UPDATE meant?"
        case Op.UPDATE | Op.DELETE if distinct != 1:
            return f"{'an' if edit.op is Op.UPDATE else 'a'} {edit.op} names exactly one lesson, not {distinct}"
    return None


def _id_fault(edit: Edit, texts: Mapping[int, str], touched: set[int], protected: Collection[int]) -> str | None:
    """Say which lesson of an edit is unknown, protected or already touched."""
    for number in edit.ids:
        if number not in texts:
            return f"there is no lesson {number} in the library"
        if number in protected:
            return f"lesson {number} is protected"
        if number in touched:
            return f"lesson {number} is touched by an earlier edit of this batch"
    return None


def _text_fault(edit: Edit, texts: Mapping[int, str], written: set[str], max_words: int) -> str | None:
    """Say what is wrong with the new words of an edit."""
    text = edit.text or ""
    if not any(sign.isalpha() for sign in text):
        return "the text has no words"
    if looks_like_markup(text):
        return "the text is markup or code, not a lesson"
    if (words := count_words(text)) > max_words:
        return f"the text has {words} words; at most {max_words} are allowed"
    wanted = normalise(text)
    if edit.op is Op.UPDATE and texts[edit.ids[0]] == wanted:
        return "the update changes nothing"
    # Also against lessons that leave in this batch: the same words in and out at once contradict each other.
    twin = next((number for number, words in texts.items() if words == wanted and number not in edit.ids), None)
    if twin is not None:
        return f"lesson {twin} says the same"
    return "an earlier edit of this batch says the same" if wanted in written else None


def _written(op: Op, lesson: Lesson, old: Lesson | None, reasons: Mapping[int, str]) -> Edit:
    """Make the edit that wrote a lesson's present words."""
    ids = () if old is None else (lesson.id,)
    gained = lesson.sources if old is None else tuple(x for x in lesson.sources if x not in old.sources)
    return Edit(op, lesson.text, ids, reasons.get(lesson.id, ""), gained, lesson.tainted)


def _joined(first: Proposal, other: Proposal) -> Proposal:
    """Put two proposals of the same edit together."""
    sources = tuple(dict.fromkeys((*first.edit.sources, *other.edit.sources)))
    reason = first.edit.reason or other.edit.reason
    tainted = first.edit.tainted or other.edit.tainted
    edit = replace(first.edit, sources=sources, reason=reason, tainted=tainted)
    support = first.support + other.support
    weight = (first.support * first.weight + other.support * other.weight) / support
    return replace(first, edit=edit, support=support, weight=weight, echo=max(first.echo, other.echo))


def _id(lesson: Lesson) -> int:
    """Sort key."""
    return lesson.id
