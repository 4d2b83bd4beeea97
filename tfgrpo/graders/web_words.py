"""Short answers as words and numbers: what is compared, and what of it carries no meaning."""

from __future__ import annotations

import re
import string
import unicodedata

from tfgrpo.graders.number_text import value_of

_PUNCTUATION = frozenset(string.punctuation)
_NUMBER = re.compile(
    r"(?P<sign>(?<![\w.)\]])[-+])?[$€£¥]?(?P<digits>\d(?:[\d.,'’]*\d)?|(?<![\w.])\.\d+)(?P<more>(?:[:/^]\d[\d.,]*)*)"
)
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−﹣", "-"))
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_VULGAR = re.compile("[\u00bc-\u00be\u2150-\u215e]")
_NAMED_BY_SIGN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z](?:\+\+?|[#♯])(?![\w+#])")
"""C++, C#, A+: the sign makes the name another one."""
_SIGNS = str.maketrans({"+": "plus", "#": "sharp", "♯": "sharp"})
_SPACED = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:[ \u00a0\u2009\u202f]\d{3})+(?![\d])")
_BLANK = re.compile(r"\s")
_COMPARED = re.compile(r"[<>≤≥]=?(?= ?-?[\d.])")
_SIGN_WORDS = {"<": "below", ">": "above", "≤": "atmost", "≥": "atleast", "<=": "atmost", ">=": "atleast"}
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\s\u3040-\u30ff\u3400-\u9fff]+")
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")


def squad_text(text: str) -> str:
    """Lower case, without punctuation, articles and spare white space; full-width forms made plain.

    Numbers keep their sign, point and colon, so that 3.14 is not 314; 1,000 and 1000.0 are the same. A text of nothing
    but articles or signs keeps them, for they are all it says.
    """
    text = _RAISED.sub(lambda m: f"^{unicodedata.normalize('NFKC', m[0])}", text)
    text = _VULGAR.sub(lambda m: " " + unicodedata.normalize("NFKC", m[0]).replace("⁄", "/"), text)
    text = _NAMED_BY_SIGN.sub(lambda m: m[0].translate(_SIGNS), text)
    text = unicodedata.normalize("NFKC", text).casefold().replace("i\u0307", "i").translate(_DASHES)
    text = _SPACED.sub(lambda m: _BLANK.sub("", m[0]), text)
    text = _COMPARED.sub(lambda m: f" {_SIGN_WORDS.get(m[0], 'near')} ", text)
    pieces, end = [], 0
    for match in _NUMBER.finditer(text):
        pieces += [_words(text[end : match.start()]), _number(match)]
        end = match.end()
    bare = " ".join("".join([*pieces, _words(text[end:])]).split())
    without = " ".join(_ARTICLE.sub(" ", bare).split())
    return without or bare or (" ".join(text.split()) if says_something(text) else "")


def words(text: str) -> list[str]:
    """Return normalised words; each Chinese or Japanese character is one, for nothing stands between them."""
    return _WORD.findall(squad_text(text))


def says_something(text: str) -> bool:
    """Whether a text holds a letter, a digit or a sign that means something by itself, such as + or %."""
    return any(c.isalnum() or unicodedata.category(c)[0] == "S" or c in "%&@#*/\\" for c in text)


def _words(text: str) -> str:
    # A hyphen between words joins them, as in the SQuAD evaluation; one beside a number parts them.
    text = f"{' ' if text[:1] == '-' else ''}{text}{' ' if text[-1:] == '-' else ''}"
    return "".join(c for c in text if c not in _PUNCTUATION and not unicodedata.category(c).startswith("P"))


def _number(match: re.Match[str]) -> str:
    """One spelling for each number; a time, ratio, date or power keeps its signs."""
    digits, more = match["digits"], match["more"]
    value = None if more else value_of(digits.replace("’", "'"))
    sign = "-" if match["sign"] == "-" else ""
    if value is None or len(digits) > 200:
        return sign + digits + more
    if value.denominator == 1:
        return sign + str(value.numerator)
    whole, rest = divmod(value, 1)
    return f"{sign}{whole}.{_decimals(rest.numerator, rest.denominator)}"


def _decimals(top: int, bottom: int) -> str:
    """Decimals of a fraction that has an end, without zeros at it."""
    places = len(str(bottom))
    return str(top * 10**places // bottom).zfill(places).rstrip("0")
