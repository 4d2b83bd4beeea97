"""Repositories of git over http on 127.0.0.1, by git's own server program (`git http-backend`).

    with GitServer(folder) as server:
        ...  # server.url + "/remote.git"; the user USER with the password PASSWORD may read and write

Everybody else is asked who they are, as by a host of repositories.
"""

from __future__ import annotations

import base64
import os
import subprocess
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from support.threaded_server import ThreadedServer

USER, PASSWORD = "me", "s3cret-of-the-host"


class GitServer(ThreadedServer):
    """Serves every bare repository of a folder."""

    def __init__(self, folder: Path) -> None:
        """Listen on a free port."""
        self.asked: list[str] = []
        """Path of each request that was let in."""
        super().__init__(type("Handler", (_Handler,), {"folder": folder, "asked": self.asked}))
        self.known_url = self.url.replace("//", f"//{USER}:{PASSWORD}@")


class _Handler(BaseHTTPRequestHandler):
    folder: Path
    asked: list[str]

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *_: object) -> None:
        pass

    def _serve(self, body: bytes) -> None:
        mark = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") != f"Basic {mark}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="repositories"')
            self.end_headers()
            return
        path, _, query = self.path.partition("?")
        self.asked.append(path)
        env = os.environ | {
            "GIT_PROJECT_ROOT": str(self.folder), "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path, "QUERY_STRING": query,
            "REQUEST_METHOD": self.command, "REMOTE_USER": USER, "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": self.headers.get("Content-Type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }  # fmt: skip
        done = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False)
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        fields = [line.partition(": ")[::2] for line in head.decode("latin-1").split("\r\n")]
        status = dict(fields).get("Status", "200 OK")
        self.send_response(int(status.split()[0]))
        for name, value in fields:
            if name != "Status":
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(rest)
