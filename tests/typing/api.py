"""What users write against tfgrpo, checked by mypy and never run: a name or type that changes breaks here first."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import experience_db
import tfgrpo
from tfgrpo.backends import Backend, Scripted
from tfgrpo.environments import Agent, Environment, SingleTurn, Wrapped
from tfgrpo.executors import Executor, Local
from tfgrpo.gates import Gate
from tfgrpo.gates.factory import open_gate, paired_gate
from tfgrpo.graders import Choice, Exact, Grader, Numeric, from_function
from tfgrpo.graders.judge import Judge
from tfgrpo.graders.web_qa import WebQA
from tfgrpo.graders.weighted import Weighted
from tfgrpo.prompting.templates import Prompts
from tfgrpo.tools import Tool
from tfgrpo.tools.fetch_page import FetchPage
from tfgrpo.tools.mcp import McpTool
from tfgrpo.tools.net import Resolver, lookup
from tfgrpo.tools.providers import Provider
from tfgrpo.tools.providers.hosted import Brave, Serper, Tavily
from tfgrpo.tools.providers.own import Contract, Ddgs, SearXNG
from tfgrpo.tools.python import Python, PythonSession
from tfgrpo.tools.web_search import WebSearch
from tfgrpo.types import Reply, Request


async def agent(problem: tfgrpo.Problem, lessons: str) -> str:
    """Anybody's agent that answers with text."""
    return f"{problem.question} {lessons}"


async def careful_agent(problem: tfgrpo.Problem, lessons: str) -> str | tfgrpo.Rollout:
    """Anybody's agent that tells the whole story."""
    return tfgrpo.Rollout(problem.id, 0, answer=lessons, usage=tfgrpo.Usage(1, 2, usd=None))


def grade(problem: tfgrpo.Problem, rollout: tfgrpo.Rollout) -> float:
    """An own grader: a number."""
    return float(rollout.answer == problem.answer)


async def grade_with_words(problem: tfgrpo.Problem, rollout: tfgrpo.Rollout) -> tfgrpo.Score:
    """An own grader: a score with its reason."""
    return tfgrpo.Score(0.5, "half right") if problem.answer else tfgrpo.Score(None)


class GroupGrader:
    """A grader that sees the whole group."""

    async def __call__(self, problem: tfgrpo.Problem, rollouts: Sequence[tfgrpo.Rollout]) -> tuple[tfgrpo.Score, ...]:
        """Give everybody the same."""
        return tuple(tfgrpo.Score(1.0) for _ in rollouts)


class MyBackend:
    """A backend of one's own."""

    async def complete(self, request: Request) -> Reply:
        """Say what was asked."""
        return Reply(str(request.messages[-1].get("content")), usage=tfgrpo.Usage(1, 1))


agents: tuple[Agent, ...] = (agent, careful_agent)
graders: tuple[Grader, ...] = (Exact(), Numeric(), Choice(), GroupGrader(), from_function(grade))
model_graders: tuple[Grader, ...] = (Judge(), WebQA(), Weighted({"exact": Exact()}, {"exact": 1.0}))
more_graders: tuple[Grader, ...] = (from_function(grade_with_words), from_function(lambda problem, rollout: True))
backends: tuple[Backend, ...] = (MyBackend(), Scripted(["4"]), Scripted(lambda request: Reply("4")))
executor: Executor = Local()
gates: tuple[Gate, ...] = (paired_gate(seed=1, delta=0.1), open_gate())


def web_tools(search: WebSearch, fetch: FetchPage, foreign: McpTool) -> tuple[Tool, ...]:
    """The tools of the web and of MCP servers follow it too."""
    return search, fetch, foreign


def providers(
    serper: Serper, tavily: Tavily, brave: Brave, searxng: SearXNG, contract: Contract, ddgs: Ddgs
) -> tuple[Provider, ...]:
    """Each search provider follows the protocol."""
    return serper, tavily, brave, searxng, contract, ddgs


resolver: Resolver = lookup


def tools(fresh: Python, kept: PythonSession) -> tuple[Tool, ...]:
    """Each tool follows the protocol."""
    return fresh, kept


def environments(prompts: Prompts) -> tuple[Environment, ...]:
    """Both ways to run a rollout."""
    return SingleTurn(MyBackend(), "m", prompts), Wrapped(agent, "agent")


async def learn_step_by_step() -> None:
    """`learn` yields steps."""
    steps: AsyncIterator[tfgrpo.Step] = tfgrpo.learn(
        [tfgrpo.Problem("a", "2 + 2?", "4")], model="tiny", grader=grade, environment=agent, db=Path("x.db")
    )
    async for step in steps:
        groups: tuple[tfgrpo.Group, ...] = step.groups_P
        rewards: list[float] = [reward for group in groups for reward in group.rewards_G]
        decisions: list[str] = [verdict.decision for verdict in step.verdicts]
        failures: list[tfgrpo.Failure] = [r.failure for g in groups for r in g.rollouts_G if r.failure is not None]
        print(rewards, decisions, failures, step.version_before, step.version_after)


def learn_and_wait() -> tfgrpo.Library:
    """`learn_sync` returns when the run has ended."""
    result: tfgrpo.LearnResult = tfgrpo.learn_sync(
        "problems.jsonl", heldout=0.3, model="openai/NAME", base_url="http://127.0.0.1:8000/v1", grader="math",
        db="experience.db", library="web", epochs=3, group_size=5, budget_usd=2.0, rollout__temperature=0.7,
    )  # fmt: skip
    lessons: list[tfgrpo.Lesson] = list(result.library)
    print(lessons[0].id, lessons[0].text, result.summary["heldout"])
    return result.library


def measure() -> float:
    """`evaluate_sync` measures a library."""
    result: tfgrpo.EvalResult = tfgrpo.evaluate_sync(
        "test.jsonl", model="tiny", grader="exact", library="web@7", k=8, controls=("empty", "filler")
    )
    means: tuple[float, ...] = result.evaluation.means_P
    return sum(means)


def use() -> list[dict[str, object]]:
    """An app reads lessons without any model client."""
    library: tfgrpo.Library = tfgrpo.open_library("web", db="experience.db")
    evidence: tfgrpo.Evidence = tfgrpo.Evidence("gate", 0.1, 0.0, 0.2, n=30)
    with experience_db.Store.open("experience.db", readonly=True) as store:
        story: experience_db.Blame = store.blame("web", 1)
    print(evidence, story.shown, library.version, len(library))
    return library.inject([{"role": "user", "content": "hello"}])


def pure_parts() -> tuple[object, ...]:
    """Formulas are functions over numbers."""
    return (
        tfgrpo.advantages.grpo([1.0, 0.0, 1.0]),
        tfgrpo.advantages.dr_grpo([1.0, 0.0]),
        tfgrpo.stats.pass_at_k(8, 3, 2),
        tfgrpo.stats.paired_difference([0.0, 1.0], [1.0, 1.0]),
        tfgrpo.replies.parse_json('{"a": 1}'),
    )
