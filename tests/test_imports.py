"""Importing is free and silent: no heavy library, no socket, no file."""

import subprocess
import sys

import pytest

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
