"""Learn inside your own program: every step is a value you can look at while it happens.

Run: python examples/learn_in_python.py   (no key, no network; about half a minute)
"""

import asyncio
from pathlib import Path

import tfgrpo

PROBLEMS = Path(__file__).parent / "quickstart" / "problems.jsonl"


async def main() -> None:
    """Print each step as it is committed."""
    steps = tfgrpo.learn(PROBLEMS, model="tiny", grader="exact", db="python.db", library="python", epochs=1)
    async for step in steps:
        accepted = [edit for v in step.verdicts if v.decision == "accepted" for edit in v.edits]
        print(f"step {step.index}: version {step.version_before} -> {step.version_after}")
        for edit in accepted:
            print(f"  {edit.op.value} {edit.text}")


if __name__ == "__main__":
    asyncio.run(main())
