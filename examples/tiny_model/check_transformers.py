"""Check that transformers reads a trained folder as our numpy runtime does: tokens, chat template, log-probabilities.

python examples/tiny_model/check_transformers.py [DIR]
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random

import numpy as np
import torch
from documents import FULL, ROLES
from grammar import random_problem
from roles import chat, solve_messages, system, user
from transformers import AutoModelForCausalLM, AutoTokenizer

from tfgrpo.backends.tiny.model import WEIGHTS, Job, TinyLM

ODD = "Hello, wörld! émoji 🙂  two  spaces\n\n\ttab _under_ don't 12345 x=3 [7] [none] (3) <|im_end|>"
TOLERANCE = 1e-4
LIKELY = -10.0
"""Only tokens above this log-probability count: in float32 both runtimes stray about 1e-4 on what is never sampled."""


def main() -> int:
    """Compare on 200 documents; exit code 1 where anything differs."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else WEIGHTS
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ours = TinyLM(folder)
    rng = Random(3)
    texts = ["".join(text for text, _ in ROLES[index % len(ROLES)](rng, FULL)) for index in range(200)]
    mismatches = sum(tokenizer(text)["input_ids"] != ours.encode(text) for text in [*texts, ODD])
    messages = [*system([(3, "Treat glorp as max.")]), user("Problem: Compute 3 glorp 5.")]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    template = rendered == ours.chat_text(messages) == chat(messages)
    largest = max(difference(theirs, ours, ours.encode(text)) for text in texts)
    prompt = ours.chat_ids(solve_messages(random_problem(rng), []))
    reply = ours.generate([Job(prompt, temperature=0.0)])[0]
    given = theirs.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=200)[0, len(prompt) :].tolist()
    print(f"texts that tokenize differently: {mismatches} of {len(texts) + 1}")
    print(f"chat template agrees: {template}")
    print(f"greedy reply agrees: {given == list(reply.ids)}")
    print(f"largest difference of a log-probability: {largest:.1e} (allowed {TOLERANCE})")
    return 0 if not mismatches and template and given == list(reply.ids) and largest < TOLERANCE else 1


@torch.no_grad()
def difference(theirs: torch.nn.Module, ours: TinyLM, ids: list[int]) -> float:
    """Largest difference between the log-probabilities of both runtimes over the likely tokens of one text."""
    logits = theirs(torch.tensor([ids])).logits[0, :-1]
    wanted = logits.log_softmax(-1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0].numpy()
    return float(np.abs(wanted - ours.prompt_logprobs(ids))[wanted > LIKELY].max())


if __name__ == "__main__":
    sys.exit(main())
