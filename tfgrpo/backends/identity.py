"""Who answers to a model's name: the same name at another address may be another model, so its records stay apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tfgrpo.backends.endpoints import Endpoints

ADDRESS = "asked at"
"""Name of the stored fact that says where a model was asked first; those addresses are part of no question."""
KNOWN_AS = "known as"
"""Name of the stored fact that says which mark an address has that was asked later."""


class Facts(Protocol):
    """Where facts of endpoints are kept; `experience_db.Store` is one."""

    def endpoint_fact(self, endpoint: str, model: str, name: str, /) -> str | None:
        """Return what was found out, or None."""
        ...

    def record_endpoint_fact(self, endpoint: str, model: str, name: str, value: str, /) -> None:
        """Keep what was found out."""
        ...


@dataclass(frozen=True, slots=True)
class Identity:
    """What the questions to a model are marked with."""

    mark: str = ""
    """An address that belongs into each question; empty where the model was asked first, or is said to be the same."""
    note: str = ""
    """A sentence for people where addresses have changed; empty where they have not."""


def identity_of(facts: Facts, line: Endpoints, *, same: bool) -> Identity:
    """Return who answers at the addresses of `line`, and remember it.

    Addresses that share one with those of before are replicas. Others may be another model under the same name: their
    questions are marked, so that no reply of the first one answers them.

    Args:
        facts: what is known of addresses so far.
        line: the way to the model; one inside this process has no address, and its name says who it is.
        same: the user says that the model is the one of before, wherever it is asked.
    """
    home = (facts.endpoint_fact("", line.model, ADDRESS) or "").split()
    if not line.urls or set(line.urls) <= set(home):
        return Identity()
    marks = [facts.endpoint_fact(url, line.model, KNOWN_AS) for url in line.urls]
    known = next((mark for mark in marks if mark), "")
    if same or not home or set(home) & set(line.urls):
        facts.record_endpoint_fact("", line.model, ADDRESS, " ".join(sorted({*home, *line.urls})))
        return Identity(note=_taken_as_same(line, home) if home and not set(home) & set(line.urls) else "")
    mark = known or line.urls[0]
    for url in line.urls:
        facts.record_endpoint_fact(url, line.model, KNOWN_AS, mark)
    return Identity(mark, "" if known else _asked_anew(line, home))


def _asked_anew(line: Endpoints, home: Sequence[str]) -> str:
    return (
        f"model {line.model} was asked at {', '.join(home)} before and is asked at {', '.join(line.urls)} now, where "
        "another model may answer to that name: calls recorded there do not count here. If it is the same model, "
        "-s engine.same_model=true takes them"
    )


def _taken_as_same(line: Endpoints, home: Sequence[str]) -> str:
    return (
        f"model {line.model} is asked at {', '.join(line.urls)} now and was asked at {', '.join(home)} before; by "
        "engine.same_model it is the same model, so calls recorded there are not made again"
    )
