"""What Ray costs and brings for graders that compute: math and program, here and on two nodes, in one run.

    python tests/benchmarks/ray_grading.py [--rollouts 400] [--kinds math,program] [--json]

Two nodes of one CPU each on this machine (`ray.cluster_utils.Cluster`): with two cores a gain over the local executor
is bounded by what it leaves idle, and the milliseconds that a rollout costs more are the figure to look at. The object
store is sampled while rollouts of `--kilobytes` each go through: what it holds is bounded by the queues of the workers,
not by how many rollouts wait.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tfgrpo.config.engine import EngineConfig, RayConfig
from tfgrpo.executors import Local
from tfgrpo.executors.factory import Placement, placement
from tfgrpo.graders.factory import grader_for
from tfgrpo.types import Problem, Rollout

TESTS = "assert double({0}) == {1}\nassert double(0) == 0\n"


def work(kind: str, count: int, kilobytes: int) -> list[tuple[Problem, Rollout]]:
    """Return problems with rollouts, half of which are right."""
    pairs = []
    for i in range(count):
        more = "x" * (kilobytes * 1024)
        if kind == "math":
            answer, said = f"\\frac{{{i}}}{{{i + 7}}}", f"\\boxed{{\\dfrac{{{2 * i}}}{{{2 * i + 14 + i % 2}}}}}"
            problem = Problem(f"p{i}", "?", answer)
        else:
            body = "2 * x" if i % 2 else "x + 1"
            said = f"```python\ndef double(x):\n    return {body}\n```"
            problem = Problem(f"p{i}", "Write double(x).", metadata={"tests": TESTS.format(i, 2 * i)})
        pairs.append((problem, Rollout(problem.id, 0, ({"role": "user", "content": more},), said, "stop")))
    return pairs


async def graded(placed: Placement, kind: str, pairs: list[tuple[Problem, Rollout]]) -> dict[str, Any]:
    """Grade all; returns rollouts per second, the wall milliseconds of each, and what they got."""
    grader = placed.grader(grader_for(kind)[0])
    await Local().run([lambda p=p, r=r: grader(p, r) for p, r in pairs[:4]], limit=4)  # type: ignore[misc]
    held: list[float] = []
    looking = asyncio.create_task(look(held)) if placed.pool else None
    began = time.perf_counter()
    scores = await Local().run([lambda p=p, r=r: grader(p, r) for p, r in pairs], limit=64)  # type: ignore[misc]
    seconds = time.perf_counter() - began
    if looking is not None:
        looking.cancel()
    right = sum(getattr(score, "value", score) == 1 for score in scores)
    found = {"per_s": len(pairs) / seconds, "ms_each": seconds / len(pairs) * 1e3, "right": right}
    if placed.pool is not None:
        found |= {"most_held": placed.pool.most_held, "object_store_mb": max(held, default=0.0)}
    return found


async def look(held: list[float]) -> None:
    """Note how much of the object store is in use, in MB."""
    import ray

    while True:
        total = ray.cluster_resources().get("object_store_memory", 0.0)
        held.append((total - ray.available_resources().get("object_store_memory", total)) / 1e6)
        await asyncio.sleep(0.2)


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rollouts", type=int, default=400)
    asked.add_argument("--kilobytes", type=int, default=64, help="of each rollout's conversation")
    asked.add_argument("--kinds", default="math,program")
    asked.add_argument("--json", action="store_true", help="print one JSON object")
    told = asked.parse_args()
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, namespace="tfgrpo", log_to_driver=False)
    env = {"env_vars": {"PYTHONPATH": os.pathsep.join([str(Path.cwd()), *filter(None, sys.path)])}}

    async def both(kind: str) -> dict[str, Any]:
        pairs = work(kind, told.rollouts, told.kilobytes)
        found = {}
        for name, config in (("local", EngineConfig()),
                             ("ray", EngineConfig(executor="ray", ray=RayConfig(runtime_env=env)))):  # fmt: skip
            placed = placement(config)
            found[name] = await graded(placed, kind, pairs)
            if placed.pool is not None:
                await placed.pool.aclose()
        found["ray_to_local"] = {"per_s": found["ray"]["per_s"] / found["local"]["per_s"]}
        return found

    try:
        table = {kind: asyncio.run(both(kind)) for kind in told.kinds.split(",")}
    finally:
        ray.shutdown()
        cluster.shutdown()
    if told.json:
        print(json.dumps(table))
        return
    for kind, rows in table.items():
        for name, row in rows.items():
            print(f"{kind:8} {name:14} " + ", ".join(f"{key} {value:.4g}" for key, value in row.items()))


if __name__ == "__main__":
    sys.exit(main())
