"""A real vLLM on the CPU that serves the embedded weights, or those of a pretrained model. It fails, never skips."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tfgrpo.backends.local import find
from tfgrpo.backends.tiny.model import WEIGHTS, TinyLM, load

READY_SECONDS = 900
MAX_LENGTH = 1024
WORLDS = Path(__file__).parents[2] / "examples" / "tiny_model" / "worlds.py"
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TORCH_COMPILE_DISABLE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_DO_NOT_TRACK": "1",
    "VLLM_NO_USAGE_STATS": "1",
}
ARGUMENTS = (
    *("--host", "127.0.0.1", "--dtype", "float32", "--enforce-eager"),
    *("--max-model-len", str(MAX_LENGTH), "--enable-prompt-tokens-details"),
    # A seeded prompt that is read in parts ends vLLM 0.32 on the CPU ("CPU Generator does not use offset").
    *("--no-enable-chunked-prefill", "--max-num-batched-tokens", "8192"),
    # A grammar that lets blanks repeat for ever is followed for ever by a model as small as this one.
    *("--structured-outputs-config", '{"backend": "xgrammar", "disable_any_whitespace": true}'),
)


@dataclass(frozen=True)
class Engine:
    """A running vLLM."""

    root: str
    """Its address without `/v1`."""

    @property
    def url(self) -> str:
        """The base URL for OpenAI clients."""
        return f"{self.root}/v1"

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """Post a body for the served model and return the answer; anything but 200 fails the test."""
        answer = httpx.post(f"{self.root}{path}", json={"model": "tiny", **body}, timeout=120)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def chat(self, messages: list[dict[str, str]], **body: Any) -> dict[str, Any]:
        """Ask for a chat completion."""
        return self.post("/v1/chat/completions", messages=messages, **body)


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A vLLM server with the embedded weights."""
    with served(WEIGHTS, "tiny", tmp_path_factory.mktemp("vllm") / "log.txt") as found:
        yield found


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A vLLM server with the weights of SmolLM2-135M-Instruct, dequantised from their GGUF file."""
    folder = tmp_path_factory.mktemp("smollm2")
    unpack = [sys.executable, Path(__file__).with_name("unpack.py"), find("local/smollm2-135m").path, folder]
    subprocess.run(unpack, env=os.environ | ENVIRONMENT, check=True, capture_output=True, timeout=READY_SECONDS)
    with served(folder, "smollm2-135m", tmp_path_factory.mktemp("vllm") / "log.txt") as found:
        yield found


@contextmanager
def served(weights: Path, name: str, log: Path) -> Iterator[Engine]:
    """Run a vLLM server as a child process, ready to answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(weights), *ARGUMENTS]
    command += ["--served-model-name", name]
    with log.open("wb") as out:
        # Its engine is a grandchild; a session of its own lets both be ended together.
        process = subprocess.Popen(
            [*command, "--port", str(port)],
            env=os.environ | ENVIRONMENT,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        found = Engine(f"http://127.0.0.1:{port}")
        wait_until_ready(found, process, log)
        yield found
    finally:
        stop(process)


def wait_until_ready(engine: Engine, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the server says it is healthy; fail with the end of its log if it ends or takes too long."""
    began = time.monotonic()
    while process.poll() is None and time.monotonic() - began < READY_SECONDS:
        try:
            if httpx.get(f"{engine.root}/health", timeout=5).status_code == 200:
                print(f"vLLM was ready after {time.monotonic() - began:.0f} s")
                return
        except httpx.TransportError:
            time.sleep(0.5)
    said = "ended" if process.poll() is not None else f"was not ready after {READY_SECONDS} s"
    pytest.fail(f"vLLM {said}; its log ends:\n{log.read_text(errors='replace')[-6000:]}", pytrace=False)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and what it started."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)


@pytest.fixture(scope="session")
def lm() -> TinyLM:
    """The same weights in our own runtime."""
    return load()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with problems.jsonl, heldout.jsonl and the world's true lessons, one a line in truth.txt."""
    folder = tmp_path_factory.mktemp("world")
    sizes = ("--seed", "11", "--problems", "40", "--heldout", "24")
    subprocess.run([sys.executable, WORLDS, *sizes, "--truth", folder / "truth.txt", "-o", folder], check=True)
    return folder
