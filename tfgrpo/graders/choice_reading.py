"""Which letters a reply to a multiple-choice question settles on: what it states, not what it mentions.

A stated answer wins over everything that is said after it about other options. Among several statements the last one
counts, for people correct themselves. What is denied, asked, supposed or said of others is no statement.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from tfgrpo.graders.extract import last_boxed, last_tagged
from tfgrpo.prompting.thinking import after_thinking

_WRAPPING = re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox|boxed)\b ?|\\(?=[ ,;:!])|\\[()\[\]]|[{}$*_`\"'“”„«»]")
_BLANKS = re.compile(r"[^\S\n]+")
_NEAR = "A-Za-z0-9'’\u00c0-\u024f"
_ONE = (
    rf"(?<![{_NEAR}])(?<![A-Za-z]-)(?-i:(?!I [a-z])"
    r"(?!A (?!(?:is|and|or|as|because|since|fits?|works?|holds?|remains?|must|has|looks|seems|are|but|not|fails?|alone"
    rf"|only|with|here|again|instead|no|by|on|in|over|would|was|oder|und|et"
    rf"|ou)\b)[a-z])[A-Z])(?![{_NEAR}])(?!-[A-Za-z])"
)
_ITEM = rf"(?:(?i:options?|choices?|answers?) )?(?:[(\[]{_ONE}[)\]]|{_ONE}[)\]]?|[(\[](?-i:[a-z])[)\]])"
_JOIN = (
    r"(?: ?[,/&+、，] ?(?:and |or |&)?| (?i:and/or|and|or|und|oder|et|ou|y|e) | ?(?:和|及|与|與|或|以及|と|か) ?"
    rf"| (?={_ONE}(?: {_ONE}){{0,11}}\.?(?:\n|\Z)))"
)
_LIST = rf"(?:(?i:both|either|all of) )?{_ITEM}(?:{_JOIN}{_ITEM}){{0,25}}"
_RUN = rf"(?<![{_NEAR}])(?-i:[A-Z]{{2,12}})(?![{_NEAR}])"
_SMALL = r"(?<![\w'’])(?-i:[a-z])(?=[).:,;!?\]]|$|\n| (?:because|since|as|is)\b)"
_ADVERB = (
    r"(?:(?:the|clearly|therefore|thus|hence|indeed|definitely|certainly|likely|probably|most|actually|now|still|just"
    r"|only|then|simply|obviously|in fact|option|choice|letter|number|exactly|as follows|given by|:) ?:? ?){0,4}"
)
_BE = (
    r"(?: (?:is|are|was|would be|should be|must be|will be|has to be|appears to be|seems to be|remains|becomes)\b"
    r"| ?[:=→]| ?->| ?[-–—](?= )){1,2} ?"
)
_SAID = rf"(?P<said>{_LIST}|{_RUN}|{_SMALL})"
_RIGHT = r"(?:correct|right|true|best|answer|one|choice|winner|solution|way to go)"

_STRONG = (
    rf"(?P<noun>(?:(?:correct|right|best|final|my|chosen|only|proper) ){{1,3}}(?:options?|choices?|letters?|selection"
    rf"|pick|solution)|answers?|choice(?= ?:))(?: here| letter| choice| option)?(?P<be>{_BE}){_ADVERB}{_SAID}",
    rf"(?:答案|正确选项|正確選項|正解|解答|答え|正确的是|正確的是)(?:应该|應該|应|應|就|选项)?"
    rf"[是为為选選は: ]{{1,3}}{_SAID}",
    rf"(?:정답|답)[은는이: ]{{1,3}}{_SAID}",
    rf"\b(?:antwort|lösung|réponse|respuesta|risposta|resposta|ответ|antwoord|svar)"
    rf"(?: (?:correcta|correcte|correta|corretta|richtige?|est|ist|es|é|è|lautet|is|er|är|la|верный|juste|bonne))"
    rf"{{0,3}}(?: ?[:=] ?| )(?:la |die |option )?{_SAID}",
    rf"\b(?:antworten|lösungen|réponses|respuestas|risposte|respostas)(?: (?:richtigen|correctes?|correctas"
    rf"|corrette|corretas|justes|bonnes|sind|sont|son|sono|são)){{0,3}}(?: ?[:=] ?| ){_SAID}",
)
_WEAK = (
    rf"\b(?:choos(?:e|ing)|chose|select(?:ing|ed)?|pick(?:ing|ed)?|go(?:ing)? with|went with|settl(?:e|ing) (?:on|for)"
    rf"|opt(?:ing)? for|conclude[sd]?|vote for|leav(?:es?|ing)(?: us with| only)?) {_ADVERB}(?:answer )?{_SAID}",
    rf"\b(?:it(?:s| is| must be| has to be| should be)|(?:so|hence|thus|therefore|we get|i (?:would )?say|id say"
    rf"|i think)) ?:? ?"
    rf"{_ADVERB}(?P<said>{_LIST})(?= ?(?:[.!,;)]|$|\n| (?:because|since|as)\b))",
    rf"(?P<said>{_LIST}) (?:(?:is|are|must be|has to be|looks|seems(?: to be)?) (?:(?:the|a|my|our|clearly|therefore"
    rf"|thus|indeed|definitely|most likely|probably|only|final|correct|right|best) ?){{0,4}}{_RIGHT}\b"
    rf"|(?:fits?|works?|holds?|remains?|it is)\b)",
    rf"\bonly (?:option |choice )?{_SAID} (?:satisf|fulfil|meet|match|hold|work|fit|agree|remain|makes sense"
    rf"|is (?:correct|right|true|consistent|possible|left|valid))",
    rf"\b(?:not|isnt|never) {_ITEM},? (?:but(?: rather)?|rather|instead) {_SAID}",
    rf"(?:故|应|應|所以|因此|我|最终|最後)?(?:选|選)(?:择|擇)?(?:项|項)?[: ]{{0,2}}{_SAID}",
    rf"而是 ?{_SAID}",
    rf"(?P<said>{_LIST}) ?(?:(?:选项|選項|项|項)?是?(?:正确|正確|对的|對的)|です|が正|번|이 정답)(?!吗|嗎|か)",
    rf"\b(?:(?:wait|actually|correction|scratch that)[,:.]?|no[,:.]) (?:wait[,:]? |no[,:] )?(?P<said>{_ITEM})"
    r"(?= ?(?:[.!,;]|$|\n))",
)
STRONG = tuple(re.compile(pattern, re.IGNORECASE) for pattern in _STRONG)
WEAK = tuple(re.compile(pattern, re.IGNORECASE) for pattern in _WEAK)
_NOT_BUT = WEAK[4]
_SEMICOLONS = re.compile(r"[A-Z();, ]*")
_TAILED = re.compile(r"[^.\n。]{0,80}?(?P<said>[(\[][A-Z][)\]])(?![^.\n。]{0,80}[(\[][A-Z][)\]])")
_SPOKEN = re.compile(_STRONG[0].removesuffix(_SAID), re.IGNORECASE)
_BARE = re.compile(rf"{_LIST}|{_RUN}|[(\[]?[a-z](?=[)\]. :,]|$)|(?i:option|choice) [a-z]$")
_SET_APART = re.compile(
    r"(?:[)\]]?[.:,]?(?=[ \n]|$)|[)\]])(?! ?(?:is|are|was|were|isnt|does|do|did|has|can|could|would|should|must|may"
    r"|might"
    r"|fails?|[a-z]+s)\b(?! why))"
)
_CONTRAST = re.compile(rf"\b(?:rather than|instead of|unlike|not) {_ITEM},?", re.IGNORECASE)
_LETTER = re.compile(rf"[(\[][A-Za-z][)\]]|{_ONE}")
_MEMBER = re.compile(r"(?<![A-Za-z])[A-Za-z](?![A-Za-z])")
_OPTION_LINE = re.compile(r"(?:^|\n|(?<= ))[(\[]?([A-Z])[)\].:](?= ?\S)")
_EITHER = re.compile(r"\b(?:or|oder|ou|either)\b|或|か", re.IGNORECASE)

_BREAK = re.compile(
    r"[.;!?\n,:。；！？，]|\b(?:but|so|hence|thus|therefore|however|yet|and)\b|所以|因此|但", re.IGNORECASE
)
_NO = re.compile(
    r"\b(?:not|never|nobody|none|hardly|doubt|deny|denies|wrong to|false that|cannot|without|neither|nor|except"
    r"|refuse|avoid"
    r"|(?:do|does|did|is|are|was|were|wo|would|ca|could|should|have|has)nt|rather than|instead of|unlike|exclud\w+"
    r"|eliminat\w+|rul\w+ out|discard\w*|reject\w*|students?|users?|others|people|someone|somebody|anyone|whoever"
    r"|one (?:might|may|could)|some (?:\w+ )?(?:say|think|claim|believe|argue|would|might|may))\b"
    r"|\b(?:wrong|incorrect|false|tempting|naive|initial|first|previous|common|popular|bad|their|his|her) ?$"
    r"|[不非没沒别別勿]",
    re.IGNORECASE,
)
_STOP = re.compile(r"[.!?\n。！？]|\b(?:but|so|hence|thus|therefore|however)\b", re.IGNORECASE)
_YES = re.compile(r"\bno(?:t)? (?:doubt|question|only)\b|\bcannot be anything but\b", re.IGNORECASE)
_SUPPOSED = re.compile(
    r"\b(?:if|suppose|assum\w+|unless|whether|why|had|were|might|could|may|when)\b|如果|假如|为什么|もし", re.I
)
_AFTER = re.compile(
    r"[)\]]?,? ?(?:\((?:but )?not\b|(?:is|are|was|were|seems?|looks?|being)? ?(?:clearly |also |therefore "
    r"|thus )?(?:not\b(?! (?:option )?[(\[]?[A-Z]\b)|wrong"
    r"|incorrect|false|out|excluded|eliminated|ruled|impossible|too|isnt|arent|fails?|doesnt|cant|cannot|wont)\b"
    r"|(?:选项|項)?"
    r"(?:是)?(?:错|錯|不))",
    re.IGNORECASE,
)
_NAMING = re.compile(
    r"\b(?:wrong|incorrect|false|consider\w*|look(?:ing|ed)? (?:at|into)|about|regarding|examin\w+|check\w*"
    r"|evaluat\w+|case|if|whether|compar\w+|says?"
    r"|mentions?|describes?|states?|claims?|between|step|part|figure|table|point|line|vitamin|group|plan|type|class)\b",
    re.IGNORECASE,
)
_CONDITION = re.compile(r"[^.!?\n。！？]{0,40}\b(?:if|unless|were|had|provided)\b", re.IGNORECASE)
"""What makes a statement before it, with "would", one about another case."""
_RETRACTED = re.compile(
    r"\b(?:wait|hold on|actually|scratch that|correction|on second thought|let me re\w+|i was wrong|my mistake"
    r"|oops|sorry)\b|等等|不对|不對|待って|いや",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"\b(?:vitamin|hepatitis|group|plan|type|class|point|line|figure|table|step|part|case|person|team) $", re.I
)
"""A letter behind such a word is the name of a thing."""
_VERDICT = re.compile(
    r"(?:^|\n|(?<=[.;,!] ))[(\[]?(?P<letter>[A-Z])[)\].:]{1,2}[^.;,\n]{0,80}?(?<![A-Za-z])"
    r"(?:(?P<yes>yes|true|correct|right|✓|✔|✅)|(?P<no>no|not correct|false|incorrect|wrong|✗|✘|❌))(?![A-Za-z])"
    r"[ .;,!]{0,9}(?=$|\n|[(\[]?[A-Z][)\].:])",
    re.IGNORECASE,
)
"""A line of a table that judges each option."""
_SENTENCE = re.compile(r"[^.!?。！？\n]*[.!?。！？\n]?")
_LOOK = 80


@dataclass(frozen=True, slots=True)
class Said:
    """What a text settles on."""

    letters: frozenset[str] = frozenset()
    """Capitals; empty where it settles on none."""
    either: bool = False
    """The letters are alternatives: as a reply that is no answer, as a reference each of them is right."""

    def __bool__(self) -> bool:
        """Whether there is any letter."""
        return bool(self.letters)


NOTHING = Said()


def chosen_letters(text: str) -> Said:
    """Return the letters a reply settles on, whatever letters the question offers."""
    text = after_thinking(text)
    for marked in (last_boxed(text), last_tagged(text)):
        if marked is not None and (said := _alone(without_markup(marked))):
            return said
    text = without_markup(text)
    strong = [one for one in _strong(text) if one[1]]
    weak = [one for one in _weak(text) if one[1]]
    if strong and weak and weak[-1][0] > strong[-1][0] and _RETRACTED.search(text, strong[-1][0], weak[-1][0]):
        return weak[-1][1]
    for found in (strong, weak):
        if found:
            return found[-1][1]
    return _alone(text) or _table(text) or _lone(text)


def without_markup(text: str) -> str:
    """Return a text in which full-width letters, markup, quotes and runs of white space make no difference."""
    text = unicodedata.normalize("NFKC", text).replace("’", "'")
    lines = _BLANKS.sub(" ", _WRAPPING.sub("", text)).split("\n")
    return "\n".join(line.strip() for line in lines).strip()


def _strong(text: str) -> Iterator[tuple[int, Said]]:
    """What is called the answer, with its place, in the order of the text."""
    found = [(m.start(), m) for pattern in STRONG for m in pattern.finditer(text)]
    named = {m.start() for _, m in found}
    for spoken in _SPOKEN.finditer(text):
        tail = _TAILED.match(text, spoken.end()) if spoken.start() not in named else None
        if tail:
            found.append((spoken.start(), tail))
    for start, match in sorted(found, key=lambda pair: (pair[0], pair[1].end())):
        would = match.re in STRONG[:1] and "would" in match["be"].lower()
        if would and _CONDITION.match(text, match.end()):
            continue
        if not _asked(text, match.end()) and not _denied(text, start, supposed=would):
            yield match.end(), _read(match["said"], text, match)


def _weak(text: str) -> Iterator[tuple[int, Said]]:
    """What is chosen, or called right, with its place."""
    found = [m for pattern in WEAK for m in pattern.finditer(text)]
    for match in sorted(found, key=lambda m: (m.end("said"), m.end())):
        start = match.start() if match.re is not _NOT_BUT else match.start("said")
        name = _NAMED.search(text, max(0, match.start("said") - 12), match.start("said"))
        denied = match.re is not _NOT_BUT and _denied(text, start, supposed=True)
        if not name and not denied and not _asked(text, match.end()):
            yield match.end("said"), _read(match["said"], text, match)


def _table(text: str) -> Said:
    """The one option that a table of verdicts calls right, where it calls others wrong."""
    found = list(_VERDICT.finditer(text))
    right = {m["letter"].upper() for m in found if m["yes"]}
    wrong = {m["letter"].upper() for m in found if m["no"]}
    return Said(frozenset(right)) if right and wrong and not right & wrong else NOTHING


def _denied(text: str, start: int, *, supposed: bool) -> bool:
    """Whether the clause before a statement takes it back, gives it to somebody else, or only supposes it."""
    before = text[max(0, start - _LOOK) : start]
    breaks = list(_BREAK.finditer(before))
    clause = before[breaks[-1].end() :] if breaks else before
    sentence = _STOP.split(before)[-1]
    if _NO.search(_YES.sub("", clause)):
        return True
    return supposed and _SUPPOSED.search(sentence) is not None


def _asked(text: str, end: int) -> bool:
    """Whether the sentence that a statement stands in is a question."""
    stop = re.search(r"[.!?\n。！？；;]|吗|嗎", text[end : end + _LOOK])
    return stop is not None and stop[0] in "?？吗嗎"


def _read(said: str, text: str, match: re.Match[str] | None = None) -> Said:
    """A list of letters as they stand in a statement."""
    said = re.sub(r"(?i)\b(?:options?|choices?|answers?|both)\b", "", said).strip()
    if re.fullmatch(r"[A-Z]{2,12}", said):
        run = list(said)
        return Said(frozenset(run)) if run == sorted(set(run)) else NOTHING
    members = list(
        _MEMBER.finditer(re.sub(r"(?i)\b(?:and|or|und|oder|et|ou|either)\b", lambda m: "#" * len(m[0]), said))
    )
    letters = [m[0].upper() for m in members]
    after = _AFTER.match(text, match.end("said")) if match is not None and len(letters) > 1 else None
    if after:
        # "A, B and C are wrong": what is said of several is said of all but the first.
        del letters[1 if re.match(r"[)\]]? ?(?:are|were)\b", after[0]) and len(letters) > 2 else -1 :]
    return Said(frozenset(letters), len(letters) > 1 and _EITHER.search(said) is not None)


def _alone(text: str) -> Said:
    """The letters that a text consists of, or begins with, set apart; or that its last line consists of."""
    text = text.replace(";", ",") if _SEMICOLONS.fullmatch(text) else text
    text = text[1:-1] if text[:1] == "[" and text[-1:] == "]" and "[" not in text[1:] else text
    listed = [m[1] for m in _OPTION_LINE.finditer(text)]
    first = None if listed[:2] == ["A", "B"] else _BARE.match(text)
    if first and _SET_APART.match(text, first.end()) and not _AFTER.match(text, first.end()):
        return _read(first[0], text)
    last = text.rpartition("\n")[2].strip(" .)(:!")
    if _BARE.fullmatch(last):
        return _read(last, text)
    tail = re.fullmatch(r"(?!I )[^\n(.]{1,60}\(([A-Z])\)\.?", text)
    return Said(frozenset(tail[1])) if tail and not _NAMING.search(text) and not _NO.search(text) else NOTHING


def _lone(text: str) -> Said:
    """The only letter of a reply, where its last sentence ends or begins with it and does more than name it."""
    text = _CONTRAST.sub("", text)
    letters = list(_LETTER.finditer(text))
    if len({m[0].strip("()[]").upper() for m in letters}) != 1:
        return NOTHING
    sentences = [m.span() for m in _SENTENCE.finditer(text) if m[0].strip(" .!?\n")]
    start, end = sentences[-1]
    inside = [m for m in letters if start <= m.start() < end]
    if not inside or _NAMING.search(text, start, end) or text[start:end].rstrip().endswith(("?", "？")):
        return NOTHING
    last = inside[-1]
    at_edge = text[last.end() : end].strip(" .!)]。！") == "" or text[start : last.start()].strip() == ""
    denied = _denied(text, last.start(), supposed=True) or _AFTER.match(text, last.end())
    return NOTHING if denied or not at_edge else Said(frozenset(last[0].strip("()[]").upper()))
