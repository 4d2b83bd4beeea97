"""Libraries as files: one JSON object that carries lessons with their evidence, and plain lists that people write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from experience_db.codec import nan_to_none, sources_of
from experience_db.errors import BadImport
from experience_db.history import plan_restore, renumbered
from experience_db.lesson_lists import TAINTED, read_list
from experience_db.libraries import Libraries
from experience_db.library import Library
from experience_db.records import BROUGHT, Edit, Evidence, Lesson, Op

FORMAT = "experience_db/1"
"""Name and version of the export format."""


class Exchange(Libraries):
    """The part of the store that exports and imports libraries."""

    def export(self, name: str, version: int | None = None) -> dict[str, Any]:
        """One version as a JSON-able object: template, lessons with sources, and the evidence up to that version."""
        library = self.library(name, version)
        evidence = [e for e in self.evidence(name) if (e.version or 0) <= library.version]
        return {
            "format": FORMAT,
            "library": name,
            "version": library.version,
            "template": library.template,
            "lessons": [asdict(lesson) for lesson in library],
            "evidence": [nan_to_none(asdict(item)) for item in evidence if _speaks_about(item, library)],
        }

    def import_(self, exported: Mapping[str, Any], name: str, *, allow_template: bool = False) -> Library:
        """Bring an export in as one new version of a library, which is created when it is not there.

        A library without history takes the template and the very lesson ids; another one gets the lessons under new
        ids. Evidence follows its lessons. A template that does more than show lessons needs `allow_template`.

        Raises BadImport or BadTemplate.
        """
        template, lessons, evidence = _checked(exported)
        if not allow_template:
            from experience_db.template_rules import require_plain  # noqa: PLC0415 - see Library.block

            require_plain(template)
        note = f"import of {exported.get('library')} version {exported.get('version')}"
        with self.atomic():
            head = self.create_library(name, template)
            if head.version == 0:
                change = plan_restore(head, renumbered(lessons, 1), template, note)
                made = self._advance(head, change, note, (None, None))
                new_ids = {lesson.id: lesson.id for lesson in lessons}
            else:
                edits = [Edit(Op.ADD, x.text, reason=note, sources=x.sources, tainted=x.tainted) for x in lessons]
                made = self.commit(name, edits, parent=head.version, note=note)
                new_ids = {lesson.id: head.next_id + i for i, lesson in enumerate(lessons)}
            for item in evidence:
                ids = tuple(new_ids[i] for i in item.lesson_ids if i in new_ids)
                if ids or not item.lesson_ids:
                    brought = {BROUGHT: f"{exported.get('library')}@{item.version}", **item.detail}
                    kept = replace(item, lesson_ids=ids, detail=brought)
                    self._insert_evidence(name, made.version, kept, None, None)
            return made

    def import_texts(self, texts: Sequence[str | Edit], name: str, *, note: str = "import") -> Library:
        """Add lessons, as plain texts or ADDs, as one new version of a library, which is created when need be."""
        edits = [Edit(Op.ADD, text) if isinstance(text, str) else text for text in texts]
        with self.atomic():
            head = self.create_library(name)
            return self.commit(name, edits, parent=head.version, note=note)

    def export_markdown(self, name: str, version: int | None = None) -> str:
        """One version as a Markdown list for people, with what was measured about each lesson."""
        library = self.library(name, version)
        lines = [f"# {name}, version {library.version}", ""]
        for lesson in library:
            lines.append(f"- [{lesson.id}] " + lesson.text.replace("\n", "\n  "))
            lines += [f"  - {TAINTED}"] if lesson.tainted else []
            lines += [f"  - {_in_words(item)}" for item in self.evidence(name, lesson.id)]
        return "\n".join(lines) + "\n"


def lesson_texts(text: str) -> tuple[str, ...]:
    """Lesson texts from a file; see `lesson_lists.read_list`."""
    return tuple(edit.text or "" for edit in read_list(text).edits)


def lesson_edits(text: str) -> tuple[Edit, ...]:
    """ADDs from a file; see `lesson_lists.read_list`."""
    return read_list(text).edits


def _checked(exported: Mapping[str, Any]) -> tuple[str, tuple[Lesson, ...], tuple[Evidence, ...]]:
    """Template, lessons and evidence of an export whose shape has been looked at."""
    if exported.get("format") != FORMAT:
        raise BadImport(f"this is no {FORMAT} export (format: {exported.get('format')!r}); export it anew")
    try:
        lessons = tuple(
            replace(Lesson(**row), text=str(row["text"]), id=int(row["id"]), sources=sources_of(row["sources"]))
            for row in exported["lessons"]
        )
        evidence = tuple(
            replace(Evidence(**row), lesson_ids=tuple(row.get("lesson_ids", ()))) for row in exported["evidence"]
        )
        template = str(exported["template"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadImport(f"the export is damaged ({type(error).__name__}: {error}); export it anew") from error
    ids = [lesson.id for lesson in lessons]
    if len(set(ids)) != len(ids) or any(i < 1 for i in ids):
        raise BadImport("the export is damaged: lesson ids must be positive and all different; export it anew")
    return template, lessons, evidence


def _speaks_about(item: Evidence, library: Library) -> bool:
    return not item.lesson_ids or any(lesson.id in item.lesson_ids for lesson in library)


def _in_words(item: Evidence) -> str:
    effect = "no estimate" if item.estimate is None else f"{item.estimate:+.3f}"
    if item.low is not None and item.high is not None:
        effect += f" [{item.low:+.3f}, {item.high:+.3f}]"
    return f"{item.kind}: {effect}, n={item.n}" + (f", {item.verdict}" if item.verdict else "")
