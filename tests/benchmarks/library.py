"""How long a library takes: open, search, choose for a problem, commit of one edit; beside floors of the same run.

    python tests/benchmarks/library.py [--lessons 100000] [--draws 50] [--embedding FOLDER] [--json]

The lessons are made of 30,000 words drawn by Zipf's law, as words of real texts fall. Floors: what SQLite needs to
count the rows of one word in the index, and one transaction with one plain row. The last line has the ratio of each
to its floor.

Choosing by vectors is measured with a static model, that of `--embedding`, else one made of 256 random numbers a word,
which costs as much. `embed all` and `first by vectors` are once a process, `again by vectors` after a commit of one
edit, `by vectors` every question; its floor is one product of a table of 256 numbers a lesson with a vector.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from experience_db import Edit, Evidence, Library, Op, Source, Store, open_library
from experience_db.retrieval import Retrieval
from tfgrpo.config import LessonsConfig
from tfgrpo.retrieval import retrieval_for

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u") for c in map(str, range(430))]
WEIGHTS = [1 / (rank + 10) for rank in range(len(WORDS))]


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--lessons", type=int, default=100_000)
    asked.add_argument("--draws", type=int, default=50)
    asked.add_argument("--json", action="store_true")
    asked.add_argument("--embedding", type=Path, default=None)
    told = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = told.embedding or static_model(Path(folder) / "model")
        found = measured(Path(folder) / "experience.db", told.lessons, told.draws, model)
    if not told.json:
        for name, row in found["ms"].items():
            print(f"{name:20} median {row['median']:9.2f} ms   worst of {told.draws} {row['worst']:9.2f} ms")
    print(json.dumps(found))


def static_model(folder: Path) -> Path:
    """Make a static model of the words of this benchmark, and return its folder."""
    folder.mkdir()
    table = np.random.default_rng(0).standard_normal((len(WORDS), 256)).astype(np.float32)
    save_file({"embeddings": table}, folder / "model.safetensors")
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token=WORDS[0]))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def measured(db: Path, lessons: int, draws: int, model: Path) -> dict[str, object]:
    """Return milliseconds of each thing and ratios to floors, for so many lessons."""
    luck = random.Random(0)

    def words(n: int) -> str:
        return " ".join(luck.choices(WORDS, WEIGHTS, k=n))

    with Store.open(db) as store:
        store.create_library("large")
        edits = [Edit(Op.ADD, words(18), sources=(Source(f"p{i}", (0, 1), "r", i % 40),)) for i in range(lessons)]
        head = store.commit("large", edits, parent=0)
        store.add_evidence("large", [Evidence("leave-one-out", 0.1, 0.0, 0.2, 30, (i,)) for i in range(1, lessons, 10)])

    def commit() -> None:
        nonlocal head
        head = store.commit("large", [Edit(Op.UPDATE, words(18), (7,))], parent=head.version)

    def floor_commit() -> None:
        store._insert("endpoint_facts", endpoint=words(9), model="m", name="n", value="v", created=0.0)

    def floor_search() -> None:
        store._rows("SELECT count(*) FROM lessons_fts WHERE lessons_fts MATCH ?", f'"{words(1)}"')

    config = LessonsConfig(embedding=f"static:{model}")

    def opened() -> Library:
        return open_library("large", db=db, retrieval=retrieval_for("embedding", config))

    with Store.open(db) as store:
        by_vectors = retrieval_for("embedding", config, store)
        assert by_vectors is not None
        embedding = timed(lambda: by_vectors.chosen(store.library("large"), words(40)), 1)
        table = np.ones((lessons, 256), np.float32)
        one = np.ones(256, np.float32)

        def fresh() -> object:
            again = retrieval_for("embedding", config, store)
            assert again is not None
            return again.chosen(store.library("large"), words(40))

        def renewed() -> object:
            commit()
            return by_vectors.chosen(store.library("large"), words(40))

        shown = open_library("large", db=db)
        choose = Retrieval(tokens=600)
        times = {
            "open": timed(lambda: open_library("large", db=db), draws),
            "search": timed(lambda: store.search("large", words(40)), draws),
            "choose": timed(lambda: choose.chosen(shown, words(40)), draws),
            "commit": timed(commit, draws),
            "embed all": embedding,
            "open for vectors": timed(opened, draws),
            "first by vectors": timed(fresh, min(draws, 5)),
            "again by vectors": timed(renewed, min(draws, 5)),
            "by vectors": timed(lambda: by_vectors.chosen(shown, words(40)), draws + 1)[1:],
            "floor of vectors": timed(lambda: table @ one, draws),
            "floor of a search": timed(floor_search, draws),
            "floor of a commit": timed(floor_commit, draws),
        }
    middle = {name: statistics.median(row) for name, row in times.items()}
    ratios = {name: middle[name] / middle["floor of a search"] for name in ("open", "search", "choose")}
    ratios["by vectors"] = middle["by vectors"] / middle["floor of vectors"]
    ratios["commit"] = middle["commit"] / middle["floor of a commit"]
    return {
        "lessons": lessons,
        "draws": draws,
        "ms": {name: {"median": middle[name], "worst": max(row)} for name, row in times.items()},
        "ratios": {name: round(ratio, 2) for name, ratio in ratios.items()},
    }


def timed(what: Callable[[], object], draws: int) -> list[float]:
    """Return milliseconds of each of `draws` calls."""
    found = []
    for _ in range(draws):
        began = time.perf_counter()
        what()
        found.append((time.perf_counter() - began) * 1000)
    return found


if __name__ == "__main__":
    sys.exit(main())
