"""Minibatches, acceptance, triples and the three-way merge, on values made by hand."""

from __future__ import annotations

import math
from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from experience_db import Evidence, Lesson
from tfgrpo.search.acceptance import confident, or_equal, strict
from tfgrpo.search.merge_ancestors import (
    Ancestry,
    MergeSides,
    ancestor_weights,
    ancestors,
    differs_on_one_side,
    draw_sides,
    subsample,
)
from tfgrpo.search.merge_three_way import Conflict, merge_lessons, side_by_effect, texts_by_id
from tfgrpo.search.sampler import MinibatchRequest, epoch_shuffled, lost_too


def test_every_problem_comes_once_an_epoch():
    """Seven problems in threes: three minibatches an epoch, two places filled with problems that come twice."""
    epoch = [i for number in range(3) for i in epoch_shuffled(MinibatchRequest(7, 3, number, 0, seed=0))]
    assert len(epoch) == 9
    assert set(epoch) == set(range(7))
    assert max(Counter(epoch).values()) == 2


@given(st.integers(1, 30), st.integers(1, 8), st.integers(0, 5))
def test_an_epoch_is_padded_evenly_and_drawn_anew(count, size, seed):
    """No problem comes twice before each came once, and a minibatch is a function of its number and the seed."""
    per_epoch = -(-count // size)
    numbers = [epoch_shuffled(MinibatchRequest(count, size, n, 0, seed)) for n in range(per_epoch)]
    held = Counter(i for batch in numbers for i in batch)
    assert set(held) == set(range(count))
    assert max(held.values()) - min(held.values()) <= 1
    assert numbers == [epoch_shuffled(MinibatchRequest(count, size, n, 0, seed)) for n in range(per_epoch)]


def test_problems_still_lost_come_every_second_time():
    """Even places follow the epoch; odd ones take the lost problems in turn, each before any comes again."""
    lost = frozenset({1, 4, 6, 8, 9})
    draws = [MinibatchRequest(12, 2, 40 + place, place, 0, lost) for place in range(8)]
    drawn = [lost_too(draw) for draw in draws]
    assert drawn[::2] == [epoch_shuffled(draw) for draw in draws[::2]]
    taken = [i for batch in drawn[1::2] for i in batch]
    assert set(taken[:5]) == lost
    assert lost_too(draws[1]) == drawn[1]
    assert lost_too(MinibatchRequest(12, 2, 41, 1, 0)) == epoch_shuffled(MinibatchRequest(12, 2, 41, 1, 0))


@given(st.integers(1, 20), st.integers(1, 6), st.integers(0, 30), st.sets(st.integers(0, 19)))
def test_a_minibatch_holds_different_problems_that_there_are(count, size, place, lost):
    """Whatever is lost, a minibatch has its size at most, and something that is lost where it is to have."""
    here = frozenset(i for i in lost if i < count)
    found = lost_too(MinibatchRequest(count, size, 100 + place, place, 0, here))
    assert 1 <= len(found) <= size
    if place % 2 and here:
        assert here & set(found)


def test_acceptance_compares_pairs_only():
    """A rollout that failed on either side counts on neither; equal sums pass the lenient rule alone."""
    assert strict([0, 0, 1], [0, 1, 1]) == ""
    assert strict([0, 1], [1, 0]).startswith("minibatch 1 -> 1")
    assert or_equal([0, 1], [1, 0]) == ""
    assert strict([0, 1.0], [math.nan, 1.0]).startswith("minibatch 1 -> 1 over 1")
    assert strict([math.nan], [1.0]) == "no pair of rewards was measured"


def test_the_paired_rule_asks_for_more_than_one_lucky_problem():
    """One win in three does not pass, five wins in five do."""
    assert confident([0, 0, 0], [1, 0, 0])
    assert confident([0] * 5, [1] * 5) == ""


#        0: 1 2
#       / \
#  1: +3   2: +4      3 comes from 1: lesson 1 changed
CONTENTS = ({1: "a", 2: "b"}, {1: "a", 2: "b", 3: "c"}, {1: "a", 2: "b", 4: "d"}, {1: "A", 2: "b", 3: "c"})
PARENTS = ((), (0,), (0,), (1,))
SHARED = (frozenset("vwxyz"),) * 4


def family(means: tuple[float, ...] = (0.1, 0.2, 0.3, 0.4)) -> Ancestry:
    """The pool above."""
    return Ancestry(PARENTS, CONTENTS, means, SHARED)


def test_ancestors_are_everybody_above():
    """A candidate's line goes up to the start and leaves itself out."""
    assert ancestors(PARENTS, 3) == {0, 1}
    assert ancestors(PARENTS, 0) == frozenset()


def test_a_triple_is_two_branches_of_one_stem():
    """1 and 3 lie on one line, so only 2 with 1 or 3 can be merged; each triple is offered once."""
    drawn = {draw_sides(family(), (1, 2, 3), (), Random(seed)) for seed in range(40)}
    assert drawn == {MergeSides(1, 2, 0), MergeSides(2, 3, 0)}
    assert draw_sides(family(), (1, 2), {MergeSides(1, 2, 0)}, Random(0)) is None
    assert draw_sides(family(), (1, 3), (), Random(0)) is None


def test_an_ancestor_better_than_a_side_is_no_base():
    """Where the stem beats a branch, merging that branch would carry a loss along."""
    assert draw_sides(family((0.35, 0.2, 0.3, 0.4)), (1, 2), (), Random(0)) is None


def test_too_few_shared_problems_make_no_triple():
    """Both sides must have been scored on the overlap."""
    pool = Ancestry(PARENTS, CONTENTS, (0.1, 0.2, 0.3, 0.4), (frozenset("vw"),) * 4)
    assert draw_sides(pool, (1, 2), (), Random(0)) is None
    assert draw_sides(pool, (1, 2), (), Random(0), overlap=2) == MergeSides(1, 2, 0)


def test_two_sides_that_changed_the_same_lesson_only_are_not_desirable():
    """A merge of pure conflicts holds nothing that one side has not; a one-sided change makes it worth while."""
    assert not differs_on_one_side({1: "a"}, {1: "b"}, {1: "c"})
    assert differs_on_one_side({1: "a"}, {1: "b"}, {1: "a"})
    assert differs_on_one_side({}, {1: "b"}, {2: "c"})


def test_a_stem_that_scored_zero_is_drawn_like_any_other():
    """The reference ends here with "Total of weights must be greater than zero"."""
    assert ancestor_weights((0.0, 0.0), (0, 1)) == [1.0, 1.0]
    assert draw_sides(family((0.0, 0.0, 0.0, 0.0)), (1, 2), (), Random(0)) == MergeSides(1, 2, 0)


def test_the_subsample_looks_where_the_sides_differ():
    """Two that i wins, two that j wins, and a tie; topped up where one kind is short."""
    i = {"a": 1.0, "b": 1.0, "c": 1.0, "d": 0.0, "e": 0.0, "f": 0.5, "g": 0.5}
    j = {"a": 0.0, "b": 0.0, "c": 0.0, "d": 1.0, "e": 1.0, "f": 0.5, "g": math.nan}
    found = subsample(i, j, Random(0))
    assert len(set(found)) == 5
    assert sum(i[v] > j[v] for v in found) == 2
    assert sum(i[v] < j[v] for v in found) == 2
    assert sorted(subsample(i, j, Random(0), size=9)) == ["a", "b", "c", "d", "e", "f"]


def lessons(words: dict[int, str]) -> tuple[Lesson, ...]:
    """Lessons by id."""
    return tuple(Lesson(i, text, 1, 1) for i, text in sorted(words.items()))


def test_one_sided_changes_are_taken():
    """An addition of a, a rewording of b and a deletion of a all reach the merge."""
    base = lessons({1: "one", 2: "two", 3: "three"})
    merged = merge_lessons(base, lessons({2: "two", 3: "three", 4: "four"}), lessons({1: "one", 2: "zwei", 3: "three"}))
    assert texts_by_id(merged.lessons) == {2: "zwei", 3: "three", 4: "four"}
    assert merged.conflicts == ()
    assert merged.from_a == (1, 4)
    assert merged.from_b == (2,)


def test_two_sided_changes_are_conflicts_unless_they_agree():
    """Different words for one lesson, or new words against a deletion, need a judgement."""
    base = lessons({1: "one", 2: "two", 3: "three"})
    merged = merge_lessons(base, lessons({1: "eins", 2: "zwei"}), lessons({1: "un", 2: "zwei", 3: "trois"}))
    assert texts_by_id(merged.lessons) == {2: "zwei"}
    assert [(c.id, c.a and c.a.text, c.b and c.b.text) for c in merged.conflicts] == [
        (1, "eins", "un"),
        (3, None, "trois"),
    ]


def test_the_same_words_learned_twice_stay_once():
    """Both branches found one lesson under ids of their own."""
    merged = merge_lessons((), lessons({1: "Add first."}), lessons({2: "add first"}))
    assert texts_by_id(merged.lessons) == {1: "Add first."}


def test_credit_decides_where_an_interval_speaks():
    """A wording above the other's estimate wins, a lone one by the side of zero it lies on, anything else is open."""
    x, y = (Lesson(1, text, 1, 1) for text in "xy")
    conflict = Conflict(1, None, x, y)

    def credit(**known: tuple[float, float, float]) -> str:
        found = {name: Evidence("validation", e, low, high) for name, (e, low, high) in known.items()}
        return side_by_effect(conflict, lambda lesson: found.get(lesson.text) if lesson else None)

    assert credit(x=(0.5, 0.3, 0.7), y=(0.2, 0.0, 0.4)) == "a"
    assert credit(x=(0.2, 0.0, 0.4), y=(0.5, 0.3, 0.7)) == "b"
    assert credit(x=(0.3, 0.1, 0.5), y=(0.2, 0.0, 0.4)) == ""
    assert credit(x=(0.3, 0.1, 0.5)) == "a"
    assert credit(y=(-0.3, -0.5, -0.1)) == "a"
    assert credit(y=(0.1, -0.1, 0.3)) == ""
    assert credit() == ""


WORDS = st.dictionaries(st.integers(1, 6), st.sampled_from(["p", "q", "r", "s", "t"]), max_size=6)


@given(WORDS, WORDS)
def test_merging_with_an_unchanged_side_gives_the_other(base, a):
    """If b is the ancestor itself, the merge is a, up to words that a holds twice."""
    merged = merge_lessons(lessons(base), lessons(a), lessons(base))
    assert merged.conflicts == ()
    assert {x.text for x in merged.lessons} == set(a.values())


@given(WORDS, WORDS, WORDS)
def test_a_merge_is_the_same_from_either_side(base, a, b):
    """Swapping the sides swaps nothing but the names."""
    one, other = (merge_lessons(*map(lessons, each)) for each in ((base, a, b), (base, b, a)))
    assert texts_by_id(one.lessons) == texts_by_id(other.lessons)
    assert [c.id for c in one.conflicts] == [c.id for c in other.conflicts]
