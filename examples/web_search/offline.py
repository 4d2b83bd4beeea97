r"""The offline web benchmark from end to end: serve a corpus, learn on questions, measure it.

    python examples/web_search/offline.py --corpus web_offline_corpus.jsonl --learn web_offline_learn.jsonl \
        --eval web_offline_eval_shared_half.jsonl

Without --model the agent is `policy.py`: a script, no language model. It really searches and reads over HTTP, and its
answers are graded as any agent's; what it shows is that loop, tools, journal, grader, gate and report work on real
data, not how good a model is. With --model NAME [--base-url URL] a real model does the same. The same command again
goes on where it stopped and pays nothing twice; --db names its file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

import tfgrpo
from experience_db import Store
from experience_db.errors import StoreError
from tfgrpo import api, corpus, datasets
from tfgrpo.environments.factory import make_tools
from tfgrpo.errors import TfgrpoError, UsageError
from tfgrpo.evaluation.measure import Evaluation
from tfgrpo.learning.setup import Setup
from tfgrpo.report import gather, to_html
from tfgrpo.rollout import Graded
from tfgrpo.stats import paired_difference
from tfgrpo.types import Problem

HERE = Path(__file__).parent
SCRIPT = "scripted/policy:play"
SCRIPTED = (
    "The agent and the writer of lessons are a script (policy.py), not a language model: rules that search, read and "
    "pick an answer. Search, pages, tool loop, journal, grader, gate and figures are real."
)
MEASURED = {"HotpotQA": 0.78, "2WikiMultihopQA": 0.50, "MuSiQue": 0.17}
"""Share of questions whose gold pages are all among the first ten of a plain BM25 search, as first measured."""
TOP = 10


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--corpus", type=Path, required=True, help="JSONL of pages: url, title, text")
    parser.add_argument("--learn", type=Path, required=True, help="JSONL of questions to learn from")
    parser.add_argument("--eval", type=Path, required=True, help="JSONL of questions to measure on")
    parser.add_argument("--model", default=SCRIPT, help="a real model, as for tfgrpo learn; default: the script")
    parser.add_argument("--base-url", action="append", help="endpoint of the model")
    parser.add_argument("--limit", type=int, help="learn from so many questions only")
    parser.add_argument("--eval-limit", type=int, help="measure on so many questions only, drawn evenly")
    parser.add_argument("--db", type=Path, default=Path("offline.db"), help="database, default offline.db")
    parser.add_argument("--port", type=int, default=0, help="port of the corpus; default: a free one")
    parser.add_argument("--config", type=Path, default=HERE / "offline.toml", help="configuration, as for tfgrpo learn")
    parser.add_argument("--set", action="append", default=[], metavar="A.B=VALUE", help="any configuration key")
    parser.add_argument("--report", type=Path, help="write the run's report page here")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args()


def main() -> int:
    """Run everything; 0, or 2 with one sentence for unusable input."""
    asked = arguments()
    try:
        found = run(asked)
    except KeyboardInterrupt:
        say("interrupted; the same command goes on from here")
        return 130
    except (TfgrpoError, StoreError, OSError) as error:
        say(f"error: {error}")
        return 2 if isinstance(error, UsageError | StoreError | OSError) else 1
    print(json.dumps(found, ensure_ascii=False) if asked.json else in_words(found))
    return 0


def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Serve, learn, measure; the figures."""
    began = time.monotonic()
    if asked.report and not asked.report.absolute().parent.is_dir():
        raise UsageError(f"--report: there is no folder {asked.report.absolute().parent}")
    learning, held = datasets.load(asked.learn), datasets.load(asked.eval)
    held = _some(held, asked.eval_limit)
    pages = corpus.load(asked.corpus)
    index = corpus.Index(pages)
    with ExitStack() as stack:
        url = stack.enter_context(corpus.serving(index, asked.port))
        say(f"{len(pages)} pages are served at {url}")
        plain = recall(url, index, held)
        how, tools = options(asked), tool_options(url, index.identity)
        say(f"learning: {len(learning)} questions, part of them held out for the gate")
        learned = asyncio.run(learn(api.setup(library="web", limit=asked.limit, **how), tools, learning))
        version = learned.library.version
        say(f"measuring on {len(held)} questions without lessons, then with web@{version}")
        measuring = {**how, "overrides": [*asked.set, ("tools", tools)]}
        without = tfgrpo.evaluate_sync(held, library="", **measuring).evaluation
        with_ = tfgrpo.evaluate_sync(held, library=f"web@{version}", **measuring).evaluation if version else without
    if asked.report:
        _report(asked.db, learned.summary["run"], asked.report)
    return {
        "agent": "scripted" if asked.model == SCRIPT else asked.model,
        "scripted": SCRIPTED if asked.model == SCRIPT else "",
        "corpus": {"pages": len(pages), "identity": index.identity},
        f"recall@{TOP}": plain,
        "learn": {**learned.summary, "lessons": [lesson.text for lesson in learned.library.lessons]},
        "without": figures(without),
        "with": figures(with_),
        "difference": differences(without, with_),
        "calls": {"learn": learned.summary["calls"], "without": _calls(without), "with": _calls(with_)},
        "seconds": round(time.monotonic() - began, 1),
    }


def options(asked: argparse.Namespace) -> dict[str, Any]:
    """The arguments that learning and measuring share."""
    return {
        "model": asked.model,
        "base_url": asked.base_url,
        "grader": "web_qa",
        "db": asked.db,
        "config": asked.config,
        "overrides": asked.set,
    }


def tool_options(url: str, identity: str) -> dict[str, Any]:
    """The options of the tools; the identity of the corpus stands for it at whatever port it is served."""
    return {
        "web_search": {"provider": f"{url}/search", "identity": identity, "count": TOP},
        "fetch_page": {"via": f"{url}/page", "identity": identity},
    }


async def learn(wanted: Setup, tools: dict[str, Any], problems: Sequence[Problem]) -> tfgrpo.LearnResult:
    """Learn with tools that are made here: as objects they leave the port out of the run's settings."""
    ended: list[tfgrpo.LearnResult] = []
    made = make_tools(tuple(tools), tools)
    async for step in api.execute(replace(wanted, tools=made), problems, on_end=ended.append):
        accepted = sum(len(verdict.edits) for verdict in step.verdicts if verdict.decision == "accepted")
        say(f"step {step.index}: version {step.version_before} -> {step.version_after}, {accepted} edits accepted")
    return ended[0]


def recall(url: str, index: corpus.Index, problems: Sequence[Problem]) -> dict[str, Any]:
    """How often a plain search with the question finds the gold pages, by source, beside what was measured before."""
    found: dict[str, list[float]] = {}
    absent = 0
    with httpx.Client(base_url=url) as web:
        for problem in problems:
            gold = set(problem.metadata.get("supporting_urls") or ())
            absent += sum(index.page(address) is None for address in gold)
            if gold:
                answer = web.get("/search", params={"q": problem.question, "k": TOP}).raise_for_status().json()
                top = {result["url"] for result in answer["results"]}
                found.setdefault(_source(problem), []).append(len(gold & top) / len(gold))
    table = {
        name: {
            "questions": len(shares),
            "all_pages": _share([share == 1 for share in shares]),
            "pages": _share(shares),
            "measured_before": MEASURED.get(name),
        }
        for name, shares in found.items()
    }
    return {"by_source": table, "gold_pages_not_in_corpus": absent}


def figures(evaluation: Evaluation) -> dict[str, Any]:
    """Exact match, F1 and gold pages read, over all and by source, and what failed."""
    names = [_source(problem) for problem in evaluation.problems]
    sources = {name: [i for i, other in enumerate(names) if other == name] for name in dict.fromkeys(names)}
    calls = [call for graded_K in evaluation.graded_P_K for g in graded_K for call in g.rollout.tool_calls]
    failed = Counter(str(call.failure.kind) for call in calls if call.failure)
    return {
        **_mean_of(evaluation, range(len(names))),
        "by_source": {name: _mean_of(evaluation, places) for name, places in sources.items()},
        "failures": {"rollouts": evaluation.failures, "tools": dict(failed)},
    }


def differences(without: Evaluation, with_: Evaluation) -> dict[str, Any]:
    """With minus without on the same questions and seeds."""
    found = {}
    for name in ("em", "f1"):
        gap = paired_difference(*([score(name, ks[0]) for ks in side.graded_P_K] for side in (without, with_)))
        found[name] = {
            "diff": round(gap.diff, 4),
            "ci": [round(gap.low, 4), round(gap.high, 4)],
            "n": gap.n,
            "p": gap.p,
        }
    return found


def score(name: str, graded: Graded) -> float:
    """One named score of a rollout; nan where it has none."""
    value = next((part.value for part in graded.score.parts if part.name == name), None)
    return math.nan if value is None else value


def gold_read(problem: Problem, graded: Graded) -> float:
    """Share of the gold pages that the rollout fetched; nan where the question names none."""
    gold = set(problem.metadata.get("supporting_urls") or ())
    calls = [call for call in graded.rollout.tool_calls if call.name == "fetch_page" and call.failure is None]
    read = {json.loads(call.arguments).get("url") for call in calls}
    return len(gold & read) / len(gold) if gold else math.nan


def _mean_of(evaluation: Evaluation, places: Sequence[int]) -> dict[str, Any]:
    rows = [(evaluation.problems[i], g) for i in places for g in evaluation.graded_P_K[i]]
    return {
        "questions": len(places),
        "em": _share([score("em", g) for _, g in rows]),
        "f1": _share([score("f1", g) for _, g in rows]),
        "gold_pages_read": _share([gold_read(problem, g) for problem, g in rows]),
    }


def _share(values: Sequence[float]) -> float | None:
    known = [float(value) for value in values if not math.isnan(value)]
    return round(statistics.fmean(known), 4) if known else None


def _calls(evaluation: Evaluation) -> dict[str, int]:
    """Replies of the model and calls of each tool."""
    graded = [g for graded_K in evaluation.graded_P_K for g in graded_K]
    tools = Counter(call.name for g in graded for call in g.rollout.tool_calls)
    return {"model": sum(_replies(g) for g in graded), **dict(tools)}


def _replies(graded: Graded) -> int:
    return sum(message.get("role") == "assistant" for message in graded.rollout.messages)


def _source(problem: Problem) -> str:
    return str(problem.metadata.get("dataset") or "all")


def _some(problems: tuple[Problem, ...], count: int | None) -> tuple[Problem, ...]:
    """At most `count` problems, spread evenly over the file."""
    if count is None or count >= len(problems):
        return problems
    if count < 1:
        raise UsageError(f"--eval-limit is {count}; give at least 1")
    return tuple(problems[i * len(problems) // count] for i in range(count))


def _report(db: Path, run_id: str, file: Path) -> None:
    with Store.open(db, readonly=True) as store:
        file.write_text(to_html(gather(store, run_id)), encoding="utf-8")


def in_words(found: dict[str, Any]) -> str:
    """The figures for a reader."""
    lines = [found["scripted"], ""] if found["scripted"] else []
    lines.append(f"Plain search, gold pages among the first {TOP} (all of them; measured before in brackets):")
    for name, row in found[f"recall@{TOP}"]["by_source"].items():
        before = "" if row["measured_before"] is None else f"  ({row['measured_before']:.0%})"
        lines.append(f"  {name:18} {row['all_pages']:6.1%}{before}  n={row['questions']}")
    told = found["learn"]
    lines += ["", f"Learned: {told['edits']}, groups {told['groups']}, version {told['version']}"]
    lines += [f"  - {lesson}" for lesson in told["lessons"]] or ["  (no lesson passed the gate)"]
    lines += ["", f"{'':24}{'EM':>8}{'F1':>8}{'gold read':>11}"]
    for side in ("without", "with"):
        lines.append(_row(f"{side} library", found[side]))
        lines += [_row(f"  {name}", row) for name, row in found[side]["by_source"].items()]
    for name, gap in found["difference"].items():
        low, high = gap["ci"]
        lines.append(
            f"{name.upper()} difference {gap['diff']:+.3f}, 95% interval {low:+.3f} to {high:+.3f}, n={gap['n']}"
        )
    lines += [f"calls, {name}: {calls}" for name, calls in found["calls"].items()]
    lines.append(f"{found['seconds']} s")
    return "\n".join(lines)


def _row(name: str, row: dict[str, Any]) -> str:
    values = (row["em"], row["f1"], row["gold_pages_read"])
    shown = ["-" if value is None else f"{value:.1%}" for value in values]
    return f"{name:24}{shown[0]:>8}{shown[1]:>8}{shown[2]:>11}"


def say(text: str) -> None:
    """Progress, on stderr."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
