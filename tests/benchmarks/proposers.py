"""The four proposers side by side at equal tokens, on a scripted set where one pair of attempts leaves much open.

    python tests/benchmarks/proposers.py --seeds 10 --json

One move of a topic earns the reward, eight do nothing, so that a right and a wrong attempt differ in several moves. The
summarizer sees its prompt alone. Asked for a contrast it names one move that tells the attempts apart, drawn by the
prompt and the draw; a note names all of them; a synthesis takes those that most notes of a topic name; as an agent it
reads pairs, counts in the same way, and drops what its tries do not bear out. Every run has the same budget of tokens,
rollouts and gate included, and ends there. Figures: reward on new problems, right and wrong lessons, right ones among
all proposed, and what the questions about lessons took.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import method_scenes
from methods import difference

from experience_db import Store
from tfgrpo import api, datasets
from tfgrpo.types import Reply, Request, Usage

PROPOSERS = ("contrast", "sampled", "map-reduce", "agentic")
SCENE = method_scenes.Scene(
    {
        t: (method_scenes.Move(f"{t}one", 0.4, 1.0), *(method_scenes.Move(f"{t}x{n}") for n in "abcdefgh"))
        for t in method_scenes.TOPICS[:6]
    },
    each=8,
)
MOVES = re.compile(r"\[(\w+)\]")
PROBLEM = re.compile(r"### Problem (\d+): rewards ([\d., ]+)\n.*?In topic (\w+): which", re.DOTALL)
READ = re.compile(r'"reward": "([\d.]+)"')
ABOUT_LESSONS = ("contrast", "note", "synthesis", "agent", "try", "consolidate")
PAIRS = 2
"""Problems of a topic that the agent reads."""
NAMED = 2
"""Lessons of a topic that a synthesis or an agent names, at most."""


class Summarizer(method_scenes.Player):
    """The solver of the set, and a summarizer for every proposer."""

    def __call__(self, request: Request) -> Reply:
        """Answer by the role."""
        text = "\n".join(str(m["content"]) for m in request.messages)
        if request.role in ("rollout", "gate", "evaluate", "try"):
            return self._attempt(text, request)
        if request.role == "agent":
            return self._agent(request, text)
        said = {"note": self._note, "synthesis": self._synthesis}.get(request.role)
        words = said(text) if said else self._contrast(text, request.attempt)
        return Reply(words, usage=Usage(len(text) // 4, len(words) // 4))

    def _apart(self, text: str) -> tuple[str, list[str]]:
        """Return the topic, and the moves of the best attempt that the worst one lacks."""
        topic = list(method_scenes.ASKED.finditer(text))[-1][1]
        attempts = [(float(r), set(MOVES.findall(said))) for r, _, said in method_scenes.ATTEMPT.findall(text)]
        best, worst = max(attempts, key=lambda a: a[0]), min(attempts, key=lambda a: a[0])
        return topic, sorted(best[1] - worst[1])

    def _contrast(self, text: str, draw: int) -> str:
        topic, moves = self._apart(text)
        fresh = [m for m in moves if method_scenes.use(topic, m) not in _held(text)]
        return _edits([(topic, Random(f"{draw}{text}").choice(fresh))] if fresh else [], 1)

    def _note(self, text: str) -> str:
        topic, moves = self._apart(text)
        return f"Of topic {topic}: the better one alone made {' '.join(f'[{m}]' for m in moves)}."

    def _synthesis(self, text: str) -> str:
        seen: dict[str, Counter[str]] = defaultdict(Counter)
        for topic, moves in re.findall(r"Of topic (\w+): the better one alone made (.*)\.", text):
            seen[topic].update(MOVES.findall(moves))
        return _edits(_commonest(seen, _held(text)), 1)

    def _agent(self, request: Request, text: str) -> Reply:
        """Read pairs, try what most of them show, and answer with what the tries bear out."""
        opening = str(request.messages[0]["content"])
        results = [str(m["content"]) for m in request.messages if m["role"] == "tool"]
        problems = [
            (int(n), [float(r) for r in rewards.split(",")], topic) for n, rewards, topic in PROBLEM.findall(opening)
        ]
        by_topic: dict[str, list[tuple[int, list[float]]]] = defaultdict(list)
        for number, rewards, topic in problems:
            by_topic[topic].append((number, rewards))
        chosen = {t: sorted(own, key=lambda p: min(p[1]) - max(p[1]))[:PAIRS] for t, own in by_topic.items()}
        places = [
            (topic, number, 1 + rewards.index(pick(rewards)))
            for topic, own in chosen.items() for number, rewards in own for pick in (max, min)
        ]  # fmt: skip
        used = len(text) // 4
        if not results and request.tools:
            return _calls([("read_rollout", {"problem": n, "attempt": a}) for _, n, a in places], used)
        seen: dict[str, Counter[str]] = defaultdict(Counter)
        for i in range(0, min(len(places), len(results)), 2):
            best, worst = (set(MOVES.findall(r.partition("\n")[2])) for r in results[i : i + 2])
            seen[places[i][0]].update(best - worst)
        named = _commonest(seen, _held(opening))
        # One try of each topic's first lesson, on a problem of the topic whose mean is lowest.
        first = list(dict(reversed(named)).items())
        asked = [(t, m, min(by_topic[t], key=lambda p: fmean(p[1]))) for t, m in first]
        if len(results) == len(places) and asked and request.tools:
            tries = [
                ("try_lesson", {"problem": p[0], "lesson": method_scenes.use(t, m)}) for t, m, p in asked
            ]  # fmt: skip
            return _calls(tries, used)
        tried = results[len(places) :]
        failed = set()
        for (topic, move, (_, rewards)), told in zip(asked, tried, strict=False):
            found = re.search(r"reward ([\d.]+)", told)
            if found and float(found[1]) < fmean(rewards):
                failed.add((topic, move))
        words = _edits([pair for pair in named if pair not in failed], 1)
        return Reply(words, usage=Usage(used, len(words) // 4))


def _held(text: str) -> str:
    return text.partition("## The library now")[2].partition("\n## ")[0]


def _commonest(seen: Mapping[str, Counter[str]], held: str) -> list[tuple[str, str]]:
    """Return for each topic the moves that most pairs show, and at least two where there are so many."""
    found = []
    for topic, counted in seen.items():
        fresh = [(m, n) for m, n in counted.most_common() if method_scenes.use(topic, m) not in held]
        most = fresh[0][1] if fresh else 0
        found += [(topic, m) for m, n in fresh[:NAMED] if n == most]
    return found


def _edits(pairs: Iterable[tuple[str, str]], place: int) -> str:
    told = [
        {"op": "ADD", "ids": [], "text": method_scenes.use(*pair), "reason": "seen", "attempts": [place], "when": None}
        for pair in pairs
    ]
    return json.dumps({"edits": told})


def _calls(made: Sequence[tuple[str, Mapping[str, Any]]], used: int) -> Reply:
    calls = tuple(
        {"id": f"c{i}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}
        for i, (name, arguments) in enumerate(made)
    )
    return Reply("", "tool_calls", Usage(used, 20 * len(calls)), tool_calls=calls)


async def learned(proposer: str, seed: int, tokens: int, folder: Path) -> dict[str, float]:
    """Learn until the tokens are used up; return the figures of the run."""
    asked: dict[str, Any] = {
        "model": "scripted/proposers:player", "grader": "proposers:grader", "seed": seed, "db": folder / "x.db"
    }  # fmt: skip
    rows = datasets.from_rows(replace(SCENE, each=12).problems(seed, 1))
    steps = [
        step
        async for step in api.learn(
            datasets.from_rows(SCENE.problems(seed)), heldout=rows, epochs=2, group_size=4, batch_size=24,
            budget_tokens=tokens, overrides=[f"lessons.proposer={proposer}", "lessons.consolidate=join"], **asked,
        )
    ]  # fmt: skip
    with Store.open(asked["db"], readonly=True) as store:
        library = store.library("default")
        spent = [store.usage(run.id) for run in store.runs()]
    told = {role: used for run in spent for role, used in run.items()}
    name = f"default@{library.version}" if library.version else ""
    found = await api.evaluate(datasets.from_rows(SCENE.problems(seed, 2)), library=name, k=2, **asked)
    right, texts = SCENE.right(), {x.text for x in library}
    proposed = [p.edit.text for step in steps for p in step.proposals]
    used = sum(u.prompt_tokens + u.completion_tokens for role, u in told.items() if role in ABOUT_LESSONS)
    return {
        "reward": fmean(found.evaluation.means_P),
        "right": float(len(texts & right)),
        "wrong": float(len(texts - right)),
        "right_of_proposed": sum(text in right for text in proposed) / max(len(proposed), 1),
        "tokens_about_lessons": float(used),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all proposers on all seeds and print their figures and the differences to `contrast`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=300, help="seed of the first world")
    parser.add_argument("--tokens", type=int, default=200_000, help="budget of a run, all roles together")
    parser.add_argument("--json", action="store_true", help="print one object at the end")
    given = parser.parse_args(arguments)
    table: dict[str, list[dict[str, float]]] = {name: [] for name in PROPOSERS}
    for seed in range(given.first, given.first + given.seeds):
        for name in PROPOSERS:
            with tempfile.TemporaryDirectory() as folder:
                table[name].append(asyncio.run(learned(name, seed, given.tokens, Path(folder))))
    print("\n".join(lines(table)))
    if given.json:
        print(json.dumps({"tokens": given.tokens, "proposers": table}))


def lines(table: Mapping[str, Sequence[Mapping[str, float]]]) -> list[str]:
    """Return a line for each figure of each proposer: its mean, and the difference to `contrast`, paired by seed."""
    told = []
    for name, rows in table.items():
        for figure in rows[0]:
            own, first = [r[figure] for r in rows], [r[figure] for r in table["contrast"]]
            apart = difference(first, own)
            ends = f"{apart['diff']:+.2f} [{apart['low']:+.2f}, {apart['high']:+.2f}]"
            told.append(f"{name:12s}{figure:22s}{fmean(own):12.2f}  against contrast {ends}, n={len(rows)}")
    return told


player = Summarizer(SCENE)
grader = method_scenes.grader_of(SCENE)

if __name__ == "__main__":
    main()
