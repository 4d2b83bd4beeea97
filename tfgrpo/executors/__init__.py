"""How many at once, in input order.

In: jobs without arguments. Out: their results in the order of the jobs; the first exception ends all. Read `local.py`
first: the protocol, and the executor of one event loop.
"""

from tfgrpo.executors.local import Executor, Local

__all__ = ["Executor", "Local"]
