"""What a scanner says: a kind, and a reason that people can act on and that repeats nothing dangerous."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

LONGEST = 60
"""Characters of a lesson that a reason quotes."""


class Kind(StrEnum):
    """What was found."""

    INSTRUCTION = "instruction"
    """Orders to the agent, its harness or its graders instead of advice on problems."""
    URL = "url"
    """A web, mail or network address."""
    SECRET = "secret"  # noqa: S105 - the name of a kind
    """A key, a password, or text random enough to be one."""
    PERSONAL = "personal"
    """A number that belongs to a person: of a card, an account, an identity paper."""
    CODE = "code"
    """A command, program text or a template."""
    INVISIBLE = "invisible"
    """Characters that people do not see or mistake for others."""
    MARKUP = "markup"
    """HTML, Markdown images and links, tokens of chat templates."""


KINDS = tuple(Kind)


@dataclass(frozen=True, slots=True)
class Finding:
    """One reason to look twice."""

    kind: Kind
    reason: str


def quoted(text: str) -> str:
    """Return a piece of a lesson for a message: on one line, short, in quotes."""
    line = " ".join(text.split())
    return repr(line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}...")


def described(findings: Iterable[Finding]) -> str:
    """Return findings as one line: `url: it names an address: 'a.example'; code: ...`."""
    return "; ".join(f"{found.kind}: {found.reason}" for found in findings)
