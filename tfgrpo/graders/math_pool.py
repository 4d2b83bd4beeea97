"""A few worker processes for math-verify, whose own time limits cannot be trusted."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Any

from tfgrpo.errors import GraderError
from tfgrpo.system import workers
from tfgrpo.system.workers import Pool, WorkerLost

PATIENCE = 6.0
"""How many times the limit of CPU time may pass on the clock before a machine counts as too busy."""


class TooHard(GraderError):
    """A comparison used up its time or ended its worker: the fault of one of the two texts."""


class Worker(workers.Worker):
    """One process that compares expressions, started when it is first asked; used by one thread at a time."""

    def __init__(self) -> None:
        super().__init__("tfgrpo.graders.math_worker")

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a request and return the reply. `seconds` are of CPU time.

        Raises:
            TooHard: the comparison used up its seconds or its memory; the worker is gone.
            GraderError: the machine gave it no time, or it did not start; it is gone either way.
        """
        try:
            return super().ask({**request, "cpu_seconds": seconds}, PATIENCE * seconds + 10)
        except WorkerLost as error:
            if error.why == "died":
                raise TooHard(f"comparing it ran over {seconds:g} s of computing or its memory") from error
            hint = f"try: {sys.executable} -c 'import math_verify'"
            said = {
                "late": f"comparing this answer got no {seconds:g} s of computing in {PATIENCE * seconds + 10:g} s",
            }.get(error.why, f"the process that compares mathematics did not start; {hint}")
            raise GraderError(said) from error.__cause__


def shared_pool() -> Pool:
    """The pool of this process, made when first needed; a forked child gets its own."""
    return _pool_of(os.getpid())


@cache
def _pool_of(pid: int) -> Pool:
    """One pool per process id."""
    return Pool(min(2, os.cpu_count() or 1), Worker, "math")
