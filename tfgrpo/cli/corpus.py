"""`tfgrpo corpus`: a file of pages as a small web of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer


def serve(
    files: Annotated[list[Path], typer.Argument(help="JSONL files of pages: url, title, text (and html), one a line.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8090,
) -> None:
    """Serve pages with BM25 search over HTTP, for web_search and fetch_page, until Ctrl-C."""
    from tfgrpo import corpus

    index = corpus.Index(corpus.load(files))

    def ready(where: str) -> None:
        typer.echo(f"{len(index.pages)} pages ({index.identity}) are served at {where}; stop with Ctrl-C")
        typer.echo(f"search: {where}/search?q=WORDS&k=10   page: {where}/page?url=ADDRESS")

    asyncio.run(corpus.serve(index, host, port, on_ready=ready))
