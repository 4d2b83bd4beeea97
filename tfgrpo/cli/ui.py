"""`tfgrpo ui`: the database as pages in a browser on this machine."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from tfgrpo.cli.options import Db, db_path


def ui(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 8020,
    db: Db = None,
) -> None:
    """Show libraries, lessons, runs and what waits for review as pages in a browser, and follow runs as they go on.

    Only this machine can open the pages, and anybody on it may read them. To add, edit, delete, roll back, accept or
    reject, open the second address that is printed: it carries a token that is made anew at each start.

    Example: tfgrpo ui --db experience.db
    """
    from tfgrpo.ui import Settings, serve

    settings = Settings(db_path(db))

    def ready(where: str) -> None:
        typer.echo(f"to read:   {where}/")
        typer.echo(f"to change: {where}/sign-in?token={settings.token}")
        typer.echo("stop with Ctrl-C")

    asyncio.run(serve(settings, port, ready))
