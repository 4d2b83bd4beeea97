"""Teach an agent that is written with the OpenAI Agents SDK, without changing what it is.

Run: pip install "tfgrpo[agents]" && python examples/own_agent/with_openai_agents.py   (no key, no network)

The lessons end the agent's instructions, and each run of it comes back as a rollout: the conversation with its tool
calls, what the SDK counted, and whether a tool took part. Whole rollouts are journaled: an interrupted run does not run
a finished agent again. Here the agent asks the embedded model, served as an OpenAI endpoint on this machine; give
`agent_at` another address and another model, and it asks those.
"""

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, RunConfig, Runner, function_tool
from agents.models.chatcmpl_converter import Converter
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

import tfgrpo
from tfgrpo.backends.tiny.model import load
from tfgrpo.serve import build_app
from tfgrpo.system.http_server import serve_in_background
from tfgrpo.types import Message, Rollout, Usage

PROBLEMS = Path(__file__).parents[1] / "quickstart" / "problems.jsonl"
QUIET = RunConfig(tracing_disabled=True)
"""The SDK sends traces to its vendor otherwise."""


@function_tool
def add(a: int, b: int) -> int:
    """Add two whole numbers."""
    return a + b


def agent_at(base_url: str, model: str, key: str = "none") -> Callable[[tfgrpo.Problem, str], Awaitable[Rollout]]:
    """Return the agent as tfgrpo wants it: an async function of the problem and the lessons."""
    # One for all runs: to make it takes longer than a call on this machine. A client of its own ends with each run.
    tls = ssl.create_default_context()

    async def run(problem: tfgrpo.Problem, lessons: str) -> Rollout:
        async with AsyncOpenAI(
            base_url=base_url, api_key=key, http_client=DefaultAsyncHttpxClient(verify=tls)
        ) as client:
            agent = Agent(
                "solver",
                instructions=lessons or None,
                model=OpenAIChatCompletionsModel(model, client),
                tools=[add],
                model_settings=ModelSettings(temperature=1.0, max_tokens=120),
            )
            result = await Runner.run(agent, f"Problem: {problem.question}", run_config=QUIET, max_turns=6)
        used = result.context_wrapper.usage
        messages: list[Message] = [{"role": "system", "content": lessons}] if lessons else []
        messages += [Message(**message) for message in Converter.items_to_messages(result.to_input_list())]
        return Rollout(
            problem.id,
            0,  # tfgrpo knows which rollout it asked for
            tuple(messages),
            answer=str(result.final_output),
            finish_reason="stop",
            usage=Usage(used.input_tokens, used.output_tokens, usd=None),
            tainted=any(message["role"] == "tool" for message in messages),
        )

    return run


if __name__ == "__main__":
    with serve_in_background(lambda: build_app(load())) as url:
        learned = tfgrpo.learn_sync(
            PROBLEMS,
            model="tiny",
            grader="exact",
            environment=agent_at(f"{url}/v1", "tiny"),
            db="agents.db",
            library="agents",
            epochs=1,
            limit=24,
        )
    print(learned.summary["heldout"])
    for lesson in learned.library:
        print(f"[{lesson.id}] {lesson.text}")
