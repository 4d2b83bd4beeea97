"""Strategic grams: the phrases in which correct rollouts announce what they will do.

Word n-grams of correct rollouts are clustered; a cluster counts by the number of distinct rollouts it occurs in, and
the top fifth is kept. The paper clusters sentence embeddings; here clusters are exact or by word overlap, which needs
no model and is labelled as such in `StrategicGrams.clustering`. Frequency ranks boilerplate as high as strategy, hence
the stop-list and the audit hook.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from tfgrpo.errors import UsageError

BOILERPLATE = frozenset(
    {"the answer is", "the final answer", "we get the", "is equal to", "the value of", "given that the", "we are given"}
)
"""Phrases that are frequent and no strategy; a gram that contains one is not mined."""

Rounding = Literal["ceil", "floor", "round"]
Clustering = Literal["exact", "jaccard"]


@dataclass(frozen=True, slots=True)
class StrategicGrams:
    """What mining found."""

    clusters: Mapping[str, tuple[str, ...]]
    """Cluster name (its first gram) to its grams."""
    frequency: Mapping[str, int]
    """Cluster document frequency: number of distinct rollouts with any gram of the cluster."""
    kept: tuple[str, ...]
    """Names of the kept clusters, most frequent first, ties by name."""
    grams: tuple[str, ...]
    """The union of the kept clusters: the strategic grams."""
    clustering: str
    """`exact (embedding-free)` or `jaccard (embedding-free)`."""


def words(text: str) -> tuple[str, ...]:
    """Case-folded words of a text; digits and symbols are dropped. For unspaced scripts pass another tokenizer."""
    return tuple(word for word, _, _ in word_spans(text))


def word_spans(text: str) -> tuple[tuple[str, int, int], ...]:
    """Each word with its first character and the one after its last."""
    found = re.finditer(r"[^\W\d_]+(?:['’][^\W\d_]+)*", text)
    return tuple((m[0].casefold().replace("’", "'"), m.start(), m.end()) for m in found)


def sentences(text: str) -> tuple[str, ...]:
    """Sentences and lines of a text, trimmed, without empty ones."""
    return tuple(part.strip() for part in re.split(r"(?<=[.!?。！？])\s+|\n+", text) if part.strip())


def mine(
    correct: Sequence[str],
    *,
    sizes: Sequence[int] = (3, 4, 5),
    top_fraction: float = 0.2,
    clustering: Clustering = "exact",
    stop_grams: Collection[str] = BOILERPLATE,
    audit: Callable[[str], bool] | None = None,
    tokenize: Callable[[str], Sequence[str]] = words,
) -> StrategicGrams:
    """Mine strategic grams from the texts of correct rollouts.

    Source: HICRA, arXiv 2509.03646: n-grams of 3 to 5 words, clusters by meaning, the top 20% by document frequency.

    Args:
        correct: texts of correct rollouts. Grams do not cross sentences and must occur in at least two rollouts.
        sizes: n.
        top_fraction: share of clusters to keep, rounded up.
        clustering: `exact` makes each gram its own cluster; `jaccard` joins grams that share half their words.
        stop_grams: phrases that disqualify a gram.
        audit: asked about each remaining gram; False drops it.
        tokenize: text to words.

    Raises:
        UsageError: the fraction lies outside [0, 1] or the clustering is unknown.
    """
    if clustering not in ("exact", "jaccard"):
        raise UsageError(f"clustering {clustering!r} is unknown; choose exact or jaccard")
    documents = [_grams(text, sizes, tokenize) for text in correct]
    grams = [gram for gram in _frequent(documents, stop_grams) if audit is None or audit(gram)]
    clusters = _overlapping(grams) if clustering == "jaccard" else {gram: (gram,) for gram in grams}
    frequency = cluster_document_frequency(clusters, documents)
    kept = keep_top(frequency, top_fraction)
    union = tuple(dict.fromkeys(gram for name in kept for gram in clusters[name]))
    return StrategicGrams(clusters, frequency, kept, union, f"{clustering} (embedding-free)")


def cluster_document_frequency(
    clusters: Mapping[str, Collection[str]], documents: Iterable[Collection[str]]
) -> dict[str, int]:
    """Number of distinct documents (each given by its grams) that hold any gram of a cluster, by cluster name."""
    held = [set(document) for document in documents]
    return {name: sum(not set(grams).isdisjoint(document) for document in held) for name, grams in clusters.items()}


def keep_top(
    frequency: Mapping[str, int], top_fraction: float = 0.2, *, rounding: Rounding = "ceil"
) -> tuple[str, ...]:
    """Names of the most frequent clusters, ties by name.

    Raises:
        UsageError: the fraction lies outside [0, 1] or the rounding is unknown.
    """
    if not 0.0 <= top_fraction <= 1.0:
        raise UsageError(f"top_fraction is {top_fraction}; it is a share of the clusters, between 0 and 1")
    rules: dict[str, Callable[[float], int]] = {"ceil": math.ceil, "floor": math.floor, "round": round}
    if rounding not in rules:
        raise UsageError(f"rounding {rounding!r} is unknown; choose {', '.join(rules)}")
    # Nine digits, because 0.07 * 100 is a little more than 7.
    count = rules[rounding](round(top_fraction * len(frequency), 9))
    return tuple(sorted(frequency, key=lambda name: (-frequency[name], name))[:count])


def planning_mask(words_T: Sequence[str], grams: Iterable[str]) -> tuple[int, ...]:
    """1 for each word inside any strategic gram, else 0; overlapping grams are joined. Words are compared exactly.

    Source: HICRA, arXiv 2509.03646; the union is ours.
    """
    wanted = {tuple(gram.split()) for gram in grams} - {()}
    mask = [0] * len(words_T)
    for size in {len(gram) for gram in wanted}:
        for start in range(len(words_T) - size + 1):
            if tuple(words_T[start : start + size]) in wanted:
                mask[start : start + size] = [1] * size
    return tuple(mask)


def planning_tokens(texts_T: Sequence[str], grams: Iterable[str]) -> tuple[int, ...]:
    """1 for each token that spells part of a word inside a strategic gram, else 0; exact, from the tokens' own texts.

    Source: HICRA, arXiv 2509.03646: planning tokens are the tokens inside any strategic gram.
    """
    spans = word_spans("".join(texts_T))
    planned = [
        span for span, marked in zip(spans, planning_mask([w for w, _, _ in spans], grams), strict=True) if marked
    ]
    mask, start, at = [], 0, 0
    for text in texts_T:
        end = start + len(text)
        # The spans stand in order and apart, so those that ended are never met again.
        while at < len(planned) and planned[at][2] <= start:
            at += 1
        mask.append(int(at < len(planned) and planned[at][1] < end))
        start = end
    return tuple(mask)


def planning_tokens_spread(text: str, tokens: int, grams: Iterable[str]) -> tuple[int, ...]:
    """`planning_tokens` where nobody says what the tokens spell: the words are spread evenly over them. Ours."""
    marks = planning_mask(words(text), grams)
    return tuple(marks[t * len(marks) // tokens] if marks else 0 for t in range(tokens))


def spells(texts_T: Sequence[str], text: str) -> bool:
    """Say whether the words of `text` stand in a row in what the tokens spell, so that their texts can be trusted.

    Tokens that spell half a character, or lost their spaces, do not pass.
    """
    return f" {' '.join(words(text))} " in f" {' '.join(words(''.join(texts_T)))} "


def planning_ratio(mask: Sequence[int]) -> float:
    """Share of planning words, in [0, 1]; 0 for an empty text."""
    return sum(mask) / len(mask) if mask else 0.0


def planning_sentences(
    text: str, grams: Collection[str], *, tokenize: Callable[[str], Sequence[str]] = words
) -> tuple[tuple[str, bool], ...]:
    """Each sentence of a rollout and whether it holds a strategic gram: what the summarizer should see first."""
    return tuple((sentence, any(planning_mask(tokenize(sentence), grams))) for sentence in sentences(text))


@dataclass(frozen=True, slots=True)
class SemanticEntropy:
    """How varied the strategies are: a monitor of collapse under a library."""

    value: float
    """Shannon entropy of the frequencies, in units of the chosen log base; 0 when not valid."""
    normalized: float
    """Divided by log K for K counted strategies, in [0, 1]; 0 with fewer than two."""
    valid: bool
    """False when no strategic gram occurred."""


def semantic_entropy(counts: Sequence[float], *, base: float = math.e) -> SemanticEntropy:
    """H = -sum p log p over the frequencies of strategic grams.

    Source: HICRA, arXiv 2509.03646; the log base is not stated there, nats here. Compare libraries over the same grams
    and the same number of rollouts; nan counts as missing.

    Raises:
        UsageError: a count is negative or the base is not above 1.
    """
    if base <= 1 or any(count < 0 for count in counts):
        raise UsageError("semantic entropy needs counts of at least 0 and a log base above 1")
    known = [count for count in counts if not math.isnan(count)]
    total = math.fsum(known)
    if not total:
        return SemanticEntropy(0.0, 0.0, valid=False)
    h = -math.fsum(c / total * math.log(c / total) for c in known if c)
    return SemanticEntropy(max(h, 0.0) / math.log(base), max(h, 0.0) / math.log(max(len(known), 2)), valid=True)


def _grams(text: str, sizes: Sequence[int], tokenize: Callable[[str], Sequence[str]]) -> frozenset[str]:
    found: set[str] = set()
    for sentence in sentences(text):
        tokens = tokenize(sentence)
        for size in sizes:
            found.update(" ".join(tokens[i : i + size]) for i in range(len(tokens) - size + 1))
    return frozenset(found)


def _frequent(documents: Iterable[Collection[str]], stop_grams: Collection[str]) -> list[str]:
    counts = Counter(gram for document in documents for gram in document)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    stops = [f" {stop} " for stop in stop_grams]
    return [gram for gram, count in ranked if count > 1 and not any(stop in f" {gram} " for stop in stops)]


def _overlapping(grams: Sequence[str], threshold: float = 0.5) -> dict[str, tuple[str, ...]]:
    """Greedy clusters: each gram joins the first earlier one with which it shares at least half of all their words."""
    clusters: dict[str, list[str]] = {}
    leaders_by_word: dict[str, dict[str, None]] = {}
    words: dict[str, frozenset[str]] = {}
    places: dict[str, int] = {}
    for gram in grams:
        own = frozenset(gram.split())
        leaders = dict.fromkeys(leader for word in sorted(own) for leader in leaders_by_word.get(word, ()))
        close = [x for x in leaders if len(own & words[x]) >= threshold * len(own | words[x])]
        if close:
            clusters[min(close, key=places.__getitem__)].append(gram)
            continue
        words[gram], places[gram] = own, len(places)
        clusters[gram] = [gram]
        for word in own:
            leaders_by_word.setdefault(word, {})[gram] = None
    return {name: tuple(members) for name, members in clusters.items()}
