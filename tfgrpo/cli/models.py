"""`tfgrpo models`: the embedded model as an endpoint, and what an endpoint can do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from tfgrpo.errors import UsageError


def list_() -> None:
    """List the models that need no key."""
    from tfgrpo.backends.tiny.model import load

    model = load()
    typer.echo(
        f"tiny  {model.network.vocabulary} tokens of vocabulary, {model.max_length} of context, embedded; a test-bed"
    )


def serve(
    model: Annotated[str, typer.Argument(help="tiny.")] = "tiny",
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
) -> None:
    """Serve the embedded model as an OpenAI-compatible endpoint, until Ctrl-C."""
    if model != "tiny":
        raise UsageError(f"only tiny is embedded, not {model!r}; serve other models with vLLM and use --base-url")
    from tfgrpo.backends.tiny.model import load
    from tfgrpo.serve import serve as serve_

    def ready(where: str) -> None:
        typer.echo(f"tiny is served at {where}; stop with Ctrl-C")

    asyncio.run(serve_(load(), host, port, on_ready=ready))


COMMANDS: Mapping[str, Callable[..., None]] = {"list": list_, "serve": serve}
