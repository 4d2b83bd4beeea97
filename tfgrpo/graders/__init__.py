"""Graders: how good a rollout is, as one score per rollout of a group.

In: a problem and the rollouts of its group. Out: one `Score` each, unscored where nothing can be said. Read `base.py`
first; `exact.py` is the simplest grader, `factory.py` makes one from a name and a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tfgrpo.graders.base import Grader, as_score, from_function, grade
from tfgrpo.graders.choice import Choice
from tfgrpo.graders.exact import Exact
from tfgrpo.graders.math import Math
from tfgrpo.graders.numeric import Numeric

GRADERS: Mapping[str, Callable[..., Grader]] = {
    "choice": Choice,
    "exact": Exact,
    "math": Math,
    "numeric": Numeric,
}
"""The built-in graders by name; options of the constructors are the options in a configuration."""

__all__ = ["GRADERS", "Choice", "Exact", "Grader", "Math", "Numeric", "as_score", "from_function", "grade"]
