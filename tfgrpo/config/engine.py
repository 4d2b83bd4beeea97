"""How calls are made and where they go, as configuration tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """One of several ways to the same model. `url` alone is an OpenAI-compatible server, `model` alone a provider."""

    url: str = ""
    """Where its API begins, mostly ending in `/v1`; empty is the provider's own."""
    weight: float = 1.0
    """Its share of the load, compared with the weights of the others."""
    model: str = ""
    """What the model is called there; empty is the name given by --model. The journal knows the latter."""
    key: str = ""
    """Name of the environment variable that holds its key, never the key itself; empty is the usual one."""
    client: str = ""
    """`openai`, `litellm`, or `router` for litellm's Router over all of them; empty is `openai` with a `url`, `litellm`
    without."""
    serves: str = ""
    """The --model or --summarizer-model that it answers for; empty is any."""


@dataclass(frozen=True, slots=True)
class LocalConfig:
    """The engine behind `local/...` models, which runs weights on this machine."""

    slots: int = 16
    """Replies written at the same time; also the most choices that one request may ask for."""
    context: int = 2048
    """Tokens of prompt and reply that one slot holds; a long contrast prompt of large models wants 8192."""
    threads: int = 0
    """0 takes the cores that this process may use, at most 8."""


@dataclass(frozen=True, slots=True)
class RayConfig:
    """The workers of `executor = "ray"`, which run graders, agents and code of models (extra `ray`)."""

    address: str = ""
    """Of a running cluster; empty starts one on this machine. `executor = "ray:ADDRESS"` says the same."""
    workers: int = 0
    """Actors at once; 0 takes one for each CPU of the cluster, and follows when nodes join or leave."""
    queue: int = 4
    """Calls that one worker may hold, the running ones included."""
    runtime_env: Mapping[str, Any] = field(default_factory=dict)
    """Ray's runtime environment of the workers, as `{working_dir = "."}`; empty shows them this process's path."""


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """How calls are made. Nothing here changes what is learned, but `overlap`."""

    concurrency: int = 64
    """Most model calls in flight."""
    timeout: float = 600.0
    """Seconds one call may take, at most."""
    patience: float = 4.0
    """A call is given so many times the slowest answer of its role so far, at least 30 s; 0 gives each `timeout`."""
    hedge: float = 0.0
    """A call that takes so many times the usual time is asked a second time, and the first answer taken; 0 never."""
    body_bytes: int = 32 * 2**20
    """Longest body of an answer, as sent and unpacked."""
    reply_characters: int = 1_000_000
    """Longest reply; what is longer is a failure of its call."""
    attempts: int = 6
    """Tries per call before it counts as failed."""
    lock_wait: float = 60.0
    """Seconds to wait for another process that writes the database; calls in flight go on meanwhile."""
    requests_per_minute: int | None = None
    """Requests that may start within any minute, at each endpoint; None sets no limit."""
    tokens_per_minute: int | None = None
    """Tokens that they may take together."""
    join: bool = True
    """Send identical calls as one request with `n`, where the endpoint honours it."""
    transport: str = "aiohttp"
    """How OpenAI-compatible endpoints are reached: `aiohttp`, or `sdk` for the openai client."""
    endpoints: tuple[EndpointConfig, ...] = ()
    """Several ways to the model, which share the load by weight; a dead one is set aside and tried again later."""
    sticky: bool = True
    """Send what begins alike to the same of several endpoints while it has room: its prefix cache is warm then."""
    same_model: bool = False
    """What answers to a model's name at another address than before is the same model: recorded calls count there too.
    Otherwise they are made again, and it is another run."""
    prices: Mapping[str, Any] = field(default_factory=dict)
    """US dollars per million tokens, by --model name: `{"openai/m" = {prompt = 0.2, completion = 0.8, cached = 0.1}}`.
    They win over list prices; models in no list have none, which is not zero."""
    share_texts: bool = True
    """Long texts of the database are kept once and compressed; false leaves each where it stands, for SQL to read."""
    local: LocalConfig = LocalConfig()
    executor: str = "local"
    """Where graders, agents and code of models run: `local`, `ray`, or `ray:ADDRESS` of a cluster."""
    ray: RayConfig = RayConfig()
    overlap: int = 0
    """1 starts the next batch under the present library while a batch consolidates and gates."""
