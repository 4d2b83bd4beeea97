"""Hard budgets over all roles: a call goes out only if it fits, so a budget of N calls never sends call N+1.

Calls are exact. Tokens and money are reserved before a call at the most it can use (`max_tokens`) and settled
afterwards. Where no `max_tokens` is set, the first call of a role goes alone and says how long its replies are; then
twice as many may be under way as have ended, each with twice the longest reply so far in reserve. So a budget is passed
by one call's worth at most. When a call does not fit beside those under way it waits for them; when it does not fit at
all, the budget is reached. Replayed calls never come here, so they are free.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tfgrpo.backends.adaptive_rate import Pace
from tfgrpo.backends.base import Backend, close
from tfgrpo.backends.n_choices import ChoicesReply, ChoicesRequest
from tfgrpo.backends.pricing import Price
from tfgrpo.errors import BudgetReached, ProviderError, UsageError
from tfgrpo.types import Reply, Request, Usage

CHARACTERS_PER_TOKEN = 3.0
"""On the safe side: English has about 4."""
FIRST_GUESS = 1024
"""Completion tokens that a limit per minute expects while nothing is known."""
RECORDED = 0.1
"""Seconds within which an answer that came is in the journal."""
FailureRecorder = Callable[[Request, Usage, int, str], None]
"""Told of a request that brought no reply: what it used all the same, the calls it stood for, and why."""

REPEATED = "it failed when this step was made, and the step stands; a new --run tries it again"


@dataclass(frozen=True, slots=True)
class Budget:
    """What a run may use; None sets no limit."""

    calls: int | None = None
    """Calls that reach an endpoint, retries included; a request for n choices stands for n calls."""
    tokens: int | None = None
    """Prompt and completion tokens together."""
    usd: float | None = None
    seconds: float | None = None
    """No call starts later than this after the first; those under way may end."""
    stop_file: str = ""
    """No call starts once this file is there; empty looks for none."""


class Ledger:
    """What all roles together have used of a budget. Give it what earlier commands used to go on from there."""

    def __init__(
        self,
        budget: Budget = Budget(),
        *,
        calls: int = 0,
        tokens: int = 0,
        usd: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budget = budget
        self.calls = calls
        self.tokens = tokens
        self.usd = usd
        self.stopped = ""
        """Why nothing is admitted any more, whatever the budget; empty while it is."""
        self.closed = False
        """Whether the journal alone answers: a stored step is being repeated, and what failed in it stays failed."""
        self._clock = clock
        self._began: float | None = None
        self.on_failure: FailureRecorder | None = None
        """Keeps the books of what brought no reply: tried in vain, filtered, cut off."""
        self._under_way: set[_Entry] = set()
        self._open: dict[str, int] = {}
        self._may_use = _Sum()
        self._longest: dict[str, int] = {}
        self._ended: dict[str, int] = {}
        self._settled = asyncio.Condition()
        self._stopping = asyncio.Event()
        self._drained: Callable[[], None] | None = None

    @property
    def roles_under_way(self) -> set[str]:
        """Roles of the calls that are under way."""
        return {entry.role for entry in self._under_way}

    def used(self) -> list[tuple[str, float, float]]:
        """Return name, use and limit of each part of the budget that has a limit."""
        budget = self.budget
        seconds = 0.0 if self._began is None else self._clock() - self._began
        table = (
            ("calls", self.calls, budget.calls),
            ("tokens", self.tokens, budget.tokens),
            ("USD", self.usd, budget.usd),
            ("seconds", seconds, budget.seconds),
        )
        return [(name, value, limit) for name, value, limit in table if limit is not None]

    def stop(self, reason: str) -> None:
        """Admit nothing from now on; calls under way may end, and those that wait for another try give up."""
        self.stopped = reason
        self._stopping.set()

    def drain(self, then: Callable[[], None]) -> None:
        """Let nothing new begin, not even with an error, and call `then` when what is under way has been recorded."""
        self._drained = then
        self._tell_when_drained()

    def _tell_when_drained(self) -> None:
        if self._drained and not self._under_way:
            asyncio.get_running_loop().call_later(RECORDED, self._drained)

    async def sleep(self, seconds: float) -> None:
        """Wait before a call, in vain when none will be admitted afterwards.

        Raises:
            BudgetReached: somebody said stop, or the time that is left ends before the wait.
        """
        if self.budget.seconds is not None and self._began is not None:
            _check("seconds", self.budget.seconds, self._clock() - self._began, 0.0, seconds)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        if self.stopped:
            raise BudgetReached(self.stopped)

    @asynccontextmanager
    async def admitted(self, request: Request, price: Price | None) -> AsyncIterator[_Entry]:
        """Reserve what `request` may use and settle what it did use.

        Raises:
            BudgetReached: it does not fit any more.
            ProviderError: the ledger is closed.
            UsageError: there is a budget for money, but no price.
        """
        if self.closed:
            raise ProviderError(REPEATED)
        if self.budget.usd is not None and price is None:
            raise UsageError(f"a budget in USD needs a price, and that of {request.model} is unknown; set a price")
        calls = request.n if isinstance(request, ChoicesRequest) else 1
        limited = bool(request.sampling.max_tokens)
        entry = _Entry(self.estimate(request), price, calls, role=request.role, limited=limited)
        async with self._settled:
            await self._settled.wait_for(lambda: self._fits(self._foreseen(entry)))
            self._begin(entry)
        try:
            yield entry
        finally:
            self._settle(entry)
            async with self._settled:
                self._settled.notify_all()

    def recall(self, role: str, answered: int, longest: int) -> None:
        """Begin with what earlier commands learned of a role's replies: how many came, and how long the longest was."""
        self._ended[role], self._longest[role] = answered, longest

    def _foreseen(self, entry: _Entry) -> _Entry:
        """Bring a reservation up to what is known of its role by now: it may have waited for others to tell."""
        if not entry.limited:
            longest = self._longest.get(entry.role, 0) * entry.calls
            entry.usage, entry.margin = replace(entry.usage, completion_tokens=longest), longest
        return entry

    def estimate(self, request: Request) -> Usage:
        """Return the most that `request` is expected to use, as far as its role is known."""
        words = json.dumps([request.messages, request.tools], ensure_ascii=False)
        completion = request.sampling.max_tokens or self._longest.get(request.role, 0)
        choices = request.n if isinstance(request, ChoicesRequest) else 1
        return Usage(int(len(words) / CHARACTERS_PER_TOKEN), completion * choices)

    def record_failure(self, request: Request, entry: _Entry, why: str) -> None:
        """Put a request that brought no reply into the books."""
        if self.on_failure is not None:
            usage = entry.usage
            if not entry.answered:
                usage = replace(usage, estimated_tokens=entry.tokens)
            usd = entry.usd if entry.price or usage.usd is not None else None
            self.on_failure(request, replace(usage, usd=usd), entry.calls, why)

    def lose_choices(self, request: Request, reply: Reply) -> None:
        """Put the choices of a request that brought no reply into the books; the others carry its whole usage."""
        if self.on_failure is not None and isinstance(request, ChoicesRequest) and isinstance(reply, ChoicesReply):
            came = sum(isinstance(one, Reply) for one in reply.choices)
            if came < request.n:
                self.on_failure(request, Usage(), request.n - came, "choice")

    def _fits(self, entry: _Entry) -> bool:
        """Whether `entry` fits beside the calls under way; raise if it does not even fit without them."""
        if self._drained:
            return False
        if self.stopped:
            raise BudgetReached(self.stopped)
        if self.budget.stop_file and Path(self.budget.stop_file).exists():
            raise BudgetReached(f"{self.budget.stop_file} is there; the same command goes on once it is gone")
        self._began = self._clock() if self._began is None else self._began
        budget, others = self.budget, self._under_way
        _check("seconds", budget.seconds, self._clock() - self._began, 0.0, 1e-9)
        _check("calls", budget.calls, self.calls, 0, entry.calls)
        # Beside others each is taken with its margin; alone a call may pass the budget by what is its own.
        more = self._may_use.tokens + (entry.margin if others else 0)
        dear = self._may_use.usd + (entry.dearest - entry.usd if others else 0.0)
        tokens = _check("tokens", budget.tokens, self.tokens, more, entry.tokens)
        money = _check("USD", budget.usd, self.usd, dear, entry.usd)
        return tokens and money and self._known_enough(entry)

    def _known_enough(self, entry: _Entry) -> bool:
        """Whether as many calls of a role without a limit may be under way, by how many have told their length."""
        if entry.limited or (self.budget.tokens is None and self.budget.usd is None):
            return True
        return self._open.get(entry.role, 0) < max(1, 2 * self._ended.get(entry.role, 0))

    def _begin(self, entry: _Entry) -> None:
        self._under_way.add(entry)
        self.calls += entry.calls
        entry.reserved = _Sum(entry.tokens + entry.margin, entry.dearest)
        self._may_use = self._may_use + entry.reserved
        self._open[entry.role] = self._open.get(entry.role, 0) + (not entry.limited)

    def _settle(self, entry: _Entry) -> None:
        self._under_way.remove(entry)
        # Sums of money drift by rounding; with nothing under way there is nothing reserved.
        self._may_use = self._may_use - entry.reserved if self._under_way else _Sum()
        self._open[entry.role] -= not entry.limited
        self.tokens += entry.tokens
        self.usd += entry.usd
        if entry.answered and entry.usage.completion_tokens:
            longest = -(-entry.usage.completion_tokens // entry.calls)
            self._longest[entry.role] = max(self._longest.get(entry.role, 0), longest)
            self._ended[entry.role] = self._ended.get(entry.role, 0) + 1
        self._tell_when_drained()


@dataclass(frozen=True, slots=True)
class _Sum:
    """What calls under way may use, margins included."""

    tokens: int = 0
    usd: float = 0.0

    def __add__(self, other: _Sum) -> _Sum:
        return _Sum(self.tokens + other.tokens, self.usd + other.usd)

    def __sub__(self, other: _Sum) -> _Sum:
        return _Sum(self.tokens - other.tokens, self.usd - other.usd)


@dataclass(eq=False, slots=True)
class _Entry:
    """One call: first what it may use, then what it used."""

    usage: Usage
    price: Price | None
    calls: int = 1
    answered: bool = False
    role: str = ""
    margin: int = 0
    """Completion tokens that it may use beyond what is expected."""
    limited: bool = True
    """Whether its length has a limit."""
    reserved: _Sum = _Sum()
    """What is set aside for it while it is under way."""

    @property
    def tokens(self) -> int:
        return self.usage.prompt_tokens + self.usage.completion_tokens

    @property
    def usd(self) -> float:
        if self.answered and self.usage.usd is not None:
            return self.usage.usd
        return self.price.usd(self.usage) if self.price else 0.0

    @property
    def dearest(self) -> float:
        """What it costs with its margin."""
        return self.usd + (self.price.usd(Usage(0, self.margin)) if self.price else 0.0)

    def settle(self, usage: Usage, text: str = "") -> None:
        """Replace the reservation; an endpoint that counts nothing is charged the estimate for its prompt and text."""
        if not usage.prompt_tokens and not usage.completion_tokens and text:
            usage = replace(self.usage, completion_tokens=int(len(text) / CHARACTERS_PER_TOKEN), usd=usage.usd)
        self.usage, self.answered = usage, True


def _check(name: str, limit: float | None, used: float, under_way: float, more: float) -> bool:
    if limit is None or used + under_way + more <= limit:
        return True
    if under_way and used + more <= limit:
        return False
    need = "" if used >= limit else f", and the next call may need {more:.6g}"
    over = f" ({used - limit:.6g} over, which the last call took more than any before)" if used > limit else ""
    raise BudgetReached(
        f"the budget of {limit:.6g} {name} is reached: {used:.6g} used{over}{need}; "
        "the same command with a larger budget goes on from here"
    )


class Limited:
    """A backend whose calls keep to the pace of their endpoint and to the budget of the run."""

    def __init__(self, backend: Backend, ledger: Ledger, pace: Pace | None = None, price: Price | None = None) -> None:
        self.backend = backend
        self.price_known = price is not None
        """Whether a budget in USD can be kept here."""
        self._ledger = ledger
        self._pace = pace or Pace()
        self._price = price

    async def complete(self, request: Request) -> Reply:
        """Wait for a slot, check the budget, and pass the call on.

        Raises:
            BudgetReached: the call does not fit any more; nothing was sent.
        """
        may_take = self._ledger.estimate(request)
        expected = may_take.prompt_tokens + (may_take.completion_tokens or FIRST_GUESS)
        async with (
            self._pace.slot(expected) as took,
            self._ledger.admitted(request, self._price) as entry,
        ):
            try:
                reply = await self.backend.complete(request)
            except ProviderError as error:
                entry.settle(error.usage)
                self._ledger.record_failure(request, entry, str(error.failure.kind))
                raise
            except asyncio.CancelledError:
                self._ledger.record_failure(request, entry, "cancelled")
                raise
            else:
                entry.settle(reply.usage, reply.text)
                self._ledger.lose_choices(request, reply)
            finally:
                took(entry.tokens)
            return reply

    async def aclose(self) -> None:
        """Close the backend below."""
        await close(self.backend)
