"""From attempts to edits: why did the winners win, and what of that may enter a library?

In: groups that disagree. Out: proposals that are joined, checked for leaks, scanned and ready for the gate.
Read `summarize.py` first, then `consolidate.py`; `review.py` decides what waits for a person.
"""
