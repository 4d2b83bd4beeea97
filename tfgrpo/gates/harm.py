"""A gate looks where its edit acts; this check looks everywhere, once per epoch, for harm done elsewhere."""

from __future__ import annotations

from math import inf, isnan

from experience_db import Evidence, Library
from tfgrpo.errors import UsageError
from tfgrpo.gates.base import Rewards, Trial
from tfgrpo.gates.comparison import Design, compare
from tfgrpo.gates.touch import Touched
from tfgrpo.gates.verdicts import decision, detail


async def harm_check(
    before: Library, after: Library, trial: Trial, *, rewards: Rewards | None = None, seed: int = 0
) -> Evidence:
    """Compare two versions on every gate problem, one rollout each, and say whether the later one is worse.

    The verdict is `rejected` when E against "not worse" reaches 10, `accepted` when E against "not better" reaches 20,
    else `undecided`: no harm was shown, which is not a proof that there is none. The same problems admitted the edits,
    so the check is lenient about what those gates looked at. Raises UsageError when the trial has no problems.
    """
    n = len(trial.problems)
    if n == 0:
        raise UsageError("the harm check has no held-out problems; give --heldout, or leave the check out")
    found = await compare(
        trial,
        Rewards() if rewards is None else rewards,
        before,
        after,
        Touched(trial.problems, "all"),
        key=f"{seed}/harm",
        design=Design(look=n, nmax_all=n, passes=1, futile=inf),
        accept=20.0,
    )
    low, high = found.interval
    verdict = decision(found)
    return Evidence(
        "harm-check",
        None if isnan(found.estimate) else found.estimate,
        low,
        high,
        n=len(found.pairs),
        verdict=verdict,
        reason={"rejected": "worse as a whole", "accepted": "better as a whole"}.get(verdict, "no harm shown"),
        detail=detail(found) | {"versions": [before.version, after.version]},
    )
