"""The embedded model as a backend: batching, noise, errors and cancellation."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Sequence

import pytest

from tfgrpo.backends.base import Backend
from tfgrpo.backends.tiny.backend import Batcher, Tiny, batcher_of, json_part
from tfgrpo.backends.tiny.model import Completion, Job, TinyLM, load
from tfgrpo.errors import ProviderError
from tfgrpo.types import FailureKind, Message, Request, Sampling

QUESTION: Message = {"role": "user", "content": "What is 4 glorp 2?"}


def asked(attempt: int = 0, *, system: str = "", role: str = "rollout", question: Message = QUESTION) -> Request:
    """A short request."""
    messages: tuple[Message, ...] = ({"role": "system", "content": system}, question) if system else (question,)
    return Request(role, "tiny", messages, Sampling(max_tokens=12), attempt=attempt)


class Counted:
    """The real model, which writes down the size of each batch, and can be held back or told to fail."""

    def __init__(self) -> None:
        self.model = load()
        self.sizes: list[int] = []
        self.go = threading.Event()
        self.go.set()
        self.entered = threading.Event()
        self.poison: tuple[int, ...] = ()

    def generate(self, jobs: Sequence[Job]) -> Sequence[Completion]:
        """Decode, or fail if a job has the poisoned prompt."""
        self.entered.set()
        self.go.wait(30)
        self.sizes.append(len(jobs))
        if any(tuple(job.prompt_ids) == self.poison for job in jobs):
            raise FloatingPointError("overflow")
        return self.model.generate(jobs)


def job(text: str, seed: int = 0) -> Job:
    """A short job."""
    return Job(prompt_ids=tuple(load().encode(text)), max_tokens=4, temperature=1.0, top_p=1.0, seed=seed)


def test_tiny_is_a_backend() -> None:
    """The type checker and the test agree that Tiny has the one method."""
    backend: Backend = Tiny()
    assert asyncio.iscoroutinefunction(backend.complete)


async def test_a_reply_carries_usage_ids_and_reason() -> None:
    """A reply counts its tokens, costs nothing and keeps its token ids."""
    reply = await Tiny().complete(asked())
    assert reply.usage.prompt_tokens == len(load().chat_ids([QUESTION]))
    assert reply.usage.completion_tokens == len(reply.token_ids or ()) <= 12
    assert reply.usage.usd == 0.0
    assert reply.finish_reason in ("stop", "length")
    assert load().decode(reply.token_ids or ()) == reply.text


def test_equal_requests_get_equal_replies_in_every_event_loop() -> None:
    """Loop after loop, alone or among others, a request gets the same reply."""
    backend = Tiny()

    async def alone() -> str:
        return (await backend.complete(asked(2))).text

    async def among() -> str:
        return (await asyncio.gather(*(backend.complete(asked(i)) for i in range(5))))[2].text

    assert len({asyncio.run(alone()), asyncio.run(among()), asyncio.run(alone())}) == 1


async def test_attempts_differ() -> None:
    """The attempts of a group draw different noise."""
    replies = await asyncio.gather(*(Tiny().complete(asked(i)) for i in range(8)))
    assert len({reply.token_ids for reply in replies}) > 1


async def test_score_gives_one_number_per_token() -> None:
    """Greedy tokens score better than those of a random attempt."""
    greedy = await Tiny().complete(Request("rollout", "tiny", (QUESTION,), Sampling(temperature=0.0, max_tokens=8)))
    best = await Tiny().score([QUESTION], greedy.token_ids or ())
    other = await Tiny().score([QUESTION], (greedy.token_ids or ())[::-1])
    assert len(best) == len(greedy.token_ids or ())
    assert all(value <= 0 for value in best)
    assert sum(best) > sum(other)


async def test_a_prompt_that_does_not_fit_is_refused() -> None:
    """A prompt as long as the context is a refused request naming both lengths, for replies and for scores."""
    long: Message = {"role": "user", "content": "glorp " * load().max_length}
    for call in (Tiny().complete(asked(question=long)), Tiny().score([long], (5,))):
        with pytest.raises(ProviderError, match=str(load().max_length)) as raised:
            await call
        assert raised.value.failure.kind is FailureKind.REFUSED_REQUEST


async def test_a_long_limit_ends_at_the_context() -> None:
    """Asking for more tokens than the context holds is no error."""
    sampling = Sampling(temperature=0.0, max_tokens=10**6)
    assert (await Tiny().complete(Request("rollout", "tiny", (QUESTION,), sampling))).text


async def test_calls_that_arrive_together_share_batches() -> None:
    """A hundred concurrent calls cost a few batches of at most 64, and come back in order."""
    engine = Counted()
    batcher = Batcher(engine)
    found = await asyncio.gather(*(batcher.generate([job(f"{i} glorp 2", seed=i)]) for i in range(100)))
    assert sum(engine.sizes) == 100
    assert max(engine.sizes) <= 64
    assert len(engine.sizes) <= 4
    assert found[77] == await batcher.generate([job("77 glorp 2", seed=77)])


async def test_an_error_reaches_only_its_own_caller() -> None:
    """When one job of a batch makes the model fail, the others are answered, and its caller gets a ProviderError."""
    engine = Counted()
    engine.poison = job("bad").prompt_ids
    batcher = Batcher(engine)
    texts = ["a", "bad", "b"]
    found = await asyncio.gather(*(batcher.generate([job(text)]) for text in texts), return_exceptions=True)
    assert isinstance(found[1], ProviderError)
    assert "FloatingPointError: overflow" in str(found[1])
    assert found[0] == (engine.model.generate([job("a")])[0],)
    assert found[2] == (engine.model.generate([job("b")])[0],)


async def test_a_cancelled_call_is_not_decoded() -> None:
    """Cancelling a waiting call takes it off the list; the calls around it are answered."""
    engine = Counted()
    batcher = Batcher(engine)
    engine.go.clear()
    first = asyncio.ensure_future(batcher.generate([job("a")]))
    await asyncio.to_thread(engine.entered.wait, 30)
    waiting = [asyncio.ensure_future(batcher.generate([job(text)])) for text in "bcd"]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.sleep(0)
    engine.go.set()
    await asyncio.gather(first, waiting[0], waiting[2])
    assert waiting[1].cancelled()
    assert engine.sizes == [1, 2]


async def test_a_call_cancelled_while_it_is_decoded_harms_nobody() -> None:
    """The batch goes on without the caller that left, and the worker takes the next one."""
    engine = Counted()
    batcher = Batcher(engine)
    engine.go.clear()
    leaving, staying = (asyncio.ensure_future(batcher.generate([job(text)])) for text in "ab")
    await asyncio.to_thread(engine.entered.wait, 30)
    leaving.cancel()
    await asyncio.sleep(0)
    engine.go.set()
    assert await staying
    assert await batcher.generate([job("c")])
    assert engine.sizes == [2, 1]


def test_a_loop_that_ends_early_leaves_a_working_batcher() -> None:
    """asyncio.run that dies with calls under way does not disturb the next one."""
    engine = Counted()
    batcher = Batcher(engine)
    engine.go.clear()

    async def abandon() -> None:
        tasks = [asyncio.ensure_future(batcher.generate([job(text)])) for text in "abc"]
        await asyncio.to_thread(engine.entered.wait, 30)
        assert tasks
        raise KeyError("the run broke")

    with pytest.raises(KeyError):
        asyncio.run(abandon())
    engine.go.set()
    assert asyncio.run(batcher.generate([job("d")]))


async def test_backends_of_one_model_share_a_batcher() -> None:
    """Two roles that both use the embedded model decode together."""
    model: TinyLM = load()
    assert batcher_of(model) is batcher_of(load())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Topic dax[none] new.\n{"op": "ADD"}', '{"op": "ADD"}'),
        ('{"op": "NONE"}\n', '{"op": "NONE"}'),
        ("think\n[1, 2]", "[1, 2]"),
        ("think\n7", "think\n7"),
        ('{"op": ', '{"op": '),
        ("", ""),
    ],
)
def test_json_part_is_the_last_line_if_that_is_json(text: str, expected: str) -> None:
    """Scratch lines go, JSON stays, and a reply without JSON is left alone."""
    assert json_part(text) == expected


def test_importing_the_backend_loads_no_numpy() -> None:
    """Numpy and the tokenizer come with the first call, not with the import."""
    code = "import sys, tfgrpo.backends.tiny.backend; sys.exit('numpy' in sys.modules or 'tokenizers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
