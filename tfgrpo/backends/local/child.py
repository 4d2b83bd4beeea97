"""The process that runs the weights: llama.cpp's server on a loopback port, for as long as somebody holds it.

Run by path, so that it starts without importing the package: the arguments are one JSON object. It writes one line to
stdout once it listens. Whoever uses the engine holds a shared lock on a file; the kernel gives the lock back however
its holder ends, and the child, which tries for the whole lock now and then, ends when it gets it. So an engine
survives whoever started it while others use it, and nobody else.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

LOOK = 0.5
"""Seconds between two looks for holders."""


def start_server(wanted: dict[str, Any]) -> str:
    """Start the server in this process and return where it listens."""
    # Threads that wait for work by spinning would take the cores from everything else.
    os.putenv("GOMP_SPINCOUNT", "0")
    os.putenv("OMP_WAIT_POLICY", "passive")
    import xllamacpp  # noqa: PLC0415 - after its threads were told how to wait

    params = xllamacpp.CommonParams()
    params.model.path = wanted["path"]
    params.model_alias = {wanted["name"]}
    params.hostnames = ["127.0.0.1"]
    params.port = wanted["port"]
    params.n_parallel = wanted["slots"]
    params.n_ctx = wanted["slots"] * wanted["context"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = wanted["threads"]
    params.cpuparams.poll = params.cpuparams_batch.poll = 0
    params.verbosity = 1
    params.ui = False
    params.offline = True
    # Kept for ever by the list below: the server ends with its object.
    _ALIVE.append(xllamacpp.Server(params))
    return str(_ALIVE[0].listening_address)


_ALIVE: list[Any] = []


def main(start: Callable[[dict[str, Any]], str] = start_server) -> None:
    """Serve with `start`, which returns where it listens, until nobody holds the engine any more."""
    wanted = json.loads(sys.argv[1])
    # Whatever a library prints goes to the log; who waits for the address gets nothing else.
    told = os.dup(1)
    os.dup2(2, 1)
    url = start(wanted)
    os.write(told, json.dumps({"url": url}).encode() + b"\n")
    os.close(told)
    with open(wanted["users"], "rb") as users:
        while True:
            time.sleep(LOOK)
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            # The server has threads of its own, which an orderly exit would wait for.
            os._exit(0)


if __name__ == "__main__":
    main()
