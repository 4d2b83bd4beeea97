"""Few touched problems: their means are put to a t test, and a useless edit passes no more often than promised."""

from __future__ import annotations

import math
import random
from statistics import fmean

import pytest

from tfgrpo.gates import Rewards
from tfgrpo.gates.comparison import FEW_BET, FEW_LEVEL, Design, Question, compare, few_bet, mean_p
from tfgrpo.gates.sequential import Answer
from tfgrpo.gates.touch import Touched
from tfgrpo.gates.verdicts import reason
from tfgrpo.types import Problem

from .tables import Table, library_of

RUNS = 2000


def share(draw, n, visits):
    """In what share of tests `n` problems over `visits` pairs pass at the level of the gate."""
    rng = random.Random(f"{n} {visits}")
    found = 0
    for _ in range(RUNS):
        pairs = [draw(rng, visits) for _ in range(n)]
        means = [fmean(after - before for before, after in own) for own in pairs]
        before = fmean(old for own in pairs for old, _ in own)
        found += mean_p(means) <= FEW_LEVEL * 0.05 and few_bet(means, before) >= FEW_BET / 0.05
    return found / RUNS


def met(rng, visits, before, after):
    """Rewards of both sides, right with these chances."""
    return [(rng.random() < before, rng.random() < after) for _ in range(visits)]


def noise(rng, visits):
    """Two equal sides, right in .44 of rollouts."""
    return met(rng, visits, 0.44, 0.44)


def agreeing(rng, visits):
    """An edit that shifts whole problems, up or down as often, with the same outcome in every visit."""
    return [rng.choice(((1, 0), (1, 1), (0, 0), (0, 1)))] * visits


def shifting(rng, visits):
    """An edit that shifts the chance of each problem by .3, up or down as often."""
    return met(rng, visits, 0.5, 0.5 + rng.choice((-0.3, 0.3)))


def skewed(gain, loss, base):
    """An edit that gains a little on most problems and loses as much in all on a few."""
    share = loss / (gain + loss)
    return lambda rng, visits: met(rng, visits, base, base + (gain if rng.random() < share else -loss))


def helping(rng, visits):
    """A right label: .44 becomes .94."""
    return met(rng, visits, 0.44, 0.94)


SKEWED = [skewed(0.1, 0.9, 0.9), skewed(0.2, 0.8, 0.8), skewed(0.3, 0.6, 0.6), skewed(0.05, 0.3, 0.3)]


@pytest.mark.parametrize("draw", [noise, agreeing, shifting, *SKEWED])
@pytest.mark.parametrize("n", [4, 5, 8, 11])
def test_a_useless_edit_passes_no_more_often_than_promised(draw, n):
    """Level .05 with sampling noise, with passes that agree, with problems that shift, and with rare large losses."""
    assert share(draw, n, -(-40 // n)) <= 0.055


@pytest.mark.parametrize(("n", "found"), [(4, 0.65), (5, 0.85), (8, 0.95)])
def test_a_right_lesson_on_few_problems_is_found(n, found):
    """Signs of five problems can never be clear; their means are, in nearly nine of ten tests."""
    assert share(helping, n, -(-40 // n)) >= found


def test_few_problems_are_visited_more_often():
    """About forty pairs, ten visits at most, unless somebody asked for one."""
    few = Touched(tuple(Problem(str(i), "?") for i in range(5)), "word")
    assert Design().visits(few, 5) == 8
    assert Design().visits(few, 4) == 10
    assert Design().visits(few, 20) == Design().passes
    assert Design(passes=1).visits(few, 5) == 1
    assert Design().visits(Touched(few.problems, "all"), 5) == Design().passes


async def test_many_small_gains_on_few_problems_hide_no_rare_large_loss():
    """Fractional rewards: +.05 on nine of ten problems and -.45 on the tenth is a loss that eight may not show."""
    problems = tuple(Problem(str(i), "Compute glorp.") for i in range(8))

    def gains(texts, problem, index):
        return 0.55 if "edit" in texts else 0.5

    question = Question(library_of(), library_of("edit"), Touched(problems, "word"), "few")
    found = await compare(Table(gains, problems), Rewards(), question, Design())
    assert mean_p([total / n for total, n in found.sums.values()]) <= FEW_LEVEL * 0.05
    assert found.answer is Answer.OPEN


def apart(rng, visits):
    """Worth nothing over all problems: gains .5 on hard ones, two of three, and loses all on the easy ones."""
    return met(rng, visits, 0.44, 0.94) if rng.random() < 2 / 3 else met(rng, visits, 1.0, 0.0)


async def found(draw, n, seed, design):
    """What a comparison on `n` problems of a kind finds, each with as many pairs as the design asks for at most."""
    rng = random.Random(seed)
    pairs = [draw(rng, design.visits(Touched((), "word"), n)) for _ in range(n)]
    problems = tuple(Problem(str(i), "Compute glorp.") for i in range(n))
    trial = Table(lambda texts, problem, index: float(pairs[int(problem.id)][index]["edit" in texts]), problems)
    question = Question(library_of(), library_of("edit"), Touched(problems, "word"), str(seed))
    return await compare(trial, Rewards(), question, design)


@pytest.mark.parametrize("n", [4, 6])
async def test_a_verdict_on_few_problems_says_what_it_is_worth_for_others(n):
    """Where few problems all gain and those that the pool lacks would lose, "accepted" says that it is about these."""
    met_few = [await found(apart, n, f"{n} {seed}", Design()) for seed in range(200)]
    passed = [each for each in met_few if each.answer is Answer.HELPS]
    assert len(passed) > 0.05 * 200
    clear = [each for each in passed if math.isnan(each.p_beyond)]
    assert len(clear) <= 0.05 * 200
    said = next(each for each in passed if each not in clear)
    assert reason(said).endswith(f"; for others like them p is at most {said.p_beyond:.2g})")


@pytest.mark.parametrize("draw", [apart, agreeing, shifting, *SKEWED])
@pytest.mark.parametrize("n", [4, 6, 8])
async def test_what_is_asked_for_others_holds_its_level_for_them(draw, n):
    """With `beyond`, an edit that is worth nothing over all problems of a kind passes in 5% at most, whatever it is."""
    design = Design(beyond=True)
    tests = [await found(draw, n, f"{n} {seed}", design) for seed in range(200)]
    assert sum(each.answer is Answer.HELPS for each in tests) <= 0.05 * 200


async def test_few_problems_that_do_not_speak_for_others_leave_an_edit_undecided_if_asked():
    """Five problems that gain .5 may be two thirds of a kind whose others lose all: p is at most .13 there."""
    strict, plain = [await found(helping, 5, "a", Design(beyond=beyond)) for beyond in (True, False)]
    assert (strict.answer, plain.answer) == (Answer.OPEN, Answer.HELPS)
    assert reason(strict).startswith("undecided")
    assert "it helps these 5; for others like them p is at most" in reason(strict)
