"""The embedded model behind an OpenAI-compatible endpoint.

In: HTTP bodies of clients. Out: chat completions, completions, token ids and log-probs in the shapes that clients
know. Read `endpoint.py` first; `fields.py` says what a client may send.
"""

from tfgrpo.serve.endpoint import build_app, serve

__all__ = ["build_app", "serve"]
