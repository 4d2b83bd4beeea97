"""Worker processes with a hard deadline: one that is late is killed, reaped and replaced at the next request.

For work on hostile input that no signal and no thread can stop: comparing expressions, reading pages. A worker is a
module with a `main` that writes one JSON line when it is ready, then answers each JSON line with one.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

_START_SECONDS = 120.0
"""Importing heavy libraries takes two seconds, on a busy machine many more."""
_COMMAND = (
    "import sys, json, importlib; sys.path[:] = json.loads(sys.argv[1]); importlib.import_module(sys.argv[2]).main()"
)


class WorkerLost(RuntimeError):
    """A worker was late and killed, has died, or did not start; `why` is `late`, `died` or `not started`."""

    def __init__(self, why: str) -> None:
        super().__init__(f"worker {why}")
        self.why = why


class Worker:
    """One worker process, started when it is first asked; used by one thread at a time."""

    def __init__(self, module: str) -> None:
        self.module = module
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""

    @property
    def pid(self) -> int | None:
        """The id of the running process, if there is one."""
        return self._process.pid if self._process else None

    def ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send a request and return the reply.

        Raises:
            WorkerLost: no reply in `seconds`, or the worker died; it is gone either way.
        """
        if self._process is not None and self._process.poll() is not None:
            self.close()
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps({**request, "seconds": seconds}).encode() + b"\n")
            process.stdin.flush()
            return self._read(process, seconds)
        except (OSError, TimeoutError) as error:
            self.close()
            raise WorkerLost("late" if isinstance(error, TimeoutError) else "died") from error

    def _start(self) -> subprocess.Popen[bytes]:
        """Start the process and wait until it has loaded its libraries."""
        command = [sys.executable, "-c", _COMMAND, json.dumps(sys.path), self.module]
        # A session of its own: Ctrl-C in the terminal is for the parent.
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._process, self._unread = process, b""
        try:
            self._read(process, _START_SECONDS)
        except (OSError, TimeoutError) as error:
            self.close()
            raise WorkerLost("not started") from error
        return process

    def _read(self, process: subprocess.Popen[bytes], seconds: float) -> dict[str, Any]:
        """The next line of the worker.

        Raises:
            TimeoutError: nothing in time.
            ConnectionResetError: the worker has ended.
        """
        assert process.stdout is not None
        deadline = time.monotonic() + seconds
        pieces = [self._unread]
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while b"\n" not in pieces[-1]:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError
                chunk = os.read(process.stdout.fileno(), 1 << 16)
                if not chunk:
                    raise ConnectionResetError
                pieces.append(chunk)
        line, _, self._unread = b"".join(pieces).partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def close(self) -> None:
        """Kill the process, if there is one, and reap it."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                _close_quietly(pipe)
        process.wait()


class Pool:
    """As many workers as threads; each thread keeps its own worker."""

    def __init__(self, size: int, make: Callable[[], Worker], name: str) -> None:
        self._threads = ThreadPoolExecutor(size, thread_name_prefix=f"tfgrpo-{name}")
        self._own = threading.local()
        self._make = make
        self.workers: list[Worker] = []
        atexit.register(self.close)

    def submit(self, request: dict[str, Any], seconds: float) -> Future[dict[str, Any]]:
        """Queue a request; its time starts when a worker takes it."""
        return self._threads.submit(self._ask, request, seconds)

    def _ask(self, request: dict[str, Any], seconds: float) -> dict[str, Any]:
        """In a thread of the pool: ask the thread's worker."""
        if not hasattr(self._own, "worker"):
            self._own.worker = self._make()
            self.workers.append(self._own.worker)
        worker: Worker = self._own.worker
        return worker.ask(request, seconds)

    def close(self) -> None:
        """End all workers and threads; waiting requests are cancelled."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self.workers:
            worker.close()


def _close_quietly(pipe: Any) -> None:
    """Close a pipe whose other end is gone; bytes that were not sent are lost."""
    try:
        pipe.close()
    except OSError:
        return
