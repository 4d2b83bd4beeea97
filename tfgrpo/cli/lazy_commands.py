"""Commands that are imported when they are used: `--help` and `--version` load none of what the commands need."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

import typer
import typer.core
import typer.main

Table = Mapping[str, tuple[str, str]]
"""Name -> (where, what the list of commands says). A `package.module:function` is a command, and a
`package.module:COMMANDS` with a table of functions is a group."""
Guard = Callable[[Callable[..., Any]], Callable[..., Any]]

# Boxes and colours are for terminals; elsewhere they are in the way and cost more than all the rest of the help.
LOOKS: Mapping[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": "rich" if sys.stdout.isatty() else None,
}


class LazyCommands(dict[str, Any]):
    """The commands of a table, each imported and built when it is asked for; names alone import nothing."""

    def __init__(self, table: Table, guard: Guard) -> None:
        super().__init__(dict.fromkeys(table))
        self._table = table
        self._guard = guard

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

    def stubs(self) -> dict[str, Any]:
        """Return names with what a list of commands shows."""
        return {name: typer.core.TyperCommand(name, short_help=about) for name, (_, about) in self._table.items()}

    def _built(self, name: str) -> Any:
        from tfgrpo.cli.examples import EXAMPLES

        where, about = self._table[name]
        module, _, attribute = where.partition(":")
        found = getattr(importlib.import_module(module), attribute)
        made = typer.Typer(name=name, help=about, no_args_is_help=not callable(found), **LOOKS)
        for verb, function in {name: found}.items() if callable(found) else found.items():
            # A summary that is derived from the help would be cut to one line of the terminal.
            summary = (function.__doc__ or "").partition("\n")[0]
            words = name if callable(found) else f"{name} {verb}"
            example = f"Example: tfgrpo {EXAMPLES[words]}" if words in EXAMPLES else None
            made.command(verb, short_help=summary, epilog=example)(self._guard(function))
        return typer.main.get_command(made) if callable(found) else typer.main.get_group(made)


def lazy_group(table: Table, guard: Guard) -> type[typer.core.TyperGroup]:
    """Return a kind of group with the commands of `table`, around each of which `guard` is put."""

    class LazyGroup(typer.core.TyperGroup):
        """Lists its commands without importing any."""

        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            self.commands = LazyCommands(table, guard)

        def list_commands(self, ctx: Any) -> list[str]:
            """Return the names in the order of the table."""
            return list(self.commands)

        def format_help(self, ctx: Any, formatter: Any) -> None:
            """Write the help from the table alone."""
            whole = self.commands
            self.commands = LazyCommands(table, guard).stubs()
            try:
                super().format_help(ctx, formatter)
            finally:
                self.commands = whole

    return LazyGroup
