"""The embedded language model: our own weights, run with numpy alone.

In: requests, from any thread or event loop. Out: the same bits for the same seed, whatever else is decoded beside it.
Read `backend.py` first; `model.py` is text to tokens and back, `network.py` the forward pass, `sampling.py` the draw.
"""
