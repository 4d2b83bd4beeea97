"""A real language model on this machine: GGUF weights behind llama.cpp's server, started as a child and ended with us.

In comes `local/NAME` or `local/PATH.gguf`, out goes a backend that is asked like any endpoint. Read `backend.py` first;
`engine.py` starts or joins the child, `child.py` is the child, `weights.py` finds, installs and checks weights.
"""

from tfgrpo.backends.local.backend import Local
from tfgrpo.backends.local.engine import Engine, hold
from tfgrpo.backends.local.weights import KNOWN, Weights, find, install

__all__ = ["KNOWN", "Engine", "Local", "Weights", "find", "hold", "install"]
