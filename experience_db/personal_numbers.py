"""Numbers that belong to a person: payment cards, accounts and national ids, told by their checksums.

A number whose check is weak (one in ten of all numbers passes) counts only in the form in which it is written, or
beside a word that says what it is. Sources: ISO/IEC 7812 (Luhn), ISO 13616 (IBAN), the rules of each registry.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

NUMBER = re.compile(r"(?<![\w.,/-])\d(?:[ .-]?\d){8,18}(?![\w/-]|[.,]\d)")
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
LETTERED = re.compile(
    r"\b(?:\d{8}[A-HJ-NP-TV-Z]|[XYZ]\d{7}[A-HJ-NP-TV-Z]|[A-Z]{6}\d\d[A-EHLMPRST]\d\d[A-Z]\d{3}[A-Z]|\d{17}X"
    r"|[A-Z]{2} ?\d\d ?\d\d"
    r" ?\d\d ?[A-D]|\d{6}[-+A]\d{3}[0-9A-Y])\b"
)
SOCIAL = re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d\d-(?!0000)\d{4}(?![\d-])")
NAMED = re.compile(
    r"\b(?:ssn|social security|sin|social insurance|bsn|nhs|pesel|aadhaar|cpf|dni|nie|nir|tax|steuer|id|identity"
    r"|identification"
    r"|passport|national|card|visa|mastercard|amex|iban|account|person\w*|insurance|patient|citizen|customer)\b",
    re.IGNORECASE,
)
NEAR = 40
"""Characters before a number in which a word may say what it is."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of number."""

    name: str
    lengths: frozenset[int]
    holds: Callable[[str], bool]
    written: re.Pattern[str] | None = None
    """The form in which people write it; with another one it needs a word beside it."""


def personal_numbers(text: str) -> tuple[str, ...]:
    """Return what kinds of numbers that belong to a person a text holds, in words that repeat none of them."""
    return tuple(dict.fromkeys(name for name, _ in _found(text)))


def mask_personal(text: str) -> str:
    """Return `text` with such numbers written as `[personal]`."""
    for _, span in sorted(_found(text), key=lambda pair: -pair[1][0]):
        text = f"{text[: span[0]]}[personal]{text[span[1] :]}"
    return text


def _found(text: str) -> Iterator[tuple[str, tuple[int, int]]]:
    if not any(map(str.isdecimal, text)):
        return
    for match in NUMBER.finditer(text):
        name = _number(match[0], text[max(0, match.start() - NEAR) : match.start()])
        if name:
            yield name, match.span()
    for match in IBAN.finditer(text):
        if _iban(match[0].replace(" ", "")):
            yield "an account number (IBAN)", match.span()
    for match in LETTERED.finditer(text):
        name = _lettered(match[0].replace(" ", ""))
        if name:
            yield name, match.span()
    for match in SOCIAL.finditer(text):
        yield "a social security number", match.span()


def _number(written: str, before: str) -> str:
    digits = re.sub(r"\D", "", written)
    named = NAMED.search(before) is not None
    for shape in SHAPES:
        if len(digits) in shape.lengths and shape.holds(digits):
            formed = shape.written is not None and shape.written.fullmatch(written) is not None
            if formed or named:
                return shape.name
    return ""


def luhn(digits: str) -> bool:
    """Whether digits pass the check of Luhn (ISO/IEC 7812)."""
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    return len(set(digits)) > 1 and sum(d - 9 * (d > 9) for d in doubled) % 10 == 0


def _card(digits: str) -> bool:
    issued = {13: "4", 14: "30 36 38 39", 15: "34 37", 16: "4 50 51 52 53 54 55 60 62 64 65 35", 19: "4 62 60"}
    known = any(digits.startswith(head) for head in issued.get(len(digits), "").split())
    return (known or (len(digits) == 16 and "2221" <= digits[:4] <= "2720")) and luhn(digits)


def _weighted(digits: str, weights: str, modulus: int) -> int:
    return sum(int(d) * int(w, 36) for d, w in zip(digits, weights, strict=False)) % modulus


def _cpf(digits: str) -> bool:
    if len(set(digits)) == 1:
        return False
    rests = (_weighted(digits, "a98765432", 11), _weighted(digits, "ba98765432", 11))
    return all((0 if rest < 2 else 11 - rest) == int(d) for rest, d in zip(rests, digits[9:], strict=True))


def _verhoeff(digits: str) -> bool:
    check = 0
    for i, d in enumerate(reversed(digits)):
        check = _MULTIPLY[check][_PERMUTE[i % 8][int(d)]]
    return check == 0 and digits[0] not in "01"


def _steuer(digits: str) -> bool:
    product = 10
    for d in digits[:10]:
        total = (int(d) + product) % 10 or 10
        product = 2 * total % 11
    return (11 - product) % 10 == int(digits[10]) and digits[0] != "0" and len(set(digits[:10])) in {8, 9}


def _nhs(digits: str) -> bool:
    return 11 - _weighted(digits, "a98765432", 11) in {int(digits[9]), 11 if digits[9] == "0" else -1}


def _pesel(digits: str) -> bool:
    return (10 - _weighted(digits, "1379137913", 10)) % 10 == int(digits[10]) and 1 <= int(digits[2:4]) % 20 <= 12


def _turkish(digits: str) -> bool:
    d = [int(x) for x in digits]
    tenth = (7 * sum(d[0:9:2]) - sum(d[1:8:2])) % 10
    return d[0] != 0 and d[9] == tenth and d[10] == sum(d[:10]) % 10


def _bsn(digits: str) -> bool:
    return (_weighted(digits, "98765432", 11) - int(digits[8])) % 11 == 0 and len(set(digits)) > 2


def _nir(digits: str) -> bool:
    return digits[0] in "12" and 97 - int(digits[:13]) % 97 == int(digits[13:])


def _chinese(digits: str) -> bool:
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    total = sum(int(d) * w for d, w in zip(digits, weights, strict=False))
    born = "1900" <= digits[6:10] <= "2099" and 1 <= int(digits[10:12]) <= 12 and 1 <= int(digits[12:14]) <= 31
    return born and "10X98765432"[total % 11] == digits[17]


def _norwegian(digits: str) -> bool:
    first = 11 - _weighted(digits, "376189452", 11)
    second = 11 - _weighted(digits, "5432765432", 11)
    return (first % 11, second % 11) == (int(digits[9]), int(digits[10])) and 1 <= int(digits[:2]) % 40 <= 31


def _iban(text: str) -> bool:
    moved = text[4:] + text[:4]
    return 15 <= len(text) <= 34 and int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


def _lettered(text: str) -> str:
    if re.fullmatch(r"[XYZ\d]\d{7}[A-Z]", text):
        number = int(text[:-1].translate(str.maketrans("XYZ", "012")))
        return "a Spanish identity number" if "TRWAGMYFPDXBNJZSQVHLCKE"[number % 23] == text[-1] else ""
    if re.fullmatch(r"\d{17}X", text):
        return "a Chinese identity number" if _chinese(text) else ""
    if re.fullmatch(r"\d{6}[-+A]\d{3}[0-9A-Y]", text):
        check = "0123456789ABCDEFHJKLMNPRSTUVWXY"[int(text[:6] + text[7:10]) % 31]
        swedish = luhn(text[:6] + text[7:]) if text[7:].isdigit() and text[6] != "A" else False
        if check == text[10]:
            return "a Finnish identity number"
        return "a Swedish identity number" if swedish else ""
    if len(text) == 16:
        return "an Italian tax code" if _italian(text) else ""
    return "a national insurance number" if text[0] not in "DFIQUV" and text[1] not in "DFIOQUV" else ""


def _italian(text: str) -> bool:
    odd = dict(zip("0123456789", (1, 0, 5, 7, 9, 13, 15, 17, 19, 21), strict=True))
    letters = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)
    odd |= dict(zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", letters, strict=True))
    even = {c: int(c) if c.isdigit() else ord(c) - 65 for c in odd}
    return sum(odd[c] if i % 2 == 0 else even[c] for i, c in enumerate(text[:15])) % 26 == ord(text[15]) - 65


_ROWS = "0123456789 1234067895 2340178956 3401289567 4012395678 5987604321 6598710432 7659821043 8765932104 9876543210"
_MULTIPLY = tuple(tuple(map(int, row)) for row in _ROWS.split())
_SHUFFLES = "0123456789 1576283094 5803796142 8916043527 9453126870 4286573901 2793806415 7046913258"
_PERMUTE = tuple(tuple(map(int, row)) for row in _SHUFFLES.split())
_FOURS = re.compile(r"\d{13,19}|\d{4}(?:[ -]\d{4}){2,3}(?:[ -]\d{1,4})?|\d{4}[ -]\d{6}[ -]\d{4,5}")
SHAPES = (
    Shape("a payment card number", frozenset(range(13, 20)), _card, _FOURS),
    Shape("a Chinese identity number", frozenset({18}), _chinese, re.compile(r"\d{18}")),
    Shape(
        "a French social security number", frozenset({15}), _nir, re.compile(r"\d{15}|\d(?: \d\d){3}(?: \d{3}){2} \d\d")
    ),
    Shape("a Brazilian tax number", frozenset({11}), _cpf, re.compile(r"\d{3}\.\d{3}\.\d{3}-\d\d")),
    Shape("an Indian identity number", frozenset({12}), _verhoeff, re.compile(r"\d{4} \d{4} \d{4}")),
    Shape("a German tax number", frozenset({11}), _steuer, re.compile(r"\d\d \d{3} \d{3} \d{3}")),
    Shape("a Polish identity number", frozenset({11}), _pesel),
    Shape("a Turkish identity number", frozenset({11}), _turkish),
    Shape("a Norwegian identity number", frozenset({11}), _norwegian),
    Shape("a British health number", frozenset({10}), _nhs, re.compile(r"\d{3} \d{3} \d{4}")),
    Shape("a Swedish identity number", frozenset({10, 12}), lambda d: luhn(d[-10:])),
    Shape("a Dutch citizen number", frozenset({9}), _bsn),
    Shape("a Canadian social insurance number", frozenset({9}), luhn, re.compile(r"\d{3}[ -]\d{3}[ -]\d{3}")),
)
