"""`tfgrpo tools`: what a rollout may call, and any of it by hand, shut in as a rollout's calls are."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from tfgrpo import registry
from tfgrpo.backends.base import close
from tfgrpo.cli import options as o
from tfgrpo.environments.factory import make_tools
from tfgrpo.errors import UsageError
from tfgrpo.tools import Tool, ToolResult
from tfgrpo.tools.arguments import read_arguments
from tfgrpo.tools.journaled import CallingRollout, JournaledTools, Session, recordable

Config = Annotated[Path | None, typer.Option("--config", help="TOML file with the table `tools`, as for learn.")]


def list_(set_: o.Set = None, config: Config = None, json_: o.Json = False) -> None:
    """List the tools with their arguments; where one cannot run here, why."""
    options = o.load_config("default", config, set_).tools
    rows = [row for name in registry.names("tools") for row in _described(name, options)]
    if json_:
        o.print_json({"tools": rows})
        return
    for row in rows:
        head = row["name"] if row["name"] == row["tool"] else f"{row['tool']}: {row['name']}"
        typer.echo(f"{head}({', '.join(row['arguments'])})")
        typer.echo(f"    {row['description'] or 'not usable here: ' + row['fault']}")


def call(
    name: Annotated[str, typer.Argument(help="Tool, as in `tools list`, or package.module:attr.")],
    args: Annotated[
        str, typer.Option("--args", help="Arguments as a JSON object; @FILE reads them from a file.")
    ] = "{}",
    set_: o.Set = None,
    config: Config = None,
    json_: o.Json = False,
) -> None:
    """Call a tool once and print what a model would read; nothing is recorded."""
    options = o.load_config("default", config, set_).tools
    result = asyncio.run(_call(name, _text(args), options))
    if json_:
        o.print_json({"tool": name, **recordable(replace(result, seconds=round(result.seconds, 3)))})
    else:
        typer.echo(result.text or (result.failure.message if result.failure else ""))
        for key, value in result.detail.items():
            typer.echo(f"{key}: {value}", err=True)
    if result.failure is not None:
        typer.echo(f"failure ({result.failure.kind}): {result.failure.message}", err=True)
        raise typer.Exit(1)


async def _call(name: str, args: str, options: Mapping[str, Any]) -> ToolResult:
    module, colon, attribute = name.rpartition(":")
    attribute, _, inner = attribute.partition(".")
    source = f"{module}{colon}{attribute}"
    async with AsyncExitStack() as stack:
        tools = make_tools((source,), options)
        for tool in tools:
            stack.push_async_callback(close, tool)
        tool = _chosen(tools, source, inner)
        arguments, fault = read_arguments(args, tool.spec.parameters)
        if fault:
            raise UsageError(f'--args: {fault}; give an object, as --args \'{{"code": "6*7"}}\'')
        session = Session(CallingRollout("by hand", ("", ""), 0), made=[(name, arguments)])
        desk = JournaledTools()
        try:
            return (await desk.call(tool, arguments, session, 0)).result
        finally:
            await desk.end(tools, session)


def _chosen(tools: tuple[Tool, ...], source: str, inner: str) -> Tool:
    """Return the one tool, or that of the name behind the dot where there are several."""
    named = [tool for tool in tools if tool.spec.name == inner]
    if len(tools) == 1 and not inner:
        return tools[0]
    if len(named) == 1:
        return named[0]
    known = ", ".join(f"{source}.{tool.spec.name}" for tool in tools) or "none"
    raise UsageError(f"{source} stands for several tools: {known}; name one of them")


def _text(args: str) -> str:
    if not args.startswith("@"):
        return args
    try:
        return Path(args[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--args: cannot read {args[1:]}: {error}") from error


def _described(name: str, options: Mapping[str, Any]) -> list[dict[str, Any]]:
    try:
        tools = make_tools((name,), options)
    except UsageError as error:
        return [{"tool": name, "name": name, "arguments": [], "description": "", "fault": str(error)}]
    rows = []
    for tool in tools:
        known = list((tool.spec.parameters.get("properties") or {}).keys())
        about = " ".join(tool.spec.description.split())
        rows.append({"tool": name, "name": tool.spec.name, "arguments": known, "description": about, "fault": ""})
    asyncio.run(_close(tools))
    return rows


async def _close(tools: tuple[Tool, ...]) -> None:
    for tool in tools:
        await close(tool)
