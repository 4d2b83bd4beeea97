"""The embedded model as an object: text to tokens, batched sampling, and log-probabilities of given text.

What is guaranteed: on one machine with one BLAS library, each log-probability depends on the tokens up to it, to the
last bit: not on the batch, on what else is asked for, on what was read before, on the number of BLAS threads, nor on
whether the token was sampled or given. Across machines log-probabilities agree within about 1e-4. Matrices are small,
so BLAS threads cost more than they give: the model runs on one (spinning threads cost 5 times the CPU on a busy
machine of two cores).
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from tfgrpo.backends.tiny.network import Caches, Network, Rows
from tfgrpo.backends.tiny.sampling import MASK, Floats, choose, log_softmax
from tfgrpo.errors import UsageError

WEIGHTS = Path(__file__).parent / "weights"
KEPT_PROMPTS = 24
"""Prompts whose caches are kept for later calls; about 0.5 MB each."""


class PromptTooLong(UsageError):
    """A prompt leaves no room for a completion; the message gives both numbers."""


@dataclass(frozen=True, slots=True)
class Job:
    """One completion to sample."""

    prompt_ids: Sequence[int]
    max_tokens: int = 256
    temperature: float = 1.0
    """0 takes the most likely token."""
    top_p: float = 1.0
    """In (0, 1]."""
    seed: int = 0
    """All the noise there is: taken modulo 2**64; callers derive it from problem and rollout index."""
    stop: tuple[str, ...] = ()
    """Texts that end the completion and are cut off, beside the end token, which always does."""
    logprobs: int = 0
    """How many alternatives to report at each position."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What was sampled for a job."""

    ids: tuple[int, ...]
    """All sampled tokens; where the model ended its reply, the last one is the end token."""
    text: str
    """The reply without special tokens, cut before a stop text."""
    logprobs: tuple[float, ...]
    """Log-probability of each token at temperature 1, whatever temperature it was sampled at."""
    finish_reason: Literal["stop", "length"]
    prompt_tokens: int
    top: tuple[tuple[tuple[int, float], ...], ...] = ()
    """The most likely tokens of each position with their log-probabilities, best first."""


@dataclass(slots=True)
class _Row:
    """A job under way."""

    index: int
    job: Job
    limit: int
    ids: list[int]
    logprobs: list[float]
    top: list[tuple[tuple[int, float], ...]]


class TinyLM:
    """A model folder in Llama layout, loaded. Safe to use from several threads."""

    def __init__(self, folder: Path) -> None:
        self.network = Network(folder)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._words = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._words.encode_special_tokens = True  # They are then encoded as the letters that they consist of.
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.end: int = config["eos_token_id"]
        self._start, self._stop = self.encode("<|im_start|><|im_end|>")
        self._system = self.encode("<|im_start|>system")
        self._prompts: OrderedDict[tuple[int, ...], tuple[Floats, Caches]] = OrderedDict()
        self._lock = Lock()

    @property
    def max_length(self) -> int:
        """Tokens that a prompt and its completion may take together."""
        return self.network.longest

    def encode(self, text: str) -> list[int]:
        """Token ids of a text; special tokens are recognised."""
        ids: list[int] = self.tokenizer.encode(text).ids
        return ids

    def words(self, text: str) -> list[int]:
        """Token ids of a text that somebody wrote: special tokens in it are letters like all others."""
        ids: list[int] = self._words.encode(text).ids
        return ids

    def decode(self, ids: Sequence[int], *, special: bool = False) -> str:
        """Text of token ids, with the special tokens or without."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=not special)
        return text

    def chat_text(self, messages: Sequence[Mapping[str, object]], *, resume: bool = False) -> str:
        """The prompt of a chat; with `resume` a last assistant message is left open, to be continued."""
        turns = [f"<|im_start|>{message['role']}\n{message['content'] or ''}" for message in messages]
        if resume and messages and messages[-1]["role"] == "assistant":
            return "<|im_end|>\n".join(turns)
        return "".join(f"{turn}<|im_end|>\n" for turn in turns) + "<|im_start|>assistant\n"

    def chat_ids(self, messages: Sequence[Mapping[str, object]], *, resume: bool = False) -> list[int]:
        """Token ids of `chat_text`, except that a message which spells special tokens cannot end its own turn."""
        turns = [f"{message['role']}\n{message['content'] or ''}" for message in messages]
        if not (resume and messages and messages[-1]["role"] == "assistant"):
            turns.append("assistant\n")
        line = self.words("\n")
        ids: list[int] = []
        for turn in turns:
            ids += [*([self._stop, *line] if ids else ()), self._start, *self.words(turn)]
        return ids

    def generate(self, jobs: Sequence[Job]) -> list[Completion]:
        """Sample all jobs at once; completions come in the order of the jobs."""
        live: list[_Row] = []
        for index, job in enumerate(jobs):
            limit = min(job.max_tokens, self.max_length - len(job.prompt_ids))
            if limit < 1 or not job.prompt_ids:
                raise PromptTooLong(
                    f"the prompt has {len(job.prompt_ids)} tokens and {job.max_tokens} may follow; "
                    f"prompts take 1 to {self.max_length - 1} tokens and completions at least 1"
                )
            live.append(_Row(index, job, limit, [], [], []))
        if not live:
            return []
        return self._generate(live)

    def _generate(self, live: list[_Row]) -> list[Completion]:
        """Sample rows until each is over."""
        done: dict[int, Completion] = {}
        count = len(live)
        read = [self._read(tuple(row.job.prompt_ids)) for row in live]
        rows = Rows([caches for _, caches in read])
        logits = np.stack([last for last, _ in read])
        position = 0
        while True:
            chosen = self._advance(live, logits, position)
            finished = [self._finish(row) for row in live]
            done |= {row.index: reply for row, reply in zip(live, finished, strict=True) if reply}
            kept = np.array([reply is None for reply in finished])
            if not kept.any():
                return [done[index] for index in range(count)]
            if not kept.all():
                live = [row for row, reply in zip(live, finished, strict=True) if reply is None]
                rows.keep(kept)
            logits = self.network.step(chosen[kept], rows)
            position += 1

    def score(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> Floats:
        """Log-probability [len(completion_ids)] of each given token after the prompt, at temperature 1."""
        if not completion_ids:
            return np.empty(0, np.float32)
        if len(prompt_ids) + len(completion_ids) > self.max_length:
            raise PromptTooLong(
                f"prompt and completion have {len(prompt_ids) + len(completion_ids)} tokens; "
                f"the model takes {self.max_length}"
            )
        last, caches = self._read(tuple(prompt_ids))
        logits = last[None]
        if len(completion_ids) > 1:
            logits = np.concatenate((logits, self.network.prefill(completion_ids[:-1], caches)[0]))
        result: Floats = log_softmax(logits)[np.arange(len(completion_ids)), np.asarray(completion_ids)]
        return result

    def score_many(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Floats]:
        """`score` for many (prompt, completion) pairs; a prompt that returns is read once."""
        return [self.score(prompt_ids, completion_ids) for prompt_ids, completion_ids in pairs]

    def prompt_logprobs(self, ids: Sequence[int]) -> Floats:
        """Log-probability [len(ids) - 1] of each token after those before it; the first token has none."""
        return self.score(ids[:1], ids[1:])

    def _advance(self, live: Sequence[_Row], logits: Floats, position: int) -> NDArray[np.intp]:
        """Choose a token in each row and note it."""
        logprobs = log_softmax(logits)
        chosen = choose(
            logprobs,
            np.array([row.job.temperature for row in live], np.float64),
            np.array([row.job.top_p for row in live], np.float64),
            np.array([row.job.seed & MASK for row in live], np.uint64),
            position,
        )
        for row, token, values in zip(live, chosen, logprobs, strict=True):
            row.ids.append(int(token))
            row.logprobs.append(float(values[token]))
            if row.job.logprobs:
                best = np.argsort(-values, kind="stable")[: row.job.logprobs]
                row.top.append(tuple((int(each), float(values[each])) for each in best))
        return chosen

    def _finish(self, row: _Row) -> Completion | None:
        """The completion of a row that is over, else None."""
        ended = row.ids[-1] == self.end
        cut = -1
        if row.job.stop:
            text = self.decode(row.ids)
            found = [text.find(stop) for stop in row.job.stop if stop in text]
            cut = min(found, default=-1)
        if not ended and cut < 0 and len(row.ids) < row.limit:
            return None
        text = self.decode(row.ids)
        return Completion(
            ids=tuple(row.ids),
            text=text if cut < 0 else text[:cut],
            logprobs=tuple(row.logprobs),
            finish_reason="stop" if ended or cut >= 0 else "length",
            prompt_tokens=len(row.job.prompt_ids),
            top=tuple(row.top),
        )

    def _read(self, ids: tuple[int, ...]) -> tuple[Floats, Caches]:
        """Last logits and caches of a prompt; its system message is read apart, because other prompts share it."""
        with self._lock:
            if found := self._prompts.get(ids):
                self._prompts.move_to_end(ids)
                return found
        cut = self._system_length(ids)
        before = self._read(ids[:cut])[1] if 0 < cut < len(ids) else None
        logits, caches = self.network.prefill(ids[cut:] if before else ids, before, last=True)
        with self._lock:
            self._prompts[ids] = (logits[-1], caches)
            while len(self._prompts) > KEPT_PROMPTS:
                self._prompts.popitem(last=False)
        return logits[-1], caches

    def _system_length(self, ids: tuple[int, ...]) -> int:
        """Tokens of the system message that the prompt begins with, or 0."""
        if list(ids[: len(self._system)]) != self._system or self._start not in ids[1:]:
            return 0
        return ids.index(self._start, 1)


@cache
def load(folder: Path | None = None) -> TinyLM:
    """The model of `folder`, or the one that comes with the package; each is loaded once."""
    return TinyLM(folder or WEIGHTS)
