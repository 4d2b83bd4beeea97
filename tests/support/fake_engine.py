"""A child that is held like the engine of local models and serves /health and one fixed reply; no weights."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

CHILD = Path(__file__).parents[2] / "tfgrpo" / "backends" / "local" / "child.py"


class Handler(BaseHTTPRequestHandler):
    """Answers everything with 200."""

    def do_GET(self) -> None:
        """Say that all is well."""
        self._answer({"status": "ok"})

    def do_POST(self) -> None:
        """Give the one reply there is."""
        self.rfile.read(int(self.headers["Content-Length"]))
        message = {"role": "assistant", "content": "blue"}
        self._answer({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _answer(self, body: object) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def start(wanted: dict) -> str:
    """Serve in a thread; weights whose name says so fail as broken weights do."""
    if "broken" in wanted["name"]:
        sys.exit("these weights cannot be loaded")
    server = ThreadingHTTPServer(("127.0.0.1", wanted["port"]), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


spec = importlib.util.spec_from_file_location("child", CHILD)
child = importlib.util.module_from_spec(spec)
spec.loader.exec_module(child)
child.LOOK = 0.05
child.main(start)
