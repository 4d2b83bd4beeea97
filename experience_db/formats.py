"""A library in the forms that other programs read. Pure functions: a version and what was measured in, text out.

`skill` is a SKILL.md of Agent Skills, `agents` a section of an AGENTS.md or CLAUDE.md, `chat` and `system` are what
goes into a prompt, `promptfoo` is a prompt file of that program, `dspy` a predictor's saved state, `csv` a table.
`formats_read` reads them back.
"""

from __future__ import annotations

import csv
import io
import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

from experience_db.errors import BadImport
from experience_db.library import Library
from experience_db.records import Evidence, Lesson, effect_of, own_words

LONGEST_NAME = 64
"""Characters of a skill's name; the rule of Agent Skills, like the next two."""
LONGEST_DESCRIPTION = 1024
RESERVED = ("anthropic", "claude")
"""Words that some readers of skills refuse in a name."""
COLUMNS = (
    "id", "text", "tainted", "born", "changed", "problems", "evidence", "estimate", "low", "high", "n", "verdict",
)  # fmt: skip
"""Of the CSV table; `evidence` is the kind of the measurement that speaks for the lesson."""
USER = "{{prompt}}"
"""What stands for the question in a prompt of promptfoo."""
DSPY = "Given the fields `question`, produce the fields `answer`."
"""The instructions that DSPy gives this signature by itself."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "'", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a cell begins that a spreadsheet would run, or that is written as one that would."""
_TAG = re.compile(r"\{[{%#]")

Measured = Sequence[Evidence]
"""Of a library, oldest first, as `Store.evidence` returns it."""


def skill_name(name: str) -> str:
    """Return a library's name by the rules of Agent Skills: a-z, 0-9 and single hyphens within, 64 at most."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    for word in RESERVED:
        plain = plain.replace(word, "-")
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:LONGEST_NAME].strip("-") or "lessons"


def skill(library: Library, measured: Measured = ()) -> str:
    """Return a SKILL.md: front matter, the lessons, and what is known about each."""
    lines = [
        "---",
        f"name: {_quoted(skill_name(library.name))}",
        f"description: {_quoted(_description(library, measured))}",
        "metadata:",
        f"  tfgrpo-library: {_quoted(library.name)}",
        f'  tfgrpo-version: "{library.version}"',
        "---",
        "",
        f"# Lessons of {_in_one_line(library.name)}",
        "",
        "Follow what fits the task.",
        "",
        "## Lessons",
        "",
        *map(item, library),
        "",
        "## Evidence",
        "",
        *(f"- [{lesson.id}] {about(lesson, measured, library.version)}" for lesson in library),
    ]
    return "\n".join(lines) + "\n"


def markers(name: str) -> tuple[str, str]:
    """Return the lines that a library's section of an AGENTS.md begins and ends with."""
    # Quoted, since "--" and ">" would end the comment.
    mark = f"tfgrpo:{quote(name, safe='').replace('-', '%2D')}"
    return f"<!-- {mark} begin -->", f"<!-- {mark} end -->"


def agents_section(library: Library) -> str:
    """Return the section with its markers, without a line end after the last."""
    begin, end = markers(library.name)
    head = f"## Lessons of {_in_one_line(library.name)}, version {library.version}"
    return "\n".join([begin, head, "", *map(item, library), end])


def with_section(text: str, library: Library) -> str:
    """Return an AGENTS.md with the library's section in it: in the place of the old one, else at the end.

    Nothing else of the text changes, and doing it again changes nothing. Line ends are those of the text.

    Raises:
        BadImport: one of the markers is missing, or is there twice.
    """
    begin, end = markers(library.name)
    crlf = "\r\n" in text and text.count("\r\n") == text.count("\n")
    section = agents_section(library)
    section = section.replace("\n", "\r\n") if crlf else section
    starts, stops = (list(re.finditer(rf"(?m)^{re.escape(x)}(?=\r?$)", text)) for x in (begin, end))
    if not starts and not stops:
        line_end = "\r\n" if crlf else "\n"
        ended = text if not text or text.endswith("\n") else text + line_end
        return f"{ended}{line_end if ended else ''}{section}{line_end}"
    if len(starts) != 1 or len(stops) != 1 or starts[0].start() > stops[0].start():
        raise BadImport(
            f"the section of library {library.name!r} is damaged: there shall be one line {begin!r} and below it one "
            f"line {end!r}; mend or delete them, then export again"
        )
    return text[: starts[0].start()] + section + text[stops[0].end() :]


def chat(library: Library) -> str:
    """Return a JSON array with the system message that the lessons make; without lessons it is empty. BadTemplate."""
    return json.dumps(library.inject([]), ensure_ascii=False, indent=2) + "\n"


def system(library: Library) -> str:
    """Return the very text that goes into prompts. Raises BadTemplate."""
    return library.block() + "\n"


def promptfoo(library: Library) -> str:
    """Return a prompt file of promptfoo: the lessons, and `{{prompt}}` as the question. Raises BadTemplate."""
    messages = library.inject([{"role": "user", "content": USER}])
    block = library.block()
    for message in messages:
        message["content"] = str(message["content"]).replace(block, escaped(block)) if block else message["content"]
    return json.dumps(messages, ensure_ascii=False, indent=2) + "\n"


def dspy(library: Library) -> str:
    """Return the saved state of a `dspy.Predict("question -> answer")` with the lessons in its instructions.

    `predictor.load(FILE)` reads it. Raises BadTemplate.
    """
    fields = [{"prefix": f"{x.title()}:", "description": f"${{{x}}}"} for x in ("question", "answer")]
    block = library.block()
    told = DSPY + (f"\n\n{block}" if block else "")
    state: dict[str, object] = {
        "traces": [], "train": [], "demos": [], "signature": {"instructions": told, "fields": fields}, "lm": None,
        "metadata": {"dependency_versions": {}},
    }  # fmt: skip
    return json.dumps(state, ensure_ascii=False, indent=2) + "\n"


def escaped(text: str) -> str:
    """Return text that a Nunjucks or Jinja template shows as it is."""
    return _TAG.sub(lambda m: f"{{{{ '{m[0]}' }}}}", text)


def table(library: Library, measured: Measured = ()) -> str:
    """Return a CSV table: a line for each lesson, with the measurement that speaks for it.

    A text that a spreadsheet would take for a formula has an apostrophe before it, which `formats_read` takes off.
    """
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for lesson in library:
        found = effect(lesson, measured, library.version)
        shown = (found.kind, found.estimate, found.low, found.high, found.n, found.verdict) if found else ("",) * 6
        problems = len({source.problem_id for source in lesson.sources})
        row = [lesson.id, lesson.text, int(lesson.tainted), lesson.born, lesson.changed, problems, *shown]
        writer.writerow([f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell for cell in row])
    return out.getvalue()


def item(lesson: Lesson) -> str:
    """Return a lesson as an item of a list, further lines of it indented."""
    mark = " tainted" if lesson.tainted else ""
    return f"- [{lesson.id}{mark}] " + lesson.text.replace("\n", "\n  ")


def effect(lesson: Lesson, measured: Measured, version: int) -> Evidence | None:
    """Return what speaks for a lesson's present words, measured up to a version."""
    until = (e for e in measured if lesson.id in e.lesson_ids and (e.version or 0) <= version)
    return effect_of(own_words(until, lesson.changed))


def about(lesson: Lesson, measured: Measured, version: int) -> str:
    """Return in words where a lesson comes from and what was measured."""
    found = effect(lesson, measured, version)
    if found is None or found.estimate is None:
        return f"not measured; {lesson.origin}"
    between = f" [{found.low:+.3f}, {found.high:+.3f}]" if found.low is not None and found.high is not None else ""
    return f"{_in_one_line(found.kind)}: {found.estimate:+.3f}{between}, n={found.n}; {lesson.origin}"


def _in_one_line(text: str) -> str:
    """Words that came with an import, where a line end in them would begin a line of an agent's instructions."""
    return " ".join(text.splitlines())


def _description(library: Library, measured: Measured) -> str:
    count = len(library)
    proved = sum(effect(lesson, measured, library.version) is not None for lesson in library)
    name = re.sub(r"[<>]", "", library.name)
    told = (
        f"{count} lesson{'' if count == 1 else 's'} about {name}, learned from earlier attempts; {proved} with a "
        f"measured effect. Use for tasks about {name}."
    )
    return told[:LONGEST_DESCRIPTION]


def _quoted(text: str) -> str:
    """Text as a YAML scalar in double quotes."""
    shown = (f"\\{x}" if x in '"\\' else x if x.isprintable() else f"\\U{ord(x):08x}" for x in text)
    return f'"{"".join(shown)}"'


FORMATS: Mapping[str, Callable[[Library, Measured], str]] = {
    "skill": skill,
    "agents": lambda library, _: agents_section(library) + "\n",
    "chat": lambda library, _: chat(library),
    "system": lambda library, _: system(library),
    "csv": table,
    "promptfoo": lambda library, _: promptfoo(library),
    "dspy": lambda library, _: dspy(library),
}
"""Name -> how a version and its evidence become text."""
