"""Scenes for `gate.py` that a gate must not be fooled by: batches, failures, few or repeated problems, trade-offs.

Every scene is a trial with made-up rollouts. A lesson acts on the problems that name its first word. `luck` is the
share of rollouts whose luck both libraries share: 0 is an endpoint without seeds, 1 the same noise on both sides.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from statistics import fmean

from experience_db import Edit, Library, Op
from tfgrpo.gates import Alpha, Design, Missing, Observation, PairedGate
from tfgrpo.gates.comparison import Question, compare
from tfgrpo.gates.sequential import Answer
from tfgrpo.gates.touch import touched, union
from tfgrpo.stats import wilson
from tfgrpo.types import Problem, Proposal, Verdict

LUCK = (0.0, 0.5, 0.9, 1.0)
WORDS = ("glorp", "dax", "wug", "zim", "blick", "fep")
Chance = Callable[[frozenset[str], Problem], float]


def uniform(*parts: object) -> float:
    """Return a number in [0, 1) that depends on the parts alone."""
    return int.from_bytes(blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest(), "big") / 2**64


def pool(words: Sequence[str], each: int, other: int = 0) -> tuple[Problem, ...]:
    """Problems of which `each` name a word, and `other` that name none."""
    named = [Problem(f"{w}{i}", f"Compute {i} {w} 4.") for w in words for i in range(each)]
    return (*named, *(Problem(f"o{i}", f"Compute other things, number {i}.") for i in range(other)))


@dataclass(frozen=True, slots=True)
class Scripted:
    """A trial: chance of reward by lessons and problem, shared luck, and what becomes of a rollout."""

    key: str
    problems: tuple[Problem, ...]
    chance: Chance
    luck: float = 0.0
    greedy: bool = False
    """Whether every pass repeats the first one."""
    fate: Callable[[frozenset[str], Problem, float, float], Observation] | None = None
    """From lessons, problem, reward and a number in [0, 1), what the trial tells; None tells the reward."""

    async def measure(self, library: Library, cases: Sequence[tuple[Problem, int]]) -> tuple[Observation, ...]:
        """Draw; the same question again gets the same answer."""
        texts = frozenset(lesson.text for lesson in library)
        return tuple(self._one(texts, problem, 0 if self.greedy else index) for problem, index in cases)

    def _one(self, texts: frozenset[str], problem: Problem, index: int) -> Observation:
        acting = tuple(sorted(text for text in texts if text.split()[0] in problem.question.split()))
        shared = uniform(self.key, "share", problem.id, index) < self.luck
        drawn = uniform(self.key, "luck", problem.id, index, "" if shared else sorted(texts))
        reward = float(drawn < self.chance(frozenset(acting), problem))
        if self.fate is None:
            return Observation(reward)
        return self.fate(
            frozenset(acting), problem, reward, uniform(self.key, "fate", problem.id, index, sorted(texts))
        )


@dataclass(frozen=True, slots=True)
class Member:
    """One edit of a batch."""

    kind: str
    text: str
    subject: str = ""


def apart(*kinds: str) -> tuple[Member, ...]:
    """Members that each act on a word of their own."""
    return tuple(Member(kind, f"{word} is {kind}") for kind, word in zip(kinds, WORDS, strict=False))


EFFECT = {"right": 0.5, "useless": 0.0, "harmful": -0.2}
BATCHES: Mapping[str, tuple[Member, ...]] = {
    "two right, three useless": apart("right", "right", "useless", "useless", "useless"),
    "two right, two harmful": apart("right", "right", "harmful", "harmful"),
    "five useless": apart("useless", "useless", "useless", "useless", "useless"),
    "three wordings of a right one": tuple(Member("right", f"glorp is right {n}") for n in "abc"),
    "rivals, one right": (
        *(Member("useless", f"glorp is useless {n}", "g") for n in "ab"),
        Member("right", "glorp is right", "g"),
    ),
    "rivals, all useless": tuple(Member("useless", f"glorp is useless {n}", "g") for n in "abcd"),
    "two useful only together": (Member("joint", "glorp is joint a"), Member("joint", "glorp is joint b")),
}


def effects(base: float = 0.3) -> Chance:
    """Chance of reward: the best right lesson counts once, joint ones only in pairs, harm adds up."""

    def chance(acting: frozenset[str], problem: Problem) -> float:
        kinds = [text.split()[2] for text in acting]
        gain = 0.5 if "right" in kinds or kinds.count("joint") == 2 else 0.0
        return base + gain - 0.2 * kinds.count("harmful")

    return chance


def proposals(members: Sequence[Member]) -> list[Proposal]:
    """The members as proposals."""
    return [Proposal(Edit(Op.ADD, m.text), subject=m.subject) for m in members]


def rollouts(verdicts: Sequence[Verdict]) -> int:
    """Rollouts that the verdicts cost, each piece of evidence counted once."""
    seen = {id(e): e for v in verdicts for e in v.evidence}
    return sum(e.detail["rollouts"]["new"] for e in seen.values())


async def batch(name: str, luck: float, runs: int, seed: int, each: int = 16) -> dict:
    """Put batches to fresh gates: share accepted by kind, and rollouts."""
    members, count, spent = BATCHES[name], Counter[tuple[str, str]](), 0
    words = sorted({m.text.split()[0] for m in members})
    clash = 0
    for run in range(runs):
        trial = Scripted(f"{seed}/{name}/{luck}/{run}", pool(words, each, 48), effects(), luck)
        verdicts = await PairedGate(run)(Library("s"), proposals(members), trial)
        spent += rollouts(verdicts)
        for member, verdict in zip(members, verdicts, strict=True):
            count[member.kind, verdict.decision] += 1
        entered = Counter(
            m.subject for m, v in zip(members, verdicts, strict=True) if v.decision == "accepted" and m.subject
        )
        clash += any(n > 1 for n in entered.values())
    totals = Counter(m.kind for m in members)
    accepted = {kind: count[kind, "accepted"] / (runs * n) for kind, n in totals.items()}
    return {
        "batch": name,
        "luck": luck,
        "accepted": accepted,
        "rollouts": spent / runs,
        "rivals_together": clash / runs,
    }


async def screen(luck: float, runs: int, seed: int, right: int, useless: int) -> dict:
    """Testing a batch as a whole before its members, against testing the members alone: rollouts of both ways."""
    members = apart(*["right"] * right, *["useless"] * useless)
    words, spent = [m.text.split()[0] for m in members], Counter[str]()
    for run in range(runs):
        trial = Scripted(f"{seed}/screen/{luck}/{right}/{run}", pool(words, 16, 48), effects(), luck)
        gate = PairedGate(run)
        library, asked = Library("s"), proposals(members)
        edits = tuple(p.edit for p in asked)
        where = union([touched(e, library, trial.problems) for e in edits], trial.problems)
        question = Question(library, library.with_edits(edits), where, f"whole/{run}")
        whole = await compare(trial, gate.rewards, question, gate.design)
        spent["screen"] += whole.new
        if whole.answer not in (Answer.NO_WORTH, Answer.HARMS) or right:
            spent["screen"] += rollouts(await gate(library, asked, trial))
        spent["alone"] += rollouts(await PairedGate(run)(library, asked, trial))
    return {"luck": luck, "right": right, "useless": useless, **{k: spent[k] / runs for k in ("screen", "alone")}}


def cut(share: float, *, wrong: bool = False) -> Callable[[frozenset[str], Problem, float, float], Observation]:
    """A lesson whose rollouts are cut at the limit: a share of all, or of the wrong ones alone."""

    def fate(acting: frozenset[str], problem: Problem, reward: float, drawn: float) -> Observation:
        lost = bool(acting) and drawn < share and not (wrong and reward)
        return Observation(math.nan, Missing.OWN_FAULT) if lost else Observation(reward)

    return fate


def outage(share: float) -> Callable[[frozenset[str], Problem, float, float], Observation]:
    """An endpoint that fails rollouts with the lesson where they would have been wrong."""

    def fate(acting: frozenset[str], problem: Problem, reward: float, drawn: float) -> Observation:
        lost = bool(acting) and drawn < share and not reward
        return Observation(math.nan, Missing.OUTAGE) if lost else Observation(reward)

    return fate


def adding(effect: float | Callable[[Problem, str], float], base: float = 0.5) -> Chance:
    """Chance of reward: an effect of any lesson that acts."""

    def chance(acting: frozenset[str], problem: Problem) -> float:
        return base + (0.0 if not acting else effect(problem, "") if callable(effect) else effect)

    return chance


@dataclass(frozen=True, slots=True)
class Single:
    """One kind of edit, put alone to fresh gates."""

    truth: str
    """`useless`, `harmful` or `right`."""
    make: Callable[[str], Scripted] = field(repr=False)
    gate: Callable[[int], PairedGate] = field(default=PairedGate, repr=False)


def shifting(size: float, key: str) -> Callable[[Problem, str], float]:
    """An effect of +size or -size by problem, 0 in the mean over problems to come."""
    return lambda problem, _: size if uniform(key, "shift", problem.id) < 0.5 else -size


def clustered(key: str, *, long: bool) -> Scripted:
    """Sixteen problems in four wordings each, with an effect of +-.4 by problem; long texts show what is the same."""
    tail = " ".join(f"clause{i}" for i in range(26)) if long else ""
    problems = tuple(
        Problem(f"{c}-{w}", f"Compute {c} glorp 4 {' '.join(f'{t}x{c}' for t in tail.split())} wording {'abcd'[w]}")
        for c in range(16)
        for w in range(4)
    )
    others = pool((), 0, 128)
    effect = lambda problem, _: 0.4 if uniform(key, "shift", problem.id.split("-")[0]) < 0.5 else -0.4  # noqa: E731
    return Scripted(key, (*problems, *others), adding(effect))


SINGLES: Mapping[str, Single] = {
    "useless, loses 60% of its wrong answers to the limit": Single(
        "useless", lambda key: Scripted(key, pool(["glorp"], 16, 48), adding(0.0), fate=cut(0.6, wrong=True))
    ),
    "useless, an outage takes 60% of its wrong answers": Single(
        "useless", lambda key: Scripted(key, pool(["glorp"], 16, 48), adding(0.0), fate=outage(0.6))
    ),
    "gains .3 and loses 45% of its rollouts (net +.03)": Single(
        "useless", lambda key: Scripted(key, pool(["glorp"], 16, 48), adding(0.3, 0.3), fate=cut(0.45))
    ),
    **{
        f"useless, {m} touched problems, passes that repeat": Single(
            "useless", lambda key, m=m: Scripted(key, pool(["glorp"], m, 3 * m), adding(0.0), greedy=True)
        )
        for m in (8, 12, 16)
    },
    **{
        f"+-.3 by problem, {m} touched problems": Single(
            "useless", lambda key, m=m: Scripted(key, pool(["glorp"], m, 3 * m), adding(shifting(0.3, key)))
        )
        for m in (8, 12, 16, 32)
    },
    "+-.4 by problem, four wordings each, long": Single("useless", lambda key: clustered(key, long=True)),
    "+-.4 by problem, four wordings each, too short to tell": Single("useless", lambda key: clustered(key, long=False)),
}


async def single(name: str, runs: int, seed: int) -> dict:
    """Put one kind of edit to fresh gates."""
    scene, count, spent = SINGLES[name], Counter[str](), 0
    for run in range(runs):
        trial = scene.make(f"{seed}/{name}/{run}")
        verdicts = await scene.gate(run)(Library("s"), [Proposal(Edit(Op.ADD, "glorp is x"))], trial)
        count[verdicts[0].decision] += 1
        spent += rollouts(verdicts)
    shares = {decision: count[decision] / runs for decision in ("accepted", "rejected", "undecided")}
    return {"edit": name, **shares, "ci": wilson(count["accepted"], runs), "rollouts": spent / runs}


ELSEWHERE = {"-.25 on 48 others": -0.25, "-.10 on 48 others": -0.1, "nothing on 48 others": 0.0}
"""What an edit that gains .35 on the problems it names does to the others."""


async def harm_elsewhere(name: str, elsewhere: float, luck: float, runs: int, seed: int) -> dict:
    """+.35 on the 16 problems that an edit names and `elsewhere` on 48 others: how often it enters."""
    count = Counter[str]()

    def chance(acting: frozenset[str], problem: Problem) -> float:
        return 0.6 + (0.0 if not acting else 0.35 if "glorp" in problem.question else elsewhere)

    for run in range(runs):
        problems = tuple(replace(p, question=f"{p.question} all") for p in pool(["glorp"], 16, 48))
        trial = Everywhere(f"{seed}/elsewhere/{run}", problems, chance, luck)
        (verdict,) = await PairedGate(run)(Library("s"), [Proposal(Edit(Op.ADD, "glorp is x"))], trial)
        count[verdict.decision] += 1
    shares = {decision: count[decision] / runs for decision in ("accepted", "rejected", "undecided")}
    return {"elsewhere": name, "luck": luck, **shares, "ci": wilson(count["accepted"], runs)}


class Everywhere(Scripted):
    """A trial whose lessons act on every problem."""

    __slots__ = ()

    def _one(self, texts: frozenset[str], problem: Problem, index: int) -> Observation:
        shared = uniform(self.key, "share", problem.id, index) < self.luck
        drawn = uniform(self.key, "luck", problem.id, index, "" if shared else sorted(texts))
        return Observation(float(drawn < self.chance(texts, problem)))


TRADES = {
    "same accuracy, 90% fewer tokens": ((0.7, 20), (0.7, 200), "right"),
    "accuracy .70 to .45, 90% fewer tokens": ((0.45, 20), (0.7, 200), "harmful"),
    "accuracy .70 to .60, 90% fewer tokens": ((0.6, 20), (0.7, 200), "harmful"),
    "accuracy .30 to .60, same tokens": ((0.6, 200), (0.3, 200), "right"),
    "nothing changes but noise": ((0.5, 200), (0.5, 200), "useless"),
}
"""Chance of being right and tokens, with and without the edit; and what it is."""


async def trade(name: str, luck: float, runs: int, seed: int) -> dict:
    """Put an edit that trades one objective for another to a gate with `objectives`."""
    with_it, without, truth = TRADES[name]
    count, spent = Counter[str](), 0

    def fate(acting: frozenset[str], problem: Problem, reward: float, drawn: float) -> Observation:
        tokens = (with_it if acting else without)[1] * (0.7 + 0.6 * drawn)
        return Observation(reward, None, {"correct": reward, "tokens": tokens})

    for run in range(runs):
        chance = lambda acting, problem: (with_it if acting else without)[0]  # noqa: E731
        trial = Scripted(f"{seed}/{name}/{luck}/{run}", pool(["glorp"], 64, 128), chance, luck, fate=fate)
        gate = PairedGate(run, objectives=("correct", "tokens"))
        verdicts = await gate(Library("s"), [Proposal(Edit(Op.ADD, "glorp is x"))], trial)
        count[verdicts[0].decision] += 1
        spent += rollouts(verdicts)
    return {
        "trade": name,
        "luck": luck,
        "truth": truth,
        **{d: count[d] / runs for d in ("accepted", "rejected", "undecided")},
        "rollouts": spent / runs,
    }


async def course_of_batches(rule: str, luck: float, key: str, *, batches: int = 6) -> tuple[int, int]:
    """One run of batches of one right and three useless edits: how many useless and how many entered."""
    gate, wrong, entered = PairedGate(0, Design(), Alpha(0.05, rule)), 0, 0
    for number in range(batches):
        members = apart("right", "useless", "useless", "useless")
        trial = Scripted(f"{key}/{number}", pool(WORDS[:4], 16, 48), effects(), luck)
        verdicts = await gate(Library(f"s{number}"), proposals(members), trial)
        kinds = [m.kind for m, v in zip(members, verdicts, strict=True) if v.decision == "accepted"]
        wrong, entered = wrong + kinds.count("useless"), entered + len(kinds)
    return wrong, entered


async def batched_runs(rule: str, luck: float, runs: int, seed: int) -> dict:
    """False discovery rate of whole runs whose edits come in batches."""
    found = [await course_of_batches(rule, luck, f"{seed}/batches/{luck}/{run}") for run in range(runs)]
    return {
        "rule": rule,
        "luck": luck,
        "false_discovery_rate": fmean(wrong / max(entered, 1) for wrong, entered in found),
        "any_false": fmean(wrong > 0 for wrong, _ in found),
        "accepted_right": fmean((entered - wrong) / 6 for wrong, entered in found),
    }


async def asked_again(times: int, runs: int, seed: int) -> dict:
    """A useless edit that is asked up to `times` times, its capital carried on: how often it ever enters."""
    ever = 0
    for run in range(runs):
        gate = PairedGate(run)
        trial = Scripted(f"{seed}/again/{run}", pool(["glorp"], 16, 48), adding(0.0))
        for version in range(times):
            (verdict,) = await gate(Library("s", version), [Proposal(Edit(Op.ADD, "glorp is x"))], trial)
            if verdict.decision != "undecided":
                break
        ever += verdict.decision == "accepted"
    return {"times": times, "accepted": ever / runs, "ci": wilson(ever, runs)}
