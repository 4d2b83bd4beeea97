"""Numbers in English words: "twenty-one", "two and a half million"."""

from __future__ import annotations

import re
from fractions import Fraction

_TEENS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
)
_ONES = f"{_TEENS} eighteen nineteen".split()
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_HAN = {c: n for n, c in enumerate("零一二三四五六七八九")} | {"〇": 0, "两": 2, "兩": 2}
_HAN_UNITS = {"十": 10, "百": 100, "千": 1000}
_HAN_SCALES = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
_CHINESE = re.compile(
    rf"(?:(?:答案|答え|正解)?[是为為はだ:： ]{{0,3}})"
    rf"(?P<said>[负負]?[{''.join([*_HAN, *_HAN_UNITS, *_HAN_SCALES])}]{{1,30}})"
    r"[^\W\d_]{0,2}(?:です)?[。.]?"
)
VALUES = {word: n for n, word in enumerate(_ONES)} | {word: 10 * n for n, word in enumerate(_TENS, 2)}
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
PARTS = {"half": Fraction(1, 2), "third": Fraction(1, 3), "quarter": Fraction(1, 4)}
PARTS |= {f"{word}s": part for word, part in PARTS.items()}
_WORD = re.compile(r"[^\W\d_]+")
_DOZENS = (("half a dozen", "six"), ("a dozen", "twelve"), ("one dozen", "twelve"))
_PRONOUN = frozenset({"of", "no", "the", "this", "that", "any", "every", "each", "which"})
_LONGEST = 12
"""Words of an answer that may be a number in words; longer texts only mention one."""


def parse_number_words(text: str) -> Fraction | None:
    """Return the number that a few words say, words around it aside; None where there is none, or several.

    Chinese and Japanese numerals count where nothing but a unit stands behind them. "one" counts only where nothing
    but a unit or two stands beside it.
    """
    if chinese := _CHINESE.fullmatch(text[:400].strip()):
        return _chinese(chinese["said"])
    said = text[:400].lower()
    for phrase, word in _DOZENS:
        said = said.replace(phrase, word)
    words = _WORD.findall(said)
    if not words or len(words) > _LONGEST or "or" in words or "not" in words:
        return None
    runs = _runs(words)
    if len(runs) != 1 or (runs[0] == ["one"] and (len(words) > 3 or _PRONOUN & {*words})):
        return None
    negative = any(word in {"minus", "negative"} for word in words)
    value = _value(runs[0])
    if value is not None and {"dozen", "dozens"} & {*words}:
        value *= 12
    return None if value is None else -value if negative else value


def _chinese(said: str) -> Fraction | None:
    """The value of numerals: with units (三十五, 二千零五, 一万二), or digit by digit (二〇二四)."""
    negative, said = said[0] in "负負", said.lstrip("负負")
    if all(c in _HAN for c in said):
        value = int("".join(str(_HAN[c]) for c in said)) if said else None
        return None if value is None else Fraction(-value if negative else value)
    if not any(c in _HAN or c in "十百千" for c in said):
        return None
    total = section = 0
    digit: int | None = None
    least = 10**9
    for c in said:
        if c in _HAN:
            if digit:
                return None
            digit = _HAN[c]
        elif c in _HAN_UNITS:
            if _HAN_UNITS[c] >= least:
                return None
            least = _HAN_UNITS[c]
            section, digit = section + (1 if digit is None else digit) * least, None
        else:
            total, section, digit, least = (total + section + (digit or 0)) * _HAN_SCALES[c], 0, None, 10**9
    value = total + section + (digit or 0)
    return Fraction(-value if negative else value)


def _runs(words: list[str]) -> list[list[str]]:
    """Stretches of number words, with "and" and "a" only inside of them."""
    runs: list[list[str]] = []
    inside = False
    for i, word in enumerate(words):
        number = word in VALUES or word in SCALES or word == "hundred" or (inside and word in PARTS)
        joins = inside and word in {"and", "a"} and any(w in VALUES or w in PARTS for w in words[i + 1 : i + 3])
        if number or joins:
            runs = runs if inside else [*runs, []]
            runs[-1].append(word)
        inside = number or joins
    return runs


def _value(run: list[str]) -> Fraction | None:
    total, current = Fraction(0), Fraction(0)
    for before, word in zip(["", *run], run, strict=False):
        if word in VALUES:
            if current % 100 and (VALUES[word] >= 10 or current % 10):
                return None  # "four five" is a list
            current += VALUES[word]
        elif word in PARTS:
            current = current * PARTS[word] if before in VALUES else current + PARTS[word]
        elif word == "hundred":
            current = (current or Fraction(1)) * 100
        elif word in SCALES:
            total, current = total + (current or Fraction(1)) * SCALES[word], Fraction(0)
    return total + current
