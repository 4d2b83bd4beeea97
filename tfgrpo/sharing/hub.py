"""A library in a dataset repository of the Hugging Face hub (package huggingface_hub, with its own login).

The real client was run against a server on loopback that speaks the hub's API, never against the hub itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tfgrpo.errors import UsageError


def push_files(repo: str, folder: str, files: Mapping[str, bytes], note: str) -> str:
    """Put files into a dataset repository as one commit, which is made private when it is new.

    The card of a repository with one library stands at its root, where the hub shows it.

    Raises:
        UsageError: huggingface_hub is not installed, or refused; the message holds its words.
    """
    hub = _hub()
    placed = {f"{folder}/{name}": data for name, data in files.items()} | {"README.md": files["README.md"]}
    with _refusals(hub, repo):
        api = hub.HfApi()
        api.create_repo(repo, repo_type="dataset", exist_ok=True, private=True)
        commit = api.create_commit(
            repo,
            [hub.CommitOperationAdd(path, data) for path, data in placed.items()],
            commit_message=note,
            repo_type="dataset",
        )
    return f"pushed to {getattr(commit, 'commit_url', repo)}"


def pull_file(repo: str, name: str, folder: str = "") -> bytes:
    """Return a file of a dataset repository; an empty `folder` takes the only one that has it. Raises UsageError."""
    hub = _hub()
    with _refusals(hub, repo):
        held = [f for f in hub.HfApi().list_repo_files(repo, repo_type="dataset") if f.rpartition("/")[2] == name]
        wanted = [f for f in held if not folder or f == f"{folder}/{name}"]
        if len(wanted) != 1:
            told = f"it has {', '.join(held)}; name one with --folder" if held else "push one first"
            raise UsageError(f"{repo} has no single {name}: {told}")
        with open(hub.hf_hub_download(repo, wanted[0], repo_type="dataset"), "rb") as file:
            return bytes(file.read())


@contextmanager
def _refusals(hub: Any, repo: str) -> Iterator[None]:
    """Tell in a line what the hub or the way to it refused."""
    try:
        yield
    except (hub.errors.HTTPError, OSError, ValueError) as error:  # the first: of the transport that this release has
        raise UsageError(f"the hub refused {repo!r}: {_first_line(error)}") from error


def _hub() -> Any:
    try:
        import huggingface_hub  # noqa: PLC0415  comes with the extra `hf`
        import huggingface_hub.errors  # noqa: PLC0415
    except ImportError as error:
        raise UsageError("hf: needs huggingface_hub: pip install 'tfgrpo[hf]'") from error
    return huggingface_hub


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
