"""The rollout browser as data: which groups a page shows, what their rollouts share, and who won.

A page names its own places by number (`g-STEP-N`, `r-STEP-N-INDEX`), never by an id that a dataset chose.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from experience_db import Source
from tfgrpo.report.data import Report

ROOM = 2_500_000
"""Characters of group text on one page, unless everything is asked for; markup comes on top."""
MOST_GROUPS = 50
"""Groups per step on one page, unless everything is asked for."""
LONGEST = 20_000
"""Characters of one text on one page, unless everything is asked for."""
FRAME = 200
"""A system message from this length on is shown once and linked from its rollouts."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: str
    text: str
    frame: str = ""
    """Anchor of the shared text that stands for `text`, where it is shown only once."""


@dataclass(frozen=True, slots=True)
class RolloutView:
    """One rollout as a page shows it."""

    anchor: str
    facts: Mapping[str, Any]
    """As the store keeps it: `index`, `answer`, `finish_reason`, `usage`, `seconds`, `failure`, `tainted`."""
    reward: float | None
    advantage: float | None
    scores: Sequence[Mapping[str, Any]]
    turns: tuple[Turn, ...]
    """What differs from the other rollouts of the group; the answer is the last turn."""


@dataclass(frozen=True, slots=True)
class GroupView:
    """One group as a page shows it: winners beside losers."""

    anchor: str
    problem: Mapping[str, Any]
    status: str
    version: int
    rewards: tuple[float | None, ...]
    mean: float | None
    prompt: tuple[Turn, ...]
    """The messages with which every rollout of the group began."""
    winners: tuple[RolloutView, ...]
    """Above the group's mean."""
    losers: tuple[RolloutView, ...]
    """At or below the group's mean."""
    alike: tuple[RolloutView, ...]
    """All of them, where every reward is the same."""
    ungraded: tuple[RolloutView, ...]
    """No reward, which is not zero."""


@dataclass(frozen=True, slots=True)
class StepView:
    """The groups of one step on a page."""

    step: int
    groups: tuple[GroupView, ...]
    left_out: int
    """Groups that the page does not show."""


@dataclass(frozen=True, slots=True)
class Browser:
    """All steps, and the long system messages that their rollouts share."""

    steps: tuple[StepView, ...]
    frames: Mapping[str, str]
    """Anchor to text."""
    anchors: Mapping[tuple[int, str], str]
    """(step, problem id) to the group's place on the page; groups that are left out have none."""

    @property
    def left_out(self) -> int:
        """Groups that the page does not show."""
        return sum(step.left_out for step in self.steps)


def browser(report: Report, *, everything: bool = False) -> Browser:
    """Return the groups that fit on a page: those that lessons rest on, and the first ones of each step."""
    numbered = number_groups(report.groups)
    chosen = (
        list(numbered)
        if everything
        else choose_groups(
            numbered, cited_groups(report), [page_characters(g) for g in report.groups], room=ROOM, most=MOST_GROUPS
        )
    )
    frames: dict[str, str] = {}
    views: dict[int, list[GroupView]] = {}
    for i in chosen:
        group = report.groups[i]
        longest = None if everything else LONGEST
        views.setdefault(group["step"], []).append(view_group(group, numbered[i], frames, longest))
    totals: dict[int, int] = {}
    for group in report.groups:
        totals[group["step"]] = totals.get(group["step"], 0) + 1
    steps = tuple(StepView(s, tuple(views.get(s, ())), n - len(views.get(s, ()))) for s, n in sorted(totals.items()))
    places = {(report.groups[i]["step"], str(report.groups[i]["problem"]["id"])): numbered[i] for i in chosen}
    return Browser(steps, {anchor: text for text, anchor in frames.items()}, places)


def number_groups(groups: Sequence[Mapping[str, Any]]) -> dict[int, str]:
    """Return position in `groups` -> anchor, numbered within each step."""
    seen: dict[int, int] = {}
    anchors = {}
    for i, group in enumerate(groups):
        step = int(group["step"])
        anchors[i] = f"g-{step}-{seen.get(step, 0)}"
        seen[step] = seen.get(step, 0) + 1
    return anchors


def cited_groups(report: Report) -> set[int]:
    """Return the positions of the groups that the final version's lessons and their edits rest on."""
    sources = [s for story in report.lessons for s in story.lesson.sources]
    sources += [s for story in report.lessons for edit in story.edits for s in edit.edit.sources]
    named = {(s.step, s.problem_id) for s in sources if s.run == report.run.id}
    return {i for i, g in enumerate(report.groups) if (g["step"], str(g["problem"]["id"])) in named}


def choose_groups(
    numbered: Mapping[int, str], wanted: Iterable[int], sizes: Sequence[int], *, room: int, most: int
) -> list[int]:
    """Return the groups to show, in their order: wanted ones, then the first of every step, the second, ...

    Args:
        numbered: position -> anchor `g-STEP-N`.
        wanted: positions that come first.
        sizes: characters of each group.
        room: characters that all chosen groups may have together; one group is always chosen.
        most: groups of one step beyond the wanted ones.
    """
    rank = {i: int(anchor.rsplit("-", 1)[1]) for i, anchor in numbered.items()}
    first = sorted(wanted)
    rest = sorted((i for i in numbered if i not in set(first) and rank[i] < most), key=lambda i: (rank[i], i))
    chosen: list[int] = []
    used = 0
    for i in [*first, *rest]:
        if chosen and used + sizes[i] > room:
            break
        chosen.append(i)
        used += sizes[i]
    return sorted(chosen)


def page_characters(group: Mapping[str, Any]) -> int:
    """Return about how many characters a group takes on a page."""
    texts = [group["problem"].get("question") or "", *(score["why"] for many in group["scores"] for score in many)]
    for rollout in group["rollouts"]:
        texts += [rollout["answer"] or "", *(text_of(m) for m in rollout["messages"] if m.get("role") != "system")]
        # The markup around a rollout takes about as much as a short answer.
        texts.append(" " * 1500)
    return sum(min(len(text), LONGEST) for text in texts)


def view_group(group: Mapping[str, Any], anchor: str, frames: dict[str, str], longest: int | None) -> GroupView:
    """Return one group; `frames` (text -> anchor) grows by the long system messages that it shows."""
    rollouts = group["rollouts"]
    shared = shared_prompt([r["messages"] for r in rollouts if r["messages"]])
    rewards = tuple(group["rewards"])
    graded = [r for r in rewards if r is not None]
    mean = fmean(graded) if graded else None
    shown = [_rollout(group, i, anchor, len(shared), longest) for i in range(len(rollouts))]
    scored = [r for r in shown if r.reward is not None]
    flat = len(set(graded)) < 2
    return GroupView(
        anchor,
        group["problem"],
        group["status"],
        group["version"],
        rewards,
        mean,
        tuple(_turn(m, frames, longest) for m in shared),
        tuple(r for r in scored if not flat and above_mean(r.reward, mean)),
        tuple(r for r in scored if not flat and not above_mean(r.reward, mean)),
        tuple(r for r in scored if flat),
        tuple(r for r in shown if r.reward is None),
    )


def above_mean(reward: float | None, mean: float | None) -> bool:
    """Return whether a reward is above its group's mean."""
    return reward is not None and mean is not None and reward > mean


def shared_prompt(conversations: Sequence[Sequence[Mapping[str, Any]]]) -> tuple[Mapping[str, Any], ...]:
    """Return the messages with which all conversations begin, up to the first word of the assistant."""
    shared = []
    for messages in zip(*conversations, strict=False):
        if messages[0].get("role") == "assistant" or any(m != messages[0] for m in messages):
            break
        shared.append(messages[0])
    return tuple(shared)


def _rollout(group: Mapping[str, Any], i: int, anchor: str, skip: int, longest: int | None) -> RolloutView:
    rollout = group["rollouts"][i]
    scores = group["scores"][i] if i < len(group["scores"]) else []
    turns = [_turn(m, None, longest) for m in rollout["messages"][skip:]]
    if rollout["answer"] and (not turns or turns[-1].text != cut(rollout["answer"], longest)):
        turns.append(Turn("answer", cut(rollout["answer"], longest)))
    place = f"r-{anchor.removeprefix('g-')}-{int(rollout['index'])}"
    return RolloutView(place, rollout, group["rewards"][i], group["advantages"][i], scores, tuple(turns))


def _turn(message: Mapping[str, Any], frames: dict[str, str] | None, longest: int | None) -> Turn:
    role, text = str(message.get("role") or "message"), text_of(message)
    if frames is not None and role == "system" and len(text) >= FRAME:
        return Turn(role, text, frames.setdefault(text, f"f-{len(frames)}"))
    return Turn(role, cut(text, longest))


def text_of(message: Mapping[str, Any]) -> str:
    """Return what a message says, its tool calls included."""
    content = message.get("content")
    parts = [content] if isinstance(content, str) else [_part(part) for part in content or []]
    calls = message.get("tool_calls") or []
    return "\n".join([*filter(None, parts), *(f"calls {json.dumps(c, ensure_ascii=False)}" for c in calls)])


def _part(part: Any) -> str:
    if isinstance(part, Mapping) and isinstance(part.get("text"), str):
        return str(part["text"])
    return json.dumps(part, ensure_ascii=False)


def cut(text: str, longest: int | None) -> str:
    """Return the text, shortened in the middle with a note of how much is missing."""
    if longest is None or len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half:,} characters left out; --all shows them ...]\n{text[-half:]}"


def source_anchor(source: Source, run: str, browser: Browser) -> str:
    """Return the anchor of the group that a source names; '' when it is of another run or not on the page."""
    return browser.anchors.get((source.step, source.problem_id), "") if source.run == run else ""


def source_link(source: Source, rollout: int | None = None, *, run: str, browser: Browser) -> str:
    """Return a link to the group that a source names, or to one of its rollouts; '' when it is not on the page."""
    anchor = source_anchor(source, run, browser)
    if not anchor:
        return ""
    return f"#{anchor}" if rollout is None else f"#r-{anchor.removeprefix('g-')}-{rollout}"
