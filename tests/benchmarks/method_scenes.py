"""Scripted sets on which a decision of a method can show: problems, a solver, and a summarizer that sees its prompt.

An attempt is a list of moves, `[kiln] [umber]`. A move is drawn by problem and seed at its rate, always made where a
lesson of the topic says so, never where one says to leave it out. Moves earn reward, cost tokens, or do nothing. The
summarizer reads the attempts in its prompt, lays the best beside the worst, and proposes one move that tells them
apart, drawn by the prompt; asked about short and long right attempts, it proposes to leave one out. It knows no truth:
what it gets right depends on what it is shown.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log
from random import Random
from typing import Any

from tfgrpo.types import Problem, Reply, Request, Rollout, Score, Usage

ASKED = re.compile(r"In topic (\w+): which moves for (\d+)\?")
USE = re.compile(r"When the topic is (\w+), use (?:the move )?(\w+)(?: first)?\.")
LEAVE = re.compile(r"When the topic is (\w+), leave out (\w+)\.")
ATTEMPT = re.compile(
    r"### Attempt \d+: reward (-?[\d.]+), advantage [+-][\d.]+(?:, (\d+) tokens)?\n"
    r"(.*?)(?=\n### Attempt|\nNow compare)",
    re.DOTALL,
)
BASE_TOKENS = 40
FOLLOWED = 0.97
"""How often a lesson is followed by the player whose attempts have a likelihood."""
CROWDING = 0.3
"""How often each lesson beyond the room of a world costs a crowded topic its move."""


@dataclass(frozen=True, slots=True)
class Move:
    """Something that an attempt may do."""

    name: str
    rate: float = 0.5
    """How often it is made without a lesson."""
    worth: float = 0.0
    """What it earns."""
    tokens: int = 0
    """What it costs."""
    score: str = ""
    """The named score it earns; empty is the whole reward."""
    apart: str = ""
    """A move in whose company it never comes by itself."""
    needs: str = ""
    """It earns only where that other move is left out."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Topics with their moves, and how many problems each has."""

    topics: Mapping[str, Sequence[Move]]
    each: int = 6
    """Problems of a topic."""
    figures: bool = False
    """Each attempt shows a calculation, right or wrong by itself: a slip takes the whole reward."""
    slip: float = 0.0
    """How often the calculation slips."""
    slippery: tuple[str, ...] = ()
    """Topics whose attempts slip."""
    crowded: tuple[str, ...] = ()
    """Topics whose moves are lost where more lessons are in view than the world has room for, see `room`."""

    rivals: bool = False
    """Lessons on one topic say what comes first, so that they exclude each other."""

    def use(self, topic: str, move: str) -> str:
        """Return the lesson to make a move."""
        return f"When the topic is {topic}, use the move {move} first." if self.rivals else use(topic, move)

    def room(self, figure: int) -> int:
        """Return how many lessons a world bears, 2 to 4 by its seed, which its figures tell."""
        return 2 + figure % 500_000 // 1000 % 3

    def problems(self, seed: int, extra: int = 0) -> list[dict[str, Any]]:
        """Return the rows of a seed; `extra` shifts the figures, for sets of other problems."""
        order = [(topic, n) for topic in self.topics for n in range(self.each)]
        Random(f"{seed}:{extra}").shuffle(order)
        start = 1000 * (1 + seed % 50) + 500_000 * extra
        return [
            {"id": f"{t}-{start + i}", "question": f"In topic {t}: which moves for {start + i}?", "answer": "the best"}
            for i, (t, _) in enumerate(order)
        ]

    def right(self) -> set[str]:
        """Return the lessons that help."""
        return {self.use(t, m.name) for t, moves in self.topics.items() for m in moves if m.worth > 0.05 and m.rate < 1}


def use(topic: str, move: str) -> str:
    """Return the lesson to make a move."""
    return f"When the topic is {topic}, use {move}."


def leave(topic: str, move: str) -> str:
    """Return the lesson to leave a move out."""
    return f"When the topic is {topic}, leave out {move}."


def _chance(*parts: object) -> float:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:6], "big") / 2**48


class Player:
    """The model of a scene: solver and summarizer."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.calls: dict[str, int] = {}

    def __call__(self, request: Request) -> Reply:
        """Answer by the role; whatever is no attempt asks for edits."""
        self.calls[request.role] = self.calls.get(request.role, 0) + 1
        text = "\n".join(str(m["content"]) for m in request.messages)
        if request.role in ("rollout", "gate", "evaluate", "pilot"):
            return self._attempt(text, request)
        return Reply(self._edits(text), usage=Usage(len(text) // 4, 20))

    def _attempt(self, text: str, request: Request) -> Reply:
        found = list(ASKED.finditer(text))[-1]
        topic, figure = found[1], int(found[2])
        used = {m for t, m in USE.findall(text) if t == topic}
        left = {m for t, m in LEAVE.findall(text) if t == topic}
        luck = (request.sampling.seed, request.attempt, topic, figure)
        made = list[str]()
        for move in self.scene.topics[topic]:
            drawn = _chance(*luck, move.name) < move.rate and not (move.apart and move.apart in made)
            if move.name in used or (drawn and move.name not in left):
                made.append(move.name)
        if topic in self.scene.crowded:
            over = len(set(USE.findall(text))) - self.scene.room(figure)
            made = [name for name in made if _chance(*luck, name, "crowd") >= CROWDING * over]
        said = " ".join(f"[{name}]." for name in made)
        if self.scene.figures:
            slipped = topic in self.scene.slippery and _chance(*luck, "slip") < self.scene.slip
            said += f" We find {figure} + 1 = {figure + (2 if slipped else 1)}."
        tokens = BASE_TOKENS + sum(m.tokens for m in self.scene.topics[topic] if m.name in made)
        return Reply(said or "nothing.", usage=Usage(len(text) // 4, tokens))

    def _edits(self, text: str) -> str:
        asked = list(ASKED.finditer(text))
        if not asked:
            return json.dumps({"edits": []})
        topic = asked[-1][1]
        attempts = [
            (float(r), int(n or 0), set(re.findall(r"\[(\w+)\]", said)), said) for r, n, said in ATTEMPT.findall(text)
        ]
        if len(attempts) < 2:
            return json.dumps({"edits": []})
        brief = "Lay the cheapest attempt beside the dearest" in text
        if brief:
            short, long = min(attempts, key=lambda a: a[1]), max(attempts, key=lambda a: a[1])
            lessons = [leave(topic, m) for m in sorted(long[2] - short[2])]
        else:
            best, worst = max(attempts, key=lambda a: a[0]), min(attempts, key=lambda a: a[0])
            lessons = [self.scene.use(topic, m) for m in sorted(best[2] - worst[2])]
            if self.scene.figures and not lessons and best[0] > worst[0]:
                lessons = [f"When the topic is {topic}, add the figures with care."]
        if not lessons:
            return json.dumps({"edits": []})
        lesson = Random(text).choice(lessons)
        held = text.partition("## The library now")[2].partition("\n## ")[0]
        edit = {"op": "ADD", "ids": [], "text": lesson, "reason": "seen", "attempts": [], "when": None}
        return json.dumps({"edits": [] if lesson in held else [edit]})


class LikelyPlayer(Player):
    """The same as a model that can say how likely an attempt is: a token for each move, made or left out.

    Every attempt is drawn with the very chances that its tokens have, so it is a model at temperature 1.
    """

    scores_tokens = True

    def __init__(self) -> None:
        super().__init__(LIKELY)

    async def complete(self, request: Request) -> Reply:
        """Answer, or say how likely the tokens are."""
        if request.forced_ids is None:
            return self(request)
        text = "\n".join(str(m["content"]) for m in request.messages)
        chances = self._chances(text, list(ASKED.finditer(text))[-1][1])
        drawn = [(chances[token // 2], token % 2) for token in request.forced_ids]
        return Reply("", usage=Usage(len(text) // 4, 0), logprobs=tuple(log(p if made else 1 - p) for p, made in drawn))

    def _chances(self, text: str, topic: str) -> list[float]:
        used = {m for t, m in USE.findall(text) if t == topic}
        return [FOLLOWED if move.name in used else move.rate for move in self.scene.topics[topic]]

    def _attempt(self, text: str, request: Request) -> Reply:
        found = list(ASKED.finditer(text))[-1]
        topic, luck = found[1], (request.sampling.seed, request.attempt, found[1], found[2])
        moves = self.scene.topics[topic]
        made = [_chance(*luck, m.name) < p for m, p in zip(moves, self._chances(text, topic), strict=True)]
        said = " ".join(f"[{m.name}]." for m, done in zip(moves, made, strict=True) if done)
        ids = tuple(2 * i + int(done) for i, done in enumerate(made))
        return Reply(said or "nothing.", usage=Usage(len(text) // 4, BASE_TOKENS), token_ids=ids)


def grader_of(scene: Scene) -> Any:
    """Return the grader of a scene: a value, or named ones where its moves earn such."""

    def grade(problem: Problem, rollout: Rollout) -> float | dict[str, float] | Score:
        made = set(re.findall(r"\[(\w+)\]", rollout.answer))
        moves = scene.topics[problem.id.rpartition("-")[0]]
        earning = [m for m in moves if m.name in made and not (m.needs and m.needs in made)]
        names = list(dict.fromkeys(m.score for t in scene.topics.values() for m in t if m.score))
        if names:
            return {n: min(1.0, sum(m.worth for m in earning if m.score == n)) for n in names}
        figure = problem.question.rpartition(" ")[2].rstrip("?")
        if scene.figures and f"= {int(figure) + 1}." not in rollout.answer:
            return 0.0
        return min(1.0, sum(m.worth for m in earning))

    return grade


def _named(prefix: str, count: int) -> tuple[str, ...]:
    return tuple(f"{prefix}{letter}" for letter in "abcdefghijklmnopqrst"[:count])


TOPICS = ("maple", "granite", "velvet", "copper", "willow", "marble", "linen", "silver")

PLAIN = ("amber", "cotton", "ivory", "basalt", "cedar", "pewter", "satin", "bronze")

GRADED = Scene(
    {
        t: (
            *(Move(name, 0.5, 0.25) for name in _named(f"{t}w", 4)),
            *(Move(name, 0.5, 0.0) for name in _named(f"{t}x", 5)),
        )
        for t in TOPICS
    },
    each=9,
)
"""Four moves of each topic earn a quarter of the reward each, five do nothing: the further two attempts are apart, the
more of what tells them apart is what counts."""

NEAR_FLAT = Scene(
    {
        t: (
            (Move(f"{t}one", 1.0, 0.5), Move(f"{t}hum", 0.5, 0.01), *(Move(n) for n in _named(f"{t}x", 3)))
            if place % 4
            else (Move(f"{t}one", 0.4, 0.9), *(Move(n) for n in _named(f"{t}x", 3)))
        )
        for place, t in enumerate(TOPICS)
    },
    each=8,
)
"""Three topics of four differ by a hundredth only, by a move that is worth no lesson; one of four by nine tenths."""

SKEWED = Scene(
    {
        t: (Move(f"{t}one", (1.0, 1.0, 0.0, 0.25)[place % 4], 1.0), *(Move(n, 0.5) for n in _named(f"{t}x", 1)))
        for place, t in enumerate(TOPICS)
    },
    each=10,
)
"""Half of the topics are always solved, a quarter never, a quarter every fourth time."""

TWO_SCORES = Scene(
    {
        t: (
            Move(f"{t}check", 0.5, 1.0, score="right"),
            Move(f"{t}terse", 0.7, 0.5, score="brief", apart=f"{t}check"),
            *(Move(n) for n in _named(f"{t}x", 1)),
        )
        for t in TOPICS[:4]
    },
    each=10,
)
"""A move for being right and one for being brief, which attempts do not combine by themselves: whoever looks at the sum
sees the first one alone. A lesson makes either without costing the other."""

WORDY = Scene(
    {t: (Move(f"{t}check", 0.9, 1.0, 20), Move(f"{t}chat", 0.6, 0.0, 120)) for t in TOPICS[:4]},
    each=12,
)
"""Nine attempts of ten are right, and most of their tokens go into a move that earns nothing."""

USUAL = Scene(
    {
        t: (Move(f"{t}one", 0.95 if place < 6 else 0.3, 1.0), *(Move(n, 0.5) for n in _named(f"{t}x", 1)))
        for place, t in enumerate(TOPICS)
    },
    each=6,
)
"""Six topics of eight are nearly always solved, two are not."""

SLIPS = Scene(
    {t: (Move(f"{t}plan", 0.5 if place < 4 else 1.0, 1.0),) for place, t in enumerate(TOPICS)},
    each=6,
    figures=True,
    slip=0.5,
    slippery=TOPICS[4:],
)
"""Four topics are lost by the plan, four by slips in the figures, which no lesson mends."""

CROWDED = Scene(
    {
        **{t: (Move(f"{t}one", 0.3, 1.0), Move(f"{t}x")) for t in TOPICS},
        **{t: (Move(f"{t}one", 1.0, 1.0),) for t in PLAIN},
    },
    each=4,
    crowded=PLAIN,
)
"""Eight topics have something to learn; eight others are solved, and lose by each lesson beyond the room of the world.
One lesson alone harms none of them."""

LIKELY = Scene(
    {
        t: (Move(f"{t}one", (0.25, 0.5, 0.75)[place % 3], 1.0), *(Move(n) for n in _named(f"{t}x", 6)))
        for place, t in enumerate(TOPICS[:6])
    },
    each=8,
    rivals=True,
)
"""One move of a topic earns the reward, made in a quarter, half or three quarters of the attempts; six do nothing.
What lessons on one topic advise excludes each other."""

SCENES = {
    "likely": LIKELY,
    "crowded": CROWDED,
    "graded": GRADED,
    "near-flat": NEAR_FLAT,
    "skewed": SKEWED,
    "two-scores": TWO_SCORES,
    "wordy": WORDY,
    "usual": USUAL,
    "slips": SLIPS,
}
_PLAYERS: dict[str, Player] = {}


def player(scene: str) -> tuple[str, str]:
    """Return the names under which the model and the grader of a scene can be asked for."""
    key = scene.replace("-", "_")
    if scene == "likely":
        return "scripted/method_scenes:LikelyPlayer", f"method_scenes:grader_{key}"
    _PLAYERS[scene] = Player(SCENES[scene])
    return f"scripted/method_scenes:player_{key}", f"method_scenes:grader_{key}"


def __getattr__(name: str) -> Any:
    kind, _, key = name.partition("_")
    scene = key.replace("_", "-")
    if kind == "player" and scene in _PLAYERS:
        return _PLAYERS[scene]
    if kind == "grader" and scene in SCENES:
        return grader_of(SCENES[scene])
    raise AttributeError(name)
