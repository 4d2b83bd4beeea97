"""Lessons that stand in for each other are found by taking both out."""

from tests.gates.tables import Table, library_of, solves
from tfgrpo.evaluation import credit
from tfgrpo.evaluation.redundancy import pairs_out
from tfgrpo.gates.base import Rewards

TWINS = ("glorp is max", "take glorp as max")


async def test_two_lessons_that_say_the_same_are_told_apart_from_idle_ones():
    """Each of two twins looks worthless alone; together they bring the whole effect, and an idle lesson is no twin."""
    table = Table(solves("glorp", *TWINS))
    library = library_of(*TWINS, "dax is sum")
    known = Rewards()
    alone = await credit.leave_one_out(library, table, k=2, rewards=known)
    assert [found.estimate for found in alone] == [0.0, 0.0, 0.0]
    (twins,) = await pairs_out(library, table, alone, k=2, rewards=known)
    assert (twins.lesson_ids, twins.estimate, twins.kind) == ((1, 2), 1.0, "pair-out")
    assert twins.low > 0


async def test_a_lesson_with_an_effect_of_its_own_has_no_twin():
    """Pairs are made of lessons without a shown effect alone."""
    table = Table(solves("glorp", "glorp is max"))
    library = library_of("glorp is max", "dax is sum")
    alone = await credit.leave_one_out(library, table, k=2)
    assert await pairs_out(library, table, alone, k=2) == ()
