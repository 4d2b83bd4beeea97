"""Does the client keep an engine full? A learning step against the engine's own throughput on the same prompts.

    python tests/benchmarks/vllm_gpu.py FOLDER_OR_NAME [--engine vllm|llamacpp|url] [--slots 256] [--problems 512]
        [--group 8] [--max-tokens 512] [--dummy] [--engine-arg ARG ...] [--json]

- vllm: starts it as `tfgrpo models serve` does; `--dummy` loads random weights of the size that FOLDER's config.json
  says (`--load-format dummy`). Afterwards, in the same run, the same prompts go to vLLM's own offline `LLM.chat` in a
  process of its own, with as many sequences at once.
- llamacpp: a `local/...` model. llama.cpp has no offline mode, so its own throughput is that of the same bodies sent
  by aiohttp with nothing around them; the same holds for `url`, an address that is up.

Told: tokens/s and problems/s of the step, the same for the engine alone, their ratio (bar on a GPU: 0.9 at 256 slots),
the share of prompt tokens that the prefix cache had, the client's CPU as a share of one core, and where the endpoint
scores given tokens the seconds for 1,000 rollouts.

It was never run on a GPU: what stands in `docs/scale.md` says where it was.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import tfgrpo
from experience_db import Call, Edit, Journal, Op, Store
from tfgrpo.backends.base import close
from tfgrpo.backends.endpoints import endpoints_of
from tfgrpo.backends.engine_state import EngineDoor, EngineState
from tfgrpo.config.engine import EngineConfig, LocalConfig
from tfgrpo.edit_scores.factory import scoring_backend
from tfgrpo.errors import TfgrpoError
from tfgrpo.types import Request, Sampling

BAR = 0.9
LESSONS = 20
SCORED = 32
"""Rollouts that are scored."""
OFFLINE = """
import json, sys, time
from vllm import LLM, SamplingParams
told = json.load(sys.stdin)
llm = LLM(told["model"], max_num_seqs=told["slots"], enable_prefix_caching=True, **told["more"])
draws = [SamplingParams(temperature=1.0, max_tokens=told["max_tokens"], seed=seed) for seed in told["seeds"]]
llm.chat(told["prompts"][:1], draws[:1], use_tqdm=False)
began = time.perf_counter()
out = llm.chat(told["prompts"], draws, use_tqdm=False)
seconds = time.perf_counter() - began
print(json.dumps({"seconds": seconds, "tokens": sum(len(o.outputs[0].token_ids) for o in out)}))
"""


def problems(count: int) -> list[dict[str, str]]:
    """Return problems of the length that benchmarks of mathematics have."""
    luck = random.Random(0)
    words = ("train", "bag", "apples", "price", "hours", "speed", "rope", "garden", "box", "ticket")
    asks = (f"{' '.join(luck.choices(words, k=40))}: what is {luck.randrange(99)} times 7?" for _ in range(count))
    return [{"question": ask, "answer": "7"} for ask in asks]


class Silent:
    """Writes no lessons: the step is its rollouts."""

    async def complete(self, request: Request) -> Any:
        """Propose nothing."""
        from tfgrpo.types import Reply, Usage

        return Reply('{"edits": []}', "stop", Usage())


@contextmanager
def served(told: argparse.Namespace, folder: Path) -> Iterator[tuple[str, str]]:
    """Run the engine; yields its URL and the name of its model."""
    if told.engine == "url":
        url, _, name = told.model.partition("#")
        yield url, name or "m"
    elif told.engine == "llamacpp":
        from tfgrpo.backends.local import find, hold

        engine = hold(find(told.model), LocalConfig(slots=told.slots, context=told.max_tokens + 1024))
        try:
            yield engine.url, told.model
        finally:
            engine.release()
    else:
        from tfgrpo.serve.vllm import Plan, start

        more = (*(("--load-format", "dummy") if told.dummy else ()), *told.engine_arg)
        plan = Plan(told.model, "m", slots=told.slots, more=more)
        server = start(plan, folder / "vllm.log", lambda seconds, said: None)
        try:
            yield server.url, "m"
        finally:
            server.stop()


async def state(url: str) -> EngineState:
    """Ask the engine about itself."""
    door = EngineDoor(url, None)
    try:
        return await door.state()
    finally:
        await door.aclose()


def step(url: str, name: str, told: argparse.Namespace, db: Path) -> tuple[dict[str, Any], list[Call]]:
    """Learn one step; returns what it took, and its calls."""
    with Store.open(db) as store:
        store.create_library("default")
        texts = [f"Lesson {i}: write every number of the problem down before you multiply." for i in range(LESSONS)]
        store.commit("default", [Edit(Op.ADD, text) for text in texts], parent=0)
    before, began, cpu = asyncio.run(state(url)), time.perf_counter(), time.process_time()
    tfgrpo.learn_sync(
        problems(told.problems), heldout=0, gate="open", model=f"openai/{name}", base_url=url, grader="exact", db=db,
        summarizer_model="scripted/vllm_gpu:Silent", epochs=1, batch_size=told.problems, group_size=told.group,
        concurrency=told.slots, rollout__max_tokens=told.max_tokens, engine__join=False,
    )  # fmt: skip
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    after = asyncio.run(state(url))
    with Store.open(db, readonly=True) as store:
        calls = [call for call in Journal(store).calls() if call.role == "rollout"]
    queried, tokens = after.queried - before.queried, sum(call.completion_tokens for call in calls)
    prompts = sum(call.prompt_tokens for call in calls)
    cached = sum(call.cached_tokens for call in calls)
    return {
        "rollouts": len(calls),
        "seconds": seconds,
        "tokens_per_s": tokens / seconds,
        "problems_per_s": told.problems / seconds,
        "prefix_cache_share": (after.hit - before.hit) / queried if queried else cached / max(prompts, 1),
        "client_cpu_share": cpu / seconds,
        "client_cpu_ms_per_rollout": cpu / max(len(calls), 1) * 1e3,
    }, calls


async def bare(url: str, name: str, calls: list[Call], told: argparse.Namespace) -> dict[str, float]:
    """Send the same bodies with nothing around them."""
    import aiohttp

    left, tokens = iter(calls), 0

    async def worker(session: aiohttp.ClientSession) -> None:
        nonlocal tokens
        for call in left:
            body = {"model": name, "messages": call.request["messages"], "max_tokens": told.max_tokens,
                    "temperature": 1.0, "seed": call.request["sampling"]["seed"]}  # fmt: skip
            async with session.post(f"{url}/chat/completions", json=body) as answer:
                tokens += (await answer.json())["usage"]["completion_tokens"]

    limits = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=limits) as session:
        began = time.perf_counter()
        await asyncio.gather(*(worker(session) for _ in range(told.slots)))
        return {"seconds": time.perf_counter() - began, "tokens": tokens}


def offline(calls: list[Call], told: argparse.Namespace) -> dict[str, float]:
    """Run vLLM's own offline throughput on the same prompts and seeds."""
    from tfgrpo.serve.vllm import find_vllm

    python = Path(find_vllm()[0]).resolve().with_name("python")
    job = {
        "model": told.model, "slots": told.slots, "max_tokens": told.max_tokens,
        "prompts": [call.request["messages"] for call in calls],
        "seeds": [call.request["sampling"]["seed"] for call in calls],
        "more": {**({"load_format": "dummy"} if told.dummy else {}), **json.loads(told.offline)},
    }  # fmt: skip
    done = subprocess.run([python, "-c", OFFLINE], input=json.dumps(job), stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


async def scored(url: str, name: str, calls: list[Call]) -> float | None:
    """Return the seconds that scores of 1,000 rollouts take, from a few at once; None where it does not score."""
    line = endpoints_of(f"openai/{name}", [url], EngineConfig())
    scores = scoring_backend(line.backend, None, None)
    asked = [
        Request("score", line.model, tuple(call.request["messages"]), Sampling(0.0, max_tokens=1), forced_ids=(1,) * 64)
        for call in calls[:SCORED]
    ]
    try:
        await scores.complete(replace(asked[0], forced_ids=(1,)))
        began = time.perf_counter()
        await asyncio.gather(*(scores.complete(one) for one in asked))
        return (time.perf_counter() - began) / len(asked) * 1000
    except TfgrpoError:
        return None
    finally:
        await close(scores)
        await close(line.backend)


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("model", help="a folder of weights, a name, local/NAME, or URL#NAME with --engine url")
    asked.add_argument("--engine", choices=("vllm", "llamacpp", "url"), default="vllm")
    for name, usual in {"slots": 256, "problems": 512, "group": 8, "max-tokens": 512}.items():
        asked.add_argument(f"--{name}", type=int, default=usual)
    asked.add_argument("--dummy", action="store_true", help="random weights of the size that config.json says")
    asked.add_argument("--engine-arg", action="append", default=[])
    asked.add_argument("--offline", default="{}", metavar="JSON", help="further arguments of vLLM's offline LLM")
    asked.add_argument("--json", action="store_true", help="print one JSON object")
    told = asked.parse_args()
    gpu = shutil.which("nvidia-smi") is not None
    with tempfile.TemporaryDirectory() as name:
        with served(told, Path(name)) as (url, model):
            found, calls = step(url, model, told, Path(name) / "x.db")
            found["s_to_score_1000_rollouts"] = asyncio.run(scored(url, model, calls))
            own: Callable[[], dict[str, float]] = lambda: asyncio.run(bare(url, model, calls, told))  # noqa: E731
            alone = None if told.engine == "vllm" else own()
        alone = alone or offline(calls, told)
    found["engine_tokens_per_s"] = alone["tokens"] / alone["seconds"]
    found["ratio_to_the_engine"] = found["tokens_per_s"] / found["engine_tokens_per_s"]
    found["engine"], found["on"] = told.engine, "a GPU" if gpu else "CPUs: no figure for a GPU"
    found["bar_met"] = found["ratio_to_the_engine"] >= BAR if gpu and told.slots >= 256 else None
    if told.json:
        print(json.dumps(found))
        return
    for key, value in found.items():
        print(f"{key:30} {value:.4g}" if isinstance(value, float) else f"{key:30} {value}")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.modules["vllm_gpu"] = sys.modules["__main__"]
    sys.exit(main())
