"""`tfgrpo mcp`: a library for agents whose host speaks the Model Context Protocol."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from tfgrpo.cli.lesson_words import lesson_count
from tfgrpo.cli.options import Db, db_path


def mcp(
    library: Annotated[str, typer.Option(help="NAME, or NAME@VERSION to stay with one version.")] = "default",
    db: Db = None,
    http: Annotated[
        int | None,
        typer.Option(
            "--http", min=0, max=65535, help="Serve over streamable HTTP on this port of 127.0.0.1; 0 takes a free one."
        ),
    ] = None,
) -> None:
    """Serve a library to agents over MCP: lessons as resources, the block as a prompt, and tools to search and report.

    Over stdin and stdout unless --http is given: the command stands in the configuration of the agent's host, which
    starts it. Proposed lessons wait for `tfgrpo lessons review`. New versions are seen at once.

    Example: tfgrpo mcp --library support
    """
    from tfgrpo.mcp_server import require_sdk, serve_http, serve_stdio
    from tfgrpo.proxy.library_routing import LibraryRouting

    require_sdk()
    served = LibraryRouting(db_path(db).absolute(), library)
    served.open()

    def ready(where: str) -> None:
        shown = served.library(library)
        # stdout belongs to the protocol.
        typer.echo(f"serving {shown.name}@{shown.version} ({lesson_count(len(shown))}) over {where}", err=True)

    # A server has no other end than Ctrl-C: both transports have closed by then.
    try:
        if http is None:
            ready("stdin and stdout")
            asyncio.run(serve_stdio(served))
        else:
            asyncio.run(serve_http(served, http, lambda url: ready(f"{url}; stop with Ctrl-C")))
    except KeyboardInterrupt:
        pass
    finally:
        served.close()
