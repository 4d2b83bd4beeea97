"""How attempts become lessons, as a configuration table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LessonsConfig:
    """How attempts become lessons."""

    stages: str = "contrast"
    """`contrast`: one contrast call a group. `four`: the paper's summary, contrast, operations and merge."""
    summaries: str = ""
    """`never`, `when-long` or `always`; empty leaves it to the prompt set."""
    consolidate: str = ""
    """What comes between proposals and gate. `none`: nothing. `join`: equal ones become one, the best supported first.
    `model`: a model reconciles them in the way of the prompt set, which is `batch` (one call for all) or `each` (one
    call for each) and can be named too. Empty leaves it to the prompt set."""
    draws: int = 0
    """Candidate lessons drawn of a group, at temperature 0.8 unless one is given; 0 leaves it to the prompt set."""
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
    contrast: bool = True
    """False hides the rewards and shows every rollout as failed: the no-contrast control."""
    place: str = ""
    """Where the block of lessons stands in a new library: `system`, at the end of the system message, which prompts
    share, or `user_end`, at the end of the user's turn, where small models follow it. Empty leaves it to the probe of
    the endpoint, else to the prompt set."""
    budget_tokens: int = 2000
    """Size limit of the library in tokens (4 characters each)."""
    attempt_tokens: int = 6000
    """Token budget that all attempts of a group share in one contrast prompt; longer ones are summarized."""
    focus: str = ""
    """`planning` shows sentences with strategic grams first (HICRA); empty shows attempts as they are."""
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
