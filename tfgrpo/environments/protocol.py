"""Which way of calling tools an endpoint takes: told by the configuration, or found out once and remembered."""

from __future__ import annotations

from typing import Protocol

from tfgrpo.environments.spoken import Functions, Speech, Text
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


class Protocols:
    """Chooses; `wanted` is `functions`, `text` or `auto`."""

    def __init__(
        self, wanted: str, specs: tuple[ToolSpec, ...], model: str, endpoint: str = "", memory: Memory | None = None
    ) -> None:
        self._wanted, self._specs = wanted, specs
        self._endpoint, self._model, self._memory = endpoint, model, memory
        known = memory.endpoint_fact(endpoint, model, FACT) if memory and wanted == "auto" else None
        self._text = wanted == "text" or known == "no"

    def speech(self) -> Speech:
        """Return the way to call tools from here on."""
        return Text(self._specs) if self._text else Functions(self._specs)

    def refused(self) -> bool:
        """Take note that the endpoint refuses tools; False when only function calling will do."""
        if self._wanted == "auto" and not self._text:
            self._text = True
            if self._memory is not None:
                self._memory.record_endpoint_fact(self._endpoint, self._model, FACT, "no")
        return self._wanted == "auto"
