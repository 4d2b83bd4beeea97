"""For the site: a link to a file beside docs/ becomes the name of that file, which is no page."""

import re
from typing import Any

OUTSIDE = re.compile(r"\[([^\]]+)\]\(\.\./([^)\s]+)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return a page without links that lead out of the site; MkDocs calls this."""
    return OUTSIDE.sub(r"\1 (`\2`)", markdown)
