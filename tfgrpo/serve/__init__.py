"""The embedded model behind an OpenAI-compatible endpoint."""

from tfgrpo.serve.endpoint import build_app, serve

__all__ = ["build_app", "serve"]
