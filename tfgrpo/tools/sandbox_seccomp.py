"""The filter of system calls that bubblewrap loads before the code starts: a classic BPF program, assembled here.

A shared kernel is the last wall, so what the code has no use for is refused: sockets that leave the machine past its
network namespace (vsock), rings that act past other filters (io_uring), faults handled by user code (userfaultfd),
namespaces, tracing, keyrings, modules, mounts. Everything else is let through. Constants are those of the kernel's
headers (`linux/seccomp.h`, `linux/bpf_common.h`, `linux/audit.h`, the tables of system calls).
"""

from __future__ import annotations

import errno
import os
import platform
import struct
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
NUMBER, ARCHITECTURE, FIRST = 0, 4, 16
"""Offsets in `struct seccomp_data`: the call's number, the machine's, the first argument; each argument has 8 bytes."""
NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET."""
NEW_TIME = 0x80
FAMILIES = (1, 2, 10)
"""AF_UNIX, AF_INET and AF_INET6: what the sandbox's own empty network holds."""
NETLINK, NETLINK_KINDS = 16, (0, 4)
"""AF_NETLINK for routes (names of interfaces) and for socket statistics."""
TERMINAL = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX put characters into a terminal's input."""

ABSENT: Mapping[str, tuple[int, int]] = {
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "clone3": (435, 435),
    "memfd_secret": (447, 447),
}
"""Answered as if the kernel had them not, so that libraries take the older way: numbers on x86-64 and elsewhere.
`clone3` hides its flags behind a pointer, where no filter can look."""
REFUSED: Mapping[str, tuple[int, int]] = {
    "userfaultfd": (323, 282),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "chroot": (161, 51),
    "setns": (308, 268),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
}
"""Refused with EPERM: numbers on x86-64 and elsewhere."""
LOOKED_AT: Mapping[str, tuple[int, int]] = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "clone": (56, 220),
    "unshare": (272, 97),
    "ioctl": (16, 29),
}
"""Decided by their arguments."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What the filter needs to know of an architecture."""

    audit: int
    """`AUDIT_ARCH_...`: a call of any other kind (32 bits, say) ends the process."""
    column: int
    """0: numbers of x86-64; 1: the common table."""


MACHINES: Mapping[str, Machine] = {
    "x86_64": Machine(0xC000003E, 0),
    "aarch64": Machine(0xC00000B7, 1),
    "riscv64": Machine(0xC00000F3, 1),
}


def program(machine: str | None = None) -> bytes:
    """Return the filter for this or another machine, 8 bytes an instruction; b"" where there is none for it."""
    found = MACHINES.get(platform.machine() if machine is None else machine)
    if found is None or not sys.platform.startswith("linux"):
        return b""
    column = found.column
    lines = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 1, 0, found.audit),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
    ]
    if column == 0:
        # The x32 table numbers the same calls again, from here on.
        lines += [(AT_LEAST, 0, 1, 0x40000000), _failing(errno.ENOSYS)]
    for calls, code in ((ABSENT, errno.ENOSYS), (REFUSED, errno.EPERM)):
        for numbers in calls.values():
            lines += [(EQUAL, 0, 1, numbers[column]), _failing(code)]
    for name, body in _bodies().items():
        lines += [(EQUAL, 0, len(body), LOOKED_AT[name][column]), *body]
    lines.append((RETURN, 0, 0, ALLOW))
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def program_descriptor(assembled: bytes) -> int:
    """Return a descriptor from which bubblewrap reads the program once; the caller closes it. It is not inherited."""
    reading, writing = os.pipe()
    try:
        # Far below what a pipe holds, so this cannot wait.
        os.write(writing, assembled)
    finally:
        os.close(writing)
    return reading


Line = tuple[int, int, int, int]


def _failing(code: int) -> Line:
    return (RETURN, 0, 0, ERRNO | code)


def _argument(number: int) -> Line:
    """Load the low half of an argument; every machine of the table is little-endian."""
    return (LOAD, 0, 0, FIRST + 8 * number)


def _bodies() -> Mapping[str, Sequence[Line]]:
    allowed: Line = (RETURN, 0, 0, ALLOW)
    families = [
        _argument(0),
        *(line for family in FAMILIES for line in ((EQUAL, 0, 1, family), allowed)),
        (EQUAL, 1, 0, NETLINK),
        _failing(errno.EAFNOSUPPORT),
        _argument(2),
        *(line for kind in NETLINK_KINDS for line in ((EQUAL, 0, 1, kind), allowed)),
        _failing(errno.EPROTONOSUPPORT),
    ]
    return {
        "socket": families,
        "socketpair": families,
        "clone": [_argument(0), (ANY_BIT, 0, 1, NAMESPACES), _failing(errno.EPERM), allowed],
        "unshare": [_argument(0), (ANY_BIT, 0, 1, NAMESPACES | NEW_TIME), _failing(errno.EPERM), allowed],
        "ioctl": [
            _argument(1),
            *(line for request in TERMINAL for line in ((EQUAL, 0, 1, request), _failing(errno.EPERM))),
            allowed,
        ],
    }
