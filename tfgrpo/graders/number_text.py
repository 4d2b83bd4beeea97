"""Text with numbers as tokens: LaTeX, typography and the digit groups of any locale in one plain form."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

MAX_DIGITS = 1000
"""Longer numbers are none: reading them takes long, and no answer needs them."""
SCALES = {
    "hundred": 2, "thousand": 3, "thousands": 3, "k": 3, "million": 6, "millions": 6, "mn": 6, "mio": 6, "m": 6,
    "billion": 9, "billions": 9, "bn": 9, "trillion": 12, "tausend": 3, "millionen": 6, "milliarden": 9, "mrd": 9,
    "mille": 3, "milliard": 9, "milliards": 9, "mil": 3, "millones": 6, "millón": 6, "lakh": 5, "lakhs": 5, "crore": 7,
    "crores": 7,
    "百": 2, "千": 3, "万": 4, "萬": 4, "亿": 8, "億": 8,
}  # fmt: skip
"""Words behind a number, as powers of ten; `k` and `m` only where they are attached and, for `m`, capital."""

_VULGAR = re.compile("[\u00bc-\u00be\u2150-\u215e\u2189]")
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
_RAISED_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺]+")
_BLANKS = re.compile(r"[^\S\n]+")
_SPACING = re.compile(r"\\[!,;: ]|\\(?:left|right|displaystyle|quad|limits)(?![a-z])")
_FRACTION = re.compile(r"\\[dtc]?frac ?(?:\{ ?(-?[\d.,]{1,200}) ?\}|(\d)) ?(?:\{ ?(-?[\d.,]{1,200}) ?\}|(\d))")
_WRAPPED = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox|operatorname)(?: ?\{|\b)")
_COMMANDS = {
    "times": "*", "cdot": "*", "div": "/", "pm": "±", "approx": "≈", "sim": "≈", "leq": "≤", "geq": "≥",
    "neq": "≠", "le": "≤", "ge": "≥", "ne": "≠", "lt": "<", "gt": ">", "sqrt": "√", "pi": "π", "infty": "∞",
    "circ": "°",
    "degree": "°",
    "to": "→", "in": "∈", "lor": " or ", "land": " and ",
}  # fmt: skip
_COMMAND = re.compile(r"\\([A-Za-z]{1,20})")
_SIGNS = str.maketrans(
    {
        "×": "*",
        "·": "*",
        "⋅": "*",
        "∙": "*",
        "÷": "/",
        "⁄": "/",
        "∕": "/",
        "∼": "≈",
        "≅": "≈",
        "⇒": ";",
        "％": "%",
        "﹪": "%",
    }
    | dict.fromkeys("‐‑‒–—―−﹣", "-")
    | {"٬": ",", "٫": ".", "’": "'", "‘": "'", "ʼ": "'", "{": " ", "}": " ", "$": "$"}
)
_RELATIONS = (("<=", "≤"), (">=", "≥"), ("!=", "≠"), ("=>", ";"), ("==", "="))
_TOKEN = re.compile(
    r"(?P<number>(?:\d[\d.,'_]*|\.\d[\d_]*)(?:[eE][-+]?\d{1,4}(?![\w.]))?)|(?P<word>[^\W\d_]+)|(?P<sign>[^\s])"
)


@dataclass(frozen=True, slots=True)
class Token:
    """A number, a word or one other sign."""

    kind: str
    """`number`, `word` or `sign`."""
    text: str
    """Words in lower case."""
    apart: bool
    """White space stands before it."""


def tokens(text: str) -> list[Token]:
    """Return the tokens of a text. One pass; a number keeps no full stop or comma at its end."""
    found: list[Token] = []
    end = 0
    text = without_typography(text)
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "sign"
        said = match[0]
        apart = match.start() > end or match.start() == 0
        if kind == "number":
            said = said.rstrip(".,'_")
        found.append(Token(kind, said.casefold() if kind == "word" and said != "M" else said, apart))
        end = match.end()
        found.extend(Token("sign", sign, apart=False) for sign in match[0][len(said) :] if kind == "number")
    return found


def without_typography(text: str) -> str:
    """Return a text without LaTeX, markup and typography around its numbers."""
    text = _VULGAR.sub(lambda m: f" {unicodedata.normalize('NFKC', m[0])}", text)
    text = _RAISED_RUN.sub(lambda m: f"^{m[0].translate(_RAISED)}", text)
    text = re.sub(r"(?<=\s)[–—―](?=\s)", ";", text)
    text = unicodedata.normalize("NFKC", text).replace("{,}", ",").replace("\\%", "%").replace("\\$", "$")
    text = _BLANKS.sub(" ", _SPACING.sub("", _BLANKS.sub(" ", text)))
    text = _FRACTION.sub(lambda m: f" {m[1] or m[2]}/{m[3] or m[4]} ", text)
    text = _COMMAND.sub(lambda m: _COMMANDS.get(m[1], m[0]), _WRAPPED.sub(" ", text)).translate(_SIGNS)
    for written, sign in _RELATIONS:
        text = text.replace(written, sign)
    text = re.sub(r"(?<=[\d)])\*\*(?=[\d(-])", "^", text).replace("**", "").replace("\\", " ")
    text = re.sub(r"(?<!\d)_|_(?!\d)|`", "", text)
    return "".join(str(unicodedata.decimal(c)) if c.isdecimal() and not c.isascii() else c for c in text)


def value_of(digits: str) -> Fraction | None:
    """Return the value of digits with points, commas, apostrophes or underscores between; None for other mixtures.

    1,234.5 and 1.234,5 and 1'234.5 and 1,00,000 are numbers; 1.234 has a decimal point and 1,5 a decimal comma.
    """
    if len(digits) > MAX_DIGITS:
        return None
    mantissa, _, exponent = digits.lower().partition("e")
    signs = [c for c in mantissa if not c.isdigit()]
    whole, part = mantissa, ""
    if signs and (signs.count(signs[-1]) == 1 and signs[-1] in ".,") and not _is_grouped(mantissa, signs):
        whole, _, part = mantissa.rpartition(signs[-1])
        signs = signs[:-1]
    if signs and not _grouped(whole, signs[0]):
        return None
    plain_digits = "".join(c for c in whole if c.isdigit()) or "0"
    return Fraction(f"{plain_digits}.{part or '0'}") * Fraction(10) ** int(exponent or 0)


def _is_grouped(mantissa: str, signs: list[str]) -> bool:
    """Whether the only separator is a comma of thousands."""
    return signs == [","] and mantissa[0] != "0" and _grouped(mantissa, ",")


def _grouped(whole: str, separator: str) -> bool:
    """Whether digits are in groups of three, or of two before the last three as in India."""
    first, *rest = whole.split(separator)
    if not first.isdigit() or len(first) > 3 or not rest:
        return False
    sizes = [len(group) if group.isdigit() else 0 for group in rest]
    return set(sizes) == {3} or (separator == "," and sizes[-1] == 3 and set(sizes[:-1]) == {2} and len(first) <= 2)
