"""One run as a page to read: what was measured, which lessons came of it, and every rollout behind them."""

from tfgrpo.report.data import Report
from tfgrpo.report.gather import gather
from tfgrpo.report.page import to_html
from tfgrpo.report.text import to_json, to_markdown

__all__ = ["Report", "gather", "to_html", "to_json", "to_markdown"]
