"""Does this text help? A verdict with a stated error for anything that agents read.

In: texts, tasks, a grader and a model; or results that are already stored. Out: a `Proof`: helps, harms, no worth
found or cannot tell, with effect and interval, what was won and lost, the noise of the same text against itself, and
what both sides cost. Read `live.py` (rollouts) or `replay.py` (stored results) first; `judge.py` is what they share.
The test itself is `tfgrpo.gates.sequential`.
"""

from tfgrpo.proving.proof import Finding, Floor, Proof, Verdict

__all__ = ["Finding", "Floor", "Proof", "Verdict"]
