"""Texts that models see, and texts that come back: templates, transcripts, repair of JSON.

In: values. Out: rendered messages, the same bytes for the same values; damaged JSON made readable.
Read `templates.py` first.
"""
