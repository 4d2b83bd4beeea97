"""The loop: batches of problems in, library versions out, one `Step` at a time.

In: a `Run` that `tfgrpo.build` composed. Out: committed steps, from which the same command goes on.
Read `loop.py` first; `batch.py` is one batch up to its proposals, `overlap.py` the batch taught ahead.
"""
