"""Which way of calling tools an endpoint takes: told by the configuration, or found out once and remembered."""

from __future__ import annotations

import asyncio
from typing import Protocol

from tfgrpo.environments.tool_calling import FunctionCalling, TextCalling, ToolProtocol
from tfgrpo.tools import ToolSpec

FACT = "takes tools"


class Memory(Protocol):
    """The part of the store that this needs."""

    def endpoint_fact(self, endpoint: str, model: str, name: str, /) -> str | None:
        """Return what was found out, or None."""
        ...

    def record_endpoint_fact(self, endpoint: str, model: str, name: str, value: str, /) -> None:
        """Keep what was found out."""
        ...


class ToolProtocols:
    """Chooses; `wanted` is `functions`, `text` or `auto`, where one rollout finds out and the others wait for it."""

    def __init__(
        self, wanted: str, specs: tuple[ToolSpec, ...], model: str, endpoint: str = "", memory: Memory | None = None
    ) -> None:
        self._wanted, self._specs = wanted, specs
        self._endpoint, self._model, self._memory = endpoint, model, memory
        known = memory.endpoint_fact(endpoint, model, FACT) if memory and wanted == "auto" else None
        self._text = wanted == "text" or known == "no"
        self._settled = wanted != "auto" or known is not None
        self._probe: asyncio.Event | None = None

    async def speech(self) -> ToolProtocol:
        """Return the way to call tools from here on; whoever gets one calls `left` at the end."""
        while not self._settled and self._probe is not None:
            await self._probe.wait()
        if not self._settled:
            self._probe = asyncio.Event()
        return self.way()

    def way(self) -> ToolProtocol:
        """Return the way as far as it is known now."""
        return TextCalling(self._specs) if self._text else FunctionCalling(self._specs)

    def taken(self) -> None:
        """Take note that a request with tools was answered."""
        if not self._settled:
            self._settle(text=False)

    def refused(self) -> bool:
        """Take note that the endpoint refuses tools; False when only function calling will do."""
        if self._wanted == "auto" and not self._text:
            self._settle(text=True)
        return self._wanted == "auto"

    def left(self) -> None:
        """A rollout has ended; if it was to find out and could not, the next one tries."""
        if self._probe is not None:
            self._probe.set()
            self._probe = None

    def _settle(self, *, text: bool) -> None:
        self._text, self._settled = text, True
        if self._memory is not None:
            self._memory.record_endpoint_fact(self._endpoint, self._model, FACT, "no" if text else "yes")
        if self._probe is not None:
            self._probe.set()
