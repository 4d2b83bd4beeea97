"""The rollout browser: what a page shows, what it leaves out, and where links lead."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from experience_db import Source
from tfgrpo.report import browse


def user(text: str) -> dict:
    """A user's message."""
    return {"role": "user", "content": text}


def said(text: str) -> dict:
    """An assistant's message."""
    return {"role": "assistant", "content": text}


def test_the_shared_prompt_ends_where_rollouts_part():
    """It is the common beginning, and never a word of the assistant."""
    assert browse.shared_prompt([[user("a"), user("b"), said("x")], [user("a"), user("c")]]) == (user("a"),)
    assert browse.shared_prompt([[user("a"), said("x")], [user("a"), said("x")]]) == (user("a"),)
    assert browse.shared_prompt([]) == ()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 50)), max_size=30), st.sets(st.integers(0, 29)))
def test_chosen_groups_fit_and_wanted_ones_come_first(made, wanted):
    """The room is kept unless one group alone exceeds it, and a wanted group is not dropped for another."""
    groups = [{"step": step} for step, _ in sorted(made)]
    sizes = [size for _, size in sorted(made)]
    wanted = {i for i in wanted if i < len(groups)}
    chosen = browse.choose_groups(browse.number_groups(groups), wanted, sizes, room=100, most=5)
    assert chosen == sorted(set(chosen))
    assert sum(sizes[i] for i in chosen) <= 100 or len(chosen) == 1
    if set(chosen) - wanted:
        assert wanted <= set(chosen)


def test_without_wanted_groups_every_step_shows_its_first_ones():
    """Room is shared between the steps from their beginnings."""
    numbered = browse.number_groups([{"step": s} for s in (0, 0, 0, 1, 1, 1)])
    assert browse.choose_groups(numbered, (), [10] * 6, room=40, most=9) == [0, 1, 3, 4]
    assert browse.choose_groups(numbered, (), [10] * 6, room=99, most=1) == [0, 3]


def test_messages_of_any_shape_become_text():
    """Parts, tool calls and nothing at all are shown as what they are."""
    parts = {"content": [{"type": "text", "text": "look"}, {"type": "image_url"}]}
    assert browse.text_of(parts) == 'look\n{"type": "image_url"}'
    assert browse.text_of({"content": None, "tool_calls": [{"function": {"name": "add"}}]}).startswith("calls {")
    assert browse.text_of({"content": None}) == ""


def test_a_long_text_is_cut_in_the_middle_and_says_so():
    """The cut names its size and the way to see everything."""
    cut = browse.cut("a" * 50 + "b" * 50, 20)
    assert cut.startswith("a" * 10)
    assert cut.endswith("b" * 10)
    assert "80 characters left out" in cut
    assert browse.cut("a" * 99, None) == "a" * 99


def test_winners_stand_against_losers_and_failures_against_neither(night):
    """A reward above the group's mean wins; a failed rollout is on no side."""
    shown = browse.browser(night)
    groups = [g for step in shown.steps for g in step.groups]
    split = next(g for g in groups if g.winners)
    assert {r.reward for r in split.winners} == {1.0}
    assert {r.reward for r in split.losers} == {0.0}
    failed = next(g for g in groups if g.ungraded)
    assert [r.facts["failure"]["kind"] for r in failed.ungraded] == ["provider"]
    flat = next(g for g in groups if g.status == "flat")
    assert flat.alike
    assert not flat.winners + flat.losers


def test_sources_lead_to_groups_of_this_run_only(night):
    """A source of another run, or of a group that is left out, has no place on the page."""
    shown = browse.browser(night)
    (source,) = night.lessons[0].lesson.sources
    assert browse.source_anchor(source, night.run.id, shown).startswith("g-0-")
    assert browse.source_anchor(source, "another", shown) == ""
    assert browse.source_anchor(Source("unknown", (), night.run.id, 0), night.run.id, shown) == ""


def test_a_large_run_shows_what_lessons_rest_on(large):
    """The group that a lesson names is shown although it is the last of its step; the rest is counted."""
    shown = browse.browser(large)
    assert (1, "p99") in shown.anchors
    assert (0, "p0") in shown.anchors
    assert shown.left_out == 100 - len(shown.anchors) > 0
    assert len(browse.browser(large, everything=True).anchors) == 100


def test_a_long_system_message_is_kept_once(large):
    """500 rollouts with the same lessons in their prompts do not repeat them."""
    assert list(browse.browser(large).frames) == ["f-0"]
