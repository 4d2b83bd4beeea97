"""What a library is worth: means with intervals, controls beside them, and the effect of single lessons.

In: an actor, a library version, problems. Out: `Evaluation` and evidence; nothing here changes a library.
Read `measure.py` first, then `controls.py` and `credit.py`.
"""
