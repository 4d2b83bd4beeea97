"""A library in a folder of a git repository: cloned, changed, pushed, by the program `git` with its own credentials.

What a stranger's repository holds is data: no hook of it runs, no link of it is followed, no transport but file, http,
https, ssh and git is used, and nothing asks at the terminal.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tfgrpo.errors import UsageError
from tfgrpo.system.redact import without_secrets

SECONDS = 300
"""Longest run of one git command."""
MOST_BYTES = 256 * 2**20
"""Largest file that is read."""
_OPTIONS = (
    "-c", "core.hooksPath=/dev/null", "-c", "core.symlinks=false", "-c", "core.fsmonitor=false", "-c",
    "advice.detachedHead=false",
)  # fmt: skip
_SETTINGS = ("GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=file:http:https:ssh:git", "LC_ALL=C")


def push_folder(url: str, folder: str, files: Mapping[str, bytes], note: str) -> str:
    """Put files into a folder of a repository as one commit on its default branch; returns what happened, in words.

    Raises:
        UsageError: git is not there or refused; the message holds its words.
    """
    with tempfile.TemporaryDirectory(prefix="tfgrpo-") as place:
        clone = _cloned(url, Path(place))
        target = clone / folder
        if target.is_symlink() or (target.exists() and not target.is_dir()):
            raise UsageError(
                f"{without_secrets(url)} has a file {folder} where the library's folder goes; rename one of them"
            )
        target.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (target / name).write_bytes(data)
        _git(clone, "add", "--", folder)
        if not _git(clone, "status", "--porcelain").strip():
            return f"{without_secrets(url)} holds this very version already; nothing was pushed"
        _git(clone, *_identity(clone), "commit", "-q", "-m", note)
        _git(clone, "push", "-q", "origin", "HEAD")
        return f"pushed to {without_secrets(url)}, folder {folder}"


def pull_file(url: str, name: str, folder: str = "") -> bytes:
    """Return a file of a repository's default branch.

    Args:
        url: of the repository.
        name: of the file.
        folder: where it is; empty takes the only folder that has one.

    Raises:
        UsageError: there is no such file, or several; or git refused.
    """
    with tempfile.TemporaryDirectory(prefix="tfgrpo-") as place:
        clone = _cloned(url, Path(place))
        places = [clone / folder / name] if folder else [clone / name, *sorted(clone.glob(f"*/{name}"))]
        there = [
            p for p in places if p.is_file() and not p.is_symlink() and p.resolve().is_relative_to(clone.resolve())
        ]
        if len(there) != 1:
            held = ", ".join(str(p.parent.relative_to(clone)) for p in there)
            told = (
                f"it has several ({held}); name one with --folder" if there else "push one first, or look at --folder"
            )
            raise UsageError(f"{without_secrets(url)} has no single {name}: {told}")
        if there[0].stat().st_size > MOST_BYTES:
            raise UsageError(f"{name} in {without_secrets(url)} is larger than {MOST_BYTES // 2**20} MiB")
        return there[0].read_bytes()


def _cloned(url: str, place: Path) -> Path:
    if url.startswith("-"):
        raise UsageError(f"{url!r} is no address of a repository")
    clone = place / "clone"
    _git(place, "clone", "-q", "--depth", "1", "--no-recurse-submodules", "--", url, str(clone))
    return clone


def _identity(clone: Path) -> tuple[str, ...]:
    """Return who commits, where git has not been told."""
    try:
        known = _git(clone, "config", "user.email").strip()
    except UsageError:
        known = ""
    return () if known else ("-c", "user.name=tfgrpo", "-c", "user.email=tfgrpo@localhost")


def _git(folder: Path, *words: str) -> str:
    if shutil.which("git") is None:
        raise UsageError("the program git is not installed; install it, or use `lessons export`")
    command = ["env", *_SETTINGS, "git", *_OPTIONS, *words]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"git {words[0]} took longer than {SECONDS} s") from error
    if done.returncode:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())[-400:]
        raise UsageError(f"git refused: {without_secrets(said)}")
    return done.stdout.decode("utf-8", "replace")
