"""Where model calls go: backends that answer them, and wrappers that journal, retry and limit them."""

from tfgrpo.backends.base import Backend, Closeable, close
from tfgrpo.backends.scripted import Scripted

__all__ = ["Backend", "Closeable", "Scripted", "close"]
