"""The loop: batches of problems in, library versions out, one `Step` at a time.

In: a `Run` (`run.py`). Out: committed steps, from which the same command goes on.
Read `loop.py` first; `batch.py` is one batch up to its proposals, `gate_step.py` leads these to their verdicts,
`record_step.py` stores the step, `overlap.py` runs the next batch meanwhile.
"""
