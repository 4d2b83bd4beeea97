"""Mining the phrases of planning, marking them, and how varied they are."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrpo.edit_scores import (
    cluster_document_frequency,
    keep_top,
    mine,
    planning_mask,
    planning_ratio,
    planning_sentences,
    planning_tokens,
    planning_tokens_spread,
    semantic_entropy,
    spells,
)
from tfgrpo.edit_scores.strategic_grams import sentences, word_spans, words
from tfgrpo.errors import UsageError

CORRECT = [
    "Let's try a smaller case. We get 12 + 30 = 42. The answer is 42.",
    "First, let\u2019s try a smaller case: n = 2.\nThe answer is 7.",
    "But wait, the problem says odd. Let's try a smaller case. The answer is 3.",
    "But wait, the problem says prime. The answer is 5.",
]


def test_strategies_are_mined_and_boilerplate_is_not():
    """Phrases shared by correct rollouts are kept; the stop-list takes out what every rollout says."""
    found = mine(CORRECT)
    assert found.frequency["let's try a"] == 3
    assert "let's try a smaller" in found.grams
    assert not any("the answer is" in gram for gram in found.frequency)
    assert found.clustering == "exact (embedding-free)"


def test_a_phrase_of_one_rollout_is_no_strategy():
    """Grams need two rollouts and do not cross sentences."""
    found = mine(CORRECT, top_fraction=1.0)
    assert "the problem says odd" not in found.grams
    assert "problem says prime the" not in found.grams
    assert "the problem says" in found.grams


def test_audit_can_drop_what_the_stop_list_missed():
    """A hook sees each gram and has the last word."""
    found = mine(CORRECT, top_fraction=1.0, audit=lambda gram: "wait" not in gram)
    assert found.grams
    assert not any("wait" in gram for gram in found.grams)


def test_overlapping_grams_can_be_one_strategy():
    """Word overlap joins variants of a phrase, so they are counted once; the label says how."""
    exact, joined = (mine(CORRECT, clustering=c, top_fraction=1.0) for c in ("exact", "jaccard"))
    assert len(joined.clusters) < len(exact.clusters)
    assert set(joined.grams) == set(exact.grams)
    assert joined.clustering == "jaccard (embedding-free)"
    assert max(joined.frequency.values()) == 3


def test_nothing_correct_mines_nothing():
    """Without correct rollouts there are no strategies, and no error."""
    assert mine([]).grams == ()


def test_unspaced_scripts_bring_their_own_tokenizer():
    """Characters can stand for words."""
    found = mine(["先试小例子", "先试小例子吧"], tokenize=list, top_fraction=1.0)
    assert "先 试 小" in found.grams


def test_cluster_counts_a_rollout_once():
    """Two grams of a cluster in one rollout are one document."""
    clusters = {"a": ["x y z", "y z w"], "b": ["q r s"]}
    assert cluster_document_frequency(clusters, [["x y z", "y z w"], ["y z w"]]) == {"a": 2, "b": 0}


def test_share_of_clusters_rounds_as_told():
    """A fifth of six is two, one, or one; ties go by name; a product just above a whole number is that number."""
    frequency = dict.fromkeys("fedcba", 1)
    assert keep_top(frequency) == ("a", "b")
    assert keep_top(frequency, rounding="floor") == keep_top(frequency, rounding="round") == ("a",)
    assert len(keep_top({str(n): n for n in range(100)}, 0.07)) == 7


def test_mask_is_the_union_of_exact_matches():
    """Overlapping phrases are joined, other words stay 0, and longer phrases than the text match nothing."""
    text = words("So let's try a smaller case, then wait")
    assert planning_mask(text, ["let's try a", "try a smaller", "wait for it all the time now ok"]) == (
        (0, 1, 1, 1, 1, 0, 0, 0)
    )
    assert planning_ratio(planning_mask(text, [])) == planning_ratio(()) == 0.0
    assert planning_mask(text, [""]) == (0,) * 8


def test_sentences_that_plan_are_marked():
    """The summarizer can put planning sentences first."""
    marked = planning_sentences("Let's try a smaller case. 2 + 3 = 5.", ["let's try a"])
    assert [plans for _, plans in marked] == [True, False]
    assert sentences("One. Two!\n\nThree") == ("One.", "Two!", "Three")


def test_entropy_counts_strategies():
    """Equal strategies have the highest entropy, a single one none, and no strategy no entropy at all."""
    assert semantic_entropy([2, 2]).value == pytest.approx(math.log(2))
    assert semantic_entropy([2, 2], base=2).value == pytest.approx(1.0)
    assert semantic_entropy([7]).normalized == 0.0
    assert semantic_entropy([7]).valid
    assert not semantic_entropy([0, 0]).valid


@pytest.mark.parametrize(
    "call",
    [
        lambda: semantic_entropy([-1]),
        lambda: semantic_entropy([1], base=1),
        lambda: keep_top({}, 1.5),
        lambda: keep_top({}, rounding="up"),
        lambda: mine([], clustering="k-means"),
    ],
)
def test_senseless_arguments_are_refused(call):
    """Counts, shares and names are checked."""
    with pytest.raises(UsageError):
        call()


PIECES = st.lists(st.sampled_from(["a", "b", "c", "ab", "é", "ß", "’", "1", ".", "a b", "b c a"]), max_size=12)


@given(PIECES, st.integers(1, 7))
def test_planning_tokens_agree_with_planning_words_however_the_text_is_cut(pieces, size):
    """A token is marked exactly when it holds a character of a planned word."""
    grams, text = ("a b", "b c a", "ab c"), " ".join(pieces)
    texts = [text[i : i + size] for i in range(0, len(text), size)]
    spans = word_spans(text)
    planned = {
        i
        for (_, start, end), mark in zip(spans, planning_mask([w for w, _, _ in spans], grams), strict=True)
        if mark
        for i in range(start, end)
    }
    expected = tuple(int(any(j in planned for j in range(i, i + size))) for i in range(0, len(text), size))
    assert planning_tokens(texts, grams) == expected
    assert spells(texts, text)
    assert tuple(w for w, _, _ in spans) == words(text)


def test_words_are_spread_evenly_where_nobody_says_what_tokens_spell():
    """Four words over eight tokens take two each; a text without words marks nothing."""
    assert planning_tokens_spread("try a smaller case", 8, ["a smaller"]) == (0, 0, 1, 1, 1, 1, 0, 0)
    assert planning_tokens_spread("1 + 1", 3, ["a smaller"]) == (0, 0, 0)
    assert not spells(["tryasmallercase"], "try a smaller case")
