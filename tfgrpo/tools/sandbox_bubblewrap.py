"""The bubblewrap command line: which of the machine is seen inside, and that it is what it claims to be.

Inside there are the system's libraries and this interpreter, read-only, a small /tmp in memory, and nothing else: no
home, no network, no other process, no environment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
FILES = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
KERNEL = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus")
SCRATCH, SHARED = "/tmp", "/dev/shm"  # noqa: S108  (they are made inside, in memory)
INSTALL = "install it (apt-get install bubblewrap)"
OTHERWISE = (
    "or choose another isolation (-s tools.python.isolation=... for the tool): a command prefix such as 'docker run "
    "--rm -i --network none python:3.12', or 'limits', which limits time and memory but keeps nothing out"
)


ROOT, USER, PLAIN = "as a user of its own", "in a user namespace", "without a user namespace"
"""Ways to run it, the best first. As root the code becomes a user that owns nothing; else a namespace of users that
cannot be nested; else, for old versions and where bubblewrap is installed setuid, whatever it finds."""
WAYS: Mapping[str, tuple[str, ...]] = {
    ROOT: ("--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"),
    USER: ("--unshare-user", "--disable-userns", "--cap-drop", "ALL"),
    PLAIN: ("--unshare-user-try", "--cap-drop", "ALL"),
}


def bubblewrap_command(*, files_mb: int, way: str) -> list[str]:
    """Return bubblewrap with its options, ready for the command to run inside.

    Args:
        files_mb: size of /tmp and of /dev/shm, in MiB each.
        way: one of `WAYS`.
    """
    size = str(files_mb * 2**20)
    return [
        _program(),
        *("--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"),
        *WAYS[way],
        *("--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv"),
        *("--setenv", "PATH", "/usr/bin:/bin", "--setenv", "HOME", SCRATCH, "--setenv", "LANG", "C.UTF-8"),
        # Numeric libraries start a thread per core otherwise, and threads count as processes.
        *("--setenv", "OMP_NUM_THREADS", "1", "--setenv", "OPENBLAS_NUM_THREADS", "1"),
        # First, for the interpreter itself may live below it.
        *("--perms", "1777", "--size", size, "--tmpfs", SCRATCH),
        *_mounts(),
        *("--proc", "/proc", "--dev", "/dev"),
        # A root without capabilities still owns these; bubblewrap covers them for root with capabilities only.
        *(word for place in KERNEL for word in ("--ro-bind-try", place, place)),
        *("--perms", "1777", "--size", size, "--tmpfs", SHARED, "--remount-ro", "/dev"),
        *("--chdir", SCRATCH, "--remount-ro", "/"),
        "--",
    ]


def _mounts() -> Iterator[str]:
    for place in SYSTEM:
        if os.path.islink(place):
            yield from ("--symlink", os.readlink(place), place)
        elif os.path.isdir(place):
            yield from ("--ro-bind", place, place)
    shown = [*FILES, *interpreter_folders()]
    # Left to itself it makes them for root alone.
    parents = dict.fromkeys(str(up) for place in shown for up in reversed(Path(place).parents[:-1]))
    for parent in (place for place in parents if place != SCRATCH):
        yield from ("--perms", "0755", "--dir", parent)
    for place in shown:
        yield from ("--ro-bind-try", place, place)


def interpreter_folders() -> list[str]:
    """Return the folders of this interpreter and its packages that the system's folders do not hold already."""
    real = os.path.realpath(sys.executable)
    wanted = dict.fromkeys([sys.base_prefix, sys.prefix, os.path.dirname(os.path.dirname(real))])
    return [place for place in wanted if place != "/" and not any(_inside(place, known) for known in SYSTEM)]


def _inside(place: str, folder: str) -> bool:
    return Path(place).is_relative_to(folder)


def _program() -> str:
    return shutil.which("bwrap") or "bwrap"


@cache
def version() -> str:
    """Return what `bwrap --version` says; '' where there is none."""
    program = shutil.which("bwrap")
    if program is None:
        return ""
    try:
        told = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return told.stdout.strip()


def missing_sentence(tried: str) -> str:
    """Return the sentence for a machine where it does not work."""
    if not version():
        return f"code of models runs in bubblewrap, which is not here; {INSTALL}, {OTHERWISE}"
    why = " ".join(tried.split())[-200:] or "it gave no reason"
    return f"code of models runs in bubblewrap, which does not work here ({why}); {OTHERWISE}"
