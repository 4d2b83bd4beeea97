"""Where model calls go: backends that answer them, and wrappers that journal, retry and limit them.

In: a model's name, then one `Request` per call. Out: one `Reply` or a typed error. Read `base.py` first, then
`stack.py` for the order of the wrappers; `endpoints.py` turns names into backends, `factory.py` gives them to a
command.
"""

from tfgrpo.backends.adaptive_rate import Pace
from tfgrpo.backends.base import Backend, Closeable, close
from tfgrpo.backends.journaled import Journaled
from tfgrpo.backends.limited import Budget, Ledger, Limited
from tfgrpo.backends.litellm import LiteLLM
from tfgrpo.backends.openai import OpenAI
from tfgrpo.backends.retried import Retried
from tfgrpo.backends.scripted import Scripted
from tfgrpo.backends.stack import with_wrappers

__all__ = [
    "Backend",
    "Budget",
    "Closeable",
    "Journaled",
    "Ledger",
    "Limited",
    "LiteLLM",
    "OpenAI",
    "Pace",
    "Retried",
    "Scripted",
    "close",
    "with_wrappers",
]
