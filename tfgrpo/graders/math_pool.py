"""A few worker processes for math-verify, whose own time limits cannot be trusted."""

from __future__ import annotations

import os
import sys
from functools import cache
from typing import Any

from tfgrpo.errors import GraderError
from tfgrpo.system import workers
from tfgrpo.system.workers import Pool, WorkerLost


class Worker(workers.Worker):
    """One process that compares expressions, started when it is first asked; used by one thread at a time."""

    def __init__(self) -> None:
        super().__init__("tfgrpo.graders.math_worker")

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a request and return the reply.

        Raises:
            GraderError: no reply in `seconds`, or the worker died; it is gone either way.
        """
        try:
            return super().ask(request, seconds)
        except WorkerLost as error:
            hint = f"try: {sys.executable} -c 'import math_verify'"
            said = {
                "late": f"comparing this answer ran over {seconds:g} s",
                "died": "comparing this answer ended its worker",
            }.get(error.why, f"the process that compares mathematics did not start; {hint}")
            raise GraderError(said) from error.__cause__


def shared_pool() -> Pool:
    """The pool of this process, made when first needed; a forked child gets its own."""
    return _pool_of(os.getpid())


@cache
def _pool_of(pid: int) -> Pool:
    """One pool per process id."""
    return Pool(min(2, os.cpu_count() or 1), Worker, "math")
