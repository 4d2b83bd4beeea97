"""Attempts to get out of the sandbox, by code that says ESCAPED when it got anywhere, and what is left of them.

They need bubblewrap (apt-get install bubblewrap); .ci/run installs it and fails where it does not work.
"""

# ruff: noqa: E501  (code of one line each reads as a table)

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from support.patience import AMPLE, until

from tfgrpo.errors import UsageError
from tfgrpo.tools.sandbox import Isolation, Limits, RunResult, check_isolation, run_python

ENOUGH = Limits(seconds=AMPLE, memory_mb=256, output_bytes=20_000, processes=24, files_mb=8)
"""For code that ends by itself, or that another limit than time ends."""
TRY = "import ctypes, errno, os, platform\nx86 = platform.machine() == 'x86_64'\nlibc = ctypes.CDLL(None, use_errno=True)\ndef call(*a):\n    if libc.syscall(*a) < 0:\n        raise OSError(ctypes.get_errno(), 'refused')\ndef attempt(f, *a):\n    try:\n        f(*a)\n    except BaseException as error:\n        print(type(error).__name__)\n    else:\n        print('ESCAPED')\n"

FORBIDDEN = {
    "tcp to a server of this machine": "import socket\nattempt(socket.create_connection, ('127.0.0.1', {port}), 1)",
    "tcp to the world": "import socket\nattempt(socket.create_connection, ('1.1.1.1', 53), 1)",
    "udp to the world": "import socket\nattempt(socket.socket(type=socket.SOCK_DGRAM).sendto, b'x', ('1.1.1.1', 53))",
    "names of the network": "import socket\nattempt(socket.getaddrinfo, 'example.com', 80)",
    "raw packets": "import socket\nattempt(socket.socket, socket.AF_PACKET, socket.SOCK_RAW)",
    "an abstract unix socket": "import socket\nattempt(socket.socket(socket.AF_UNIX).connect, '\\0{mark}')",
    "a unix socket in a folder": "import socket\nattempt(socket.socket(socket.AF_UNIX).connect, '{folder}/listening')",
    "a secret by its path": "attempt(open, '{secret}')",
    "a secret by a symlink": "import os\nos.symlink('{secret}', '/tmp/link')\nattempt(open, '/tmp/link')",
    "a secret by /proc/1/root": "attempt(open, '/proc/1/root{secret}')",
    "a secret by /proc/self/cwd": "attempt(open, '/proc/self/cwd/../..{secret}')",
    "a secret by a hard link": "import os\nattempt(os.link, '{secret}', '/tmp/hard')",
    "the folder of the secret": "import os\nattempt(os.listdir, '{folder}')",
    "the password file": "attempt(open, '/etc/shadow')",
    "writing to the system": "attempt(open, '/usr/{mark}', 'w')",
    "writing to the root folder": "attempt(open, '/{mark}', 'w')",
    "writing beside the packages": "import sysconfig\nattempt(open, sysconfig.get_path('purelib') + '/{mark}.pth', 'w')",
    "writing over the interpreter": "import sys\nattempt(open, sys.executable, 'ab')",
    "writing beside the secret": "attempt(open, '{folder}/{mark}', 'w')",
    "changing permissions": "import os, sys\nattempt(os.chmod, sys.prefix, os.stat(sys.prefix).st_mode)",
    "making a device": "import os, stat\nattempt(os.mknod, '{folder}/disk', 0o600 | stat.S_IFBLK, os.makedev(254, 0))",
    "the memory of the machine": "attempt(open, '/dev/mem', 'rb')",
    "the terminal": "attempt(open, '/dev/tty')",
    "settings of the kernel": "attempt(open, '/proc/sys/kernel/core_pattern', 'w')",
    "the magic key": "attempt(open, '/proc/sysrq-trigger', 'w')",
    "limits of the memory": "import resource as r\nattempt(r.setrlimit, r.RLIMIT_AS, (r.RLIM_INFINITY, r.RLIM_INFINITY))",
    "limits of the processes": "import resource as r\nattempt(r.setrlimit, r.RLIMIT_NPROC, (9999, 9999))",
    "another root folder": "import os\nattempt(os.chroot, '/usr')",
    "another host name": "import socket\nattempt(socket.sethostname, socket.gethostname())",
    "a higher priority": "import os\nattempt(os.nice, -10)",
    "the clock": "import time\nattempt(time.clock_settime, time.CLOCK_REALTIME, time.time())",
    "a socket of the hypervisor": "import socket\nattempt(socket.socket, 40, socket.SOCK_STREAM)",
    "ciphers of the kernel": "import socket\nattempt(socket.socket, 38, socket.SOCK_SEQPACKET)",
    "packet filters over netlink": "import socket\nattempt(socket.socket, 16, socket.SOCK_RAW, 12)",
    "rings of requests": "attempt(call, 425, 8, bytes(120))",
    "faults handled here": "attempt(call, 323 if x86 else 282, 1)",
    "a namespace of users": "attempt(call, 272 if x86 else 97, 0x10000000)",
    "a process in a namespace of users": "attempt(call, 56 if x86 else 220, 0x10000011, 0, 0, 0, 0)",
    "a process with hidden flags": "attempt(call, 435, (ctypes.c_uint64 * 11)(0x10000000), 88)",
    "another's namespace": "attempt(call, 308 if x86 else 268, os.open('/proc/self/ns/net', os.O_RDONLY), 0)",
    "tracing": "attempt(call, 101 if x86 else 117, 0, 0, 0, 0)",
    "reading another's memory": "attempt(call, 310 if x86 else 270, os.getppid(), 0, 0, 0, 0, 0)",
    "the keys of the kernel": "attempt(call, 250 if x86 else 219, 0, -3, 0, 0, 0)",
    "programs in the kernel": "attempt(call, 321 if x86 else 280, 0, bytes(64), 64)",
    "counters of the kernel": "attempt(call, 298 if x86 else 241, bytes(128), 0, -1, -1, 0)",
    "more open files": "import resource as r\nattempt(r.setrlimit, r.RLIMIT_NOFILE, (9999, 9999))",
    "a hundred thousand open files": "attempt(lambda: [os.dup(1) for _ in range(100_000)])",
    "being root": "attempt(os.setuid, 0)",
    "signals to this process": "import os\nattempt(os.kill, {pid}, 0)",
    "the memory of this process": "attempt(open, '/proc/{pid}/mem', 'rb+')",
}
"""What must fail, whatever the error; what succeeds where there are no walls does no harm."""

SILENT = {
    "keys in the environment": "import os\nprint(os.environ)",
    "keys of other processes": "import glob\nfor f in glob.glob('/proc/*/environ'):\n    try:\n        print(open(f).read())\n    except OSError as error:\n        print(error)",
    "command lines of other processes": "import glob\nfor f in glob.glob('/proc/[0-9]*/cmdline'):\n    print(open(f).read().replace('\\0', ' ')[:3000])",
    "inherited descriptors": "import os\nfor n in os.listdir('/proc/self/fd'):\n    try:\n        print(os.readlink('/proc/self/fd/' + n))\n        print(os.pread(int(n), 1000, 0))\n    except OSError:\n        pass",
    "shared folders": "import os\nfor top in ('/tmp', '/dev/shm', '/var', '/home', '/run', '/mnt', '/root', '/srv', '/opt'):\n    for where, folders, files in os.walk(top):\n        if len(files) and 'lib' not in where and 'bin' not in where:\n            print(where, files[:50])",
    "mounts": "print(open('/proc/self/mounts').read())",
    "harness in memory": "import gc, sys\nprint([o for o in gc.get_objects() if isinstance(o, dict) and 'rlimits' in o and 'secret' in str(o)])\nprint(sys.argv, sys.orig_argv[1:3])",
    "stdin of the harness": "import sys\nprint(repr(sys.stdin.read()))",
}
"""What may run, and must not print the mark that this process knows."""

STOPPED = {
    "a fork bomb": ("import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass", {"time", "processes"}),
    "a bomb of threads": ("import threading, time\nwhile True:\n    try:\n        threading.Thread(target=time.sleep, args=(60,)).start()\n    except BaseException:\n        pass", {"time", "processes", "memory"}),
    "memory in many processes": ("import os, time\nfor _ in range(8):\n    if not os.fork():\n        x = bytearray(100 * 2**20)\n        for i in range(0, len(x), 4096):\n            x[i] = 1\n        time.sleep(90)\ntime.sleep(90)", {"memory"}),
    "endless output": ("while True:\n    print('x' * 1000)", {"output"}),
    "endless errors": ("import sys\nwhile True:\n    sys.stderr.write('x' * 1000)", {"output"}),
    "an endless loop": ("while True: pass", {"time"}),
    "huge numbers": ("print(10 ** 10 ** 10)", {"time", "memory"}),
    "sleep with closed streams": ("import os, time\nfor n in range(3):\n    os.close(n)\ntime.sleep(60)", {"time"}),
    "deaf to signals": ("import signal\nfor n in range(1, 64):\n    try:\n        signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError):\n        pass\nwhile True: pass", {"time"}),
    "an exit handler that never ends": ("import atexit, time\natexit.register(time.sleep, 60)", {"time"}),
    "output of a child that is never read": ("import subprocess\nsubprocess.run(['yes'])", {"output"}),
}  # fmt: skip
"""What must be ended from outside, and the reasons that may be given."""

MEMORY = {
    "files in memory": "for i in range(60):\n    f = os.memfd_create('x')\n    for _ in range(8): os.write(f, bytes(2**20))",
    "files in memory, on their way in a socket": "a, b = socket.socketpair()\nfor i in range(60):\n    f = os.memfd_create('x')\n    for _ in range(8): os.write(f, bytes(2**20))\n    socket.send_fds(a, [b'x'], [f])\n    os.close(f)",
    "shared between processes": "for i in range(12):\n    if not os.fork():\n        m = mmap.mmap(-1, 40 * 2**20)\n        m.write(bytes(range(256)) * 40 * 2**12)\n        time.sleep(60)",
    "segments that nobody has": "libc.shmat.restype = ctypes.c_void_p\nlibc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]\nlibc.shmdt.argtypes = [ctypes.c_void_p]\nfor i in range(12):\n    a = libc.shmat(libc.shmget(0, ctypes.c_size_t(40 * 2**20), 0o1600), None, 0)\n    ctypes.memset(a, 1, 40 * 2**20)\n    libc.shmdt(a)",
    "sockets": "kept = []\nfor p in range(20):\n    if not os.fork():\n        for i in range(100):\n            a, b = socket.socketpair()\n            a.setblocking(False)\n            a.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)\n            try:\n                while True: a.send(bytes(65536))\n            except BlockingIOError:\n                kept.append(b if i % 2 else (a, b))\n        time.sleep(60)",
}
"""Memory that is in no process's resident size."""

QUICKLY = ("a fork bomb", "memory in many processes", "endless output", "an endless loop")
"""Those that run in every test run; .ci/run has them all."""


@pytest.fixture(scope="module", autouse=True)
def walls() -> None:
    """Skip all of this where bubblewrap is not; CI has a test of its own that fails there."""
    try:
        check_isolation(Isolation())
    except UsageError as error:
        pytest.skip(str(error))


@dataclass(frozen=True)
class Outside:
    """What the code is after."""

    secret: Path
    mark: str
    port: int
    listener: socket.socket

    def fill(self, code: str) -> str:
        """Name the targets in the code."""
        filled = code
        for name, value in {
            "secret": self.secret, "folder": self.secret.parent, "mark": self.mark, "port": self.port, "pid": os.getpid(),
        }.items():  # fmt: skip
            filled = filled.replace("{" + name + "}", str(value))
        return filled


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outside]:
    """A secret in a file, in the environment and behind sockets, under a mark that only this process knows."""
    mark = f"secret{secrets.token_hex(8)}"
    (tmp_path / "keys").write_text(mark, encoding="utf-8")
    (tmp_path / mark[:6]).write_text("", encoding="utf-8")
    monkeypatch.setenv("OPENAI_API_KEY", mark)
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        for name in (f"\0{mark}", str(tmp_path / "listening")):
            unix = stack.enter_context(socket.socket(socket.AF_UNIX))
            unix.bind(name)
            unix.listen()
        file = stack.enter_context((tmp_path / "keys").open())
        os.set_inheritable(file.fileno(), True)
        tcp.setblocking(False)
        yield Outside(tmp_path / "keys", mark, tcp.getsockname()[1], tcp)


async def ran(code: str, limits: Limits = ENOUGH) -> RunResult:
    """Run code in bubblewrap."""
    return await run_python(code, limits=limits)


async def test_what_is_outside_cannot_be_reached(outside: Outside):
    """Each attempt raises inside, and outside nothing was touched."""
    before = sorted(path.name for path in outside.secret.parent.iterdir())
    tries = [f"print({name!r}, end=': ')\n{outside.fill(code)}" for name, code in FORBIDDEN.items()]
    found = await ran("\n".join([TRY, *tries]))
    told = dict(line.split(": ", 1) for line in found.stdout.splitlines())
    assert not [name for name, error in told.items() if "ESCAPED" in error]
    assert set(told) == set(FORBIDDEN), found
    assert (found.exit, found.stopped) == (0, "")
    assert sorted(path.name for path in outside.secret.parent.iterdir()) == before
    with pytest.raises(BlockingIOError):
        outside.listener.accept()


@pytest.mark.parametrize("name", SILENT)
async def test_what_is_known_outside_cannot_be_read(name: str, outside: Outside):
    """Nothing that the code prints holds the mark of this process."""
    found = await ran(outside.fill(SILENT[name]))
    assert found.stdout.strip(), found
    assert found.exit == 0, found.stderr
    assert outside.mark not in found.stdout + found.stderr


@pytest.mark.parametrize(
    "name", [*QUICKLY, *(pytest.param(n, marks=pytest.mark.slow) for n in STOPPED if n not in QUICKLY)]
)
async def test_what_does_not_end_is_ended(name: str):
    """The reason is told, and the next run finds a machine in order."""
    code, reasons = STOPPED[name]
    found = await ran(code, replace(ENOUGH, seconds=1.0) if "time" in reasons else ENOUGH)
    assert found.stopped in reasons, found
    assert found.exit is None
    assert (await ran("print(6 * 7)")).stdout == "42\n"


@pytest.mark.parametrize("name", MEMORY)
async def test_memory_is_counted_wherever_it_is_kept(name: str):
    """Four hundred MiB under a limit of 256 are ended, and called memory."""
    code = f"import ctypes, mmap, os, socket, time\nlibc = ctypes.CDLL(None)\n{MEMORY[name]}\ntime.sleep(60)"
    assert (await ran(code, ENOUGH)).stopped == "memory"


async def test_what_is_shared_is_counted_once():
    """Ten forks of a process with 100 MiB stay under 256."""
    code = """import mmap, os, time
own, shared = bytearray(b'x' * 60 * 2**20), mmap.mmap(-1, 60 * 2**20)
shared.write(own)
for _ in range(10):
    if not os.fork():
        sum(shared[::4096])
        time.sleep(0.8)
        os._exit(0)
for _ in range(10):
    os.wait()
print('done')"""
    found = await ran(code, ENOUGH)
    assert (found.stdout, found.stopped) == ("done\n", "")


async def test_what_is_ordinary_still_works():
    """Subprocesses, threads, locks between processes, sockets of its own, memory files."""
    code = """import multiprocessing as m, os, socket, subprocess, sys, threading
from multiprocessing import shared_memory
thread = threading.Thread(target=print, args=('thread',)); thread.start(); thread.join()
print(subprocess.run([sys.executable, '-c', 'print(1)'], capture_output=True, text=True).stdout.strip())
if __name__ == '__main__':
    with m.get_context('fork').Pool(2) as pool:
        print(pool.map(abs, [-1, 2]))
block = shared_memory.SharedMemory(create=True, size=1000); block.close(); block.unlink()
a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1))
server = socket.create_server(('127.0.0.1', 0)); socket.create_connection(server.getsockname())
os.close(os.memfd_create('x'))
print(socket.if_nameindex()[0][1])"""
    found = await ran(code)
    assert found.stdout.split("\n") == ["thread", "1", "[1, 2]", "b'x'", "lo", ""], found


async def test_what_stands_is_named():
    """The record says which walls there are, and of one that is missing, why."""
    name = check_isolation(Isolation())
    assert "system calls filtered" in name or "system calls not filtered (" in name
    assert name.endswith("memory by cgroup") or "memory counted (" in name
    assert (await ran("1")).isolation == name


@pytest.mark.parametrize(
    ("code", "exit_status"),
    [
        ("import os\nos._exit(7)", 7),
        ("import sys\nsys.exit(3)", 3),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", 137),
        ("import os\ntry:\n    os.kill(-1, 9)\nexcept OSError:\n    pass\nos.kill(os.getpid(), 9)", 137),
        ("import sys\nsys.exit = None\nexit = None\nimport os\nos._exit = print", 0),
        ("def f():\n    return f()\nf()", 1),
        ("x = [0] * 10**9", 1),
        ("open('/tmp/big', 'wb').write(bytes(100 * 2**20))", None),
        ("import ctypes\nctypes.string_at(0)", 139),
        ("import sys\nsys.setrecursionlimit(10**8)\nx = []\nfor _ in range(10**5): x = [x]\nrepr(x)", None),
        ("print('\\0')", 0),
        ("\ud800", 1),
        ("x = '" + "a" * 3_000_000 + "'", 0),
    ],
)
async def test_every_end_is_told_as_it_was(code: str, exit_status: int | None):
    """Exit, signal, exhausted memory, disk or stack: the status says so, and it is the code's alone."""
    found = await ran(code)
    assert found.stopped == ""
    assert found.exit == exit_status if exit_status is not None else found.exit not in (None, 0), found


async def test_the_disk_cannot_be_filled():
    """All places that can be written hold a few MiB together."""
    code = """
import os
total = 0
for place in ('/tmp', '/dev/shm', '/dev', '/var/tmp', '.'):
    for number in range(40):
        try:
            with open(f'{place}/{number}', 'wb', buffering=0) as file:
                for _ in range(4):
                    total += file.write(bytes(2**20))
        except OSError:
            pass
print(total)
"""
    found = await ran(code)
    assert found.exit == 0
    assert int(found.stdout) <= 3 * ENOUGH.files_mb * 2**20


async def test_no_process_is_left_behind():
    """A daemon in a session of its own ends with its call."""
    mark = f"left{secrets.token_hex(8)}"
    code = f"""
import os, sys
ended, end = os.pipe()
if not os.fork():
    os.setsid()
    if not os.fork():
        os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(600)', '{mark}'])
    os._exit(0)
os.close(end)
os.read(ended, 1)  # Returns when the daemon has become another program, which closes its end.
"""
    found = await ran(code)
    assert (found.exit, found.stopped) == (0, "")
    assert await until(lambda: not marked(mark))


def marked(mark: str) -> list[str]:
    """Processes of this machine that have the mark on their command line, those in namespaces too."""
    return [pid for pid in os.listdir("/proc") if pid.isdecimal() and f"\0{mark}\0".encode() in _cmdline(pid)]


def _cmdline(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


async def test_a_namespace_of_its_own_gives_nothing():
    """Where the kernel lets the code make namespaces, read-only stays read-only and the secret stays away."""
    code = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.unshare(0x10000000 | 0x00020000)
libc.mount(b'none', b'/usr', None, 32 | 4096, None)
libc.mount(b'/proc/1/root', b'/tmp', None, 4096, None)
for place in ('/usr/x', '/x', '{folder}/x'):
    try:
        open(place, 'w')
        print('ESCAPED', place)
    except OSError as error:
        print(error)
"""
    found = await ran(code)
    assert "ESCAPED" not in found.stdout
    assert found.stdout.count("\n") == 3


async def test_cancelling_ends_the_code():
    """A rollout that is given up takes its processes with it."""
    mark = f"left{secrets.token_hex(8)}"
    code = f"import os, sys\nos.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(600)', '{mark}'])"
    running = asyncio.ensure_future(ran(code, Limits(seconds=600)))
    assert await until(lambda: bool(marked(mark)))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await until(lambda: not marked(mark))


@pytest.mark.slow
def test_bubblewrap_works_where_ci_runs():
    """What skips elsewhere must run here: this fails where the sandbox cannot be used."""
    assert check_isolation(Isolation()).startswith("bubblewrap")
