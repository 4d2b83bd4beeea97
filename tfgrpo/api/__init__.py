"""The Python face: the same verbs as the command line, with objects where those take names.

In: problems, a model, a grader, and any option of the command line. Out: steps, a `LearnResult`, an `EvalResult`.
Read `face.py` first: what can be asked; `execution.py` runs it from beginning to end.
"""

from tfgrpo.api.face import (
    EvalResult,
    LearnResult,
    evaluate,
    evaluate_sync,
    execute,
    learn,
    learn_all,
    learn_sync,
    setup,
)

__all__ = [
    "EvalResult",
    "LearnResult",
    "evaluate",
    "evaluate_sync",
    "execute",
    "learn",
    "learn_all",
    "learn_sync",
    "setup",
]
