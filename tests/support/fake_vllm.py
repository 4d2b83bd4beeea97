"""What `vllm` looks like from outside: `serve MODEL --host H --port P ...` with /health and a list of models.

    python fake_vllm.py FOLDER [healthy-after SECONDS] serve ...

It writes its arguments and its pid into FOLDER, and ends by itself when a file `crash` is there.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def main(folder: Path, slow: float, arguments: list[str]) -> None:
    """Serve until a file `crash` is in the folder, which is taken away."""
    began = time.monotonic()

    class Handler(BaseHTTPRequestHandler):
        """Answers 503 until it is time."""

        def do_GET(self) -> None:
            """Tell whether the weights are loaded."""
            data = json.dumps({"data": [{"id": "m"}]}).encode()
            self.send_response(200 if time.monotonic() - began >= slow else 503)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    told = dict(itertools.pairwise(arguments))
    server = ThreadingHTTPServer((told["--host"], int(told["--port"])), Handler)
    with (folder / "starts.jsonl").open("a") as out:
        out.write(json.dumps({"pid": os.getpid(), "arguments": arguments}) + "\n")
    print("Loading weights: 50%", flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    crash = folder / "crash"
    while not crash.exists():
        time.sleep(0.02)
    crash.unlink()
    print("RuntimeError: CUDA error: out of memory", flush=True)
    os._exit(7)


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
