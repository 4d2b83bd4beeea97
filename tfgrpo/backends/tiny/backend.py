"""Calls that arrive together are decoded together: one worker thread, one numpy model, batches of up to 64 jobs.

Callers, on any event loop, put jobs on one list and await their own futures. The worker waits until arrivals pause,
takes what is there, and goes on while there is more; so a hundred concurrent requests cost a few batches.

Noise: a job's 64-bit seed is `hashed(seed, problem)` with the seed of the sampling, or `call_seed(request)` where there
is none. The endpoint in `tfgrpo.serve` hashes the seed it is sent in the same way, so `--model tiny` and `--model
openai/tiny` draw the same noise for the same call.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from threading import Lock
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar

from tfgrpo.backends.seeds import call_seed, hash_words, last_user_text
from tfgrpo.errors import ProviderError
from tfgrpo.system.untrusted_json import loads
from tfgrpo.types import FailureKind, Message, Reply, Request, Usage

if TYPE_CHECKING:
    from tfgrpo.backends.tiny.model import Completion, Job, TinyLM

DEFAULT_TEMPERATURE = 1.0
DEFAULT_MAX_TOKENS = 160
MAX_BATCH = 64
_PAUSE_SECONDS = 0.001

P = ParamSpec("P")
T = TypeVar("T")


class Engine(Protocol):
    """What decodes a batch."""

    def generate(self, jobs: Sequence[Job], /) -> Sequence[Completion]:
        """One completion per job, in order."""
        ...


class Batcher:
    """Joins jobs from any thread or event loop into batches, decoded one after another in one thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._worker = ThreadPoolExecutor(1, "tiny")
        self._lock = Lock()
        self._waiting: deque[tuple[Job, Future[Completion]]] = deque()
        self._busy = False
        self._last_size, self._last_seconds = 0, _PAUSE_SECONDS

    async def generate(self, jobs: Sequence[Job]) -> tuple[Completion, ...]:
        """Decode the jobs, perhaps together with those of others; completions in the order of `jobs`.

        Cancelling the caller takes its jobs off the list unless they are being decoded already.

        Raises:
            ProviderError: the model failed on one of these jobs; jobs of other callers are not touched by that.
        """
        futures: list[Future[Completion]] = [Future() for _ in jobs]
        self._waiting.extend(zip(jobs, futures, strict=True))
        try:
            # Tasks that start in the same turn of the loop all put their jobs before any of them wakes the worker.
            await asyncio.sleep(0)
            self._wake()
            return tuple([await asyncio.wrap_future(future) for future in futures])
        finally:
            for future in futures:
                future.cancel()

    async def run(self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` in the worker thread, between two batches."""
        return await asyncio.wrap_future(self._worker.submit(function, *args, **kwargs))

    def _wake(self) -> None:
        """Start the worker unless it is at work; it ends when nothing waits."""
        with self._lock:
            if self._waiting and not self._busy:
                self._busy = True
                self._worker.submit(self._step)

    def _step(self) -> None:
        """Take the next batch and hand it to the engine; sleep when nothing is left."""
        self._settle()
        batch: list[tuple[Job, Future[Completion]]] = []
        with self._lock:
            while self._waiting and len(batch) < MAX_BATCH:
                job, future = self._waiting.popleft()
                if future.set_running_or_notify_cancel():
                    batch.append((job, future))
            self._busy = bool(batch)
            if batch:
                self._decode(batch, self._step)

    def _settle(self) -> None:
        """Wait while jobs keep arriving, until a batch is full or it has taken as long as the last batch.

        Callers that just got their replies come back one by one. Until as many wait as were in the last batch, a gap
        of a tenth of its time is tolerated: a batch costs little more for being larger, and far more for being early.
        """
        began = quiet_since = time.monotonic()
        seen = 0
        while len(self._waiting) < MAX_BATCH:
            now = time.monotonic()
            if len(self._waiting) > seen:
                seen, quiet_since = len(self._waiting), now
            patience = _PAUSE_SECONDS if seen >= self._last_size else self._last_seconds / 10
            if now - quiet_since >= patience or now - began > self._last_seconds:
                return
            time.sleep(_PAUSE_SECONDS)

    def _decode(self, batch: list[tuple[Job, Future[Completion]]], then: Callable[[], None] | None) -> None:
        """Queue a batch for the engine. Whatever the engine raises is caught by the executor's own future."""
        outcome = self._worker.submit(self._timed, [job for job, _ in batch])
        outcome.add_done_callback(partial(self._share, batch))
        if then is not None:
            self._worker.submit(then)

    def _timed(self, jobs: Sequence[Job]) -> Sequence[Completion]:
        """Decode, and remember how many there were and how long it took."""
        began = time.monotonic()
        found = self._engine.generate(jobs)
        self._last_size, self._last_seconds = len(jobs), time.monotonic() - began
        return found

    def _share(self, batch: list[tuple[Job, Future[Completion]]], outcome: Future[Sequence[Completion]]) -> None:
        """Give each caller its completion; a failed batch is decoded job by job, so that only the culprit fails."""
        error = outcome.exception()
        if error is None:
            for (_, future), completion in zip(batch, outcome.result(), strict=False):
                future.set_result(completion)
        elif len(batch) > 1:
            for entry in batch:
                self._decode([entry], None)
        else:
            failed = ProviderError(f"the tiny model failed: {type(error).__name__}: {error}")
            failed.__cause__ = error
            batch[0][1].set_exception(failed)


@cache
def batcher_of(model: Engine) -> Batcher:
    """The one batcher of a model in this process, so that all its users share batches and one thread."""
    return Batcher(model)


class Tiny:
    """The embedded model as a backend. Costs nothing, needs no key, and repeats itself for equal requests."""

    def __init__(self, model: TinyLM | None = None) -> None:
        self._given = model

    async def complete(self, request: Request) -> Reply:
        """Answer one request; concurrent calls are batched. Unset sampling means temperature 1 and 160 tokens.

        With a `response_schema` the text is only the JSON object that the reply ends in, where there is one;
        `token_ids` are always all generated tokens.

        Raises:
            ProviderError: of kind `refused_request` if the prompt does not fit the model, else if the model failed.
        """
        model = self._model()
        prompt_ids = chat_ids(model, request.messages)
        job = job_of(request, prompt_ids, tokens_left(model, prompt_ids, request.sampling.max_tokens))
        (completion,) = await batcher_of(model).generate([job])
        return Reply(
            text=completion.text if request.response_schema is None else json_part(completion.text),
            finish_reason=completion.finish_reason,
            usage=Usage(prompt_tokens=len(prompt_ids), completion_tokens=len(completion.ids), usd=0.0),
            token_ids=tuple(completion.ids),
        )

    async def score(self, messages: Sequence[Message], completion_ids: Sequence[int]) -> tuple[float, ...]:
        """Log-probability of each completion token after the chat prompt, at temperature 1: one value per id.

        Raises:
            ProviderError: of kind `refused_request` if prompt and completion together do not fit the model.
        """
        model = self._model()
        prompt_ids = chat_ids(model, messages)
        tokens_left(model, (*prompt_ids, *completion_ids), 0)
        values = await batcher_of(model).run(model.score, prompt_ids, tuple(completion_ids))
        return tuple(float(value) for value in values)

    async def window(self, model: str) -> int:
        """Return how many tokens of prompt and reply one call may have."""
        return self._model().max_length

    def spell(self, token: int) -> str:
        """Return the text of one token, '' for a special one."""
        return self._model().decode([token])

    def prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Number of tokens of a chat prompt."""
        return len(chat_ids(self._model(), messages))

    def _model(self) -> TinyLM:
        """The model given, else the one in the package, which is loaded once per process."""
        if self._given is not None:
            return self._given
        from tfgrpo.backends.tiny.model import load  # noqa: PLC0415 - loads numpy

        return load()


def job_of(request: Request, prompt_ids: tuple[int, ...], max_tokens: int) -> Job:
    """The request as the model's job."""
    from tfgrpo.backends.tiny.model import Job  # noqa: PLC0415 - loads numpy

    sampling = request.sampling
    return Job(
        prompt_ids=prompt_ids,
        max_tokens=max_tokens,
        temperature=DEFAULT_TEMPERATURE if sampling.temperature is None else sampling.temperature,
        top_p=1.0 if sampling.top_p is None else sampling.top_p,
        seed=hash_words(
            call_seed(request) if sampling.seed is None else sampling.seed, last_user_text(request.messages)
        ),
        stop=sampling.stop,
    )


def chat_ids(model: TinyLM, messages: Sequence[Message]) -> tuple[int, ...]:
    """The chat prompt; messages of tool calls, which may lack content, read as empty ones."""
    return tuple(model.chat_ids([{"role": each["role"], "content": each.get("content")} for each in messages]))


def tokens_left(model: TinyLM, prompt_ids: Sequence[int], max_tokens: int | None) -> int:
    """How many tokens may follow the prompt: `max_tokens` (None: 160), or less where the context ends earlier.

    Raises:
        ProviderError: of kind `refused_request` if the prompt leaves no room for what was asked.
    """
    wanted = DEFAULT_MAX_TOKENS if max_tokens is None else max_tokens
    left = model.max_length - len(prompt_ids)
    if left < min(wanted, 1):
        raise ProviderError(
            f"the tiny model's context length is {model.max_length} tokens, and this prompt has {len(prompt_ids)}; "
            "shorten the prompt or the library",
            FailureKind.REFUSED_REQUEST,
        )
    return min(wanted, left)


def json_part(text: str) -> str:
    """The JSON object or list on the last line of a reply that thinks on the lines before; else the text as it is."""
    last = text.strip().rpartition("\n")[2].strip()
    try:
        found: Any = loads(last)
    except ValueError:
        return text
    return last if isinstance(found, dict | list) else text
