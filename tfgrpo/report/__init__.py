"""One run as a page to read: what was measured, which lessons came of it, and every rollout behind them.

In: the store and the name of a run. Out: one HTML file, Markdown, or JSON. Read `data.py` first: all that a report
says; `gather.py` reads the store, `page.py` and `text.py` write, `comparison.py` shows methods side by side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from experience_db.lazy_names import names_on_use

if TYPE_CHECKING:
    from tfgrpo.report.data import Report
    from tfgrpo.report.gather import gather
    from tfgrpo.report.page import to_html
    from tfgrpo.report.text import to_json, to_markdown

__all__ = ["Report", "gather", "to_html", "to_json", "to_markdown"]

__getattr__, __dir__ = names_on_use(
    __name__,
    {
        "tfgrpo.report.data": ("Report",),
        "tfgrpo.report.gather": ("gather",),
        "tfgrpo.report.page": ("to_html",),
        "tfgrpo.report.text": ("to_json", "to_markdown"),
    },
)
