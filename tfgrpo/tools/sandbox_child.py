"""What runs on the inside: takes its orders from stdin, gives up what it can, then runs the code it was sent.

It is handed to the interpreter as text (`python -I -c`), so it needs the standard library alone, from 3.8 on, and no
file of this package. One frame (8 bytes of length, then JSON) holds the orders; what follows on stdin belongs to the
code. With `session` the code comes in further frames, all run in one namespace.
"""

import ast
import builtins
import json
import linecache
import os
import sys
import time
import traceback
import types
from typing import Any

NAME = "main.py"


def main() -> None:
    """Read the orders and follow them."""
    order = frame(0)
    if order.get("watch"):
        watch(order["watch"])
    if order.get("channel"):
        show(order["channel"])
    give_up(order)
    for name, text in order.get("files", {}).items():
        os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
        with open(name, "w", encoding="utf-8") as file:
            file.write(text)
    sys.argv = [NAME]
    sys.path.insert(0, "")
    if order.get("session"):
        serve()
    code = run(order["code"], fresh(), notebook=order["notebook"])
    flush()
    # Threads and exit handlers of the code end with it.
    raise SystemExit(code)


def frame(descriptor: int) -> Any:
    """Read one frame; the end of the stream ends the process."""
    size = int.from_bytes(exactly(descriptor, 8), "big")
    return json.loads(exactly(descriptor, size))


def exactly(descriptor: int, size: int) -> bytes:
    """Read `size` bytes and not one more, so that the rest stays for the code."""
    data = b""
    while len(data) < size:
        part = os.read(descriptor, size - len(data))
        if not part:
            os._exit(0)
        data += part
    return data


def show(descriptor: int) -> None:
    """Hand out what lets the other side count the memory of these namespaces: SysV segments, messages, sockets."""
    import _socket  # noqa: PLC0415  (as little as possible is loaded before the code)
    import array  # noqa: PLC0415

    opened = array.array("i")
    channel = _socket.socket(fileno=descriptor)
    try:
        for name in ("shm", "msg"):
            opened.append(os.open("/proc/sysvipc/" + name, os.O_RDONLY))
        opened.append(_socket.socket(16, _socket.SOCK_RAW, 4).detach())
        channel.sendmsg([b"w"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, opened)])
    except OSError:
        # A kernel without them has nothing to count either.
        pass
    finally:
        channel.close()
        for each in opened:
            os.close(each)


def leave_root(user: int) -> None:
    """Become a user that owns nothing but the folder of this run; without the right to, stay what one is."""
    if os.geteuid():
        return
    if os.listdir("."):
        import tempfile  # noqa: PLC0415  (only behind a prefix, whose folder is not ours)

        os.chdir(tempfile.mkdtemp())
    folders = {}
    for place in sys.path:
        if os.path.isdir(place):
            folders[place] = os.open(place, os.O_RDONLY)
    if os.stat(".").st_mode & 0o2 == 0:
        try:
            os.chown(".", user, user)
        except OSError:
            # Without the right to give it away: it is alone in here, so anybody may have it.
            os.chmod(".", 0o777)  # noqa: S103
    try:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    except OSError:
        pass
    shut = {}
    for place, descriptor in folders.items():
        if os.access(place, os.R_OK | os.X_OK):
            os.close(descriptor)
        else:
            shut[place] = f"/proc/self/fd/{descriptor}"
    reopen(shut)


def reopen(places: Any) -> None:
    """Let a user import from folders below one that is shut to it, root's home say: by what was opened before."""
    sys.path[:] = [places.get(place, place) for place in sys.path]
    for module in tuple(sys.modules.values()):
        inner = getattr(module, "__path__", None)
        if isinstance(inner, list):
            for place in sorted(places, key=len):
                inner[:] = [places[place] + p[len(place) :] if p.startswith(place + "/") else p for p in inner]


def give_up(order: Any) -> None:
    """Set the limits, which cannot be raised again, and leave root where there is somebody else to be."""
    import resource  # noqa: PLC0415  (absent on Windows, where the module must still be readable)

    if order.get("uid"):
        leave_root(order["uid"])
    for name, (soft, hard) in order["rlimits"].items():
        kind = getattr(resource, "RLIMIT_" + name, None)
        if kind is None:
            continue
        most = resource.getrlimit(kind)[1]
        within = (soft, hard) if most == resource.RLIM_INFINITY else (min(soft, most), min(hard, most))
        try:
            resource.setrlimit(kind, within)
        except (ValueError, OSError) as error:
            # macOS refuses some; a limit that is missing is said, not hidden.
            os.write(2, f"[no limit {name}: {error}]\n".encode())


def watch(seconds: float) -> None:
    """Stay behind as the parent, which ends in time even when nobody outside can reach into the container."""
    child = os.fork()
    if not child:
        return
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            os._exit(os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status))
        time.sleep(0.02)
    os.kill(child, 9)
    os._exit(137)


def fresh() -> Any:
    """Return the namespace of a new `__main__`, so that the code finds what a script finds."""
    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    module.__dict__.update(__file__=NAME, __builtins__=builtins, __annotations__={})
    return module.__dict__


def run(code: str, space: Any, *, notebook: bool) -> int:
    """Run `code`; return the exit status. A traceback begins at the code itself."""
    lines = code.splitlines(keepends=True)
    linecache.cache[NAME] = (len(code), None, lines, NAME)
    try:
        body = ast.parse(code, NAME)
        last = body.body.pop() if notebook and body.body and isinstance(body.body[-1], ast.Expr) else None
        builtins.exec(compile(body, NAME, "exec"), space)  # noqa: S102  (what it is for)
        if isinstance(last, ast.Expr):
            value = builtins.eval(compile(ast.Expression(last.value), NAME, "eval"), space)  # noqa: S307
            if value is not None:
                print(repr(value))
    except SystemExit as asked:
        return status_of(asked)
    except BaseException as error:  # noqa: BLE001  (it is told on stderr)
        flush()
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != NAME:
            trace = trace.tb_next
        sys.stderr.write("".join(traceback.format_exception(type(error), error, trace)))
        return 1
    return 0


def status_of(asked: SystemExit) -> int:
    """Return the exit status that `sys.exit(x)` stands for."""
    if asked.code is None:
        return 0
    if isinstance(asked.code, int):
        return asked.code & 0xFF
    sys.stderr.write(f"{asked.code}\n")
    return 1


def flush() -> None:
    """Write out what was printed; the code may have closed or replaced the streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue


def serve() -> None:
    """Run one piece of code after the other, each closed by its mark on both streams, until stdin ends."""
    orders, out, err = os.dup(0), os.dup(1), os.dup(2)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    space = fresh()
    while True:
        order = frame(orders)
        status = run(order["code"], space, notebook=True)
        flush()
        os.write(err, order["mark"].encode())
        os.write(out, f"{order['mark']}{status:3d}".encode())


if __name__ == "__main__":
    main()
