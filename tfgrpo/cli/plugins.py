"""`tfgrpo plugins`: every name that an option can take."""

from __future__ import annotations

from typing import Annotated

import typer

from tfgrpo import config, registry
from tfgrpo.errors import UsageError

KINDS = ("acceptances", "components", "environments", "gates", "graders", "presets", "samplers", "selectors", "tools")


def plugins(kind: Annotated[str | None, typer.Option("--kind", help=f"One of {', '.join(KINDS)}.")] = None) -> None:
    """List graders, gates, environments, tools, presets and the rules of searches, built-in and installed."""
    if kind is not None and kind not in KINDS:
        raise UsageError(f"no kind {kind!r}; there are: {', '.join(KINDS)}")
    if kind == "presets":
        for name in config.preset_names():
            typer.echo(f"{name:20s}{config.preset_about(name)}")
        return
    for each in [kind] if kind else KINDS:
        names = config.preset_names() if each == "presets" else registry.names(each)
        typer.echo(f"{each}: {', '.join(names)}")
