"""A file of pages served as if it were the whole web: search and pages over real HTTP, the same on every machine.

In: JSONL files of pages. Out: an HTTP server with `/search` and the pages, for `web_search` and `fetch_page`. Read
`pages.py` first, then `index.py`; `server.py` is the HTTP side.
"""

from tfgrpo.corpus.index import Hit, Index
from tfgrpo.corpus.pages import Page, load
from tfgrpo.corpus.server import build_app, serve, serving

__all__ = ["Hit", "Index", "Page", "build_app", "load", "serve", "serving"]
