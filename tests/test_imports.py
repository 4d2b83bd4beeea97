"""Importing is free and silent: no heavy library, no socket, no file."""

import json
import subprocess
import sys

import pytest

from experience_db import Store

HEAVY = ("litellm", "openai", "numpy", "ray", "torch", "aiohttp", "math_verify", "tokenizers", "httpx", "datasets")
WATCH = """
import sys
def hook(event, args):
    if event.startswith("socket.") or (event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")):
        raise SystemExit(f"{event} {args}")
sys.addaudithook(hook)
"""


@pytest.mark.parametrize(
    "code",
    [
        "import tfgrpo",
        "import experience_db",
        "import tfgrpo.cli.app",
        "import tfgrpo; tfgrpo.learn; tfgrpo.open_library",
    ],
)
def test_import_loads_nothing_heavy(code, tmp_path):
    """Importing the package, the store or the command tree loads no model client, opens no socket, writes no file."""
    script = f"{WATCH}\n{code}\nprint([m for m in {HEAVY} if m in sys.modules])"
    run = subprocess.run(
        [sys.executable, "-B", "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"
    assert not list(tmp_path.iterdir())


SERVED = """
import os, signal, socket, sys, threading, time, urllib.request
def visit(port):
    for _ in range(200):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).read()
            break
        except OSError as error:
            if getattr(error, "code", 0):
                break
            time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
if "PORT" in sys.argv:
    sys.argv[sys.argv.index("PORT")] = str(port)
    threading.Thread(target=visit, args=(port,), daemon=True).start()
"""


@pytest.mark.parametrize(
    "command",
    [
        ["prove", "--replay", "results.jsonl"],
        ["lessons", "list"],
        ["lessons", "search", "units"],
        ["lessons", "export"],
        ["lessons", "import", "list.md"],
        ["ui", "--port", "PORT"],
        ["proxy", "--upstream", "http://127.0.0.1:9/v1", "--port", "PORT"],
    ],
    ids=" ".join,
)
def test_commands_that_ask_no_model_load_no_client(command, tmp_path):
    """What only reads, edits or passes on runs without litellm and openai, to its end and while it serves."""
    with Store.open(tmp_path / "experience.db") as store:
        store.import_texts(["Convert the units."], "default")
    (tmp_path / "list.md").write_text("- Draw it.\n- Ask back.\n")
    rows = [json.dumps({"id": str(i), "before": [0, 1], "after": [1, 1]}) for i in range(20)]
    (tmp_path / "results.jsonl").write_text("\n".join(rows))
    script = (
        f"import sys\nsys.argv = {['tfgrpo', *command]!r}\n{SERVED}\nfrom tfgrpo.cli import main\n"
        "try:\n    main()\nexcept (SystemExit, KeyboardInterrupt) as end:\n"
        "    assert getattr(end, 'code', 0) in (None, 0, 1, 3, 130), end.code\n"
        "print('loaded', sorted({m.split('.')[0] for m in sys.modules} & {'litellm', 'openai'}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=False, timeout=60
    )
    assert run.stdout.strip().splitlines()[-1:] == ["loaded []"], run.stdout + run.stderr
