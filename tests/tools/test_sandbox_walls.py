"""The walls that this machine may not have: the filter as each architecture reads it, and the groups of cgroup v2."""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import pytest

from tfgrpo.tools import sandbox_cgroup, sandbox_seccomp
from tfgrpo.tools.sandbox_seccomp import ALLOW, ERRNO, KILL, MACHINES

REFUSED = {"EPERM": ERRNO | errno.EPERM, "ENOSYS": ERRNO | errno.ENOSYS, "FAMILY": ERRNO | errno.EAFNOSUPPORT}


def verdict(program: bytes, audit: int, number: int, *arguments: int) -> int:
    """Run a filter over one call, as the kernel's interpreter of classic BPF does."""
    lines = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    padded = (*arguments, *[0] * (6 - len(arguments)))
    data = struct.pack("=IIQ6Q", number, audit, 0, *padded)
    accumulator, at = 0, 0
    while True:
        code, yes, no, k = lines[at]
        at += 1
        match code:
            case 0x20:
                accumulator = struct.unpack_from("=I", data, k)[0]
            case 0x15:
                at += yes if accumulator == k else no
            case 0x35:
                at += yes if accumulator >= k else no
            case 0x45:
                at += yes if accumulator & k else no
            case 0x06:
                return k
            case _:
                raise AssertionError(code)


@pytest.mark.parametrize(
    ("name", "arguments", "answer"),
    [
        *((name, (), "EPERM") for name in sandbox_seccomp.REFUSED),
        *((name, (), "ENOSYS") for name in sandbox_seccomp.ABSENT),
        ("socket", (40, 1), "FAMILY"),
        ("socket", (17, 3), "FAMILY"),
        ("socketpair", (38, 5), "FAMILY"),
        ("socket", (16, 3, 12), "PROTOCOL"),
        ("socket", (16, 3, 0), "ALLOW"),
        ("socket", (1, 1), "ALLOW"),
        ("socket", (2, 1, 6), "ALLOW"),
        ("socket", ((1 << 32) | 10, 1), "ALLOW"),
        ("clone", (0x10000000 | 17,), "EPERM"),
        ("clone", (0x3D0F00,), "ALLOW"),
        ("unshare", (0x80,), "EPERM"),
        ("unshare", (0x400,), "ALLOW"),
        ("ioctl", (0, 0x5412), "EPERM"),
        ("ioctl", (0, 0x5401), "ALLOW"),
    ],
)
@pytest.mark.parametrize("machine", MACHINES)
def test_the_filter_refuses_what_it_names_and_lets_the_rest_through(
    machine: str, name: str, arguments: tuple[int, ...], answer: str
):
    """On every architecture of the table, by number and by argument."""
    about = MACHINES[machine]
    numbers = {**sandbox_seccomp.ABSENT, **sandbox_seccomp.REFUSED, **sandbox_seccomp.LOOKED_AT}
    wanted = {**REFUSED, "PROTOCOL": ERRNO | errno.EPROTONOSUPPORT, "ALLOW": ALLOW}[answer]
    program = sandbox_seccomp.program(machine)
    assert verdict(program, about.audit, numbers[name][about.column], *arguments) == wanted


@pytest.mark.parametrize("machine", MACHINES)
def test_calls_of_another_table_do_not_pass(machine: str):
    """32-bit calls end the process, those of x32 do not exist; an everyday call passes."""
    program, about = sandbox_seccomp.program(machine), MACHINES[machine]
    assert verdict(program, 0x40000003, 11) == KILL
    assert verdict(program, about.audit, 63 if about.column else 0) == ALLOW
    if machine == "x86_64":
        assert verdict(program, about.audit, 0x40000000 | 41) == ERRNO | errno.ENOSYS


def test_no_filter_is_made_up_for_an_unknown_machine():
    """It is empty, and the name of the isolation says so."""
    assert sandbox_seccomp.program("s390x") == b""


def tree(root: Path, controllers: str, below: str) -> tuple[Path, Path]:
    """Make folders as cgroup v2 has them, the process in /user/session; return the mounts and its own record."""
    session = root / "user" / "session"
    session.mkdir(parents=True)
    (root / "cgroup.controllers").write_text(controllers)
    for folder, controlled in ((root, controllers), (root / "user", below), (session, "")):
        (folder / "cgroup.subtree_control").write_text(controlled)
        (folder / "cgroup.procs").write_text("")
    mounts, own = root.parent / "mounts", root.parent / "own"
    mounts.write_text(f"none {root} cgroup2 rw 0 0\n")
    own.write_text("0::/user/session\n")
    return mounts, own


@pytest.mark.parametrize(
    ("controllers", "below", "said"),
    [
        ("cpu pids", "", "cgroup v2 has no memory controller here"),
        ("memory pids", "", "no cgroup with a memory controller may be written"),
    ],
)
def test_where_no_group_can_be_made_it_says_why(tmp_path: Path, controllers: str, below: str, said: str):
    """Folders that are no control groups take no process, so that nothing is believed of them."""
    mounts, own = tree(tmp_path / "cgroup", controllers, below)
    assert sandbox_cgroup.place(mounts, own) == sandbox_cgroup.Place(None, said)
    assert sandbox_cgroup.place(tmp_path / "none", own).why == "cgroup v2 is not mounted"


def test_a_group_holds_the_memory_of_the_whole_tree(tmp_path: Path):
    """Its limits are written before anything enters, and an end by the kernel is seen."""
    with sandbox_cgroup.group(tmp_path, memory=2**28, processes=9) as made:
        written = {name: (made.folder / name).read_text() for name in ("memory.max", "memory.swap.max", "pids.max")}
        before = made.exhausted
        (made.folder / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
        after = made.exhausted
        for file in made.folder.iterdir():
            file.unlink()
    assert written == {"memory.max": str(2**28), "memory.swap.max": "0", "pids.max": "9"}
    assert (before, after) == (False, True)


def test_nothing_runs_before_it_is_in_the_group(tmp_path: Path):
    """The shell writes itself into the group and becomes the command; where it cannot, the command does not run."""
    command = sandbox_cgroup.MemoryGroup(tmp_path).entering(("echo", "a b", "c"))
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "a b c\n"
    assert (tmp_path / "cgroup.procs").read_text() == "0\n"
    gone = sandbox_cgroup.MemoryGroup(tmp_path / "none").entering(("echo", "x"))
    failed = subprocess.run(gone, capture_output=True, text=True, check=False)
    assert (failed.returncode != 0, failed.stdout) == (True, "")


@pytest.mark.skipif(os.geteuid() != 0, reason="whoever is not root has no root to leave")
def test_root_is_left_where_the_interpreter_lives_in_tmp():
    """A folder below /tmp cannot be given away without a capability; root is left all the same."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        venv.create(folder, symlinks=True, with_pip=False)
        code = (
            "import asyncio\nfrom tfgrpo.tools import sandbox\n"
            'asked = sandbox.run_python(\'import os; print(os.getuid(), os.getcwd()); open("mine", "w").close()\','
            " limits=sandbox.Limits(), isolation=sandbox.isolation('bubblewrap'))\n"
            "ran = asyncio.run(asked)\nprint(ran.stdout, ran.stderr)"
        )
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        python = str(Path(folder) / "bin" / "python")
        told = subprocess.run([python, "-c", code], capture_output=True, text=True, env=env, check=True).stdout.split()
    assert int(told[0]) > 0, told
    assert len(told) == 2, told
