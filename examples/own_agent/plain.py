"""Wrap an agent you already have: an async function that gets the problem and the lessons as text.

Run: python examples/own_agent/plain.py   (no key, no network)

The agent here talks to the embedded model by itself, as yours would talk to whatever it uses. tfgrpo only sees what it
answers: it grades the answers, contrasts the groups, and hands the lessons to the next attempt.
"""

from pathlib import Path

import tfgrpo
from tfgrpo.backends.tiny.backend import Tiny
from tfgrpo.types import Request, Sampling

PROBLEMS = Path(__file__).parents[1] / "quickstart" / "problems.jsonl"
MODEL = Tiny()
CALLS = iter(range(10**9))


async def my_agent(problem: tfgrpo.Problem, lessons: str) -> str:
    """Answer one problem; `lessons` is the text to put into the system prompt, '' while there are none."""
    user = {"role": "user", "content": f"Problem: {problem.question}"}
    messages = ({"role": "system", "content": lessons}, user) if lessons else (user,)
    sampling = Sampling(temperature=1.0, seed=next(CALLS))
    reply = await MODEL.complete(Request("agent", "tiny", messages, sampling))
    return reply.text


if __name__ == "__main__":
    result = tfgrpo.learn_sync(
        PROBLEMS, model="tiny", grader="exact", environment=my_agent, db="agent.db", library="agent", epochs=1
    )
    print(result.summary["heldout"])
    for lesson in result.library:
        print(f"[{lesson.id}] {lesson.text}")
