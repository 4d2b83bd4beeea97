"""Train the tiny model from nothing on a CPU: one seeded command makes tokenizer, weights and configuration.

    python examples/tiny_model/train.py --out DIR --seed 2

Three phases follow each other: look-up drills, drills of every step, then the mixture of roles and drills. A drill
phase ends when its slowest drill is learnt, because the token at which that happens varies between seeds.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import documents
import torch
from build_tokenizer import END, PAD, build, save
from network import NORM_EPSILON, ROPE_BASE, Landmarks, Network, Shape, place_circuits
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional

LONGEST = 1024
"""Positions promised to the outside, in tokens; documents stay below."""
STARTS = 3
"""Starts that may be tried; how fast look-up is learnt differs between initial weights, and shows early."""
JUST = 0.25
"""Million tokens, a little more than between two reports."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the training: what is read, and when it is over."""

    mixture: Mapping[documents.Maker, float]
    stage: documents.Stage
    documents: int
    """Documents that are sorted by length together."""
    most: float = math.inf
    """The phase ends after this many million tokens at the latest."""
    least: float = 0.0
    learnt: Mapping[str, float] = field(default_factory=dict)
    """Drill -> loss below which it counts as learnt; the phase ends when all are."""
    slow: Mapping[str, float] = field(default_factory=dict)
    """Drill -> loss that after `least` million tokens means a bad start: such a run would stay behind to its end."""


PHASES = (
    Phase(
        {documents.recall: 0.75, documents.facts: 0.25},
        documents.EASY,
        400,
        most=2.0,
        least=0.7,
        learnt={"recall": 0.2},
    ),
    Phase(
        {
            documents.recall: 0.08,
            documents.facts: 0.14,
            documents.topics: 0.36,
            documents.decide: 0.14,
            documents.conclude: 0.14,
            documents.quote: 0.14,
        },
        documents.EASY,
        400,
        most=5.0,
        least=2.0,
        learnt={"topics": 0.1, "quote": 0.1},
        slow={"topics": 0.4},
    ),
    Phase(
        {
            documents.solve: 0.26,
            documents.contrast: 0.24,
            documents.update: 0.22,
            documents.summarise: 0.06,
            documents.topics: 0.05,
            documents.decide: 0.04,
            documents.conclude: 0.04,
            documents.quote: 0.05,
            documents.facts: 0.03,
            documents.recall: 0.01,
        },
        documents.FULL,
        1500,
    ),
)


@dataclass(slots=True)
class Batch:
    """Documents of similar length, padded: ids and loss weights [documents, time], and the kind of each."""

    ids: Tensor
    weights: Tensor
    kinds: list[str]


class Reader:
    """Makes documents of the present phase and deals them out in batches of about `size` tokens."""

    def __init__(self, tokenizer: Tokenizer, seed: int, size: int) -> None:
        self.tokenizer = tokenizer
        self.rng = Random(seed)
        self.size = size
        self.phase = 0

    def batches(self) -> Iterator[Batch]:
        """Batches without end."""
        while True:
            phase = PHASES[self.phase]
            makers = list(phase.mixture)
            chosen = self.rng.choices(makers, list(phase.mixture.values()), k=phase.documents)
            read = sorted((self._encode(maker, phase.stage) for maker in chosen), key=lambda item: len(item[1]))
            groups: list[list[tuple[str, list[int], list[int]]]] = [[]]
            for item in read:
                if len(item[1]) * (len(groups[-1]) + 1) > self.size:
                    groups.append([])
                groups[-1].append(item)
            self.rng.shuffle(groups)
            before = self.phase
            for group in groups:
                yield self._batch(group)
                if self.phase != before:
                    break

    def _encode(self, maker: documents.Maker, stage: documents.Stage) -> tuple[str, list[int], list[int]]:
        ids: list[int] = []
        weights: list[int] = []
        for text, counts in maker(self.rng, stage):
            part = self.tokenizer.encode(text).ids
            ids += part
            weights += [int(counts)] * len(part)
        return maker.__name__, ids, weights

    @staticmethod
    def _batch(group: list[tuple[str, list[int], list[int]]]) -> Batch:
        longest = max(len(ids) for _, ids, _ in group)
        padded = [ids + [0] * (longest - len(ids)) for _, ids, _ in group]
        weights = [weight + [0] * (longest - len(weight)) for *_, weight in group]
        return Batch(torch.tensor(padded), torch.tensor(weights), [kind for kind, *_ in group])


class Losses:
    """Mean loss of each kind of document since the last reset, in nats a token."""

    def __init__(self) -> None:
        self.sums: dict[str, list[float]] = {}

    def add(self, batch: Batch, rows: Tensor, losses: Tensor) -> None:
        """Count token losses; `rows` says to which document of the batch each belongs."""
        count = len(batch.kinds)
        total = torch.zeros(count).index_add_(0, rows, losses).tolist()
        tokens = torch.zeros(count).index_add_(0, rows, torch.ones_like(losses)).tolist()
        for kind, loss, number in zip(batch.kinds, total, tokens, strict=True):
            entry = self.sums.setdefault(kind, [0.0, 0.0])
            entry[0] += loss
            entry[1] += number

    def means(self) -> dict[str, float]:
        """Kind -> mean loss."""
        return {kind: round(loss / number, 4) for kind, (loss, number) in sorted(self.sums.items())}


def rate(done: float, step: int, constant: float = 0.4) -> float:
    """Learning-rate factor: a short warm-up, constant for 40 % of the tokens, then linear down to 2 %."""
    falling = max(0.0, 1 - (done - constant) / (1 - constant)) * 0.98 + 0.02
    return min(1.0, (step + 1) / 100) * (1.0 if done < constant else falling)


def optimizers(network: Network, muon: float, adam: float) -> list[torch.optim.Optimizer]:
    """Muon for the matrices, AdamW for embedding and norms."""
    matrices = [p for name, p in network.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in network.named_parameters() if not (p.ndim == 2 and "embed" not in name)]
    return [
        torch.optim.Muon(matrices, lr=muon, weight_decay=0.05, momentum=0.95, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=adam, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def token_losses(network: Network, batch: Batch) -> tuple[Tensor, Tensor]:
    """Loss of each counted token, and the document that it belongs to."""
    counted = batch.weights[:, 1:] > 0
    with torch.autocast("cpu", torch.bfloat16):
        logits = network.logits(network(batch.ids[:, :-1])[counted])
    return functional.cross_entropy(logits.float(), batch.ids[:, 1:][counted], reduction="none"), counted.nonzero()[
        :, 0
    ]


def improve(network: Network, optims: list[torch.optim.Optimizer], batch: Batch) -> tuple[Tensor, Tensor]:
    """Take one step; return the document of each counted token, and its loss."""
    losses, rows = token_losses(network, batch)
    for optim in optims:
        optim.zero_grad()
    losses.mean().backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    for optim in optims:
        optim.step()
    return rows, losses.detach()


def landmarks(tokenizer: Tokenizer) -> Landmarks:
    """Find the tokens that the placed circuits need."""
    numbers = range(1, documents.HIGHEST_ID + 1)
    pairs = tuple((tokenizer.token_to_id(f"[{n}]"), tokenizer.encode(f" {n}").ids[0]) for n in numbers)
    lines = tuple(tokenizer.token_to_id(f"({n}) ") for n in range(1, 10))
    return Landmarks(pairs, lines)


def write_model(network: Network, tokenizer: Tokenizer, folder: Path) -> None:
    """Write weights in float16 and both configuration files, as transformers and vLLM read them."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.to(torch.float16).contiguous() for name, value in network.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)
    shape = network.shape
    end, pad = tokenizer.token_to_id(END), tokenizer.token_to_id(PAD)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.heads,
        "head_dim": shape.head_width,
        "hidden_act": "silu",
        "max_position_embeddings": LONGEST,
        "rms_norm_eps": NORM_EPSILON,
        "rope_theta": ROPE_BASE,
        "rope_parameters": {"rope_type": "default", "rope_theta": ROPE_BASE},
        "tie_word_embeddings": True,
        "attention_bias": False,
        "mlp_bias": False,
        "dtype": "float16",
        "torch_dtype": "float16",
        "bos_token_id": None,
        "eos_token_id": end,
        "pad_token_id": pad,
        "use_cache": True,
        "initializer_range": 0.02,
    }
    generation = {"do_sample": True, "temperature": 1.0, "eos_token_id": end, "pad_token_id": pad}
    for name, content in (("config.json", config), ("generation_config.json", generation)):
        (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def train(options: argparse.Namespace, tokenizer: Tokenizer, seed: int) -> Network | None:
    """Train to the end and return the network, or None after a bad start; every 400 steps a checkpoint is written."""
    torch.manual_seed(seed)
    network = Network(Shape(tokenizer.get_vocab_size(), options.width, options.layers, options.heads, options.hidden))
    place_circuits(network, landmarks(tokenizer))
    print(f"{sum(p.numel() for p in network.parameters())} parameters, {network.shape}", flush=True)
    reader = Reader(tokenizer, seed + 10, options.batch)
    optims = optimizers(network, options.muon, options.adam)
    groups = [group for optim in optims for group in optim.param_groups]
    full_rates = [group["lr"] for group in groups]
    losses = Losses()
    tokens = phase_start = 0
    began = time.monotonic()
    for step, batch in enumerate(reader.batches()):
        done = tokens / (options.tokens * 1e6)
        if done >= 1:
            break
        for group, full in zip(groups, full_rates, strict=True):
            group["lr"] = full * rate(done, step)
        losses.add(batch, *improve(network, optims, batch))
        tokens += batch.ids.numel()
        if step % 50 == 49:
            seconds = time.monotonic() - began
            means = losses.means()
            losses = Losses()
            head = f"step {step + 1} phase {reader.phase} {tokens / 1e6:.2f} Mtok {seconds:.0f} s"
            print(f"{head} {tokens / seconds:.0f} tok/s {means}", flush=True)
            millions = (tokens - phase_start) / 1e6
            if is_slow(PHASES[reader.phase], millions, means):
                return None
            if phase_is_over(PHASES[reader.phase], millions, means):
                reader.phase += 1
                phase_start = tokens
        if step % 400 == 399:
            write_model(network, tokenizer, options.out)
    print(f"{tokens} tokens in {(time.monotonic() - began) / 60:.1f} minutes", flush=True)
    return network


def phase_is_over(phase: Phase, millions: float, means: Mapping[str, float]) -> bool:
    """Whether a phase has lasted `most` million tokens, or `least` and everything to be learnt is."""
    if not phase.learnt:
        return False
    learnt = all(means.get(kind, math.inf) < bound for kind, bound in phase.learnt.items())
    return millions >= phase.most or (millions >= phase.least and learnt)


def is_slow(phase: Phase, millions: float, means: Mapping[str, float]) -> bool:
    """Whether a phase has just lasted `least` million tokens and what it drills is far from learnt."""
    just = phase.least <= millions < phase.least + JUST
    return just and any(means.get(kind, 0.0) > bound for kind, bound in phase.slow.items())


def parse_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--tokens", type=float, default=16.0, help="millions of training tokens")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=4096, help="tokens of a batch")
    parser.add_argument("--muon", type=float, default=3e-3, help="learning rate of the matrices")
    parser.add_argument("--adam", type=float, default=2e-3, help="learning rate of embedding and norms")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=320)
    return parser.parse_args()


def main() -> None:
    """Build the tokenizer, train, write."""
    options = parse_arguments()
    torch.set_num_threads(options.threads)
    tokenizer = build()
    save(tokenizer, options.out, LONGEST)
    for start in range(STARTS):
        network = train(options, tokenizer, options.seed + 1000 * start)
        if network is not None:
            write_model(network, tokenizer, options.out)
            return
        print(f"start {start + 1} is slow", flush=True)
    sys.exit(f"none of {STARTS} starts learnt to look lines up; try another --seed")


if __name__ == "__main__":
    main()
