"""A run in the tools that teams watch: OpenTelemetry, MLflow, Weights & Biases.

In: a database and the id of a run. Out: spans and evaluation events, or a run with its curves, its lessons as artifacts
and the evidence as a table. Read `tracked.py` first: what is told is gathered there once. Each tool is an extra and is
imported when it is asked for.
"""

from tfgrpo.tracking.destinations import NAMES, follow, send

__all__ = ["NAMES", "follow", "send"]
