"""The experience library: lessons, their versions, their edits and the evidence for each, in one SQLite file."""

from experience_db.records import AppliedEdit, Edit, Evidence, Lesson, Op, Source, Version

__all__ = ["AppliedEdit", "Edit", "Evidence", "Lesson", "Op", "Source", "Version"]
