"""Foreign and heavy code on Ray: graders, agents and sandboxed tools run on worker actors of a cluster (extra `ray`).

The driver alone makes model calls, keeps the journal and writes SQLite: one set of books, one limiter, one set of
budgets, whatever the number of nodes. A worker has a bounded queue, so that slow work never fills the object store. A
worker that dies costs what it had under way, each sent once more elsewhere; a second death raises `WorkerLost`, which
becomes a recorded failure. Results are what the local executor would have got, so the library is the same to the byte.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tfgrpo.config.engine import RayConfig
from tfgrpo.errors import UsageError

STARTING_SECONDS = 120.0
"""How long to wait for the first worker."""
GROWING_SECONDS = 5.0
"""How often to look for nodes that joined, while all workers are busy."""


class WorkerLost(RuntimeError):
    """The worker that ran something died, and so did the one that got it next."""


class Worker:
    """What runs in an actor: objects that the driver sent, and calls of them."""

    def __init__(self) -> None:
        self._objects: dict[str, Any] = {}

    async def ready(self) -> str:
        """Return where this worker is."""
        import ray  # noqa: PLC0415

        return str(ray.get_runtime_context().get_node_id())

    async def put(self, name: str, packed: bytes) -> None:
        """Unpack an object; what it is made of must be importable here."""
        if name not in self._objects:
            self._objects[name] = _ray().cloudpickle.loads(packed)

    async def call(self, name: str, method: str, args: tuple[Any, ...]) -> tuple[bool, Any]:
        """Return (True, result) of a method, or (False, what it raised, if that can travel, else its words)."""
        try:
            found = self._objects[name]
            returned = (getattr(found, method) if method else found)(*args)
            return True, await returned if isinstance(returned, Awaitable) else returned
        except (Exception, SystemExit) as raised:  # noqa: BLE001 - goes back to the driver as a value
            try:
                packing = _ray().cloudpickle
                packing.loads(packing.dumps(raised))
            except Exception:  # noqa: BLE001 - any exception may refuse to be packed
                return False, RuntimeError(f"{type(raised).__name__}: {raised}")
            return False, raised


@dataclass(slots=True, eq=False)
class _Hand:
    """An actor as the driver sees it."""

    actor: Any
    node: str = ""
    """Where it is."""
    held: int = 0
    """Calls that it has and has not answered."""
    knows: set[str] = field(default_factory=set)


class RayPool:
    """Worker actors; use `open` and `aclose`."""

    def __init__(self, options: RayConfig) -> None:
        """Nothing is started yet. Raises UsageError where Ray is not installed."""
        _ray()
        self.options = options
        self.resent = 0
        """Calls that were sent again because their worker died."""
        self.most_held = 0
        """Most calls that the workers held together at any time."""
        self._packed: dict[str, bytes] = {}
        self._hands: list[_Hand] = []
        self._starting: set[asyncio.Task[None]] = set()
        self._room = asyncio.Condition()
        self._sticky: dict[str, _Hand] = {}
        self._lost: set[str] = set()
        self._opening = asyncio.Lock()
        self._opened = False
        self._looked = 0.0
        self._owns = False

    def add(self, name: str, thing: Any, hint: str) -> None:
        """Make an object known to the workers under a name.

        Raises:
            UsageError: it cannot be packed; `hint` says what to give instead.
        """
        try:
            self._packed[name] = _ray().cloudpickle.dumps(thing)
        except Exception as error:
            raise UsageError(f"{name} cannot be sent to Ray's workers: {error}; {hint}") from error

    async def open(self) -> None:
        """Connect or start, and wait for the first worker; what calls of an open pool do first, at no cost.

        Raises:
            UsageError: no cluster is there, or no worker starts.
        """
        if self._opened:
            return
        async with self._opening:
            if not self._opened:
                await self._open()
                self._opened = True

    async def _open(self) -> None:
        ray = _ray()
        if not ray.is_initialized():
            await asyncio.to_thread(_connect, ray, self.options)
            self._owns = True
        self._grow()
        try:
            async with asyncio.timeout(STARTING_SECONDS), self._room:
                await self._room.wait_for(lambda: bool(self._hands))
        except TimeoutError:
            await self.aclose()
            raise UsageError(f"no Ray worker started within {STARTING_SECONDS:g} s; look at `ray status`") from None

    async def aclose(self) -> None:
        """End the workers, and the connection where it is ours; a cluster that was there stays."""
        if not self._opened:
            return
        self._opened = False
        for task in self._starting:
            task.cancel()
        ray = _ray()
        for hand in self._hands:
            with suppress(Exception):
                ray.kill(hand.actor)
        self._hands.clear()
        if self._owns:
            await asyncio.to_thread(ray.shutdown)
            self._owns = False

    async def call(self, name: str, method: str, *args: Any, sticky: str = "") -> Any:
        """Run a method of a known object on a worker; `sticky` keeps calls of one session on one worker while it lives.

        Raises:
            WorkerLost: two workers died over it, or none is left.
            UsageError: the object cannot be unpacked on the worker.
        """
        await self.open()
        node = ""
        for attempt in range(2):
            if sticky in self._lost:
                raise WorkerLost(f"the Ray worker that held the session of {name} died, and its state with it")
            hand = await self._taken(sticky, node)
            try:
                return await self._asked(hand, name, method, args)
            except _gone():
                await self._dropped(hand)
                # Its node may be going, and its neighbours with it.
                node = hand.node
                self.resent += attempt == 0
            finally:
                async with self._room:
                    hand.held -= 1
                    self._room.notify_all()
        raise WorkerLost(f"two of Ray's workers died while they ran {name}; it is not sent a third time")

    async def _asked(self, hand: _Hand, name: str, method: str, args: tuple[Any, ...]) -> Any:
        ray = _ray()
        if name not in hand.knows:
            try:
                await hand.actor.put.remote(name, self._packed[name])
            except ray.exceptions.RayTaskError as error:
                words = f"{name} cannot be used on a Ray worker: {error.cause}; make its module importable there"
                raise UsageError(f"{words} (engine.ray.runtime_env = {{working_dir = '.'}})") from error
            hand.knows.add(name)
        fine, returned = await hand.actor.call.remote(name, method, args)
        if not fine:
            raise returned
        return returned

    async def _taken(self, sticky: str, avoided: str = "") -> _Hand:
        """Wait for a worker with room: the session's own, else the one with the fewest calls, best on another node."""

        def free() -> _Hand | None:
            own = self._sticky.get(sticky)
            if own is not None and own in self._hands:
                return own if own.held < self.options.queue else None
            elsewhere = [hand for hand in self._hands if hand.node != avoided]
            best = min(elsewhere or self._hands, key=lambda hand: hand.held, default=None)
            return best if best is not None and best.held < self.options.queue else None

        async with self._room:
            while (hand := free()) is None:
                self._grow()
                if not self._hands and not self._starting:
                    raise WorkerLost("no Ray worker is left, and none can be started")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._room.wait(), GROWING_SECONDS)
            hand.held += 1
            self.most_held = max(self.most_held, sum(one.held for one in self._hands))
            if sticky:
                self._sticky[sticky] = hand
            return hand

    async def _dropped(self, hand: _Hand) -> None:
        async with self._room:
            if hand in self._hands:
                self._hands.remove(hand)
            orphans = {session for session, holder in self._sticky.items() if holder is hand}
            self._lost |= orphans
        self._grow(at_once=True)

    def _grow(self, *, at_once: bool = False) -> None:
        """Start workers up to what is wanted; they join when they are up."""
        now = asyncio.get_running_loop().time()
        if not at_once and now - self._looked < GROWING_SECONDS and self._hands:
            return
        self._looked = now
        wanted = self.options.workers or max(1, int(_ray().cluster_resources().get("CPU", 1)))
        for _ in range(wanted - len(self._hands) - len(self._starting)):
            task = asyncio.get_running_loop().create_task(self._started())
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _started(self) -> None:
        ray = _ray()
        kind = ray.remote(num_cpus=1, max_restarts=0, max_concurrency=self.options.queue)(Worker)
        actor = kind.options(scheduling_strategy="SPREAD", runtime_env=_environment(self.options)).remote()
        try:
            node = await actor.ready.remote()
        except _gone():
            return
        async with self._room:
            self._hands.append(_Hand(actor, node))
            self._room.notify_all()


def _ray() -> Any:
    try:
        import ray  # noqa: PLC0415
    except ImportError as error:
        raise UsageError("--executor ray needs the extra `ray`: pip install 'tfgrpo[ray]'") from error
    return ray


def _gone() -> tuple[type[BaseException], ...]:
    errors = _ray().exceptions
    return (errors.RayActorError, errors.NodeDiedError, errors.ObjectLostError, errors.WorkerCrashedError)


def _connect(ray: Any, options: RayConfig) -> None:
    from ray._private.usage import usage_lib  # noqa: PLC0415

    # Nothing about this machine is sent anywhere.
    usage_lib.set_usage_stats_enabled_via_env_var(False)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    try:
        if options.address:
            ray.init(address=options.address, namespace="tfgrpo", **quiet)
        else:
            ray.init(address="local", include_dashboard=False, namespace="tfgrpo", **quiet)
    except (ConnectionError, OSError, ValueError, RuntimeError) as error:
        where = options.address or "this machine"
        raise UsageError(f"no Ray cluster at {where}: {error}; start one, or give --executor ray:ADDRESS") from error


def _environment(options: RayConfig) -> dict[str, Any]:
    """The runtime environment of a worker: the user's, else this process's path, for nodes that share its files."""
    if options.runtime_env:
        return dict(options.runtime_env)
    path = [entry or os.getcwd() for entry in sys.path]
    return {"env_vars": {"PYTHONPATH": os.pathsep.join(dict.fromkeys(path))}}
