"""What is shipped as an image: read as a builder would, since no builder runs in the tests."""

import re
import shlex
from pathlib import Path

import yaml

from tfgrpo.cli.command_table import COMMANDS

ROOT = Path(__file__).parents[1]


def instructions():
    """Return (instruction, rest) of the Dockerfile, with continued lines joined and comments left out."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = (
        "\n".join(line for line in text.split("\n") if not line.lstrip().startswith("#"))
        .replace("\\\n", " ")
        .split("\n")
    )
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


def test_the_image_runs_without_root():
    """The last user is a number that is not 0, after everything that needs root."""
    names = [name for name, _ in instructions()]
    last = len(names) - 1 - names[::-1].index("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", instructions()[last][1])
    assert "RUN" not in names[last:]
    assert ("ENTRYPOINT", '["tfgrpo"]') in instructions()


def test_the_image_brings_bubblewrap_and_leaves_the_rest():
    """Packages come without recommendations and lists; pip keeps no cache; versions of bases are named."""
    runs = " ".join(rest for name, rest in instructions() if name == "RUN")
    assert "bubblewrap" in runs
    assert "--no-install-recommends" in runs
    assert "rm -rf /var/lib/apt/lists/*" in runs
    assert "--no-cache-dir" in runs
    bases = [rest.split()[0] for name, rest in instructions() if name == "FROM"]
    assert all(":" in base and not base.endswith(":latest") for base in bases)


def test_what_is_copied_is_there_and_let_through():
    """Every source of COPY exists and .dockerignore admits it; databases and .env stay out."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert ignored[0] == "*"
    for name, rest in instructions():
        words = shlex.split(rest)
        if name == "COPY" and not words[0].startswith("--from"):
            for source in words[:-1]:
                assert (ROOT / source).exists(), source
                assert f"!{source}" in ignored, source
    assert {"**/.env", "**/*.db"} <= set(ignored)


def test_the_compose_file_holds_together():
    """Services depend on services, volumes are declared, ports stay on loopback, and the commands exist."""
    found = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    services = found["services"]
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)
        assert ("image" in service) != ("build" in service)
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
        named = [volume.split(":")[0] for volume in service["volumes"] if not volume.startswith(".")]
        assert set(named) <= set(found["volumes"])
    assert services["proxy"]["command"][0] in COMMANDS
    assert "?" in services["proxy"]["environment"]["TFGRPO_PROXY_TOKEN"]
    assert "http://vllm:8000/v1" in services["proxy"]["command"]
