"""Build the tokenizer: byte-level BPE over the grammar, plus tokens that put what is compared side by side.

Which strings are one token decides what a model of four layers can learn. ` as max` is one, so that a meaning
directly follows its operator and looking it up is plain induction; `[37]` is one, so that the id of a lesson is
three tokens before its meaning, within reach of the heads that look a fixed distance back.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from random import Random

from documents import DRILLS, FULL, HIGHEST_ID, ROLES
from grammar import MEANINGS, ORDERS
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

PAD, START, END = "<|pad|>", "<|im_start|>", "<|im_end|>"
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WHOLE = (
    *(f" as {meaning}" for meaning in MEANINGS),
    *(f" {order} first" for order in ORDERS),
    *(f"{grade} {length}:" for grade in ("right", "wrong") for length in ("short", "long")),
    *(f"({index}) " for index in range(1, 10)),
    *(f"[{number}]" for number in range(1, HIGHEST_ID + 1)),
    *(f" {number}" for number in range(10, HIGHEST_ID + 1)),
    *("[none]", " with the", ".\n", " \\boxed{"),
    *('{"edits": [{"op": "', '", "text": "', '", "id":', ', "text": "', '"}]}', "}]}", '{"edits": []}'),
)


def build(documents: int = 4000) -> Tokenizer:
    """Train the tokenizer on documents of every kind; the result does not depend on the seed of the training."""
    rng = Random(1)
    texts = ["system", "user", "assistant"] * documents
    for index in range(documents):
        makers = (*ROLES, *DRILLS)
        texts += [text for text, _ in makers[index % len(makers)](rng, FULL)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=768,
        special_tokens=[PAD, START, END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=5,
        show_progress=False,
    )
    # The whole tokens never reach the trainer, or it would spend merges on their parts.
    whole = re.compile("|".join(map(re.escape, sorted((PAD, START, END, *WHOLE), key=len, reverse=True))))
    tokenizer.train_from_iterator((part for text in texts for part in whole.split(text)), trainer)
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text in WHOLE])
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path, longest: int) -> None:
    """Write `tokenizer.json` and `tokenizer_config.json` as transformers reads them; `longest` is in tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": PAD,
        "bos_token": None,
        "model_max_length": longest,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    built = build()
    save(built, Path(sys.argv[1]), 1024)
    print(f"{built.get_vocab_size()} tokens in {sys.argv[1]}/tokenizer.json")
