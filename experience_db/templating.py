"""The one way templates are rendered: sandboxed, strict, the same bytes for an app as for the learner.

The block of lessons is a template that travels with the library. It may use the filters `fence` and `line`.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from jinja2 import BaseLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment


def environment(loader: BaseLoader | None = None) -> ImmutableSandboxedEnvironment:
    """Return a Jinja environment in which a missing variable is an error and no text is ever a template."""
    made = ImmutableSandboxedEnvironment(
        loader=loader,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
        auto_reload=False,
    )
    filters: dict[str, Any] = {**made.filters, "fence": fence, "line": line}
    made.filters = filters
    return made


def fence(text: object, tag: str = "text") -> str:
    """Put text of unknown origin between `<tag-xxxxxxxx>` and `</tag-xxxxxxxx>`.

    The eight hex digits are a hash of tag and text: hard to guess for who wrote the text, yet the same in every run, so
    that prompts can be replayed. Whatever in the text looks like a closing tag, or like any fence, is escaped as well.
    """
    body = str(text).strip("\n")
    name = f"{tag}-{hashlib.sha256(f'{tag}:{body}'.encode()).hexdigest()[:8]}"
    body = re.sub(
        rf"<(?=\s*+/\s*+{re.escape(tag)}\b|\s*+(?:/\s*+)?+\w+-[0-9a-f]{{8}}\b)", "&lt;", body, flags=re.IGNORECASE
    )
    return f"<{name}>\n{body}\n</{name}>"


def line(text: object) -> str:
    """Put text on one line, so that it cannot pose as the next item of a list."""
    return " ".join(str(text).split())
