"""How many at once, in input order."""

from tfgrpo.executors.local import Executor, Local

__all__ = ["Executor", "Local"]
