"""What a run will take: calls, tokens and minutes, before it begins and while it goes on, by the same arithmetic.

Rollouts and measurements are counted. How many groups teach, how many lessons they bring and how long the gate tests
each is guessed from ordinary runs until it is seen: new texts come in at the rate at which the last ones were new
(Good and Turing: the share of texts seen once), and each costs what the ones decided so far cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tfgrpo.types import Usage

KEPT = (0.2, 0.6, 1.0)
"""Share of groups that disagree, hence teach: low, likely, high."""
TEXTS_PER_GROUP = (0.03, 0.25, 0.6)
"""New texts for the gate by group that teaches."""
PAIRS = (24, 64, 110)
"""Calls until the gate decides on a text, races and looks elsewhere included."""
WEIGHT = 2
"""How many decided texts the guess of `PAIRS` counts for."""
ENTERS = 0.25
"""Share of tested texts that enter, counted for as many as `WEIGHT`."""
SETTLES = 0.75
"""Share of the groups on its subject that a lesson settles once it has entered: they agree then, and teach no more."""
MARKS = 4
"""Tokens around each lesson of a prompt."""
REPLY = (60, 250, 1000)
"""Tokens of a reply, where the configuration sets no limit."""
CHARACTERS = 4
"""By token."""
LESSONS = ("summarize", "contrast", "operations", "consolidate")
ASKS = tuple(role for role in LESSONS if role != "consolidate")
GATE = ("gate", "score", "paraphrase")
PARTS = {"held-out": ("evaluate",), "rollouts": ("rollout",), "lessons": LESSONS, "gate": GATE}
"""Kinds of work and the roles whose calls they are."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is fixed before a run begins."""

    groups: int
    """Problems times epochs."""
    group_size: int
    steps: int
    heldout: int
    """Problems measured before and after."""
    summaries: bool = False
    """Whether every rollout is summarized before its group is contrasted."""
    consolidates: bool = True
    """Whether a call of each step brings proposals together."""
    gated: bool = True


@dataclass(frozen=True, slots=True)
class Seen:
    """What a run has shown so far."""

    calls: Mapping[str, int] = field(default_factory=dict)
    """Calls by role, replayed ones included."""
    usage: Mapping[str, Usage] = field(default_factory=dict)
    groups: int = 0
    finished: int = 0
    """Calls of the rollouts of these groups."""
    kept: int = 0
    contrasts: int = 0
    """Groups that were asked what they teach."""
    texts: Mapping[str, int] = field(default_factory=dict)
    """How often each text was proposed."""
    tested: int = 0
    """Texts that the gate decided on."""
    steps: int = 0
    waiting: int = 0
    """Texts of the step under way whose test is to come."""
    fresh: int = 0
    """Texts proposed since the newest gate began, for the next one."""
    asked: int = 0
    asked_of: int = 0
    """Calls that asked what groups teach, and groups that disagreed, as the newest gate began: later groups wait for
    their calls."""
    accepted: int = 0
    refused: int = 0
    """Texts that entered the library, and texts that later contrasts are told to leave."""
    carried: Mapping[str, float] = field(default_factory=dict)
    """Lessons in the prompts of all calls so far, by role; with the refused texts for those that write lessons."""


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of work over the whole run; each triple is low, likely, high."""

    name: str
    roles: tuple[str, ...]
    calls: tuple[float, float, float]
    prompt_tokens: tuple[float, float, float] = (0.0, 0.0, 0.0)
    completion_tokens: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Forecast:
    """All of it."""

    parts: tuple[Part, ...]
    guessed: bool
    """Whether the gate is a guess still: nothing was decided yet."""

    def calls(self, at: int = 1) -> int:
        """Return calls in all: 0 low, 1 likely, 2 high."""
        return round(sum(part.calls[at] for part in self.parts))

    def usage(self, at: int = 1) -> Usage:
        """Return tokens in all, without money."""
        return Usage(
            round(sum(part.prompt_tokens[at] for part in self.parts)),
            round(sum(part.completion_tokens[at] for part in self.parts)),
            usd=None,
        )


def forecast(plan: Plan, seen: Seen = Seen(), *, prompt: Mapping[str, int] | None = None) -> Forecast:
    """Return what a whole run takes.

    Args:
        plan: what is fixed.
        seen: what it has shown so far; empty before it begins.
        prompt: tokens of a prompt by part (`rollouts`, `lessons`), as rendered; used until calls were seen.
    """
    made = seen.calls
    rollouts = plan.groups * plan.group_size
    if seen.groups and seen.finished:
        # Calls of groups that are under way would count for those that are done.
        rollouts = round(min(seen.finished, made.get("rollout", 0)) / seen.groups * plan.groups)
    counts = {
        "held-out": (2 * plan.heldout,) * 3,
        "rollouts": (rollouts,) * 3,
        "lessons": _lessons(plan, seen),
        "gate": _gate(plan, seen),
    }
    parts = [_part(name, PARTS[name], calls, seen) for name, calls in counts.items()]
    known = {role for part in parts for role in part.roles}
    parts += [_part(role, (role,), (_scaled(made[role], plan, seen),) * 3, seen) for role in made if role not in known]
    grown = (len(seen.texts) and lessons_ahead(plan, seen), refusals_ahead(plan, seen), _tokens_each(seen))
    found = tuple(_weighed(part, seen, prompt or {}, grown) for part in parts if part.calls[2])
    return Forecast(found, not seen.tested)


def _tokens_each(seen: Seen) -> float:
    """Return tokens of a lesson in a prompt."""
    return MARKS + sum(map(len, seen.texts)) / CHARACTERS / max(1, len(seen.texts))


def _part(name: str, roles: tuple[str, ...], calls: tuple[float, float, float], seen: Seen) -> Part:
    least = sum(seen.calls.get(role, 0) for role in roles)
    low, likely, high = (max(value, least) for value in calls)
    return Part(name, roles, (low, max(low, likely), max(likely, high)))


def _scaled(calls: int, plan: Plan, seen: Seen) -> float:
    """Return calls of a role that grows with the groups, a judge's say."""
    return calls / seen.groups * plan.groups if seen.groups else calls


def _lessons(plan: Plan, seen: Seen) -> tuple[float, float, float]:
    done = sum(seen.calls.get(role, 0) for role in ASKS)
    if seen.kept >= 3 and done >= seen.kept / 2:
        each = 1 + plan.group_size * plan.summaries
        made = seen.asked / seen.asked_of * seen.kept if seen.asked_of >= 3 else done
        asked = min(made, seen.kept * each)
        likely = max(done, asked + asked / seen.groups * (plan.groups - seen.groups) * _teaching(plan, seen))
        spread = 1 / math.sqrt(seen.kept)
        found = (likely * (1 - spread), likely, likely * (1 + spread))
    else:
        each = 1 + plan.group_size * plan.summaries
        found = (KEPT[0] * plan.groups * each, KEPT[1] * plan.groups * each, KEPT[2] * plan.groups * each)
    joined = plan.steps if plan.consolidates else 0
    return found[0], found[1] + joined / 2, found[2] + joined


def _gate(plan: Plan, seen: Seen) -> tuple[float, float, float]:
    """Return calls of the gate: texts that come to it, times calls for each, and the side without them."""
    made = sum(seen.calls.get(role, 0) for role in GATE)
    if not plan.gated:
        return (made,) * 3
    texts, left = _texts(plan, seen)
    # The side without the edit is shared by all texts of a version.
    aside = min(plan.steps, 3) * PAIRS[1] * 0.8
    if seen.tested:
        each = (made + WEIGHT * PAIRS[1]) / (seen.tested + WEIGHT)
        share = _tests_per_text(seen)
        low, coming = (seen.waiting + share * seen.fresh) * each, left * share * each
        return made + 0.7 * low + 0.3 * coming, made + low + coming, made + 1.5 * low + 3 * coming + PAIRS[2]
    return texts[0] * PAIRS[0], max(texts[1] * PAIRS[1] + aside, 1.3 * made), texts[2] * PAIRS[2] + 2 * aside


def _tests_per_text(seen: Seen) -> float:
    """Return tests by text that came to the gate: what is open or lost a race comes again, what says little never."""
    return min(1.25, (seen.tested + seen.waiting) / max(1, len(seen.texts) - seen.fresh))


def refusals_ahead(plan: Plan, seen: Seen) -> float:
    """Return how many texts contrasts are likely to be told to leave after now; a new version ends what was refused."""
    if not plan.gated or seen.accepted or not seen.tested:
        return 0.0
    coming = seen.waiting + _tests_per_text(seen) * (seen.fresh + _texts(plan, seen)[1])
    return max(0.0, coming - lessons_ahead(plan, seen))


def lessons_ahead(plan: Plan, seen: Seen) -> float:
    """Return how many texts are likely to enter after now, of those proposed so far.

    What helps is found by many groups, and so early; texts that nobody has proposed yet are the odd ones.
    """
    if not plan.gated or not seen.texts:
        return 0.0
    share = (seen.accepted + WEIGHT * ENTERS) / (seen.tested + WEIGHT)
    waiting = seen.waiting + seen.fresh if seen.tested else max(0, len(seen.texts) - seen.tested)
    return share * waiting


def _teaching(plan: Plan, seen: Seen) -> float:
    """Return how much of the share of groups that disagree is left for those to come, as lessons enter."""
    if not seen.tested:
        return 1.0
    return 1 - SETTLES * min(1.0, (seen.accepted + lessons_ahead(plan, seen)) / max(1, len(seen.texts)))


def _texts(plan: Plan, seen: Seen) -> tuple[tuple[float, float, float], float]:
    """Return how many different texts a whole run proposes, and how many of them are likely still to come."""
    share = seen.kept / seen.groups if seen.groups >= 3 else KEPT[1]
    kept = share * plan.groups
    proposed = sum(seen.texts.values())
    if proposed < 5 <= seen.contrasts:
        rates = (proposed / 3 / seen.contrasts, (proposed + 0.5) / seen.contrasts, (proposed + 3) / seen.contrasts)
        low, likely, high = (rate * kept for rate in rates)
        return (low, min(likely, 8 + likely / 4), high), likely
    if proposed < 5 or not seen.kept:
        low, likely, high = (rate * kept for rate in TEXTS_PER_GROUP)
        # The same subjects come again in every epoch.
        likely = min(likely, 8 + likely / 4)
        return (low, likely, high), likely
    once = sum(count == 1 for count in seen.texts.values())
    twice = max(1, sum(count == 2 for count in seen.texts.values()))
    coming = proposed / seen.kept * max(0.0, kept - seen.kept) * _teaching(plan, seen)
    unseen = max(once * (once - 1) / (2 * twice), 0.5)
    left = unseen * (1 - math.exp(-coming * once / (proposed * unseen))) if once else 0.0
    known = len(seen.texts)
    return (known * 0.4, known * 0.75 + left, known + 2 * left + 2), left


def _weighed(part: Part, seen: Seen, prompt: Mapping[str, int], grown: tuple[float, float, float]) -> Part:
    """Return a part with its tokens: by call as seen, else as the prompts are and replies mostly are.

    Prompts grow with the library, so what is still to come is longer than what was: `grown` is how many lessons are
    likely to enter, how many texts to be refused, and tokens of one.
    """
    # Problems are answered alike whatever for, so one kind of rollout tells what another will take.
    alike = () if part.name == "lessons" else ("rollout", *PARTS["held-out"], *GATE)
    roles = next((own for own in (part.roles, alike) if any(seen.calls.get(role, 0) for role in own)), ())
    if not roles:
        asked = prompt.get("lessons" if part.name == "lessons" else "rollouts", 0)
        each = (asked, asked * 1.2, asked * 2.0)
        tokens = tuple(n * t for n, t in zip(part.calls, each, strict=True))
        replies = tuple(n * t for n, t in zip(part.calls, REPLY, strict=True))
        return Part(part.name, part.roles, part.calls, tokens, replies)  # type: ignore[arg-type]
    made = sum(seen.calls.get(role, 0) for role in roles)
    used = sum((seen.usage.get(role, Usage()) for role in roles), Usage())
    entering, refusing, each_lesson = grown
    bare = max(0.3 * used.prompt_tokens, used.prompt_tokens - each_lesson * _sum(seen.carried, roles)) / made
    told = seen.accepted + (seen.refused + refusing / 2 if part.name == "lessons" else 0)
    done = made if roles == part.roles else 0
    spent = used.prompt_tokens if done else 0
    held = tuple(bare + each_lesson * (told + share * entering) for share in (0.0, 0.7, 2.0))
    tokens = tuple(spent + (n - done) * t for n, t in zip(part.calls, held, strict=True))
    replies = tuple(n * used.completion_tokens / made for n in part.calls)
    return Part(part.name, part.roles, part.calls, tokens, replies)  # type: ignore[arg-type]


def _sum(carried: Mapping[str, float], roles: Iterable[str]) -> float:
    return sum(carried.get(role, 0.0) for role in roles)
