"""A database as pages to walk through, on this machine only: libraries, runs, groups, and what waits for a person.

In: the path of a database. Out: an aiohttp application that reads it, follows what other processes write, and makes
edits for whoever knows the token. Read `server.py` first (who may ask what), then `pages.py` (the pages) and
`forms.py` (the edits); `state.py` holds what both share. The parts of a page are those of `tfgrpo.report`.
"""

from tfgrpo.ui.server import Settings, build_app, serve

__all__ = ["Settings", "build_app", "serve"]
