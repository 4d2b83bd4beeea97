"""What the embedded model promises to the last bit, checked under the BLAS kernels that this process was started with.

Run as a program (`python tiny_bits.py [KERNEL]`) it prints the kernels in use and the promises that are broken, as
JSON; with a name, it checks nothing when BLAS runs other kernels.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import threadpoolctl

from tfgrpo.backends.tiny.model import WEIGHTS, Completion, Job, TinyLM
from tfgrpo.backends.tiny.network import BLOCK

LENGTHS = (1, 2, BLOCK - 3, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 1, 2 * BLOCK - 2)
"""Prompts that end around the borders of a block, and long ones."""
CUTS = (1, BLOCK - 1, BLOCK, 2 * BLOCK + 5)


def kernels() -> set[str]:
    """Names of the kernels that BLAS runs."""
    return {str(each.get("architecture")) for each in threadpoolctl.threadpool_info() if each["user_api"] == "blas"}


def sampled_jobs(model: TinyLM) -> list[Job]:
    """Jobs of all lengths, every other one after a system message, some of which share their prompt."""
    draw = np.random.default_rng(5)
    system = model.chat_ids([{"role": "system", "content": "[1] Treat glorp as max."}])[:-2]
    jobs = []
    for index, length in enumerate(LENGTHS):
        text = draw.integers(8, model.network.vocabulary, length).tolist()
        prompt = [*system, model.encode("<|im_start|>")[0], *text] if index % 2 else text
        jobs.append(Job(prompt, max_tokens=4 + 3 * (index % 3), temperature=1.0, seed=index, logprobs=2))
    return [*jobs, replace(jobs[3], seed=77, temperature=2.0), replace(jobs[7], seed=78, top_p=0.9)]


def broken(model: TinyLM) -> Iterator[str]:
    """Names of the promises that do not hold."""
    jobs = sampled_jobs(model)
    together = model.generate(jobs)
    yield from _batches(model, jobs, together)
    yield from _given(model, jobs, together)
    yield from _parts(model, jobs[6].prompt_ids)


def _batches(model: TinyLM, jobs: list[Job], together: list[Completion]) -> Iterator[str]:
    """A completion belongs to its job alone."""
    if [model.generate([job])[0] for job in jobs] != together:
        yield "alone"
    if model.generate(jobs[::-1])[::-1] != together:
        yield "in another order"
    if model.generate(jobs[:3] * 5) != together[:3] * 5:
        yield "in another batch"
    fresh = TinyLM(WEIGHTS)
    if fresh.generate(jobs[::-1])[::-1] != together:
        yield "with nothing read before"
    with ThreadPoolExecutor(2) as pool:
        # One call ends while the other is at work, and takes nothing of the other's away.
        if list(pool.map(fresh.generate, [jobs, jobs[:1], jobs[1:3]])) != [together, together[:1], together[1:3]]:
            yield "while another thread generates"


def _given(model: TinyLM, jobs: list[Job], together: list[Completion]) -> Iterator[str]:
    """A token that is given has the log-probability at which it was sampled, and later tokens do not change it."""
    pairs = [(job.prompt_ids, reply.ids) for job, reply in zip(jobs, together, strict=True)]
    sampled = [np.array(reply.logprobs, np.float32) for reply in together]
    scored = [model.score(*pair) for pair in pairs]
    if not _same(scored, sampled):
        yield "scored as sampled"
    if not _same(model.score_many(pairs[::-1])[::-1], sampled):
        yield "scored in a batch"
    whole = [model.prompt_logprobs([*prompt, *ids])[len(prompt) - 1 :] for prompt, ids in pairs]
    if not _same(whole, sampled):
        yield "as part of a prompt"
    if not _same([model.score(prompt, ids[:3]) for prompt, ids in pairs], [values[:3] for values in sampled]):
        yield "whatever follows"


def _parts(model: TinyLM, ids: list[int] | tuple[int, ...]) -> Iterator[str]:
    """A text that is read in parts comes to the same logits, keys and values."""
    whole, caches = model.network.prefill(ids)
    for cut in CUTS:
        first, before = model.network.prefill(ids[:cut])
        second, after = model.network.prefill(ids[cut:], before)
        pairs = zip(after, caches, strict=True)
        if not _same([first, second], [whole[:cut], whole[cut:]]) or not all(_same(*pair) for pair in pairs):
            yield f"in parts of {cut} and {len(ids) - cut}"
    if not _same([model.network.prefill(ids, last=True)[0]], [whole[-1:]]):
        yield "the last one alone"


def _same(found: object, expected: object) -> bool:
    """Whether the arrays of two sequences have the same bits."""
    return all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))  # type: ignore[call-overload]


def main(wanted: str | None) -> dict[str, object]:
    """Check where BLAS may use two threads, and that it gives the same where it may use one."""
    names = kernels()
    if wanted is not None and {name.lower() for name in names} != {wanted.lower()}:
        return {"kernels": sorted(names), "broken": None}
    model = TinyLM(WEIGHTS)
    jobs = sampled_jobs(model)
    found: list[str] = []
    replies = []
    for threads in (2, 1):
        with threadpoolctl.threadpool_limits(threads, "blas"):
            given = threadpoolctl.threadpool_info()
            replies.append(TinyLM(WEIGHTS).generate(jobs))
            found += broken(model) if threads == 2 else ()
            if threadpoolctl.threadpool_info() != given:
                found.append(f"BLAS has its {threads} threads back")
    if replies[0] != replies[1]:
        found.append("on another number of threads")
    return {"kernels": sorted(names), "broken": found}


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:2] or [None])))
