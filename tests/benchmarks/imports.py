"""What starting costs: seconds and memory of imports and commands that ask no model, beside a bare interpreter.

    python tests/benchmarks/imports.py [--draws 5] [--json]

Each draw is a process of its own, after one that warms the file cache. Seconds are the least of all draws, memory is
the largest resident set in MiB; both stand beside those of `python -c pass`, of which the ratio is told.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from experience_db import Store

MAIN = (
    "import sys; sys.argv = ['tfgrpo', *{0!r}]\n"
    "from tfgrpo.cli import main\ntry:\n    main()\nexcept SystemExit:\n    pass"
)
CODE = {
    "python -c pass": "pass",
    "import tfgrpo": "import tfgrpo",
    "import experience_db": "import experience_db",
    "open_library": "import experience_db; experience_db.open_library('default')",
    "tfgrpo --help": MAIN.format(["--help"]),
    "tfgrpo lessons list": MAIN.format(["lessons", "list"]),
    "tfgrpo runs show": MAIN.format(["runs", "show"]),
    "tfgrpo prove --replay": MAIN.format(["prove", "--replay", "results.jsonl"]),
    "tfgrpo ui (loaded)": "import tfgrpo.cli.ui; import tfgrpo.ui",
    "tfgrpo proxy (loaded)": "import tfgrpo.cli.proxy; import tfgrpo.proxy.server",
    "import openai": "import openai",
    "import litellm": "import os; os.environ['LITELLM_LOCAL_MODEL_COST_MAP'] = 'True'; import litellm",
}


def main() -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--draws", type=int, default=5)
    asked.add_argument("--json", action="store_true")
    told = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        with Store.open("experience.db") as store:
            store.import_texts(["Convert the units."], "default")
            store.start_run("r", name="r", kind="learn", fingerprint="f", config={}, library="default", base_version=0,
                            dataset="d")  # fmt: skip
            store.finish_run("r", "finished", {})
        rows = (json.dumps({"id": str(i), "before": [0, 1], "after": [1, 1]}) for i in range(20))
        Path("results.jsonl").write_text("\n".join(rows), encoding="utf-8")
        found = {name: measured(code, told.draws) for name, code in CODE.items()}
    bare = found["python -c pass"]
    table = {
        name: {"seconds": s, "mib": m, "times": s / bare[0], "memory_times": m / bare[1]}
        for name, (s, m) in found.items()
    }
    if not told.json:
        for name, row in table.items():
            print(f"{name:24} {row['seconds']:6.2f} s {row['mib']:6.0f} MiB   {row['times']:5.1f} x a bare one")
    print(json.dumps({"draws": told.draws, "table": table}))


def measured(code: str, draws: int) -> tuple[float, float]:
    """Return the least seconds and the most MiB of so many processes that run `code`."""
    seconds, most = [], 0
    # Not the child's `ru_maxrss`: it counts what this process held when it made the child.
    told = Path("peak").absolute()
    peak = f"import atexit; atexit.register(lambda: open({str(told)!r}, 'w').write(open('/proc/self/status').read()))\n"
    for draw in range(draws + 1):
        began = time.perf_counter()
        child = os.posix_spawn(
            sys.executable,
            [sys.executable, "-c", peak + code],
            # As installed packages run: with their bytecode kept.
            {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
            ],
        )
        os.waitpid(child, 0)
        if draw:
            seconds.append(time.perf_counter() - began)
            most = max(most, int(told.read_text(encoding="utf-8").split("VmHWM:")[1].split()[0]))
    return min(seconds), most / 1024


if __name__ == "__main__":
    sys.exit(main())
