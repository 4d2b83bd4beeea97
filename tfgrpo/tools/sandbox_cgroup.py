"""Memory of a whole tree of processes held by the kernel: a group of cgroup v2 with `memory.max`, where one can be had.

One can be had where a group at or above this process's own has the memory controller switched on for its children and
may be written: for root on most machines, for others below a delegated group (a systemd user session, say).
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")
OWN = Path("/proc/self/cgroup")
ENTER = 'echo 0 > "$1/cgroup.procs" && shift && exec "$@"'
"""A shell that moves itself into the group and becomes the command, so that nothing ever runs outside of it."""
PATIENCE = 2.0
"""Seconds that the kernel may take to let go of a group whose processes were killed."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where groups can be made, or why not."""

    folder: Path | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class MemoryGroup:
    """One group."""

    folder: Path

    def entering(self, command: tuple[str, ...]) -> tuple[str, ...]:
        """Return the command that starts inside the group."""
        return ("/bin/sh", "-c", ENTER, "sh", str(self.folder), *command)

    @property
    def exhausted(self) -> bool:
        """Whether the kernel ended something in it for want of memory."""
        with contextlib.suppress(OSError, ValueError):
            told = dict(line.split() for line in (self.folder / "memory.events").read_text().splitlines())
            return int(told.get("oom_kill", 0)) > 0
        return False

    def kill(self) -> None:
        """End everything in it, also what was forked this very moment; kernels before 5.14 do not know how."""
        with contextlib.suppress(OSError):
            (self.folder / "cgroup.kill").write_text("1")


@cache
def place(mounts: Path = MOUNTS, own: Path = OWN) -> Place:
    """Return the nearest folder below which groups with `memory.max` can be made; the answer is kept."""
    mounted = (
        [line.split()[1] for line in mounts.read_text().splitlines() if " cgroup2 " in line] if mounts.exists() else []
    )
    if not mounted:
        return Place(None, "cgroup v2 is not mounted")
    root = Path(mounted[0])
    if "memory" not in _words(root / "cgroup.controllers"):
        return Place(None, "cgroup v2 has no memory controller here")
    try:
        mine = next(line[3:].strip() for line in own.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return Place(None, "this process has no cgroup v2")
    here = root / mine.lstrip("/")
    for folder in (here, *here.parents):
        if not folder.is_relative_to(root):
            break
        if "memory" in _words(folder / "cgroup.subtree_control") and _works(folder):
            return Place(folder)
    return Place(None, "no cgroup with a memory controller may be written")


@contextmanager
def group(folder: Path, *, memory: int, processes: int) -> Iterator[MemoryGroup]:
    """Make a group below `folder`, at most `memory` bytes and so many processes in all; it is gone afterwards.

    Raises:
        OSError: the folder cannot be written.
    """
    made = folder / f"tfgrpo-{secrets.token_hex(8)}"
    made.mkdir()
    try:
        (made / "memory.max").write_text(str(memory))
        for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1"), ("pids.max", str(processes))):
            # Swap may be off, and the controller of processes may be another's: the rest stands without.
            with contextlib.suppress(OSError):
                (made / name).write_text(value)
        yield MemoryGroup(made)
    finally:
        _removed(made)


def _works(folder: Path) -> bool:
    if not os.access(folder / "cgroup.procs", os.W_OK):
        return False
    try:
        with group(folder, memory=2**20, processes=1) as made:
            return (made.folder / "cgroup.procs").exists()
    except OSError:
        return False


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _removed(folder: Path) -> None:
    MemoryGroup(folder).kill()
    end = time.monotonic() + PATIENCE
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            if time.monotonic() > end:
                return
            time.sleep(0.01)
        else:
            return
