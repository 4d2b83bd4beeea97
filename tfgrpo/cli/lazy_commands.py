"""Commands that are imported when they are used: `--help` and `--version` load none of what the commands need."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import typer
import typer.core
import typer.main

Table = Mapping[str, tuple[str, str]]
"""Name -> (`package.module:function`, or nothing for a group; what the list of commands says)."""
Groups = Mapping[str, Mapping[str, str]]
"""Group -> name -> `package.module:function`."""
Guard = Callable[[Callable[..., Any]], Callable[..., Any]]

# Boxes and colours are for terminals; elsewhere they are in the way and cost more than all the rest of the help.
LOOKS: Mapping[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": "rich" if sys.stdout.isatty() else None,
}


class LazyCommands(dict[str, Any]):
    """The commands of a table, each imported and built when it is asked for; names alone import nothing."""

    def __init__(self, names: Iterable[str], built: Callable[[str], Any]) -> None:
        super().__init__(dict.fromkeys(names))
        self._built = built

    def __getitem__(self, name: str) -> Any:
        if super().__getitem__(name) is None:
            self[name] = self._built(name)
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """Return one command."""
        return self[name] if name in self else default  # noqa: SIM401 - dict.get does not call __getitem__

    def items(self) -> Any:
        """Return all names and commands."""
        return [(name, self[name]) for name in self]


def lazy_group(table: Table, guard: Guard, groups: Groups) -> type[typer.core.TyperGroup]:
    """Return a kind of group with the commands of `table`, around each of which `guard` is put."""

    def built(name: str) -> Any:
        where, about = table[name]
        return _command(name, where, guard) if where else _group(name, about, groups[name], guard)

    class LazyGroup(typer.core.TyperGroup):
        """Lists its commands without importing any."""

        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            self.commands = LazyCommands(table, built)

        def list_commands(self, ctx: Any) -> list[str]:
            """Return the names in the order of the table."""
            return list(self.commands)

        def format_help(self, ctx: Any, formatter: Any) -> None:
            """Write the help from the table alone."""
            whole = self.commands
            self.commands = {
                name: typer.core.TyperCommand(name, short_help=about) for name, (_, about) in table.items()
            }
            try:
                super().format_help(ctx, formatter)
            finally:
                self.commands = whole

    return LazyGroup


def _group(name: str, about: str, verbs: Mapping[str, str], guard: Guard) -> Any:
    group = typer.main.get_group(typer.Typer(name=name, help=about, no_args_is_help=True, callback=_nothing, **LOOKS))
    group.commands = LazyCommands(verbs, lambda verb: _command(f"{name} {verb}", verbs[verb], guard))
    return group


def _nothing() -> None:
    """Stand where typer wants a group to have something of its own."""


def _command(words: str, where: str, guard: Guard) -> Any:
    from tfgrpo.cli.examples import EXAMPLES

    module, _, attribute = where.partition(":")
    function = getattr(importlib.import_module(module), attribute)
    made = typer.Typer(**LOOKS)
    # A summary that is derived from the help would be cut to one line of the terminal.
    summary = (function.__doc__ or "").partition("\n")[0]
    example = f"Example: tfgrpo {EXAMPLES[words]}" if words in EXAMPLES else None
    made.command(words.rpartition(" ")[2], short_help=summary, epilog=example)(guard(function))
    return typer.main.get_command(made)
