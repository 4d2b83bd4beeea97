"""An OpenAI- and Anthropic-compatible proxy that adds a library's lessons to what an app asks its model.

In: any client's request, an upstream URL, a database. Out: the same request with the lessons in it, and the answer
as it came. Read `requests.py` first: where lessons go in each protocol; `library_routing.py` chooses the version.
"""

from tfgrpo.proxy.server import Settings, build_app, serve

__all__ = ["Settings", "build_app", "serve"]
