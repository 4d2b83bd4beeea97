"""`tfgrpo proxy`: lessons for any app that lets its base URL be set."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import Annotated, Any

import typer

from tfgrpo import config as configuration
from tfgrpo.cli.options import Db, db_path
from tfgrpo.errors import UsageError

Retrieval = Annotated[
    str, typer.Option(help="Lessons of a request: all, those that share words (fts), are near (embedding), or hybrid.")
]
Embedding = Annotated[
    str, typer.Option(metavar="MODEL", help="What embeds: static:FOLDER, or openai/NAME of a /v1/embeddings.")
]
EmbeddingUrl = Annotated[str, typer.Option(help="Base URL of that endpoint; the upstream where none is given.")]
Default = Annotated[
    str, typer.Option(help="NAME or NAME@VERSION for requests that name none; empty adds nothing to them.")
]
Room = Annotated[int, typer.Option(min=1, help="Room for the lessons that are chosen, in tokens.")]
TokenEnv = Annotated[str, typer.Option(help="Variable with the token that clients must send as their key.")]
KeyEnv = Annotated[str, typer.Option(help="Variable with the upstream's key, which takes the token's place.")]


def proxy(
    upstream: Annotated[str, typer.Option(help="URL of the API to pass on to, as https://api.openai.com/v1.")],
    library: Default = "",
    db: Db = None,
    host: Annotated[str, typer.Option(help="Address to listen on; other than loopback needs a token.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8010,
    token_env: TokenEnv = "TFGRPO_PROXY_TOKEN",  # noqa: S107 - the name of a variable
    key_env: KeyEnv = "OPENAI_API_KEY",
    record: Annotated[
        bool, typer.Option("--record", help="Keep sessions: what was asked and answered, redacted, and reports.")
    ] = False,
    retrieval: Retrieval = "all",
    tokens: Room = 600,
    embedding: Embedding = "",
    embedding_url: EmbeddingUrl = "",
    max_body_mib: Annotated[int, typer.Option(min=1, help="Longest body with a prompt, in MiB.")] = 32,
) -> None:
    """Pass requests on to a model's API with a library's lessons in them, and answers back as they come.

    Point an app's base URL here. A request chooses its library by the header x-tfgrpo-library, by a suffix of the model
    (gpt-5-mini:algebra), or takes --library. New versions are seen at once. With --record, `tfgrpo learn
    --from-sessions` learns from what passes; reports about a session come to /tfgrpo/feedback.

    Example: tfgrpo proxy --upstream https://api.openai.com/v1 --library support
    """
    from tfgrpo.proxy import Settings, serve
    from tfgrpo.proxy.library_routing import LibraryRouting
    from tfgrpo.proxy.recorder import Recorder
    from tfgrpo.proxy.server import target

    _check_upstream(upstream, key_env)
    token = configuration.environment(token_env) or ""
    if not (token or _loopback(host)):
        raise UsageError(f"--host {host} can be reached by others; set {token_env} to a token, or stay on 127.0.0.1")
    key = (configuration.environment(key_env) or "") if token else ""
    way = _chosen(retrieval, tokens, embedding, embedding_url or target(upstream, "/v1"))
    routing = LibraryRouting(db_path(db), library, way)
    recorder = Recorder(db_path(db), [*configuration.secrets(upstream), *filter(None, (token, key))])
    if record:
        recorder.open()
    routing.open()

    def ready(where: str) -> None:
        shown = routing.library(library) if library else None
        what = f"lessons of {shown.name}@{shown.version} ({len(shown)})" if shown else "no lessons unless asked for"
        typer.echo(f"passing on to {_plain(upstream)} with {what}")
        if record:
            typer.echo(f"sessions are kept in {db_path(db)}; POST {where}/tfgrpo/feedback takes what came of them")
        typer.echo(f"export OPENAI_BASE_URL={where}/v1   # or ANTHROPIC_BASE_URL={where}; stop with Ctrl-C")

    settings = Settings(upstream, token, key, max_body_mib * 2**20)
    try:
        asyncio.run(serve(settings, routing, host, port, ready, recorder if record else None))
    finally:
        if record:
            recorder.close()
        routing.close()


def _check_upstream(upstream: str, key_env: str) -> None:
    if not upstream.startswith(("http://", "https://")):
        raise UsageError(f"--upstream is a URL that begins with http:// or https://, not {upstream!r}")
    if "?" in upstream or "#" in upstream:
        raise UsageError(
            f"--upstream {_plain(upstream)} ends with its path; a key goes into {key_env}, not into the URL"
        )


def _chosen(name: str, tokens: int, embedding: str, url: str) -> Any:
    """Return the retrieval of a name; None adds all lessons. Raises UsageError."""
    from experience_db.retrieval import WAYS, by_name

    if name in WAYS:
        return by_name(name, tokens)
    from tfgrpo.config import LessonsConfig
    from tfgrpo.retrieval import retrieval_for

    if name in ("embedding", "hybrid") and not embedding:
        raise UsageError(f"--retrieval {name} needs --embedding static:FOLDER or --embedding openai/NAME")
    return retrieval_for(name, LessonsConfig(embedding=embedding, embedding_url=url, retrieval_tokens=tokens))


def _loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _plain(url: str) -> str:
    """The URL without a login and without a query."""
    scheme, _, rest = url.partition("#")[0].partition("?")[0].partition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"
