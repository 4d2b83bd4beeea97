"""How long one answer is waited for: a multiple of the slowest that came, so that a silent server costs seconds.

Each role has its own measure, for a contrast takes longer than a rollout. A call that ran out of such a time is waited
for twice as long at its next try: what is slow by nature gets its answer, up to the limit of the settings.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tfgrpo.backends.seeds import call_seed
from tfgrpo.types import Request

FLOOR = 30.0
"""Seconds that any call is given."""
ENOUGH = 8
"""Answers of a role before its slowest one says anything."""
MOST_REMEMBERED = 10_000


@dataclass(slots=True)
class AdaptiveTimeout:
    """Limits for the calls to one endpoint."""

    most: float
    """Seconds that no call is given more than."""
    times: float = 0.0
    """So many times the slowest answer so far; 0 gives every call `most`."""
    clock: Callable[[], float] = time.monotonic
    _slowest: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _answered: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _late: dict[int, int] = field(default_factory=dict)

    def limit(self, request: Request) -> float:
        """Return the seconds that a call is given."""
        if not self.times or self._answered[request.role] < ENOUGH:
            return self.most
        usual = max(FLOOR, self.times * self._slowest[request.role])
        return float(min(self.most, usual * 2 ** self._late.get(call_seed(request), 0)))

    @contextmanager
    def waiting(self, request: Request) -> Iterator[None]:
        """Note how long an answer took, or that none came in time."""
        began, came = self.clock(), False
        try:
            yield
            came = True
        finally:
            if not came and self.times and self.clock() - began >= self.limit(request):
                if len(self._late) >= MOST_REMEMBERED:
                    self._late.clear()
                self._late[call_seed(request)] = self._late.get(call_seed(request), 0) + 1
        if self.times:
            self._slowest[request.role] = max(self._slowest[request.role], self.clock() - began)
            self._answered[request.role] += 1
            if self._late:
                self._late.pop(call_seed(request), None)
