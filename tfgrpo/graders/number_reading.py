"""The one number that a reply gives. Two that differ, a range, a bound, a denial or a formula are no number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import factorial

from tfgrpo.graders.extract import after_thinking, final_answer, last_boxed, last_tagged
from tfgrpo.graders.number_text import SCALES, Token, tokens, value_of
from tfgrpo.graders.number_words import PARTS, VALUES, parse_number_words

_SENTENCE = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])|\n")
_ASIDE = re.compile(r" ?\(|;|,? (?:because|since|as|which|where|for|so|when|after|given)\b| - ")
_CORRECTED = re.compile(
    r"\b(?:wait|actually|scratch that|correction|hold on|oops|sorry)\b[^.\n\d]{0,20}?"
    r"\b(?:its|it'?s|it is|it should be|it must be|make that|no)\b[^\w\n]{0,3}"
    r"(?P<number>[-−$€]{0,2}\d[\d.,/]{0,30})(?: [a-zA-Z]{1,15})?[.!]?\s*\Z",
    re.IGNORECASE,
)
"""The end of a reply that takes back what it said before."""
_MARK = "####"
_LARGEST = 1000
"""Largest power, factorial and exponent that is worked out."""

_ALGEBRA = frozenset("xyznijeπθ∞√")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_VERBS = _words(
    "is are was were equals equal gives give get gets got makes make made totals be have has had earns needs need left"
    " remains remain costs cost spends spent pays paid total answer"
)
_NOT = _words("not isnt arent wasnt never except excluding cannot without ≠ 不是 不等于 非 不为")
_THAN = _words("rather instead other but")
_BOUND = _words(
    "over under above below exceeds exceed exceeding between within beyond almost nearly least most minimum maximum"
    " fewer less more greater larger smaller higher lower up < > ≤ ≥ ± 至少 至多 大于 小于 超过 不到 多于 少于"
)
_OPEN_END = _words("more less fewer greater above below up higher lower plus 以上 以下")
_DOZEN = frozenset({"dozen", "dozens", "dutzend", "douzaine", "douzaines", "docena", "docenas"})
_FUNCTIONS = frozenset(
    {"log", "ln", "lg", "exp", "sin", "cos", "tan", "sqrt", "cot", "sec", "csc", "arcsin", "arccos", "arctan"}
)
"""What stands before a number and makes another of it."""
_PERCENT = frozenset({"%", "percent", "pct", "percentage", "prozent", "pourcent"})
_ORDINAL = frozenset({"st", "nd", "rd", "th"})
_SPECIAL = frozenset({"usd", "eur", "gbp", "rs", "inr", "rm", "chf", "jpy", "cny", "rmb", "hk", "us", "a", "approx"})


@dataclass(frozen=True, slots=True)
class Number:
    """A number as written."""

    value: Fraction
    percent: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A place where digits stand."""

    number: Number | None
    """None where they are no plain number: a date, a ratio, a bound, a part of a formula."""
    start: int
    end: int
    ordinal: bool = False


def read_number(text: str) -> Number | None:
    r"""The one number that answers; None where there is none, or more than one.

    Looked at are the last `\boxed{}`, `<answer>`, or what follows `####` or the last answer line; else the last
    sentence with a number, in it what stands behind the last equals sign or verb.
    """
    text = after_thinking(text)
    for marked in (last_boxed(text), last_tagged(text)):
        if marked is not None:
            return one_number(marked)
    if _MARK in text:
        return one_number(text.rpartition(_MARK)[2].strip().partition("\n")[0])
    if corrected := list(_CORRECTED.finditer(text)):
        return one_number(corrected[-1]["number"].rstrip(".,"))
    final = final_answer(text)
    if final != text.strip():
        return _said(final)
    sentences = [s for s in _SENTENCE.split(final) if s.strip()]
    with_digits = [s for s in sentences if any(map(str.isdecimal, s)) or _has_vulgar(s)]
    return _stated((with_digits or sentences or [""])[-1])


def one_number(text: str) -> Number | None:
    """The number of a short text, where it holds one and no other; in an equation, its right side."""
    found = tokens(text)
    sides = _sides(found)
    last = _single(sides[-1])
    if last is None and len(sides) == 2 and [token.kind for token in sides[1]] == ["word"]:
        # 5 = x
        last = _single(sides[0])
    if last is None:
        return spoken_number(text) if not any(t.kind == "number" for t in found) else None
    if _several_equations(sides):
        return None
    # "7 = 5" is no way to say 5.
    pure = [_single(side) for side in sides[:-1] if not any(t.kind == "word" for t in side)]
    return None if any(side is not None and side.value != last.value for side in pure) else last


def _several_equations(sides: Sequence[Sequence[Token]]) -> bool:
    """Whether an unknown gets two values, or two unknowns one each: x = 5 or x = 7, x = 5, y = 7."""
    joins = {"or", "and", "oder"} | ({","} if len(sides[0]) == 1 and sides[0][0].kind == "word" else set())
    middle = [[token.text for token in side] for side in sides[1:-1] if side[0].kind == "number"]
    return any(joins & set(side) for side in middle)


def spoken_number(text: str) -> Number | None:
    """The number that is said in English words, in an answer of a few words."""
    value = parse_number_words(text)
    return None if value is None else Number(value, percent="percent" in text.lower())


def _said(answer: str) -> Number | None:
    """The number of an answer line: of its first sentence, without what explains it."""
    first = _SENTENCE.split(answer.strip())[0]
    aside = _ASIDE.search(first)
    if aside and any(map(str.isdecimal, first[: aside.start()])):
        rest = first[aside.end() :].lstrip()
        return None if rest.lower().startswith(("or ", "oder ")) else one_number(first[: aside.start()])
    return one_number(first)


def _stated(sentence: str) -> Number | None:
    """The number of a sentence, or the one behind its last verb."""
    whole = one_number(sentence)
    if whole is not None:
        return whole
    found = _sides(tokens(sentence))[-1]
    verbs = [i for i, token in enumerate(found) if token.text in _VERBS]
    return _single(found[verbs[-1] + 1 :]) if verbs else None


def _has_vulgar(text: str) -> bool:
    return any("\u00bc" <= c <= "\u00be" or "\u2150" <= c <= "\u215e" for c in text)


def _sides(found: Sequence[Token]) -> list[list[Token]]:
    """The sides of an equation; a single one where there is none."""
    sides: list[list[Token]] = [[]]
    for token in found:
        if token.text in {"=", "≈", "equals"} and token.kind != "number":
            if sides[-1]:
                sides.append([])
        else:
            sides[-1].append(token)
    return sides


def _single(side: Sequence[Token]) -> Number | None:
    """The only number of some tokens; None where there is none, a second one, or one that is not plain."""
    places = _places(side)
    plain = [place for place in places if not place.ordinal]
    kept = [place for place in plain or places if not _denied(side, place)]
    if not kept or any(place.number is None for place in kept) or _second_in_words(side, kept):
        return None
    numbers = [place.number for place in kept if place.number is not None]
    first = next((n for n in numbers if n.percent), numbers[0])
    same = {first.value, first.value / 100} if first.percent else {first.value}
    return first if all(n.value in same for n in numbers) else None


def _second_in_words(side: Sequence[Token], kept: Sequence[Found]) -> bool:
    """Whether a number in words stands beside one in digits as its alternative: "5 or six"."""
    joins = {"or", "to", "and", "oder"}
    inside = {i for place in kept for i in range(place.start, place.end)}
    pairs = [
        (side[i].text, side[i + 1].text) for i in range(len(side) - 1) if side[i].kind == "word" and i not in inside
    ]
    return bool(kept) and any(a in joins and b != "one" and parse_number_words(b) is not None for a, b in pairs)


def _places(side: Sequence[Token]) -> list[Found]:
    """Every place where digits stand, from the left."""
    places: list[Found] = []
    i = 0
    while i < len(side):
        if side[i].kind == "number":
            place = _place(side, i)
            i = max(place.end, i + 1)
            if not _is_name(side, place.start):
                places.append(place)
        else:
            i += 1
    return places


def _is_name(side: Sequence[Token], i: int) -> bool:
    """Whether digits belong to a name or a unit: x2, B12, COVID-19, cm^2."""
    if _text(side, i - 1) == "^" and _kind(side, i - 2) == "word":
        return True
    j = i
    if j and not side[j].apart and side[j - 1].text == "-":
        j -= 1
    before = side[j - 1] if j and not side[j].apart else None
    latin = before is not None and before.kind == "word" and before.text[-1] < "\u0530"
    return before is not None and latin and before.text not in _SPECIAL


def _place(side: Sequence[Token], start: int) -> Found:
    """The number that begins at a token, with all that belongs to it."""
    value, i = _digits(side, start)
    value, i = _fraction(side, value, i, mixed=i == start + 1 and side[start].text.isdigit())
    value, i = _power(side, value, i)
    if _text(side, i) == "!" and not side[i].apart:
        small = value is not None and value.denominator == 1 and 0 <= value <= _LARGEST and _text(side, i + 1) != "!"
        value, i = (Fraction(factorial(int(value))) if small and value is not None else None), i + 1
    ordinal = _text(side, i) in _ORDINAL and not side[i].apart
    value, i = _part_in_words(side, value, i)
    if _text(side, i) in _DOZEN:
        value, i = (None if value is None else value * 12), i + 1
    while (scale := _scale(side, i)) is not None:
        value, i = (None if value is None else value * 10**scale), i + 1
    percent = _text(side, i) in _PERCENT or (_text(side, i), _text(side, i + 1)) == ("per", "cent")
    if _text(side, i) == "‰" and value is not None:
        value, i = value / 1000, i + 1
    i += percent
    if value is None or _goes_on(side, i) or _bounded(side, start) or _of_function(side, start):
        return Found(None, start, i, ordinal)
    sign = -1 if _is_negative(side, start) else 1
    return Found(Number(sign * value, percent), start, i, ordinal)


def _digits(side: Sequence[Token], i: int) -> tuple[Fraction | None, int]:
    """Digits, also where spaces stand between groups of three."""
    text, j = side[i].text, i + 1
    if text.isdigit() and len(text) <= 3 and text[0] != "0":
        groups = [text]
        while j < len(side) and side[j].kind == "number" and side[j].apart and re.match(r"\d{3}(?!\d)", side[j].text):
            groups.append(side[j].text)
            j += 1
            if not groups[-1].isdigit():
                break
        if len(groups) > 1 and _text(side, j) != "/":
            return value_of("".join(groups)) if sum(map(len, groups)) <= _LARGEST else None, j
        j = i + 1
    return value_of(text), j


def _fraction(side: Sequence[Token], value: Fraction | None, i: int, *, mixed: bool) -> tuple[Fraction | None, int]:
    """A fraction 3/4, or the rest of a mixed one: 1 3/4, 1-3/4, 1 and 3/4."""
    if _text(side, i) == "/" and _kind(side, i + 1) == "number":
        below = value_of(side[i + 1].text)
        more = _text(side, i + 2) == "/" and _kind(side, i + 3) == "number"
        good = value is not None and below and not more
        return (value / below if good and value is not None and below else None), i + 2 + 2 * more
    skip = 1 if _text(side, i) == "and" or (_text(side, i) == "-" and not side[i].apart) else 0
    top, slash, bottom = side[i + skip : i + skip + 3] if len(side) >= i + skip + 3 else (None, None, None)
    if not (mixed and value is not None and top and bottom and slash and slash.text == "/"):
        return value, i
    small = top.text.isdigit() and bottom.text.isdigit() and len(top.text + bottom.text) < 20
    if small and int(top.text) < int(bottom.text):
        return value + Fraction(int(top.text), int(bottom.text)), i + skip + 3
    return value, i


def _part_in_words(side: Sequence[Token], value: Fraction | None, i: int) -> tuple[Fraction | None, int]:
    """The rest of a mixed number that is said in words: 5 and a half, 2 and three quarters."""
    if value is None or _text(side, i) != "and":
        return value, i
    said = [token.text for token in side[i + 1 : i + 3] if token.kind == "word"]
    for length in (2, 1):
        above, name = (said[0] if length == 2 and said else "a"), said[length - 1] if len(said) >= length else ""
        count = 1 if above in {"a", "an", "one"} else VALUES.get(above, 0)
        if name in PARTS and count * PARTS[name] < 1 and count:
            return value + count * PARTS[name], i + 1 + length
    return value, i


def _power(side: Sequence[Token], value: Fraction | None, i: int) -> tuple[Fraction | None, int]:
    """A power 2^5, or a factor that is a power of ten: 2.5 * 10^3."""
    if _text(side, i) in {"*", "x"} and _text(side, i + 1) == "10" and _text(side, i + 2) == "^":
        exponent, end = _exponent(side, i + 3)
        return (None if value is None or exponent is None else value * Fraction(10) ** exponent), end
    if _text(side, i) == "^":
        exponent, end = _exponent(side, i + 1)
        small = value is not None and exponent is not None and abs(value.numerator) <= _LARGEST >= value.denominator
        fits = small and value is not None and exponent is not None and not (value == 0 and exponent < 0)
        again = _text(side, end) == "^"
        return (value**exponent if fits and not again and value is not None and exponent is not None else None), end
    return value, i


def _exponent(side: Sequence[Token], i: int) -> tuple[int | None, int]:
    """A whole exponent, perhaps with a sign or in brackets."""
    opened = _text(side, i) == "("
    i += opened
    sign = -1 if _text(side, i) == "-" else 1
    i += _text(side, i) in {"-", "+"}
    text = _text(side, i)
    good = text.isdigit() and len(text) <= 4 and int(text) <= _LARGEST
    i += 1 + (opened and _text(side, i + 1) == ")")
    return (sign * int(text) if good else None), i


def _scale(side: Sequence[Token], i: int) -> int | None:
    """The power of ten that a word behind a number stands for."""
    text = _text(side, i)
    key = text.casefold()
    if key in {"k", "m"} and (side[i].apart or (key == "m" and text != "M")):
        return None
    return SCALES.get(key) if _kind(side, i) == "word" else None


def _goes_on(side: Sequence[Token], i: int) -> bool:
    """Whether what follows makes the digits something else: a term, a time, an open end."""
    text, after = _text(side, i), _text(side, i + 1)
    if not text or side[i].apart:
        return (text in {"or", "and"} and after in _OPEN_END) or text in {"以上", "以下"}
    if text in {":", "^", "("} and _kind(side, i + 1) == "number":
        return True
    if text == "+" and _kind(side, i + 1) != "number":
        return True
    return text in _ALGEBRA or text in {"以上", "以下", "√"}


def _bounded(side: Sequence[Token], i: int) -> bool:
    """Whether the number is a bound: at least 5, > 5, between 4 and 5."""
    near = [token.text for token in side[max(0, i - 3) : i] if token.text not in {"$", "€", "£", "-"}][-2:]
    return any(word in _BOUND or word[-2:] in _BOUND for word in near)


def _of_function(side: Sequence[Token], i: int) -> bool:
    """Whether the number is what a function is taken of: √16, log 5, sqrt(16), |-5|."""
    j = i - 1
    while j >= 0 and side[j].text in {"(", "-", "_"}:
        j -= 1
    return _text(side, j) in _FUNCTIONS or _text(side, j) == "√"


def _denied(side: Sequence[Token], place: Found) -> bool:
    """Whether the number is one that it is not."""
    near = [token.text for token in side[max(0, place.start - 5) : place.start]]
    last = max((k for k, word in enumerate(near) if word in {"but", ",", ";", "."}), default=-1)
    near = near[last + 1 :]
    if any(word in _NOT or word[-2:] == "不是" for word in near):
        return True
    short = {"isn", "aren", "wasn", "doesn", "don", "can", "won"}
    negated = any(a in short and b == "'" for a, b in pairwise(near))
    return negated or (near[-1:] == ["than"] and any(w in _THAN for w in near)) or near[-2:] == ["instead", "of"]


def _is_negative(side: Sequence[Token], i: int) -> bool:
    """Whether the sign before digits is a minus, and no dash or operator."""
    j = i - 1
    while j >= 0 and side[j].text in {"$", "€", "£", "¥", "₹", "("}:
        j -= 1
    text = _text(side, j)
    if text in {"minus", "negative"}:
        return True
    if text != "-":
        return False
    before = _kind(side, j - 1)
    if before == "number" or _text(side, j - 1) == ")":
        return False
    return not (before == "word" and (side[i].apart and side[j].apart))


def _text(side: Sequence[Token], i: int) -> str:
    return side[i].text if 0 <= i < len(side) else ""


def _kind(side: Sequence[Token], i: int) -> str:
    return side[i].kind if 0 <= i < len(side) else ""
