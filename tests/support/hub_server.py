"""A hub of dataset repositories on 127.0.0.1 that speaks what a push and a pull need of the Hugging Face hub's API.

    with Hub() as hub:
        ...  # a process with HF_ENDPOINT=hub.url; hub.repos holds what was pushed

It stores files in memory, wants the token TOKEN, takes Parquet as a large file (the LFS protocol), and makes one commit
of each push. What it answers follows what the client sends and reads; the hub itself checks much more.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import unquote, urlsplit

from support.threaded_server import ThreadedServer

TOKEN = "hf_loopback"
_API = re.compile(r"/api/datasets/(?P<repo>[^/]+/[^/]+)(?:/(?P<what>preupload|commit|tree|revision)/[^/]+)?")
_FILE = re.compile(r"/datasets/(?P<repo>[^/]+/[^/]+)/resolve/[^/]+/(?P<path>.+)")


@dataclass
class Repo:
    """A dataset repository."""

    private: bool
    files: dict[str, bytes] = field(default_factory=dict)
    large: set[str] = field(default_factory=set)
    commits: list[str] = field(default_factory=list)
    """Their first lines."""

    @property
    def head(self) -> str:
        """Name of the last commit, 40 hex digits."""
        return hashlib.sha1(str(self.commits).encode()).hexdigest()


class Hub(ThreadedServer):
    """The running hub."""

    def __init__(self) -> None:
        """Listen on a free port."""
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        """Large files by their sha256."""
        super().__init__(type("Handler", (_Handler,), {"hub": self}))


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlsplit(self.path).path
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._json({"error": "Invalid username or password."}, 401)
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif found := re.fullmatch(r"/datasets/(.+)\.git/info/lfs/objects/batch", path):
            self._large(json.loads(body), found[1])
        else:
            found = _API.fullmatch(path)
            repo = self._repo(found["repo"] if found else "")
            if repo is None or found is None:
                return
            if found["what"] == "preupload":
                self._modes(repo, json.loads(body))
            else:
                self._commit(repo, found["repo"], [json.loads(line) for line in body.splitlines()])

    def do_PUT(self) -> None:
        data = self.rfile.read(int(self.headers["Content-Length"]))
        assert hashlib.sha256(data).hexdigest() == self.path.rpartition("/")[2]
        self.hub.blobs[self.path.rpartition("/")[2]] = data
        self._json({})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if found := _FILE.fullmatch(path):
            repo = self._repo(found["repo"])
            if repo is None:
                return
            data = repo.files.get(found["path"])
            if data is None:
                self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
                return
            told = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": repo.head}
            self._answer(data, 200, told | {"Content-Type": "application/octet-stream"})
            return
        found = _API.fullmatch(path)
        repo = self._repo(found["repo"] if found else "")
        if repo is None or found is None:
            return
        files = [{"type": "file", "path": p, "size": len(d), "oid": _oid(d)} for p, d in sorted(repo.files.items())]
        if found["what"] == "tree":
            self._json(files)
        else:
            self._json({"id": found["repo"], "sha": repo.head, "private": repo.private,
                        "siblings": [{"rfilename": file["path"]} for file in files]})  # fmt: skip

    def log_message(self, *_: object) -> None:
        pass

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked.get('organization')}/{asked['name']}"
        if asked.get("type") != "dataset":
            self._json({"error": "only datasets here"}, 400)
        elif name in self.hub.repos:
            self._json({"error": "You already created this dataset repo", "url": f"{self.hub.url}/{name}"}, 409)
        else:
            private = bool(asked.get("private")) or asked.get("visibility") == "private"
            self.hub.repos[name] = Repo(private)
            self._json({"url": f"{self.hub.url}/datasets/{name}"})

    def _modes(self, repo: Repo, asked: dict[str, Any]) -> None:
        files = [
            {"path": f["path"], "uploadMode": "lfs" if f["path"].endswith(".parquet") else "regular",
             "shouldIgnore": False, "oid": _oid(repo.files[f["path"]]) if f["path"] in repo.files else None}
            for f in asked["files"]
        ]  # fmt: skip
        self._json({"files": files})

    def _large(self, asked: dict[str, Any], repo: str) -> None:
        assert repo in self.hub.repos
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.hub.url}/blobs/{one['oid']}"}}} for one in asked["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def _commit(self, repo: Repo, name: str, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                repo.commits.append(value["summary"])
            elif line["key"] == "file":
                repo.files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                repo.files[value["path"]] = self.hub.blobs[value["oid"]]
                repo.large.add(value["path"])
        url = f"{self.hub.url}/datasets/{name}/commit/{repo.head}"
        self._json({"success": True, "commitOid": repo.head, "commitUrl": url})

    def _repo(self, name: str) -> Repo | None:
        """Return a repository for those who may see it; others are told that there is none, as the hub does."""
        repo = self.hub.repos.get(name)
        known = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        if repo is None or (repo.private and not known):
            told = {"X-Error-Code": "RepoNotFound"}
            self._json({"error": "Repository not found"}, 404 if known else 401, told)
            return None
        return repo

    def _json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._answer(json.dumps(value).encode(), status, {"Content-Type": "application/json"} | (headers or {}))

    def _answer(self, data: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def _oid(data: bytes) -> str:
    """Name of a file as git gives it."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
