"""Running code under limits without walls, where the same contract holds: what a run gives, and what is refused."""

from __future__ import annotations

import asyncio
import os
import sys

import pytest
from support.patience import AMPLE, LIMITS

from tfgrpo.errors import UsageError
from tfgrpo.tools.sandbox import Isolation, Limits, RunResult, check_isolation, isolation, run_python

BARE = isolation("limits")
PREFIX = isolation("nice -n 1", python=sys.executable)


async def ran(code: str, **how: object) -> RunResult:
    """Run without walls."""
    return await run_python(code, **{"isolation": BARE, **how})  # type: ignore[arg-type]


async def test_output_errors_and_status_are_kept_apart():
    """As a script that was run by hand."""
    found = await ran("import sys\nprint('out')\nprint('err', file=sys.stderr)\nsys.exit(3)")
    assert (found.stdout, found.stderr, found.exit) == ("out\n", "err\n", 3)
    assert (found.stopped, found.timed_out, found.isolation) == ("", False, "limits")


async def test_the_code_reads_its_stdin_and_nothing_of_the_orders():
    """All of it, also when it is long, and an end."""
    found = await ran("import sys\nprint(len(sys.stdin.read()), input if False else '')", stdin="a\n" * 100_000)
    assert found.stdout.split() == ["200000"]


async def test_stdin_that_nobody_reads_hurts_nobody():
    """A program may end without having read."""
    found = await ran("print(1)", stdin="x" * 3_000_000)
    assert (found.stdout, found.exit) == ("1\n", 0)


async def test_a_script_finds_what_a_script_finds():
    """`__main__`, its file name, an empty folder, and files that were sent along, which can be imported."""
    code = """import os, sys, helper
print(__name__, __file__, sys.argv, sorted(os.listdir('.')), helper.x, sys.modules['__main__'].code)
"""
    found = await ran(f"code = 5\n{code}", files={"helper.py": "x = 1", "data/a.txt": "b"})
    assert found.stdout.split() == ["__main__", "main.py", "['main.py']", "['data',", "'helper.py']", "1", "5"]


async def test_a_traceback_shows_the_code_alone():
    """Nothing of the harness is in it."""
    found = await ran("def f():\n    return 1 / 0\n\nf()")
    assert found.exit == 1
    assert found.stderr.splitlines()[:4] == [
        "Traceback (most recent call last):",
        '  File "main.py", line 4, in <module>',
        "    f()",
        '  File "main.py", line 2, in f',
    ]
    assert "sandbox" not in found.stderr


@pytest.mark.parametrize(("notebook", "said"), [(True, "1\n[2]\n"), (False, "1\n")])
async def test_a_notebook_shows_the_last_value(notebook: bool, said: str):
    """A script does not."""
    assert (await ran("print(1)\n[2]", notebook=notebook)).stdout == said


async def test_nothing_of_this_environment_is_handed_on(monkeypatch: pytest.MonkeyPatch):
    """Keys stay where they are, also without walls and behind a prefix."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-marked")
    for isolated in (BARE, PREFIX):
        found = await ran("import os\nprint(os.environ)", isolation=isolated)
        assert "HOME" in found.stdout
        assert "sk-marked" not in found.stdout


@pytest.mark.parametrize(
    ("code", "stopped"),
    [
        ("while True: pass", "time"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGXCPU)", "time"),
        ("while True: print('x' * 1000)", "output"),
        ("import os, time\nfor _ in range(40): os.fork() or time.sleep(90)\ntime.sleep(90)", "processes"),
    ],
)
@pytest.mark.parametrize("isolated", [BARE, PREFIX], ids=["limits", "prefix"])
async def test_limits_end_a_run_and_say_why(code: str, stopped: str, isolated: Isolation):
    """What came before is kept, within the limit of output."""
    for seconds in LIMITS if stopped == "time" else (AMPLE,):
        limits = Limits(seconds=seconds, output_bytes=5000, processes=16)
        found = await ran(f"print('begun', flush=True)\n{code}", limits=limits, isolation=isolated)
        if found.stdout:
            break  # Else the limit ended the interpreter before it came to the code.
    assert (found.stopped, found.exit, found.timed_out) == (stopped, None, stopped == "time")
    assert found.stdout.startswith("begun")
    assert len(found.stdout) <= 5000


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("isolated", [BARE, PREFIX], ids=["limits", "prefix"])
async def test_root_does_not_run_it_as_root(isolated: Isolation):
    """The code is a user that owns its folder and nothing else, and still finds all of Python's library."""
    code = """import encodings.idna, fractions, json.tool, os
os.write(os.open('mine', os.O_CREAT | os.O_WRONLY), b'x')
print(os.geteuid() != 0, os.getegid() != 0, os.getgroups(), os.access('/etc/shadow', os.R_OK))
os.setuid(0)"""
    found = await ran(code, isolation=isolated)
    assert found.stdout == "True True [] False\n", found
    assert found.stderr.endswith("PermissionError: [Errno 1] Operation not permitted\n")


async def test_memory_files_count_without_walls_too():
    """What a process keeps in a memory file is its memory."""
    code = "import os, time\nf = os.memfd_create('x')\nos.write(f, bytes(60 * 2**20))\ntime.sleep(60)"
    wide = Limits(20, 64, files_mb=64)
    found = await ran(f"{code}", limits=wide) if hasattr(os, "memfd_create") else None
    assert found is None or found.exit != 0


async def test_many_runs_side_by_side_do_not_mix():
    """Each gets its own output."""
    found = await asyncio.gather(*(ran(f"print({n})") for n in range(6)))
    assert [one.stdout for one in found] == [f"{n}\n" for n in range(6)]


async def test_a_container_ends_itself_when_nobody_reaches_into_it():
    """The child behind a prefix keeps its own watch; it stops what this side cannot."""
    from tfgrpo.tools.sandbox_wire import CHILD, encode_orders

    order = {"code": "while True: pass", "notebook": False, "rlimits": {}, "watch": 0.3}
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-c", CHILD, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(AMPLE):
        await child.communicate(encode_orders(order))
    assert child.returncode == 137


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("docker", "'docker' is unknown; use bubblewrap, limits, or a command prefix"),
        ("", "is unknown"),
        ("a 'b", "cannot be read as a command"),
        (3, "cannot be read as a command"),
    ],
)
def test_an_isolation_that_is_none_is_refused(wanted: object, said: str):
    """Before anything runs, with what there is."""
    with pytest.raises(UsageError, match=said):
        isolation(wanted)


@pytest.mark.parametrize(
    ("command", "said"),
    [("no-such-program run", "'no-such-program' is not here"), ("false --", "does not run Python: exit status 1")],
)
def test_a_prefix_that_does_not_work_is_refused_at_the_start(command: str, said: str):
    """The reason is the command's own."""
    with pytest.raises(UsageError, match=said):
        check_isolation(isolation(command))


def test_a_machine_without_bubblewrap_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch, tmp_path):
    """One sentence: install it, or choose another isolation."""
    from tfgrpo.tools import sandbox, sandbox_bubblewrap

    monkeypatch.setenv("PATH", str(tmp_path))
    for cached in (sandbox_bubblewrap.version, sandbox._bubblewrap):
        cached.cache_clear()
    try:
        with pytest.raises(UsageError, match=r"apt-get install bubblewrap.*docker run.*'limits'"):
            check_isolation(Isolation())
    finally:
        for cached in (sandbox_bubblewrap.version, sandbox._bubblewrap):
            cached.cache_clear()


@pytest.mark.parametrize(
    "limits", [{"seconds": 0}, {"seconds": "1"}, {"memory_mb": 1}, {"output_bytes": 1.5}, {"processes": True}]
)
def test_limits_that_make_no_sense_are_refused(limits: dict[str, object]):
    """Each by name."""
    with pytest.raises(UsageError, match=next(iter(limits))):
        Limits(**limits)  # type: ignore[arg-type]
