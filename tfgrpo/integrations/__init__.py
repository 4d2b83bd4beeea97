"""The places where people already are: acceptance rule of other optimizers, tasks of other harnesses, pytest.

In: objects of gepa, DSPy, MLflow, inspect_ai, verifiers, lm_eval, promptfoo. Out: the same verdicts as `tfgrpo prove`.
Each module is a thin bridge and imports its package only when it is used. Read `gepa.py` first.
"""
