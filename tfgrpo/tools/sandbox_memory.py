"""Memory of a tree of processes, counted where no group of the kernel's holds it.

A process's own pages are not all that it keeps: memory shared between processes, files that live in memory (memfd),
SysV segments that nobody has attached, messages and what waits in sockets belong to nobody's resident size. SysV and
sockets belong to namespaces, so two descriptors opened inside, before the code starts, are handed out (`Windows`).
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

KIB = 1024
DUMP, DONE, ERROR = 0x301, 3, 2
"""Netlink: flags of a request for everything, and the two messages that end an answer."""
BY_FAMILY = 20
"""SOCK_DIAG_BY_FAMILY of linux/sock_diag.h."""
PEER, QUEUES, MEMORY = 2, 4, 5
"""Attributes of linux/unix_diag.h."""
INET_MEMORY = 7
"""INET_DIAG_SKMEMINFO of linux/inet_diag.h."""
RECEIVED, SENT, QUEUED = 0, 2, 5
"""Places in SK_MEMINFO of linux/sock_diag.h, all in bytes."""
INET = tuple((family, protocol) for family in (2, 10) for protocol in (6, 17))
"""TCP and UDP over both families."""
MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ ...(?P<shared>.) [0-9a-f]+ (?P<dev>[0-9a-f:]+) (?P<inode>\d+)")
IN_FLIGHT = re.compile(r"scm_fds:\s*(\d+)")


@dataclass(frozen=True, slots=True)
class Windows:
    """Descriptors that look into the namespaces of the code: SysV segments, SysV messages, statistics of sockets."""

    segments: int
    messages: int
    sockets: int

    def close(self) -> None:
        """Close them."""
        for descriptor in (self.segments, self.messages, self.sockets):
            os.close(descriptor)


def received(channel: socket.socket) -> Windows | None:
    """Return the windows that the child has sent through `channel`, which does not wait, or None so far."""
    with contextlib.suppress(BlockingIOError, OSError):
        _, descriptors, _, _ = socket.recv_fds(channel, 16, 3)
        if len(descriptors) == 3:
            return Windows(*descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
    return None


def held(tree: Sequence[int], windows: Windows | None, *, most: int, file: int) -> int:
    """Return the bytes of memory that these processes keep; what is above `most` is counted exactly.

    Args:
        tree: process ids.
        windows: into their namespaces; None counts no sockets and no detached segments.
        most: a cheap upper bound is enough as long as it stays below.
        file: bytes of the largest file they may make; each file on its way through a socket counts as one.
    """
    beside = 0 if windows is None else _messages(windows.messages) + sum(_sockets(windows.sockets))
    detached = {} if windows is None else _segments(windows.segments)
    opened, in_flight = _open_files(tree)
    beside += in_flight * file
    rough = [_status(pid) for pid in tree]
    objects = {**detached, **opened}
    total = beside + sum(objects.values()) + sum(own + shared for own, shared in rough)
    if total <= most:
        return total
    # Twice, for processes that end between two readings leave their part of common pages to the others.
    return beside + min(_exactly(tree, objects) for _ in range(2))


def _exactly(tree: Sequence[int], objects: Mapping[tuple[int, int], int]) -> int:
    """Return the bytes of processes and objects, each page once however many share it."""
    mapped: dict[tuple[int, int], int] = {}
    own = 0
    for pid in tree:
        own += _private(pid)
        for key, size in _shared(pid).items():
            mapped[key] = mapped.get(key, 0) + size
    return own + sum(max(mapped.get(key, 0), objects.get(key, 0)) for key in mapped.keys() | objects.keys())


def _status(pid: int) -> tuple[int, int]:
    """Return a process's own bytes (swapped ones and its page tables too), and those it shares with others."""
    told = _fields(f"/proc/{pid}/status")
    return sum(told.get(name, 0) for name in ("RssAnon", "VmSwap", "VmPTE")), told.get("RssShmem", 0)


def _private(pid: int) -> int:
    """Return its own bytes, a page that forks still have in common divided among them."""
    told = _fields(f"/proc/{pid}/smaps_rollup")
    if "Pss_Anon" not in told:
        return _status(pid)[0]
    return told["Pss_Anon"] + told.get("SwapPss", 0) + _fields(f"/proc/{pid}/status").get("VmPTE", 0)


def _fields(path: str) -> Mapping[str, int]:
    """Return the lines `Name: number kB` of a file of /proc, in bytes."""
    found = {}
    for line in _lines(path):
        words = line.split()
        if len(words) == 3 and words[2] == "kB":
            found[words[0].rstrip(":")] = int(words[1]) * KIB
    return found


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read().splitlines()
    except OSError:
        return []


def _shared(pid: int) -> Mapping[tuple[int, int], int]:
    """Return the shared objects that a process has mapped, with its part of their bytes in memory."""
    found: dict[tuple[int, int], int] = {}
    key = None
    in_memory = False
    for line in _lines(f"/proc/{pid}/smaps"):
        if matched := MAPPING.match(line):
            major, minor = (int(part, 16) for part in matched["dev"].split(":"))
            key = (os.makedev(major, minor), int(matched["inode"])) if matched["shared"] == "s" else None
            # Pages of a disk's file can be written back; only what has no disk behind it is kept in memory.
            in_memory = major == 0
        elif key is not None and in_memory and line.startswith("Pss:"):
            found[key] = found.get(key, 0) + int(line.split()[1]) * KIB
    return found


def _open_files(tree: Sequence[int]) -> tuple[dict[tuple[int, int], int], int]:
    """Return the memory files that are open with their bytes, and how many files are under way in sockets."""
    found: dict[tuple[int, int], int] = {}
    waiting: dict[str, int] = {}
    for pid in tree:
        for descriptor, target in _descriptors(pid):
            with contextlib.suppress(OSError):
                if target.startswith("/memfd:"):
                    about = os.stat(f"/proc/{pid}/fd/{descriptor}")
                    found[about.st_dev, about.st_ino] = about.st_blocks * 512
                elif target.startswith("socket:") and target not in waiting:
                    told = IN_FLIGHT.search("\n".join(_lines(f"/proc/{pid}/fdinfo/{descriptor}")))
                    waiting[target] = int(told[1]) if told else 0
    return found, sum(waiting.values())


def _descriptors(pid: int) -> Iterator[tuple[str, str]]:
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        for descriptor in os.listdir(folder):
            with contextlib.suppress(OSError):
                yield descriptor, os.readlink(f"{folder}/{descriptor}")


def _segments(descriptor: int) -> dict[tuple[int, int], int]:
    """Return the SysV segments with their bytes; the key is the one under which a mapping shows them."""
    device = _memory_device()
    table = _table(descriptor)
    return {(device, int(row["shmid"])): int(row["rss"]) + int(row.get("swap", 0)) for row in table}


def _messages(descriptor: int) -> int:
    return sum(int(row["cbytes"]) for row in _table(descriptor))


@cache
def _memory_device() -> int:
    """Return the device of the kernel's own mount for shared memory: a fresh memory file lies on it."""
    made = os.memfd_create("tfgrpo")
    try:
        return os.fstat(made).st_dev
    finally:
        os.close(made)


def _table(descriptor: int) -> list[dict[str, str]]:
    text = b""
    with contextlib.suppress(OSError):
        while part := os.pread(descriptor, 65536, len(text)):
            text += part
    lines = text.decode("ascii", "replace").splitlines()
    return [dict(zip(lines[0].split(), line.split(), strict=False)) for line in lines[1:]]


def _sockets(descriptor: int) -> Iterator[int]:
    """Yield the bytes that wait in each socket of the namespace, also in those that nobody has open any more."""
    wanted = 0x4 | 0x10 | 0x20  # peer, queues, memory
    told = list(_answers(descriptor, struct.pack("=BBHIIIII", 1, 0, 0, 0xFFFFFFFF, 0, wanted, 0, 0), 16))
    living = {struct.unpack_from("=I", fixed, 4) for fixed, _ in told}
    for _, attributes in told:
        memory, queues = _numbers(attributes.get(MEMORY, b"")), _numbers(attributes.get(QUEUES, b""))
        # What was sent is charged to the sender; once that is closed it shows in the receiver's queue alone.
        orphaned = queues and _numbers(attributes.get(PEER, b""))[:1] not in living
        yield (memory[SENT] if len(memory) > SENT else 0) + (queues[0] if orphaned else 0)
    for family, protocol in INET:
        asked = struct.pack("=BBBBI", family, protocol, 1 << (INET_MEMORY - 1), 0, 0xFFFFFFFF) + bytes(48)
        for _, attributes in _answers(descriptor, asked, 72):
            memory = _numbers(attributes.get(INET_MEMORY, b""))
            if len(memory) > QUEUED:
                yield memory[RECEIVED] + max(memory[SENT], memory[QUEUED])


def _answers(descriptor: int, asked: bytes, fixed: int) -> Iterator[tuple[bytes, Mapping[int, bytes]]]:
    """Ask netlink for all sockets; yield the fixed part of each (`fixed` bytes) with its attributes."""
    channel = socket.socket(fileno=os.dup(descriptor))
    with channel, contextlib.suppress(OSError):
        channel.setblocking(False)
        channel.sendto(struct.pack("=IHHII", 16 + len(asked), BY_FAMILY, DUMP, 0, 0) + asked, (0, 0))
        while True:
            data = channel.recv(1 << 17)
            at = 0
            while at + 16 <= len(data):
                size, kind = struct.unpack_from("=IH", data, at)
                if kind in {DONE, ERROR} or size < 16:
                    return
                body = data[at + 16 : at + size]
                yield body[:fixed], _attributes(body[fixed:])
                at += (size + 3) & ~3


def _attributes(data: bytes) -> Mapping[int, bytes]:
    found, at = {}, 0
    while at + 4 <= len(data):
        size, kind = struct.unpack_from("=HH", data, at)
        if size < 4:
            break
        found[kind] = data[at + 4 : at + size]
        at += (size + 3) & ~3
    return found


def _numbers(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"={len(data) // 4}I", data[: len(data) // 4 * 4])
