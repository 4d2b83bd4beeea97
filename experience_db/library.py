"""A library version in memory: its lessons, the block they make in a prompt, and where that block goes.

The template is stored with the version, so an app puts into its prompts exactly what learning put there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from experience_db.apply import apply_edits
from experience_db.errors import BadTemplate, UnknownLesson
from experience_db.frames import html_table, to_pandas, to_polars
from experience_db.records import Edit, Lesson
from experience_db.stored_lessons import StoredLessons

if TYPE_CHECKING:
    from experience_db.retrieval import Retrieval

if TYPE_CHECKING:
    from experience_db.live import Session

DEFAULT_TEMPLATE = """{% if lessons %}
Advice; follow what fits this problem:
{% filter fence("lessons") %}
{% for lesson in lessons %}
[{{ lesson.id }}] {{ lesson.text | line }}
{% endfor %}
{% endfilter %}
{% endif %}
"""
"""Used when a library is created without a template of its own; what learning with the prompt set `default` uses."""

PLACES = ("system", "user_end")
"""Where a block can stand: at the end of the system message, or at the end of the user's last message."""

_SYSTEM_ROLES = ("system", "developer")
_PLACE = re.compile(r"\{#(?:(?!#\}|\{#).){0,2000}?\bplace: *(\w+)", re.DOTALL)
_TURNS = re.compile(r"\{#(?:(?!#\}|\{#).){0,2000}?\bexamples: *turns\b", re.DOTALL)
TURNS = "{# examples: turns #}\n"
"""What a template says that wants worked examples as turns of the conversation, in place of lines in its block."""
_EXAMPLE = re.compile(r"Worked example\. Question: (.+?) Answer: (.+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Library:
    """One version of a library; immutable."""

    name: str
    version: int = 0
    """0 is the empty library."""
    lessons: tuple[Lesson, ...] = ()
    """Ordered by id."""
    template: str = DEFAULT_TEMPLATE
    """Jinja source of the block that goes into prompts; wants `lessons`, each with `id` and `text`."""
    next_id: int = 0
    """The id that the next new lesson will get; left at 0 it becomes one more than the highest present."""
    retrieval: Retrieval | None = field(default=None, compare=False, repr=False)
    """How `inject` chooses lessons for a problem; None puts in all of them."""
    db: str | None = field(default=None, compare=False, repr=False)
    """The file it was opened from by `open_library`, where its sessions are kept."""
    pinned: bool = field(default=False, compare=False, repr=False)
    """Whether it was opened at a version by name: its sessions then meet this one and no draw."""
    _block: str | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Fill in `next_id`."""
        if self.next_id < 1:
            object.__setattr__(self, "next_id", 1 + max((lesson.id for lesson in self.lessons), default=0))

    @property
    def stored(self) -> StoredLessons | None:
        """The file that the lessons come from; None for a library made in memory."""
        held = _HELD.__get__(self)
        return held if isinstance(held, StoredLessons) else None

    def __len__(self) -> int:
        return len(_HELD.__get__(self))

    def __iter__(self) -> Iterator[Lesson]:
        return iter(self.lessons)

    def __repr__(self) -> str:
        """Return one line: name, version, how many lessons."""
        count = len(self)
        return f"Library({self.name!r}, version {self.version}, {count} lesson{'' if count == 1 else 's'})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the lessons."""
        rows = [(lesson.id, lesson.text, lesson.origin) for lesson in self.lessons]
        return html_table(f"Library {self.name!r}, version {self.version}", ("id", "lesson", "from"), rows)

    def records(self) -> list[dict[str, Any]]:
        """Return a plain row for each lesson."""
        return [
            {"id": x.id, "text": x.text, "born": x.born, "changed": x.changed, "tainted": x.tainted,
             "problems": sorted({source.problem_id for source in x.sources})}
            for x in self.lessons
        ]  # fmt: skip

    def to_pandas(self) -> Any:
        """Return `records()` as a pandas DataFrame; raises ImportError where pandas is not installed."""
        return to_pandas(self.records())

    def to_polars(self) -> Any:
        """Return `records()` as a polars DataFrame; raises ImportError where polars is not installed."""
        return to_polars(self.records())

    def lesson(self, lesson_id: int) -> Lesson:
        """Return the lesson of that id, or raise UnknownLesson."""
        for lesson in self.some((lesson_id,)):
            return lesson
        raise UnknownLesson(f"version {self.version} of library {self.name!r} has no lesson {lesson_id}")

    def some(self, ids: Collection[int]) -> tuple[Lesson, ...]:
        """Return those lessons of `ids` that are there, by id; of a large library no others are read."""
        stored = self.stored
        return tuple(x for x in self.lessons if x.id in ids) if stored is None else stored.some(ids)

    def block(self) -> str:
        """Return the text that goes into prompts; empty when there are no lessons. Raises BadTemplate."""
        if not self.lessons:
            return ""
        if self._block is None:
            # A version never changes, and every rollout asks for this.
            object.__setattr__(self, "_block", _rendered(self.template, self.lessons))
        return self._block or ""

    def altered(self, **changes: Any) -> Library:
        """Return the same lessons with other fields; unlike `dataclasses.replace` it reads none of them."""
        kept = {f.name: getattr(self, f.name) for f in fields(self) if f.init and f.name != "lessons"}
        return Library(**kept | {"lessons": _HELD.__get__(self)} | changes)

    def suited(self, problem: object = None, messages: Sequence[Mapping[str, Any]] = ()) -> Library:
        """Return the library with the lessons that suit a problem alone; without a `retrieval` that is all of them."""
        if self.retrieval is None or not len(self):
            return self
        return self.retrieval.chosen(self, question_of(problem, messages))

    @property
    def place(self) -> str:
        """Where the block stands, one of PLACES; the template says it. Raises BadTemplate."""
        return place_of(self.template)

    def inject(self, messages: Sequence[Mapping[str, Any]], problem: object = None) -> list[dict[str, Any]]:
        """Return new OpenAI-style messages that carry the lessons; the given ones are not changed.

        Where the place is `system`, the block ends the first system (or developer) message, after a blank line;
        without one it becomes a new leading system message. Where it is `user_end`, it ends the last message of the
        user; without one it is placed as for `system`. Where the template asks for examples as turns, worked examples
        leave the block and become a turn of the user and one of the assistant each, before the user's first message.

        With a `retrieval` only the lessons that suit `problem` go in (a text, or something with a question); without a
        problem those that suit what the user said last. Without a retrieval the whole library goes in.
        """
        if self.retrieval is not None:
            return replace(self.suited(problem, messages), retrieval=None).inject(messages)
        copies = [dict(message) for message in messages]
        if wants_turns(self.template) and (shown := {x.id: pair for x in self if (pair := example_of(x.text))}):
            rest = replace(self, lessons=tuple(x for x in self if x.id not in shown))
            return _with_turns(rest.inject(copies, problem), list(shown.values()))
        block = self.block()
        if not block:
            return copies
        users = [message for message in copies if message.get("role") == "user"]
        if self.place == "user_end" and users:
            users[-1]["content"] = _extended(users[-1].get("content"), block)
            return copies
        for message in copies:
            if message.get("role") in _SYSTEM_ROLES:
                message["content"] = _extended(message.get("content"), block)
                return copies
        return [{"role": "system", "content": block}, *copies]

    def session(
        self,
        task: str = "",
        *,
        user: object = None,
        tainted: bool = True,
        draw: Callable[[], float] | None = None,
        hide: Callable[[str], str] | None = None,
    ) -> Session:
        """Return a session to enter with `with` or `async with`: it meets a version by a logged draw.

        Args:
            task: what it is about, in words; sessions with the same or a similar task are compared.
            user: whatever tells users apart; only a hash is kept. One user alone promotes nothing.
            tainted: strangers may have written some of it; lessons out of such sessions wait for a person.
            draw: gives a uniform number from [0, 1); None draws by the system's generator.
            hide: takes out what shall not be kept; None takes out keys, passwords and personal numbers.
        """
        from experience_db.live import session_of  # noqa: PLC0415 - loads asyncio

        return session_of(self, task, user, tainted=tainted, draw=draw, hide=hide)

    def report(
        self, session: str, reward: float | None = None, *, outcome: str | None = None, feedback: str = ""
    ) -> None:
        """Say what came of a session that has ended, by its id. Raises StoreError, UnknownSession or InvalidEdit."""
        from experience_db.live import report_later  # noqa: PLC0415

        report_later(self, session, reward, outcome, feedback)

    def like(self, other: Library) -> Library:
        """Return `other`, opened from where this one was."""
        return replace(other, db=self.db, pinned=self.pinned)

    def with_edits(self, edits: Sequence[Edit]) -> Library:
        """Return the candidate that these edits would make; nothing is stored and the version stays the same.

        Raises InvalidEdit, ConflictingEdits or UnknownLesson as `apply_edits` does.
        """
        applied = apply_edits(self.lessons, edits, version=self.version + 1, next_id=self.next_id)
        return replace(self, lessons=applied.lessons, next_id=applied.next_id)


_HELD: Any = Library.__dict__["lessons"]
"""The slot itself: it holds a tuple, or where to read one when somebody asks for it."""


def _lessons(library: Library) -> Any:
    held = _HELD.__get__(library)
    return held.all() if isinstance(held, StoredLessons) else held


# After the class was made: a dataclass takes a property in its body for a default value.
setattr(Library, "lessons", property(_lessons, _HELD.__set__))  # noqa: B010


@lru_cache(maxsize=64)
def place_of(template: str) -> str:
    """Return where a template wants its block: what a comment of it says as `place: user_end`, else `system`.

    Raises:
        BadTemplate: there is no such place.
    """
    said = _PLACE.search(template)
    place = said.group(1) if said else PLACES[0]
    if place not in PLACES:
        raise BadTemplate(f"the lessons template asks for the place {place!r}; there are: {', '.join(PLACES)}")
    return place


def wants_turns(template: str) -> bool:
    """Say whether a template wants worked examples as turns."""
    return bool(_TURNS.search(template))


def example_text(question: str, answer: str) -> str:
    """Return a worked example as a lesson; raises ValueError where its question could not be told from its answer."""
    question, answer = " ".join(question.split()), " ".join(answer.split())
    text = f"Worked example. Question: {question} Answer: {answer}"
    if example_of(text) != (question, answer):
        raise ValueError("a worked example needs a question and an answer, and no 'Answer:' in the question")
    return text


def example_of(text: str) -> tuple[str, str] | None:
    """Return question and answer of a lesson that is a worked example; None where it is another one."""
    found = _EXAMPLE.fullmatch(text)
    return (found.group(1), found.group(2)) if found else None


def placed(template: str, place: str) -> str:
    """Return a template that asks for `place`, whatever it asked for before. Raises BadTemplate."""
    if place_of(template) == place:
        return template
    bare = re.sub(r"\{# place: \w+ #\}\n?", "", template)
    made = f"{{# place: {place} #}}\n{bare}"
    place_of(made)
    return made


def check_template(template: str) -> None:
    """Render a template once with a made-up lesson; raises BadTemplate."""
    place_of(template)
    _rendered(template, (Lesson(1, "text", 1, 1),))


def frame(template: str) -> str:
    """Return what a template says around its lessons: its rendering of one lesson without words. Raises BadTemplate."""
    return _rendered(template, (Lesson(1, "", 1, 1),))


def _rendered(template: str, lessons: Sequence[Lesson]) -> str:
    # Jinja takes a third of the time that a command needs to list lessons, and lists show no block.
    from experience_db.template_rules import rendered  # noqa: PLC0415

    return rendered(template, lessons)


def _with_turns(messages: list[dict[str, Any]], shown: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Messages with worked examples before the user's first one; at the end where the user says nothing."""
    at = next((i for i, message in enumerate(messages) if message.get("role") == "user"), len(messages))
    turns = [
        {"role": role, "content": text}
        for pair in shown
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    return [*messages[:at], *turns, *messages[at:]]


def question_of(problem: object, messages: Sequence[Mapping[str, Any]]) -> str:
    """Return what lessons are looked for: the problem's question, its text, or what the user said last."""
    if isinstance(problem, str):
        return problem
    if isinstance(problem, Mapping):
        said = next((problem[key] for key in ("question", "prompt", "problem") if key in problem), None)
    else:
        said = getattr(problem, "question", None)
    if said is not None:
        return str(said)
    users = [message.get("content") for message in messages if message.get("role") == "user"]
    return _said(users[-1]) if users else ""


def _said(content: Any) -> str:
    if isinstance(content, list | tuple):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return str(content or "")


def _extended(content: Any, block: str) -> Any:
    """Content with the block at its end; text, a list of parts, one part or nothing. Raises TypeError."""
    if not content:
        return block
    if isinstance(content, str):
        return f"{content}\n\n{block}"
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list | tuple):
        kind = type(content).__name__
        raise TypeError(f"the content of the system message is of type {kind}; give text or a list of parts")
    return [*content, {"type": "text", "text": f"\n\n{block}"}]
