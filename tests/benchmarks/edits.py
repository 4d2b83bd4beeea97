"""How many usable edits does a model write, by prompt set? Valid ones, and those that say what the attempts show.

    python tests/benchmarks/edits.py --model local/smollm2-135m --prompts default small --out edits.jsonl
    python tests/benchmarks/edits.py --model local/smollm2-135m --prompts default --context 4096 --out edits.jsonl
    python tests/benchmarks/edits.py --model local/smollm2-135m --prompts default --context 4096 --folder OLD \
        --out edits.jsonl
    python tests/benchmarks/edits.py --out edits.jsonl --table

Twelve groups of the house tasks: two attempts that keep the convention, two that do not, and what the grader says. An
edit is valid where it passes the checks in code, right where it also names what the house wants. `--folder` takes
templates of a folder first, so that other words of a set can be measured before they are shipped. The prompts of
`default` take more than half of the 2048 tokens that a slot of a local engine has.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "examples" / "real_model"), str(Path(__file__).parent)]

from blocks import EXAMPLES, wilson  # noqa: E402 - beside this file
from house import grader_of  # noqa: E402 - the folder of the example

from experience_db import Library  # noqa: E402
from tfgrpo.backends.base import close  # noqa: E402
from tfgrpo.backends.endpoints import endpoints_of  # noqa: E402
from tfgrpo.backends.stack import with_wrappers  # noqa: E402
from tfgrpo.config.engine import EngineConfig, LocalConfig  # noqa: E402
from tfgrpo.config.lessons import LessonsConfig  # noqa: E402
from tfgrpo.executors import Local  # noqa: E402
from tfgrpo.lessons.summarize import contrast  # noqa: E402
from tfgrpo.lessons.teacher import Teacher  # noqa: E402
from tfgrpo.prompting import templates  # noqa: E402
from tfgrpo.types import Group, GroupStatus, Message, Problem, Rollout  # noqa: E402

WANTED: Mapping[str, str] = {
    "yesno": r"\byes\b.*\bno\b",
    "steps": r"step 1|\bsteps?\b",
    "json": r"json|object",
    "sum": r"\bnumber|digit",
}
"""What a right lesson names."""
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


async def measured(model: str, prompts: templates.Prompts, draws: int, context: int, threads: int) -> dict:
    """Return how many edits came, how many were valid and right, and how many groups got a right one."""
    local = LocalConfig(slots=max(2, min(16, SLOTS // context)), context=context, threads=threads)
    line = endpoints_of(model, (), EngineConfig(local=local))
    backend = with_wrappers(line.backends, joining=line.joining)
    config = LessonsConfig(temperature=0.8, draws=draws, max_tokens=None if prompts.settings.reply == "line" else 300)
    prefill = all(getattr(each, "prefill", False) for each in line.backends)
    asks = getattr(line.backend, "window", None)
    room = await asks(line.model) if asks else None
    teacher = Teacher(backend, line.model, prompts, Local(), config, "", prefill, room)
    began, counts = time.monotonic(), dict.fromkeys(("replies", "valid", "right", "groups", "groups_right", "lost"), 0)
    asked = groups()
    jobs = [partial(contrast, teacher, group, Library("study", 0)) for _, group in asked]
    for (name, _), found in zip(asked, await Local().run(jobs), strict=True):
        texts = [p.edit.text or "" for p in found.proposals]
        right = [text for text in texts if re.search(WANTED[name], text, re.IGNORECASE)]
        counts["replies"] += teacher.draws
        counts["valid"] += len(texts)
        counts["right"] += len(right)
        counts["lost"] += len(found.failures) + len(found.dropped)
        counts["groups"] += 1
        counts["groups_right"] += bool(right)
    await close(line.backend)
    characters = len(prompts.render("contrast/group", **BARE))
    return {**counts, "characters": characters, "seconds": round(time.monotonic() - began, 1)}


def table(rows: Sequence[Mapping]) -> str:
    """Return the counts as Markdown."""
    lines = ["| model | prompts | characters | replies | lost | valid edits | right edits | groups with a right one |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for r in rows:
        low, high = wilson(r["groups_right"], r["groups"])
        share = f"{r['groups_right']} of {r['groups']} [{low:.2f}, {high:.2f}]"
        cells = (r["model"], r["prompts"], r["characters"], r["replies"], r["lost"], r["valid"], r["right"], share)
        lines.append(f"| {' | '.join(map(str, cells))} |")
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
    parser.add_argument("--json", action="store_true", help="the last line is one JSON object")
    options = parser.parse_args(arguments)
    if options.out is None:
        with tempfile.TemporaryDirectory() as folder:
            main([*(arguments or sys.argv[1:]), "--out", str(Path(folder) / "edits.jsonl")])
        return
    for name in [] if options.table else options.prompts:
        found = asyncio.run(
            measured(
                options.model, templates.load(name, options.folder), options.draws, options.context, options.threads
            )
        )
        said = name + (f", {options.folder.name}" if options.folder else "")
        with options.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"model": options.model, "prompts": said, **found}) + "\n")
    rows = [json.loads(row) for row in options.out.read_text(encoding="utf-8").splitlines()]
    print(json.dumps({"rows": rows}) if options.json else table(rows))


if __name__ == "__main__":
    main()
