"""An agent that read pages: right every second time, and its rollouts say that strangers had a part in them."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import tfgrpo


def browsing(page: str = "a page", *, taint: bool = True) -> Any:
    """Return an agent whose rollouts hold `page` as what a tool answered."""
    asked: dict[str, int] = defaultdict(int)

    async def agent(problem: tfgrpo.Problem, lessons: str) -> tfgrpo.Rollout:
        asked[problem.id] += 1
        answer = f"Answer: {problem.answer if asked[problem.id] % 2 else 1}"
        messages = (
            {"role": "user", "content": problem.question},
            {"role": "assistant", "content": None, "tool_calls": [_call()]},
            {"role": "tool", "tool_call_id": "c", "content": page},
            {"role": "assistant", "content": answer},
        )
        return tfgrpo.Rollout("", 0, messages, answer, tainted=taint)  # type: ignore[arg-type]

    return agent


def _call() -> dict[str, Any]:
    return {"id": "c", "type": "function", "function": {"name": "fetch_page", "arguments": "{}"}}
