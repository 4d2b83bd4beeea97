"""The process that reads pages: HTML by trafilatura, PDF by pypdf. What hangs or fills it is killed.

Started by `tfgrpo.system.workers`: a request is `{"kind": "html"|"pdf", "body": base64, "charset", "url"}`, a reply
`{"title", "date", "text"}` or `{"error"}`.
"""

from __future__ import annotations

import base64
import codecs
import io
import json
import os
import resource
import sys
from contextlib import suppress
from typing import Any

from tfgrpo.boundary import boundary
from tfgrpo.errors import EnvironmentFailed

_MEMORY = 2**31
"""Bytes of address space."""
PDF_PAGES = 200
"""Pages of a PDF that are read."""


def read_html(body: bytes, charset: str, url: str) -> dict[str, Any]:
    """Title, date and the main text of a page as Markdown with links."""
    from trafilatura import bare_extraction, html2txt  # noqa: PLC0415 - only here
    from trafilatura.utils import decode_file  # noqa: PLC0415

    # What the server says about the encoding counts; else trafilatura guesses.
    page = body.decode(charset, "replace") if _known(charset) else decode_file(body)
    if "<html" not in page[:4096].lower():
        page = f"<html><body>{page}</body></html>"
    found = bare_extraction(
        page, url=url, include_links=True, include_formatting=True, include_tables=True, with_metadata=True
    )
    text = (found.text if found else "") or html2txt(page)
    return {"title": (found and found.title) or "", "date": (found and found.date) or "", "text": text or ""}


def read_pdf(body: bytes, charset: str, url: str) -> dict[str, Any]:
    """Title, date and text of a PDF, its pages apart."""
    from pypdf import PdfReader  # noqa: PLC0415 - only here

    reader = PdfReader(io.BytesIO(body))
    about = reader.metadata
    pages = [reader.pages[i].extract_text() for i in range(min(len(reader.pages), PDF_PAGES))]
    created = about.creation_date if about else None
    return {
        "title": str((about and about.title) or ""),
        "date": created.date().isoformat() if created else "",
        "text": "\n\n".join(page.strip() for page in pages if page.strip()),
    }


def _known(charset: str) -> bool:
    try:
        codecs.lookup(charset)
    except LookupError:
        return False
    return True


READERS = {"html": read_html, "pdf": read_pdf}


def main() -> None:
    """Answer requests until the pipe closes."""
    replies = os.fdopen(os.dup(1), "wb", buffering=0)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    sys.setrecursionlimit(5_000)
    # Some systems know the limit and refuse to set it.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    read_html(b"<p>ready</p>", "utf-8", "https://a.example/")
    replies.write(b'{"ready": true}\n')
    for line in sys.stdin.buffer:
        request = json.loads(line)
        try:
            with boundary(EnvironmentFailed, f"reading the {request['kind']}"):
                body = base64.b64decode(request["body"])
                reply = READERS[request["kind"]](body, request["charset"], request["url"])
        except EnvironmentFailed as error:
            reply = {"error": str(error)}
        replies.write(json.dumps(reply).encode() + b"\n")
