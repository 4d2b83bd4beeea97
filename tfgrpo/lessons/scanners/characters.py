"""Characters that hide: zero width, direction marks, tags, fillers, controls, private ones, and look-alikes.

A joiner between two emoji or inside Arabic and Indic words is how those are written, and passes. Sources: Unicode
Technical Reports 36 and 39; the Tags block carries ASCII that models read and people do not see.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from tfgrpo.lessons.scanners.base import Finding, Kind

JOINERS = "\u200c\u200d"
SELECTORS = "\ufe0e\ufe0f"
"""Text and emoji style of the sign before them."""
BLANKS = frozenset("\u115f\u1160\u3164\uffa0\u2800\u180e\u034f\u17b4\u17b5\u2028\u2029")
"""Letters and signs without ink that are in no category of invisible ones."""
MOST_MARKS = 4
"""Combining marks on one letter; no language stacks more."""
LOOKALIKES = dict(zip("аеорсухіјѕӏԁԛԝһмтвнкАВЕКМНОРСТУХІЈЅ", "aeopcyxijslqqwhmtbhkABEKMHOPCTYXIJS", strict=True))
"""Cyrillic letters that look like Latin ones."""
RUN_OF_BLANKS, BLANKS_BELOW = re.compile(r"[^\S\n]{2,}|[^\S\n ]"), re.compile(r" ?\n[\s]*")
WORD = re.compile(r"[^\W\d_]+")
LATIN, FOREIGN = re.compile(r"[A-Za-z]"), re.compile(r"[\u0400-\u052f\u0530-\u058f\u13a0-\u13ff]")
"""Greek is not foreign: formulas mix it with Latin all the time."""


def hidden_character_findings(text: str) -> tuple[Finding, ...]:
    """Return a finding for hidden characters, and one for look-alikes."""
    if is_plain(text):
        return ()
    return (*_hidden(text), *_stacked(text), *_mixed(text))


def hidden(text: str) -> tuple[int, ...]:
    """Return the places of characters that hide."""
    if is_plain(text):
        return ()
    return tuple(i for i, sign in enumerate(text) if _hides(text, i, sign))


def visible(text: str) -> str:
    r"""Return `text` with every hidden character written out as `\u200b`, so that a terminal shows what is there."""
    places = set(hidden(text))
    return "".join(_escaped(sign) if i in places else sign for i, sign in enumerate(text))


def as_read(text: str) -> str:
    """Return `text` as a person would read it: hidden characters gone, styled and look-alike letters plain.

    Runs of white space become one sign: a line feed where there is one in the run, else a space.
    """
    return BLANKS_BELOW.sub("\n", RUN_OF_BLANKS.sub(" ", text if is_plain(text) else _styled(text)))


def is_plain(text: str) -> bool:
    """Whether a text holds nothing but signs that everybody sees."""
    return text.isascii() and text.replace("\n", " ").replace("\t", " ").isprintable()


def _styled(text: str) -> str:
    places = set(hidden(text))
    shown = "".join(sign for i, sign in enumerate(text) if i not in places)
    plain = unicodedata.normalize("NFKC", shown)
    return WORD.sub(lambda word: _latin(word[0]) if LATIN.search(word[0]) else word[0], plain)


def tag_text(text: str) -> str:
    """Return the ASCII that characters of the Tags block spell; empty where there are none."""
    if text.isascii():
        return ""
    return "".join(chr(ord(sign) - 0xE0000) for sign in text if 0xE0020 <= ord(sign) < 0xE007F)


def _hides(text: str, i: int, sign: str) -> bool:
    if sign in "\n\t" or (" " <= sign <= "~"):
        return False
    if sign in JOINERS or sign in SELECTORS:
        return not _joins(text, i, sign)
    if sign in BLANKS or 0xE0100 <= ord(sign) <= 0xE01EF or "\ufe00" <= sign <= "\ufe0d":
        return True
    return unicodedata.category(sign) in ("Cf", "Cc", "Co", "Cs", "Cn")


def _joins(text: str, i: int, sign: str) -> bool:
    before = text[i - 1] if i else " "
    if sign in SELECTORS:
        return unicodedata.category(before) in ("So", "Sk", "Sm", "Po", "Nd")
    if before in SELECTORS or unicodedata.category(before) in ("So", "Sk"):
        return sign == "\u200d" and i + 1 < len(text) and unicodedata.category(text[i + 1]) == "So"
    return unicodedata.category(before) in ("Lo", "Mn", "Mc") and i + 1 < len(text) and not text[i + 1].isspace()


def _hidden(text: str) -> Iterator[Finding]:
    names = dict.fromkeys(f"U+{ord(text[i]):04X}" for i in hidden(text))
    if names:
        listed = ", ".join(list(names)[:4]) + (", ..." if len(names) > 4 else "")
        said = tag_text(text)
        spelled = f" that spell {said[:40]!r}" if len(said) > 3 else ""
        yield Finding(Kind.INVISIBLE, f"it holds characters that nobody sees ({listed}){spelled}")


def _stacked(text: str) -> Iterator[Finding]:
    run = 0
    for sign in unicodedata.normalize("NFC", text):
        run = run + 1 if unicodedata.category(sign) == "Mn" else 0
        if run > MOST_MARKS:
            yield Finding(Kind.INVISIBLE, f"it stacks more than {MOST_MARKS} marks on one letter")
            return


def _mixed(text: str) -> Iterator[Finding]:
    for word in WORD.findall(text):
        if LATIN.search(word) and FOREIGN.search(word):
            yield Finding(Kind.INVISIBLE, f"the word {_latin(word)!r} mixes Latin letters with others that look alike")
            return


def _latin(word: str) -> str:
    return "".join(LOOKALIKES.get(sign, sign) for sign in word)


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape", "surrogatepass").decode("ascii")
