"""The public benchmarks we know by name: where they lie, how many problems they have, and how they are recognised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NamedSet:
    """A public dataset we know by name."""

    name: str
    hub_id: str
    split: str
    rows: int
    """How many problems it has; another count is an error, for a part of a benchmark is not the benchmark."""
    grader: str
    about: str
    question: str = "question"
    answer: str = "answer"
    subset: str | None = None
    """The hub's configuration name, where it has several."""
    answer_after: str = ""
    """The reference is what follows the last such mark; empty where the column is the reference alone."""
    files: tuple[str, ...] = ()
    """Names a local copy may have, beside `<name>.jsonl`; a copy has the columns question and answer, or the hub's."""
    answers_mark: str = ""
    """Hash of all answers, see `datasets.marks`; every copy must have it. Empty where no copy was ever checked."""
    words_mark: str = ""
    """Hash of the questions' words with their answers; local copies must have it. The hub's typography may differ."""

    @property
    def address(self) -> str:
        """Where it lies on the hub, as `load` takes it."""
        return f"hf:{self.hub_id}{f'/{self.subset}' if self.subset else ''}:{self.split}"

    @property
    def file(self) -> str:
        """The first name under which a local copy is looked for."""
        return f"{self.name}.jsonl"


NAMED_SETS: Mapping[str, NamedSet] = {
    known.name: known
    for known in (
        NamedSet(
            "aime24",
            "HuggingFaceH4/aime_2024",
            "train",
            30,
            "math",
            "AIME 2024 I and II: contest problems with whole-number answers",
            question="problem",
            answers_mark="139bdaf15f74b66d",
            words_mark="a1d91ecf9ff94c9f",
        ),
        NamedSet(
            "aime25",
            "math-ai/aime25",
            "test",
            30,
            "math",
            "AIME 2025 I and II: contest problems with whole-number answers",
            question="problem",
        ),
        NamedSet(
            "dapo-math-17k",
            "open-r1/DAPO-Math-17k-Processed",
            "train",
            17398,
            "math",
            "DAPO-Math-17k: the paper's source of learning problems (it draws 100)",
            question="prompt",
            answer="solution",
            subset="all",
        ),
        NamedSet(
            "gsm8k",
            "openai/gsm8k",
            "test",
            1319,
            "numeric",
            "GSM8K test: grade-school word problems",
            subset="main",
            answer_after="####",
            files=("gsm8k_test.jsonl",),
            answers_mark="e9124995e99d0430",
            words_mark="f31aac0f84a2e48c",
        ),
        NamedSet(
            "math500",
            "HuggingFaceH4/MATH-500",
            "test",
            500,
            "math",
            "MATH-500: competition problems with LaTeX answers",
            question="problem",
        ),
        NamedSet(
            "webwalkerqa",
            "callanwu/WebWalkerQA",
            "main",
            680,
            "web_qa",
            "WebWalkerQA: questions that need the live web, in English and Chinese",
            answers_mark="1b10f496ab51e0bf",
            words_mark="9a7c05c19809ef7d",
        ),
    )
}
"""Datasets that can be asked for by name."""


def copy_fault(named: NamedSet, answers: str, words: str, *, local: bool) -> str:
    """What is wrong with a copy whose marks are these; '' when it is what it claims, or nobody can tell."""
    if named.answers_mark and answers != named.answers_mark:
        return f"has {named.rows} rows, but not the answers of {named.name} (hash {answers}, not {named.answers_mark})"
    if local and named.words_mark and words != named.words_mark:
        return f"has the answers of {named.name}, but other questions (hash {words}, not {named.words_mark})"
    return ""
