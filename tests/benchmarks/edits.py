"""How many usable edits does a model write, by prompt set? Valid ones, and those that say what the attempts show.

    python tests/benchmarks/edits.py --model local/smollm2-135m --prompts default small --out edits.jsonl
    python tests/benchmarks/edits.py --model local/smollm2-135m --prompts default --context 4096 --out edits.jsonl
    python tests/benchmarks/edits.py --model local/smollm2-135m --prompts default --context 4096 --folder OLD \
        --out edits.jsonl
    python tests/benchmarks/edits.py --out edits.jsonl --table
    python tests/benchmarks/edits.py --out edits.jsonl --against "default, OLD"

Twelve groups of the house tasks: two attempts that keep the convention, two that do not, and what the grader says. An
edit is valid where it passes the checks in code, right where it also names what the house wants. `--folder` takes
templates of a folder first, so that other words of a set can be measured before they are shipped. The prompts of
`default` take more than half of the 2048 tokens that a slot of a local engine has.

Each reply is one row of FILE, written when it is there; a reply that stands in FILE is not asked for again, so more
draws only add to it. The draws of a group have numbers, which are their seeds: draw 0 is the same reply each time, as
far as the engine repeats itself. `--against` compares each other text with one of them, by group.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean as mean
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "examples" / "real_model"), str(Path(__file__).parent)]

from blocks import EXAMPLES  # noqa: E402 - beside this file
from house import grader_of  # noqa: E402 - the folder of the example

from experience_db import Library  # noqa: E402
from tfgrpo.backends.base import Backend, close  # noqa: E402
from tfgrpo.backends.endpoints import endpoints_of  # noqa: E402
from tfgrpo.backends.stack import with_wrappers  # noqa: E402
from tfgrpo.config.engine import EngineConfig, LocalConfig  # noqa: E402
from tfgrpo.config.lessons import LessonsConfig  # noqa: E402
from tfgrpo.executors import Local  # noqa: E402
from tfgrpo.lessons.summarize import Contrast, contrast  # noqa: E402
from tfgrpo.lessons.teacher import Teacher  # noqa: E402
from tfgrpo.prompting import templates  # noqa: E402
from tfgrpo.stats import bootstrap_mean, describe, paired_difference  # noqa: E402
from tfgrpo.types import FailureKind, Group, GroupStatus, Message, Problem, Reply, Request, Rollout  # noqa: E402

WANTED: Mapping[str, str] = {
    "yesno": r"\byes\b.*\bno\b",
    "steps": r"step 1|\bsteps?\b",
    "json": r"json|object",
    "sum": r"\bnumber|digit",
}
"""What a right lesson names."""
UNANSWERED = (FailureKind.TIMEOUT, FailureKind.RATE_LIMITED, FailureKind.PROVIDER)
"""Failures of an endpoint, which say nothing of a prompt: there is no row of them."""
SLOTS = 32768
"""Tokens of all slots of a local engine together."""
BARE: Mapping[str, Any] = {
    **dict.fromkeys(("agent_objective", "learning_objective", "objective", "majority"), ""),
    **dict.fromkeys(("attempts", "lessons", "rejected"), ()),
    "problem": {"question": ""},
    "reference": None,
    "max_edits": 3,
    "max_words": 32,
}
"""A group without anything in it: what is left of the prompt is what the set says by itself."""
PLAIN = ("That depends on many things.", "It is hard to say in a few words.")


def groups() -> list[tuple[str, Group]]:
    """Return (task, group): two right attempts, two plain sentences."""
    found = []
    for name, pairs in EXAMPLES.items():
        for position, (question, answer) in enumerate(pairs):
            other = pairs[(position + 1) % len(pairs)][1]
            said = (answer, other, *PLAIN)
            problem = Problem(f"{name}-{position}", question)
            asked: Message = {"role": "user", "content": question}
            rollouts = tuple(
                Rollout(problem.id, i, (asked, {"role": "assistant", "content": text}), text)
                for i, text in enumerate(said)
            )
            scores = tuple(grader_of(name)(problem, rollout) for rollout in rollouts)
            rewards = tuple(score.value or 0.0 for score in scores)
            advantages = tuple(2 * r - 1 for r in rewards)
            found.append((name, Group(problem, rollouts, scores, rewards, advantages, GroupStatus.KEPT, 0)))
    return found


class Drawn:
    """A backend that gives each call the number of its draw, so that the draws of a prompt can be asked for apart."""

    def __init__(self, backend: Backend, draw: int) -> None:
        self.backend = backend
        self.draw = draw

    async def complete(self, request: Request) -> Reply:
        """Answer with the noise of this draw."""
        seed = request.sampling.seed
        sampling = request.sampling if seed is None else replace(request.sampling, seed=seed + self.draw)
        return await self.backend.complete(replace(request, sampling=sampling, attempt=request.attempt + self.draw))


def turned(prompts: templates.Prompts, draw: int) -> templates.Prompts:
    """Return the set with the opening that this draw of a line has in front."""
    openings = prompts.settings.openings.split("|")
    at, own = draw % len(openings), copy.copy(prompts)
    own.settings = replace(prompts.settings, openings="|".join([*openings[at:], *openings[:at]]))
    return own


def unanswered(found: Contrast) -> str:
    """Return why an endpoint gave no reply; '' where it gave one, however useless."""
    return next((f.message or f.kind for f in found.failures if f.kind in UNANSWERED), "")


async def measure(options: argparse.Namespace, prompts: templates.Prompts, said: str) -> None:
    """Ask for the replies that are not in the file; each row says what came, what is valid and what is right."""
    local = LocalConfig(
        slots=max(2, min(16, SLOTS // options.context)), context=options.context, threads=options.threads
    )
    line = endpoints_of(options.model, (), EngineConfig(local=local, timeout=3600.0))
    backend = with_wrappers(line.backends, joining=line.joining)
    config = LessonsConfig(temperature=0.8, draws=1, max_tokens=None if prompts.settings.reply == "line" else 300)
    prefill = all(getattr(each, "prefill", False) for each in line.backends)
    asks = getattr(line.backend, "window", None)
    room = await asks(line.model) if asks else None
    characters = len(prompts.render("contrast/group", **BARE))

    async def one(name: str, group: Group, draw: int) -> None:
        own = Teacher(Drawn(backend, draw), line.model, turned(prompts, draw), Local(), config, "", prefill, room)
        began = time.monotonic()
        found = await contrast(own, group, Library("study", 0))
        if why := unanswered(found):
            print(f"{group.problem.id}, draw {draw}: {why}; the same command asks again", file=sys.stderr)
            return
        texts = [p.edit.text or "" for p in found.proposals]
        row = {
            "model": options.model,
            "prompts": said,
            "characters": characters,
            "group": group.problem.id,
            "draw": draw,
            "valid": len(texts),
            "right": sum(bool(re.search(WANTED[name], text, re.IGNORECASE)) for text in texts),
            "lost": len(found.failures) + len(found.dropped),
            "edits": texts,
            "seconds": round(time.monotonic() - began, 1),
        }
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    known = {(r["model"], r["prompts"], r["group"], r["draw"]) for r in rows_of(options.out)}
    # Draws of one group that are asked for together go out as one request, whose prompt is read once.
    jobs = [
        partial(one, name, group, draw)
        # One group of each task first, so that a study that was cut is none of a single task.
        for name, group in sorted(groups(), key=lambda each: each[1].problem.id[-1])
        for draw in range(options.draws)
        if (options.model, said, group.problem.id, draw) not in known
    ]
    await Local().run(jobs, limit=local.slots)
    await close(line.backend)


def rows_of(file: Path) -> list[dict]:
    """Return the replies so far."""
    return [json.loads(row) for row in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def shares(rows: Sequence[Mapping]) -> dict[str, float]:
    """Return by group the share of replies that hold a right edit."""
    found: dict[str, list[bool]] = {}
    for r in rows:
        found.setdefault(r["group"], []).append(bool(r["right"]))
    return {group: mean(right) for group, right in found.items()}


def table(rows: Sequence[Mapping]) -> str:
    """Return the counts as Markdown; intervals are over groups, which is what was sampled."""
    names = (
        "model, prompts, characters, replies, with a valid edit, with a right one, groups with a right one, share right"
    )
    lines = [f"| {' | '.join(names.split(', '))} |", "|---|---|---|---|---|---|---|---|"]
    for model, prompts in dict.fromkeys((r["model"], r["prompts"]) for r in rows):
        mine = [r for r in rows if (r["model"], r["prompts"]) == (model, prompts)]
        own = list(shares(mine).values())
        valid, right = sum(bool(r["valid"]) for r in mine), sum(bool(r["right"]) for r in mine)
        low, high = bootstrap_mean(own)
        share, groups_right = f"{mean(own):.3f} [{low:.3f}, {high:.3f}]", f"{sum(map(bool, own))} of {len(own)}"
        cells = (model, prompts, mine[0]["characters"], len(mine), valid, right, groups_right, share)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


def against(rows: Sequence[Mapping], first: str) -> str:
    """Return each other text's share of right replies minus that of the first, paired by group."""
    lines = []
    for model, prompts in dict.fromkeys((r["model"], r["prompts"]) for r in rows):
        old = shares([r for r in rows if (r["model"], r["prompts"]) == (model, first)])
        new = shares([r for r in rows if (r["model"], r["prompts"]) == (model, prompts)])
        if prompts != first and (both := [g for g in old if g in new]):
            said = describe(paired_difference([old[g] for g in both], [new[g] for g in both]))
            lines.append(f"{model}: {prompts} against {first}: {said}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help="tiny, or any local/... model")
    parser.add_argument("--prompts", nargs="+", default=["default"], help="sets")
    parser.add_argument("--folder", type=Path, help="templates that win over those of the sets")
    parser.add_argument("--draws", type=int, default=2, help="replies for each of the twelve groups")
    parser.add_argument("--context", type=int, default=2048, help="tokens of prompt and reply, of a local engine")
    parser.add_argument("--threads", type=int, default=0, help="of a local engine; 0 takes the cores there are")
    parser.add_argument("--out", type=Path, help="rows, one a line; default: a file that is removed")
    parser.add_argument("--table", action="store_true", help="print what was measured")
    parser.add_argument("--against", help="compare what was measured with this row of the table, by group")
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    options = parser.parse_args(arguments)
    if options.out is None:
        with tempfile.TemporaryDirectory() as folder:
            main([*(arguments or sys.argv[1:]), "--out", str(Path(folder) / "edits.jsonl")])
        return
    for name in [] if options.table or options.against else options.prompts:
        said = name + (f", {options.folder.name}" if options.folder else "")
        asyncio.run(measure(options, templates.load(name, options.folder), said))
    rows = rows_of(options.out)
    told = against(rows, options.against) if options.against else table(rows)
    print(json.dumps({"rows": rows}) if options.json else told)


if __name__ == "__main__":
    main()
