"""Numbers in English words: "twenty-one", "two and a half million"."""

from __future__ import annotations

import re
from fractions import Fraction

_TEENS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
)
_ONES = f"{_TEENS} eighteen nineteen".split()
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
VALUES = {word: n for n, word in enumerate(_ONES)} | {word: 10 * n for n, word in enumerate(_TENS, 2)}
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
PARTS = {"half": Fraction(1, 2), "third": Fraction(1, 3), "quarter": Fraction(1, 4)}
PARTS |= {f"{word}s": part for word, part in PARTS.items()}
_WORD = re.compile(r"[^\W\d_]+")
_PRONOUN = frozenset({"of", "no", "the", "this", "that", "any", "every", "each", "which"})
_LONGEST = 12
"""Words of an answer that may be a number in words; longer texts only mention one."""


def parse_number_words(text: str) -> Fraction | None:
    """Return the number that a few words say, words around it aside; None where there is none, or several.

    "one" counts only where nothing but a unit or two stands beside it.
    """
    words = _WORD.findall(text[:400].lower())
    if not words or len(words) > _LONGEST or "or" in words or "not" in words:
        return None
    runs = _runs(words)
    if len(runs) != 1 or (runs[0] == ["one"] and (len(words) > 3 or _PRONOUN & {*words})):
        return None
    negative = any(word in {"minus", "negative"} for word in words)
    value = _value(runs[0])
    return None if value is None else -value if negative else value


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
