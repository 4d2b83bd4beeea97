"""Without own tasks: candidates out of what is there, for a person to read, correct and accept; none is used unseen.

Sessions of coding agents, traces and results of other tools, issues as written by `gh issue list --json
number,title,body,comments`, and a README's commands. A candidate has a question, the answer that was found where one
was, a check that fits it, and where it comes from; `accepted` is false until a person says otherwise, and `prove`
refuses it until then.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tfgrpo.errors import BadRow, UsageError
from tfgrpo.readers import read
from tfgrpo.readers.row import content_id, text_of
from tfgrpo.system.untrusted_json import fault_of, loads

SHORT = 60
"""Characters up to which an answer is compared as it is; a longer one wants a judge or words of its own."""
WORDS = 4
"""Words up to which an answer is compared as it is: no two models write the same sentence."""
FIGURE = re.compile(r"(?<![\w.,:-])[-+]?\d[\d,]*(?:\.\d+)?(?![\w,:-]|\.\d)")
QUOTED = re.compile(r"`([^`\n]{1,60})`|\*\*([^*\n]{1,60})\*\*")
COMMAND = "\nWhich command does that? Answer with the command alone."
LONGEST = 6000
"""Characters of a question; more is no task but a document."""
FENCE = re.compile(r"^```(?:bash|sh|shell|console|text)?[ \t]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#{1,6}[ \t]+(?=[^ \t#\n])([^\n]*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A task that a program proposes."""

    id: str
    question: str
    answer: str | None
    """What was found as the right answer; None where a person must say."""
    check: str
    """Grader that fits: `exact`, `numeric` or `judge`; '' where there is no answer yet."""
    source: str
    """Where it comes from."""
    reason: str
    """Why it may be a task, and what to look at before accepting it."""
    accepted: bool = False

    def row(self) -> dict[str, Any]:
        """Return it as a row of a dataset."""
        return asdict(self)


def candidates(place: Path) -> tuple[Candidate, ...]:
    """Return candidates out of a file or a folder, each question once.

    Raises:
        UsageError: nothing that could become a task.
        BadRow: a file that cannot be parsed.
    """
    if place.suffix.lower() in (".md", ".markdown", ".rst", ".txt"):
        found: Iterable[Candidate] = _readme(place)
    elif issues := _issues(place):
        found = [_issue(place, issue) for issue in issues]
    else:
        found = _stored(place)
    unique = {c.id: c for c in found if c.question.strip()}
    if not unique:
        raise UsageError(f"{place} holds nothing that could become a task")
    return tuple(unique.values())


def check_of(answer: str | None) -> str:
    """Return the grader that fits an answer."""
    if not answer:
        return ""
    if re.fullmatch(r"[-+]?\d[\d,]*(\.\d+)?", answer.strip()):
        return "numeric"
    short = len(answer) <= SHORT and len(answer.split()) <= WORDS and "\n" not in answer.strip()
    return "exact" if short else "judge"


def core_of(said: str) -> str:
    """Return the one figure, or the one quoted name, of a short sentence; else what was said as it is.

    A sentence that another model would word otherwise is no answer to compare with; what it names is one.
    """
    line = said.strip()
    if len(line) > 200 or "\n" in line or check_of(line) != "judge":
        return said
    named = [one or other for one, other in QUOTED.findall(line)]
    figures = FIGURE.findall(QUOTED.sub(" ", line))
    return (named + figures)[0] if len(named + figures) == 1 else said


def _stored(place: Path) -> list[Candidate]:
    """Return a candidate per item of sessions, traces or results; a right answer of a run is proposed as the answer."""
    stored, found = read(place), []
    solved = {row.id: row.text for row in stored.rows if row.score == 1.0 and row.text}
    for row in stored.rows:
        answer = row.answer or solved.get(row.id) or (row.text if row.messages and row.score is None else None)
        said = "the reference of the file" if row.answer else ("a run that was right" if row.id in solved else "")
        why = f"answer: {said}" if said else ("answer: what was said last; read it" if answer else "say the answer")
        if answer and not row.answer and (core := core_of(answer)) != answer:
            answer, why = core, f"{why}; out of: {answer.strip()}"
        found.append(_candidate(row.question, answer, f"{place} {row.id}", why))
    return found


def _issues(place: Path) -> Sequence[Mapping[str, Any]]:
    if place.suffix.lower() != ".json" or not place.is_file():
        return ()
    try:
        value = loads(place.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise BadRow(f"{place}: not JSON ({fault_of(error)})") from error
    rows = value if isinstance(value, list) else []
    return [r for r in rows if isinstance(r, Mapping) and r.get("title") and "body" in r]


def _issue(place: Path, issue: Mapping[str, Any]) -> Candidate:
    comments = [c for c in issue.get("comments") or () if isinstance(c, Mapping)]
    last = text_of(comments[-1].get("body")).strip() if comments else ""
    question = f"{issue['title']}\n\n{text_of(issue.get('body'))}".strip()
    name = f"{place} #{issue.get('number', '')}"
    why = "answer: the last comment; read it" if last else "say what a right answer is"
    return _candidate(question, last or None, name, why)


def _readme(place: Path) -> list[Candidate]:
    """Return a candidate per command block: what its heading and the words before it promise, and the command."""
    try:
        text = place.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{place} cannot be read as UTF-8 text: {error}") from error
    found = []
    for block in FENCE.finditer(text):
        command = next((line.removeprefix("$ ").strip() for line in block[1].splitlines() if line.strip()), "")
        heading = next(
            (h[1].rstrip(" \t#") for h in reversed(list(HEADING.finditer(text, 0, block.start())))), place.stem
        )
        before = text[: block.start()].rstrip().rpartition("\n\n")[2]
        told = "" if before.lstrip().startswith(("#", "```", "|")) else " ".join(before.split())
        if command:
            question = f"{heading}. {told}{COMMAND}".strip()
            named = _candidate(question, command, str(place), "answer: the command of the README")
            found.append(replace(named, check="exact"))
    return found


def _candidate(question: str, answer: str | None, source: str, reason: str) -> Candidate:
    question, cut = question.strip(), len(question) > LONGEST
    told = f"{reason}; the question was cut" if cut else reason
    return Candidate(content_id(question), question[:LONGEST], answer, check_of(answer), source, told)


def load(place: Path) -> tuple[dict[str, Any], ...]:
    """Return the rows of a file of candidates; raises BadRow for a line that is none."""
    rows = []
    for number, line in enumerate(place.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                row = loads(line)
            except ValueError as error:
                raise BadRow(f"{place}:{number}: not JSON ({fault_of(error)})") from error
            if not isinstance(row, dict) or "question" not in row:
                raise BadRow(f"{place}:{number}: no task; write the file with `tfgrpo tasks from`")
            rows.append(row)
    return tuple(rows)


def accept(rows: Sequence[Mapping[str, Any]], ids: Iterable[str] | None) -> tuple[dict[str, Any], ...]:
    """Return rows of which those with these ids (None: all) are accepted.

    Raises:
        UsageError: an id that is not there, or a task without an answer: say the answer first.
    """
    wanted = set(ids) if ids is not None else {str(row.get("id")) for row in rows}
    known = {str(row.get("id")) for row in rows}
    if missing := sorted(wanted - known):
        raise UsageError(f"no candidate {missing[0]!r}; there are: {', '.join(sorted(known)[:8])}")
    for row in rows:
        if str(row.get("id")) in wanted and row.get("answer") in (None, ""):
            raise UsageError(f"candidate {row.get('id')} has no answer; write one into the file, then accept it")
    return tuple({**row, "accepted": row.get("accepted") is True or str(row.get("id")) in wanted} for row in rows)


def hide_keys(found: Sequence[Candidate], hide: Any) -> tuple[Candidate, ...]:
    """Return candidates whose texts went through `hide`, which takes keys out."""
    return tuple(
        replace(c, question=hide(c.question), answer=None if c.answer is None else hide(c.answer)) for c in found
    )
