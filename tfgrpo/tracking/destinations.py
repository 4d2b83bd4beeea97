"""Where a run can be sent, by name."""

from __future__ import annotations

from experience_db import Run, Store
from tfgrpo.errors import UsageError

NAMES = ("otel", "mlflow", "wandb")


def send(store: Store, run: Run, to: str, *, where: str = "", content: bool = False) -> str:
    """Send a run to a tool; returns what was sent, in words.

    Args:
        store: where the run is.
        run: a finished one, or one that goes on, of which what is stored is sent.
        to: one of NAMES.
        where: `otel`: URL of a collector that takes OTLP over HTTP; `mlflow`: tracking URI; `wandb`: project. Empty
            leaves it to the tool's own settings.
        content: `otel`: also prompts, answers and what graders said, which may hold what users wrote.

    Raises:
        UsageError: no such tool, or its package is not installed.
    """
    if to not in NAMES:
        raise UsageError(f"--to is one of {', '.join(NAMES)}, not {to!r}")
    try:
        if to == "otel":
            from tfgrpo.tracking.otel import send_otlp  # noqa: PLC0415  an extra

            return send_otlp(store, run, where, content=content)
        if to == "mlflow":
            from tfgrpo.tracking.mlflow import log_mlflow  # noqa: PLC0415  an extra

            return log_mlflow(store, run, where)
        from tfgrpo.tracking.wandb import log_wandb  # noqa: PLC0415  an extra

        return log_wandb(store, run, where)
    except ImportError as error:
        raise UsageError(f"--to {to} needs a package: pip install 'tfgrpo[{to}]' ({error})") from error
