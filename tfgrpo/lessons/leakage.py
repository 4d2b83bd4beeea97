"""Does a lesson give its source problem away? Then it is memory, not method, and is refused with the reason.

Three signs, in this order: the answer in any notation; a rare thing of the problem (name, number of two digits or more,
address, quotation); eight words in a row. All are literal, so a paraphrase that has none of them passes: what remains
is for the held-out gate, where a memorised answer earns nothing. A reason never repeats the answer, because reasons are
shown to the model that writes the next lessons.
"""

from __future__ import annotations

import re
from fractions import Fraction

from tfgrpo.lessons.dataset_vocabulary import EVERYTHING_SECRET, NGRAM, DatasetVocabulary, plain_answer
from tfgrpo.types import Problem

TINY = 10
"""Whole numbers below this, in absolute value, leak only when stated as the answer."""
COMMON_NUMBERS = frozenset(map(Fraction, (10, 30, 45, 60, 90, 100, 180, 360)))
"""Angles, bases and percentages that general advice names too; they leak only when stated as the answer."""

GENERAL_NAMES = (
    "|Euclid|Euclidean|Euler|Eulerian|Fermat|Fibonacci|Gauss|Gaussian|Pythagoras|Pythagorean|Cartesian|Descartes|Vieta"
    "|Heron|Ptolemy|Diophantine|Venn|Boolean|Markov|Bayes|Bayesian|Poisson|Bernoulli|Newton|Lagrange|Cauchy|Schwarz"
    "|Chebyshev|Catalan|Stirling|Pascal|Legendre|Chinese|Taylor|Fourier|Laplace|Riemann|Hamiltonian|Stewart|Ceva"
    "|Menelaus|Bezout|Wilson|Jensen|Dirichlet|Burnside|Egyptian|Roman|Arabic|Greek|Latin|English|French|German|Spanish"
    "|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday|January|February|March|April|May|June|July|August"
    "|September|October|November|December|Python|LaTeX|Unicode|JSON|HTML|Wikipedia|Google|Internet|Celsius|Fahrenheit"
    "|Kelvin|Theorem|Law|Rule|Lemma|I|The|A|An|In|On|At|It|He|She|They|This|There|Yes|No|True|False|None|"
    "|Dr|Mr|Mrs|Ms|Prof|GmbH|Ltd|Inc|LLC|Corp|Co|EUR|USD|GBP|VAT|ISO|SQL|CSV|XML|API|URL|PDF|SELECT|FROM|WHERE|JOIN|LEFT"
    "|INNER|OUTER|COUNT|SUM|MAX|MIN|AVG|NULL|GROUP|ORDER|HAVING|LIMIT|DISTINCT|"
)
"""Capitalised words that belong to a subject or to grammar rather than to one problem, between bars."""

ONES = (
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen"
    "|eighteen|nineteen"
)
TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
VALUES = {word: value for value, word in enumerate(ONES.split("|"))}
VALUES |= {word: 10 * value for value, word in enumerate(TENS.split("|"), 2)}
SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6}
PARTS = {"half": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10}
ATOM = rf"(?:(?:{TENS})(?:[\s-]+(?:{ONES}))?|{ONES})"
SPOKEN = re.compile(
    rf"\b({ATOM}(?:\s+(?:{'|'.join(SCALES)})(?:\s+(?:and\s+)?{ATOM})?)*)(?:[\s-]+({'|'.join(PARTS)})s?)?\b|\ba half\b",
    re.I,
)

NUMBER = r"(?:\d+(?:,\d{3})+(?:\.\d+)?|\d*\.\d+|\d+)"
RATIO = rf"-?\(?{NUMBER}\)?(?:\s*/\s*\(?{NUMBER}\)?)?\s*%?"
STATED = (
    r"(?:answer|result|solution|value|total|option|choice)(?:\s+(?:here|always|then|of it|to it|will|must|should))*"
    r"\s*(?:is|was|be|are|equals|=|:)\s*(?:(?:exactly|always|just|simply|equal to|the number|option|choice)\s+)*"
)
INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")
SUPERSCRIPTS = str.maketrans({sign: f"^{i}" for i, sign in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")})
URL = re.compile(
    r"(?:https?://|www\.)[^\s<>()\"'\]]+|(?<![\w.-])(?:[\w-]{1,63}\.){1,8}(?:com|org|net|edu|gov|io|info|example)\b",
    re.I,
)
QUOTE = re.compile(r"[\"“«]([^\"”»]{3,80})[\"”»]|``(.{3,80}?)''")


REMEDY = "say how such problems are solved without it; where it is no secret, -s lessons.leakage=off lets it pass"


def leak_reason(text: str, problem: Problem, public: DatasetVocabulary = EVERYTHING_SECRET) -> str | None:
    """Return why a lesson gives away its source problem, or None when it does not; REMEDY says what to do.

    Args:
        text: the lesson.
        problem: one that the lesson came from.
        public: what the whole dataset makes public, see `public.public_of`.
    """
    if not public.check:
        return None
    answer = problem.answer or ""
    secret = plain_answer(answer) not in public.answers
    option = _option(problem.question, answer)
    if (secret and _has_answer(text, answer)) or (not public.holds(option) and _has_answer(text, option)):
        return "it states the answer of its source problem"
    return _rare_thing(text, problem, public) or _copy(text, problem.question, public)


def _has_answer(text: str, answer: str) -> bool:
    """Tell whether the answer is in the text, in words, digits or LaTeX."""
    plain, wanted = plain_math(text), re.sub(r"^[a-z]\s*=\s*", "", plain_math(answer).strip(" ."))
    if not wanted:
        return False
    value = _value(wanted)
    if value is not None:
        common = (abs(value) < TINY and value.denominator == 1) or value in COMMON_NUMBERS
        return value in (_stated(plain) if common else _numbers(plain))
    if re.fullmatch(r"\(?[A-Za-z]\)?|[a-z]{1,4}|(?i:true|false|none)", wanted):
        word = re.escape(wanted.strip("()"))
        return re.search(rf"\b(?i:{STATED}|answer |choose |pick |option |choice )\W?{word}\b", plain) is not None
    if re.search(r"[^\w\s.,;'’-]", wanted):
        if len(wanted.split()) > 4 and {x for x in _rare_numbers(plain) & _rare_numbers(wanted) if x > 999}:
            return True
        formula = r"\s*".join(re.escape(sign) for sign in "".join(wanted.split()))
        return len(wanted) > 2 and re.search(rf"(?<![\w.^]){formula}(?![\w^])", plain) is not None
    # A short answer is a name even where it begins like a sentence.
    place = wanted if len(wanted.split()) > 4 else f"is {wanted}"
    numbers = _rare_numbers(plain) & _rare_numbers(wanted)
    return f" {' '.join(_words(wanted))} " in f" {' '.join(_words(plain))} " or bool(_names(place, text) or numbers)


def _option(question: str, answer: str) -> str:
    """Return the words of the option that an answer names by its letter; '' where there is no such option."""
    letter = answer.strip(" ().")
    found = re.search(rf"[(\s]{letter}[).:]\s*([^()\n;,]{{4,}})", question) if re.fullmatch("[A-Z]", letter) else None
    return found[1] if found else ""


def _rare_thing(text: str, problem: Problem, public: DatasetVocabulary) -> str | None:
    """Say which address, quotation, name or number of the problem the text holds."""
    where = " ".join([problem.question, *(x for x in problem.metadata.values() if isinstance(x, str))])
    if hosts := {host for host in _hosts(text) & _hosts(where) if not public.holds(host)}:
        return f"it names the address {min(hosts)} of its source problem"
    for match in QUOTE.finditer(problem.question):
        quote = (match[1] or match[2]).strip()
        rare = " " in quote or quote != quote.lower() or any(map(str.isdigit, quote))
        if rare and not public.holds(quote) and quote.casefold() in text.casefold():
            return f"it repeats the quotation {quote!r} of its source problem"
    if names := {name for name in _names(problem.question, text) if not public.holds(name)}:
        return f"it names {min(names)!r}, which belongs to its source problem"
    shared = _rare_numbers(plain_math(text)) & _rare_numbers(plain_math(problem.question))
    if numbers := {number for number in shared if str(number) not in public.words}:
        return f"it repeats the number {min(numbers)} of its source problem"
    return None


def _copy(text: str, question: str, public: DatasetVocabulary) -> str | None:
    """Say which run of words the text shares with the problem."""
    mine, theirs = _words(text), f" {' '.join(_words(question))} "
    for i in range(len(mine) - NGRAM + 1):
        run = " ".join(mine[i : i + NGRAM])
        if f" {run} " in theirs and run not in public.phrases:
            return f"it copies the words {run!r} of its source problem"
    return None


def plain_math(text: str) -> str:
    r"""Rewrite LaTeX, typographic signs and number words in plain ones.

    `\dfrac{1}{2}`, `½` and `one half` all become `1/2`, `\sqrt{3}` becomes `sqrt(3)`, `two hundred four` becomes `204`.
    """
    plain = INVISIBLE.sub("", text).translate(SUPERSCRIPTS)
    plain = re.sub(r"\\(?:left|right|displaystyle|[,;:!])|\$", "", plain.replace("{,}", ","))
    plain = re.sub(r"\\[dtc]?frac\s*(\d)\s*(\d)", r"\1/\2", plain)
    plain = re.sub(r"\\sqrt\s*\{([^{}]*)\}|√\s*\(?(\w+)\)?", lambda m: f"sqrt({m[1] or m[2]})", plain)
    plain = re.sub(r"\\[dtc]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}", _fraction, plain)
    plain = re.sub(r"\\boxed\s*\{([^{}]*)\}", r" answer: \1 ", plain)
    plain = re.sub(r"\\(?:text|textbf|mathrm|mathbf|mbox)\s*\{([^{}]*)\}", r"\1", plain)
    plain = re.sub(r"\^\s*\{?\\(?:circ|degree)\}?|°", " ", plain)
    plain = re.sub(r"\\(?:cdot|times)|[·×]", "*", plain)
    for sign, word in {"π": "pi", "−": "-", "½": "1/2", "¼": "1/4", "¾": "3/4", "∞": "infty", "\\": ""}.items():
        plain = plain.replace(sign, word)
    plain = re.sub(r"\^\{([^{}]*)\}", r"^\1", plain)
    return _joined(" ".join(SPOKEN.sub(_figures, plain).split()))


def _joined(plain: str) -> str:
    """Join the parts of a number or formula: `1 234`, `2 0 4`, `minus 12`, `50 percent`, `3*sqrt 3`, `x squared`."""
    plain = re.sub(r"(?<=\d)['’ ](?=\d{3}(?!\d))", "", plain)
    plain = re.sub(r"(?<![\w.])\d(?: \d){2,}(?![\w.])", lambda m: m[0].replace(" ", ""), plain)
    plain = re.sub(r"\b(?:minus|negative) (?=\d)", "-", plain, flags=re.I)
    plain = re.sub(r"(?<=\d) ?per ?cent\b", "%", plain, flags=re.I)
    plain = re.sub(r"\b(?:the )?square root of (\w+)|\bsqrt (\w+)", lambda m: f"sqrt({m[1] or m[2]})", plain)
    plain = re.sub(r"(?<=\d)(?: ?\*? ?| times )(?=sqrt\()", "", plain)
    plain = re.sub(r"\b(\w)\*\*(?=\d)|\b(\w) \*\* (?=\d)", lambda m: f"{m[1] or m[2]}^", plain)
    plain = re.sub(r"\b(\w) (squared|cubed)\b", lambda m: f"{m[1]}^{2 if m[2] == 'squared' else 3}", plain)
    return re.sub(r"(\^\d) plus (?=\d)", r"\1+", plain)


def _fraction(match: re.Match[str]) -> str:
    """Write a LaTeX fraction with a slash, in brackets where a part is more than one number or name."""
    return "/".join(part if re.fullmatch(r"\w+", part) else f"({part})" for part in match.groups())


def _figures(match: re.Match[str]) -> str:
    """Write a spoken number in figures."""
    if match[1] is None:
        return "1/2"
    total, current = 0, 0
    for word in re.findall(r"[a-z]+", match[1].lower()):
        current += VALUES.get(word, 0)
        if scale := SCALES.get(word):
            current *= scale
            if scale > 100:
                total, current = total + current, 0
    return f"{total + current}/{PARTS[match[2].lower()]}" if match[2] else str(total + current)


def _value(plain: str) -> Fraction | None:
    """Return the number that a plain text is, a unit after it aside; None when it is anything else."""
    unit = r"(?:\s+(?!pi\b|sqrt\b|infty\b)[A-Za-z]{2,}){0,2}"
    match = re.fullmatch(rf"\W*?(-?)\(?({NUMBER})\)?(?:\s*/\s*\(?({NUMBER})\)?)?\s*(%?){unit}\W*", plain)
    if not match:
        return None
    sign, top, bottom, percent = match.groups()
    below = Fraction((bottom or "1").replace(",", "")) * (100 if percent else 1)
    return Fraction(top.replace(",", "")) / below * (-1 if sign else 1) if below else None


def _numbers(plain: str) -> set[Fraction]:
    """Return all numbers of a plain text. A hyphen before one may be a minus or a dash: both readings count."""
    found = {_value(token) for token in re.findall(rf"(?<![\w.]){RATIO}", plain)}
    return {reading for value in found if value is not None for reading in (value, abs(value))}


def _rare_numbers(plain: str) -> set[Fraction]:
    """Return the numbers of two significant digits or more that are not common property."""
    digits = {Fraction(number.replace(",", "")) for number in re.findall(rf"(?<![\w.]){NUMBER}", plain)}
    return {x for x in digits if x >= TINY or len(str(x.numerator)) > 1} - COMMON_NUMBERS


def _stated(plain: str) -> set[Fraction]:
    """Return the numbers that a plain text calls the answer."""
    said = rf"(?:{STATED}|answer |equals |equal to |comes out (?:to|as|at) |works out (?:to|as) |always get )"
    before = rf"\b{said}({RATIO})(?!\s*of\b)"
    after = rf"(?<![\d.,])({RATIO}) is (?:always )?the (?:final |right |correct )*(?:answer|result|solution)"
    found = {_value(number) for pattern in (before, after) for number in re.findall(pattern, plain, re.I)}
    return {value for value in found if value is not None}


def _names(source: str, text: str) -> set[str]:
    """Return the capitalised words of both texts that at least one of them shows to be a name by their place."""
    if re.search(r"\b(?:der|die|das|und|ist)\b", text):
        return set()  # German capitalises every noun
    here, there = _capitalised(text), _capitalised(source)
    shared = {word for word in here.keys() & there.keys() if here[word] or there[word]}
    return {word for word in shared if f"|{word}|" not in GENERAL_NAMES and not _is_label(word)}


def _capitalised(text: str) -> dict[str, bool]:
    """Return the capitalised words of a text; True for those that stand inside a sentence at least once."""
    plain = re.sub(r"\\[A-Za-z]+|['’]s\b", " ", text)
    found: dict[str, bool] = {}
    for match in re.finditer(r"[^\W\d_]+", plain):
        if match[0][0].isupper():
            inside = _is_inside(plain, match.start())
            found[match[0]] = found.get(match[0], False) or inside
    return found


def _is_inside(text: str, position: int) -> bool:
    """Tell whether a word stands inside a sentence: behind a word, a comma or a closing bracket, blanks aside."""
    while position and (text[position - 1].isspace() or text[position - 1] == "("):
        position -= 1
    before = text[position - 1] if position else "."
    return before.isalnum() or before in "_,)'’-"


def _is_label(word: str) -> bool:
    """Tell whether a word is the label of a point or figure, such as A, XY or ABCD, rather than a name."""
    return word.isupper() and (len(word) <= 3 or list(word) == sorted(set(word)))


def _hosts(text: str) -> set[str]:
    """Return the hosts of all addresses in a text, without `www.`."""
    return {
        re.sub(r"^(?:https?://)?(?:www\.)?", "", url.lower()).split("/")[0].rstrip(".,;:") for url in URL.findall(text)
    }


def _words(text: str) -> list[str]:
    """Return the words of a text in lower case; each sign of a script without spaces is a word."""
    return re.findall(r"[぀-ヿ㐀-鿿]|[^\W_぀-ヿ㐀-鿿]+", text.casefold())
