"""What a file of somebody's own seems to hold, and how to learn from it: fields, grader, instructions and split.

Looks at columns alone: their names, how long their texts are, and how often each text recurs. It proposes, in the form
of a command that can be run; nothing is decided by it.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfgrpo.datasets.chats import REFERENCES, chat_column, is_chat, question_and_reply

QUESTIONS = (
    "question", "prompt", "problem", "query", "text", "input", "message", "ticket", "email", "utterance", "instruction",
    "request", "sentence", "review", "comment", "body", "description", "content", "document", "title", "subject",
)  # fmt: skip
ANSWERS = (
    "answer", "label", "labels", "category", "class", "target", "gold", "expected", "intent", "output", "response",
    "solution", "reference", "ground_truth", "completion", "topic", "department", "queue", "tag", "sentiment", "result",
    "sql", "translation", "summary", "ideal", "correct", "reply",
)  # fmt: skip
IDS = ("id", "uid", "uuid", "key", "row_id", "ticket_id", "problem_id", "question_id")
NUMBERED = re.compile(r"(^|_)(ids?|no|nr|num|number|key|code|ref|uid)$")
"""How names of columns end that number their rows: Order No, CaseNumber, ticketId."""
MOST_LABELS = 40
SHORT = 40
"""Characters of a label, at most."""
NUMBER = re.compile(r"[-+−–]?[$€£]?\s{0,3}\d[\d.,\s]{0,60}%?")
LETTERS = re.compile(r"[A-Z](?:\s*[,;]\s*[A-Z])*")
OPTION_A, OPTION_B = (re.compile(rf"(?m)(?:^|\s)\(?{letter}[).:]\s") for letter in "AB")
FORMULA = re.compile(r"\\frac|\\sqrt|\\boxed|\\pi|\^|\$.+\$|[a-z]\s*=\s*-?\d")
FEW = 20
"""Problems to learn from below which a third held out leaves too little for either."""


def lists_options(text: str) -> bool:
    """Whether a question lists options A and B, in this order; the first A decides."""
    first = OPTION_A.search(text)
    return first is not None and OPTION_B.search(text, first.end() - 1) is not None


@dataclass(frozen=True, slots=True)
class Proposal:
    """How to learn from a file."""

    fields: Mapping[str, str]
    """Which column holds what, where it is called otherwise."""
    grader: str
    why: str
    """What speaks for the grader."""
    instructions: str
    heldout: str
    labels: tuple[str, ...] = ()
    """The label set, where the references are one."""
    notes: tuple[str, ...] = ()
    """What to know before a run."""

    def command(self, source: str, model: str = "openai/NAME", *more: str) -> str:
        """Return a command line that learns this way."""
        fields = [word for key, column in self.fields.items() for word in ("--field", f"{key}={column}")]
        told = ["--instructions", self.instructions] if self.instructions else []
        split = ["--heldout", self.heldout] if self.heldout != "0.3" else []
        words = ["tfgrpo", "learn", source, *fields, "--grader", self.grader, *told, *split, "--model", model, *more]
        return shlex.join(words)


WORDY = 5
"""Words that hardly a column's name has."""


def propose(rows: Sequence[Mapping[str, Any]]) -> Proposal:
    """Look at rows and propose how to learn from them."""
    columns = list(dict.fromkeys(str(name) for row in rows for name in row))
    chat = next((name for row in rows[:20] if (name := chat_column(row))), "")
    question = chat or _question(rows, columns)
    answer = _chat_answer(rows) if chat else _answer(rows, columns, question)
    known = _ids(rows, columns, {question, answer})
    fields = {
        key: column
        for key, column in (("question", question), ("answer", answer), ("id", known))
        if column and column != key and not (key == "question" and column in {"prompt", "problem", chat})
    }
    if chat and answer in REFERENCES:
        fields.pop("answer", None)
    texts = [text for row in rows if (text := _told(row, answer))]
    asked = [str(row.get(question) or "") for row in rows]
    if chat and not texts:
        # What ends a conversation is its reference, as it is when the rows are read.
        told = [question_and_reply(row[chat]) for row in rows if is_chat(row.get(chat))]
        asked, texts = [question for question, _ in told], [reply.strip() for _, reply in told if reply]
    grader, why, instructions, labels = _grading(texts, asked, columns)
    notes = (*_headless(question, answer, texts), *_notes(rows, texts, labels))
    return Proposal(fields, grader, why, instructions, _heldout(len(rows)), labels, notes)


def _headless(question: str, answer: str, texts: Sequence[str]) -> tuple[str, ...]:
    """Return a note where the first line of a table looks like a row: columns are called like their cells."""
    if answer not in texts and len(question.split()) < WORDY:
        return ()
    return ("the first line looks like a row, which is lost as a header; put names above it: question,answer",)


def _values(rows: Sequence[Mapping[str, Any]], column: str) -> list[str]:
    return [str(value).strip() for row in rows if (value := row.get(column)) not in (None, "")]


def _named(columns: Sequence[str], known: Sequence[str]) -> str:
    """Return the column whose name is best known; '' where none is."""
    plain = {_plain(name): name for name in reversed(columns)}
    return next((plain[name] for name in known if name in plain), "")


def _plain(name: str) -> str:
    """Return the name of a column in small letters, its words between underscores."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z]+", "_", words.lower()).strip("_")


def _question(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    if found := _named(columns, QUESTIONS):
        return found
    sizes = {name: sum(map(len, _values(rows, name))) for name in columns}
    return max(sizes, key=lambda name: sizes[name]) if sizes else ""


def _answer(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], question: str) -> str:
    rest = [name for name in columns if name != question and _values(rows, name)]
    if found := _named(rest, ANSWERS):
        return found
    sets = [name for name in rest if is_label_set(_values(rows, name))]
    return min(sets, key=lambda name: len(set(_values(rows, name)))) if sets else ""


def _chat_answer(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return where a conversation's reference is, as a path."""
    return next((path for path in REFERENCES for row in rows[:20] if _told(row, path)), "")


def _told(row: Mapping[str, Any], path: str) -> str:
    value: Any = row
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    value = row.get(path, value)
    return str(value).strip() if isinstance(value, str | int | float) and path else ""


def _ids(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], taken: set[str]) -> str:
    rest = [name for name in columns if name not in taken]
    likely = [_named(rest, IDS), *(name for name in rest if NUMBERED.search(_plain(name)))]
    return next((name for name in likely if name and _tells_apart(_values(rows, name), len(rows))), "")


def _tells_apart(values: Sequence[str], rows: int) -> bool:
    """Whether each row has a short value of its own."""
    return rows > 0 and len(set(values)) == rows and all(len(value) <= SHORT for value in values)


def is_label_set(values: Sequence[str]) -> bool:
    """Whether texts are labels: short, few, and each about as often as a class would be."""
    counts = Counter(values)
    if len(values) < 4 or not 2 <= len(counts) <= min(MOST_LABELS, len(values) // 2):
        return False
    return all(len(value) <= SHORT for value in counts) and sum(n for n in counts.values() if n > 1) >= 0.8 * len(
        values
    )


def _grading(  # noqa: PLR0911 - one for each kind of reference
    texts: Sequence[str], asked: Sequence[str], columns: Sequence[str]
) -> tuple[str, str, str, tuple[str, ...]]:
    """Return a grader, what speaks for it, what the model should be told, and the label set."""
    if not texts:
        if _named(columns, ("tests", "test_cases", "cases", "inputs_outputs")):
            return "program", "the rows have tests and no reference", "", ()
        return "judge", "no column looks like a reference: a judge model has to read the answers", "", ()
    if all(map(LETTERS.fullmatch, texts)) and sum(map(lists_options, asked)) > len(asked) / 2:
        said = "Choose one of the options. End with: Answer: LETTER"
        return "choice", "the references are letters and the questions list options", said, ()
    numbers = sum(bool(NUMBER.fullmatch(text)) for text in texts)
    if numbers >= 0.95 * len(texts) and not is_label_set(texts):
        return (
            "numeric",
            "the references are numbers",
            "Reason step by step. End with the number alone: Answer: NUMBER",
            (),
        )
    if is_label_set(texts):
        labels = tuple(sorted(set(texts)))
        said = f"Answer with exactly one of these labels: {', '.join(labels)}. End with: Answer: LABEL"
        return "exact", f"the references are {len(labels)} labels that recur: {', '.join(labels[:12])}", said, labels
    if sum(bool(FORMULA.search(text)) for text in texts) + numbers > len(texts) / 2:
        return (
            "math",
            "the references hold formulas",
            "Reason step by step, and put the final answer into \\boxed{}.",
            (),
        )
    if sum(len(text.split()) <= 6 for text in texts) >= 0.8 * len(texts):
        said = "End with the answer alone, in as few words as it takes: Answer: ..."
        return "web_qa", "the references are short texts, of which wordings may differ", said, ()
    return "judge", "the references are long texts: a judge model has to compare them", "", ()


def _heldout(count: int) -> str:
    return "0.5" if count * 0.7 < FEW else "0.3"


def _notes(rows: Sequence[Mapping[str, Any]], texts: Sequence[str], labels: Sequence[str]) -> tuple[str, ...]:
    notes = []
    if 0 < len(texts) < len(rows):
        notes.append(f"{len(rows) - len(texts)} of {len(rows)} rows have no reference and would stay unscored")
    if labels:
        notes.append(f"{len(labels)} labels: they recur, so lessons may name them")
        most, count = Counter(texts).most_common(1)[0]
        if count > 0.6 * len(texts):
            notes.append(
                f"{most!r} is {count / len(texts):.0%} of the references: always saying it would score as much"
            )
    if len(rows) < 40:
        notes.append(f"with {len(rows)} rows only large effects can be proved; 100 and more show smaller ones")
    return tuple(notes)
