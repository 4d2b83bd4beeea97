"""Where model calls go: backends that answer them, and wrappers that journal, retry and limit them."""

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
