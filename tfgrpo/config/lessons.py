"""How attempts become lessons, as a configuration table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LessonsConfig:
    """How attempts become lessons."""

    proposer: str = "contrast"
    """How lessons are searched for. `contrast`: one call a group. `sampled`: `draws` candidates a group at high
    temperature, of which the best scored `per_group` go on (`edit_score`). `map-reduce`: a note on each group, then
    one synthesis. `agentic`: once a batch, the summarizer reads attempts, searches the library, has answers graded and
    tries lessons, by function calls."""
    turns: int = 12
    """agentic: replies of one conversation, at most; the last one is the answer."""
    agent_tokens: int = 100_000
    """agentic: tokens of all requests and replies of a conversation, about; the reply after them is the answer."""
    tries: int = 8
    """agentic: rollouts with a lesson added, a batch."""
    stages: str = "contrast"
    """`contrast`: one contrast call a group. `four`: the paper's summary, contrast, operations and merge."""
    summaries: str = ""
    """`never`, `when-long` or `always`; empty leaves it to the prompt set."""
    consolidate: str = ""
    """What comes between proposals and gate. `none`: nothing. `join`: equal ones become one, the best supported first.
    `model`: a model reconciles them in the way of the prompt set, which is `batch` (one call for all) or `each` (one
    call for each) and can be named too. Empty leaves it to the prompt set."""
    draws: int = 0
    """Candidate lessons drawn of a group, at temperature 0.8 unless one is given; 0 leaves it to the prompt set. With
    `proposer = "sampled"` 0 means 8, and they are drawn at temperature 1."""
    candidates: int = 6
    """Where no model consolidates: most proposals of a step that meet the gate, the best supported first; 0 is all."""
    per_group: int = 2
    """Edits asked for per group, at most."""
    max_words: int = 32
    """Longest lesson, in words (arXiv 2510.08191 uses 32)."""
    ground_truth: bool = True
    """Show the reference answer to the summarizer."""
    temperature: float | None = 0.0
    """Of summaries, contrasts and consolidation."""
    max_tokens: int | None = None
    """Limit of one reply; None leaves it to the prompt set (2048). A reply that is cut is asked for again with room."""
    all_wrong: bool = False
    """Also ask groups without a winner, for a hypothesis."""
    all_right: bool = False
    """Also ask groups of winners, for what the cheaper ones left out."""
    labels: str = "grader"
    """`none` learns without labels: no reward, reference or grader's word reaches the summarizer, every group teaches,
    and what most of its attempts answered stands beside them as a pseudo-label. Needs the open gate."""
    agent_objective: str = ""
    """What the solver is for, in the words of a person: what comes in, what should come out. Told with each question
    about lessons, as the published code does; empty tells nothing."""
    learning_objective: str = ""
    """What lessons should achieve, in the words of a person, told in the same places."""
    contrast: bool = True
    """False hides the rewards and shows every rollout as failed: the no-contrast control."""
    place: str = ""
    """Where the block of lessons stands in a new library: `system`, at the end of the system message, which prompts
    share, or `user_end`, at the end of the user's turn, where small models follow it. Empty leaves it to the probe of
    the endpoint, else to the prompt set."""
    budget_tokens: int = 2000
    """Size limit of the library in tokens (4 characters each)."""
    retrieval: str = "all"
    """Which lessons a problem meets. `all`; `fts`, those that share words with it (BM25); `embedding`, those near it by
    vectors; `hybrid`, both. Let `tfgrpo eval --retrieval all,fts` choose."""
    retrieval_tokens: int = 600
    """Room for lessons in one prompt where they are chosen for it, filled by measured effect per token."""
    embedding: str = ""
    """Model that makes vectors: `static:FOLDER` (model.safetensors with `embeddings`, and tokenizer.json), or
    `openai/NAME` of any `/v1/embeddings`."""
    embedding_url: str = ""
    """Where that model is; empty is OPENAI_BASE_URL."""
    attempt_tokens: int = 6000
    """Token budget that all attempts of a group share in one contrast prompt; longer ones are summarized."""
    focus: str = ""
    """`planning` shows sentences with strategic grams first (HICRA); empty shows attempts as they are."""
    slips: str = "teach"
    """planning: `skip` asks nothing of a group whose wrong attempts followed the plan of a right one and differ from it
    in figures only: an execution slip, of which no plan can be learned."""
    alpha: float = 0.2
    """Emphasis on planning sentences: weight A + alpha |A|."""
    clusters: str = "exact"
    """planning: `exact` makes each phrase a strategy, `jaccard` joins phrases that share half of their words."""
    rivals: int = 6
    """Lessons that contradict each other: so many of them meet the gate at once, at most, the best supported first."""
    leakage: str = "dataset"
    """What a lesson may not give away. `dataset`: answers that are one problem's own; those that recur over problems
    (labels, options, yes and no) are no secret. `strict`: every answer. `off`: nothing is checked."""
    review: bool | None = None
    """Accepted edits that rest on tool output wait for `tfgrpo lessons review`. None: exactly where a tool brings in
    text of strangers, so with any tool but `python`."""
    allow: str = ""
    """Findings of the scanners that stop no edit, between commas: instruction, url, code, markup, ..."""


LEAST: Mapping[str, float] = {
    "lessons.tries": 0,
    "lessons.agent_tokens": 1,
    "lessons.turns": 2,
    "lessons.per_group": 1,
    "lessons.rivals": 2,
    "lessons.max_words": 1,
    "lessons.max_tokens": 1,
    "lessons.draws": 0,
    "lessons.candidates": 0,
    "lessons.budget_tokens": 1,
    "lessons.retrieval_tokens": 1,
    "lessons.attempt_tokens": 1,
}
"""Smallest value of the keys that have one."""
CHOICES: Mapping[str, tuple[str, ...]] = {
    "lessons.proposer": ("contrast", "sampled", "map-reduce", "agentic"),
    "lessons.focus": ("", "planning"),
    "lessons.slips": ("teach", "skip"),
    "lessons.labels": ("grader", "none"),
    "lessons.clusters": ("exact", "jaccard"),
    "lessons.stages": ("contrast", "four"),
    "lessons.summaries": ("", "never", "when-long", "always"),
    "lessons.place": ("", "system", "user_end"),
    "lessons.retrieval": ("all", "fts", "embedding", "hybrid"),
    "lessons.consolidate": ("", "none", "join", "model", "batch", "each"),
}
"""All values of the keys that take a word."""
