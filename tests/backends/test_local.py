"""The engine of local models: begun once, joined by others, ended with the last of them; and weights found by name."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tfgrpo.backends.local import KNOWN, find, hold, install
from tfgrpo.backends.local.weights import verify_weights
from tfgrpo.errors import EndpointError, UsageError
from tfgrpo.prompting.templates import load_for_model

FAKE = Path(__file__).parents[1] / "support" / "fake_engine.py"
HOLDER = """
import sys, time
from pathlib import Path
from tfgrpo.backends.local import find, hold
engine = hold(find("local/" + sys.argv[1]), child=Path(sys.argv[2]))
print(engine.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def weights(tmp_path):
    """A file that passes for weights."""
    path = tmp_path / "some.gguf"
    path.write_bytes(b"GGUF")
    return find(f"local/{path}")


def ended(pid: int, patience: float = 20.0) -> bool:
    """Wait for a process to be gone, or a zombie that nobody has asked about."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
            os.kill(pid, 0)
        except (OSError, IndexError):
            return True
        time.sleep(0.05)
    return False


def test_the_second_holder_joins_and_the_last_one_ends_the_engine(weights):
    """Two holders share one engine, which goes on after the first let go and ends with the second."""
    first, second = hold(weights, child=FAKE), hold(weights, child=FAKE)
    assert (first.joined, second.joined) == (False, True)
    assert (first.url, first.pid) == (second.url, second.pid)
    first.release()
    assert not second.gone()
    second.release()
    assert ended(first.pid)


LEAVER = HOLDER.replace("time.sleep(60)", "input()\nengine.release()")


@pytest.mark.parametrize("early", [True, False], ids=["ended before", "still in use"])
def test_who_leaves_an_engine_to_others_ends_without_a_word(weights, early):
    """A process that began an engine which others use ends in silence, whether it has ended by then or goes on."""
    command = [sys.executable, "-W", "always::ResourceWarning", "-c", LEAVER, str(weights.path), str(FAKE)]
    leaver = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    pid = int(leaver.stdout.readline())
    other = hold(weights, child=FAKE)
    assert (other.joined, other.pid) == (True, pid)
    if early:
        os.kill(pid, 9)
    _, said = leaver.communicate("\n", timeout=30)
    other.release()
    assert "ResourceWarning: subprocess" not in said
    assert ended(pid)


def test_the_engine_ends_with_a_holder_that_was_killed(weights):
    """A holder that dies without a word takes the engine with it."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(weights.path), str(FAKE)], stdout=subprocess.PIPE, text=True
    )
    with holder:
        pid = int(holder.stdout.readline())
        holder.kill()
    assert ended(pid)


def test_an_engine_that_was_killed_is_begun_anew(weights):
    """Who holds next starts a new engine when the one on record no longer answers."""
    first = hold(weights, child=FAKE)
    os.kill(first.pid, 9)
    # Waited for, not looked for in /proc: a process is a zombie there while its last thread still ends.
    first.process.wait(20)
    assert first.gone()
    second = hold(weights, child=FAKE)
    assert not second.joined
    assert second.pid != first.pid
    first.release()
    second.release()


def test_another_port_than_that_of_the_engine_that_is_up_is_refused(weights):
    """A port can be asked for, and is refused with the address when the engine is up at another one."""
    engine = hold(weights, child=FAKE)
    with pytest.raises(UsageError, match="is up at http"):
        hold(weights, port=1, child=FAKE)
    engine.release()
    assert ended(engine.pid)


def test_weights_that_cannot_be_loaded_end_with_the_reason(tmp_path):
    """An engine that does not come up says why in its own words, and where its log is."""
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"?")
    with pytest.raises(EndpointError, match=r"these weights cannot be loaded; its log is .*engine.log"):
        hold(find(f"local/{path}"), child=FAKE)


def test_a_start_that_is_interrupted_leaves_nothing_behind(weights, tmp_path):
    """An engine that is still loading when its holder is told to stop ends at once, and not after it has loaded."""
    loading, told = tmp_path / "loading.py", tmp_path / "pid"
    loading.write_text(
        f"import os, pathlib, time\npathlib.Path({str(told)!r}).write_text(str(os.getpid()) + ';')\ntime.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(weights.path), str(loading)], stderr=subprocess.PIPE)
    until = time.monotonic() + 30
    while not (told.exists() and told.read_text().endswith(";")) and time.monotonic() < until:
        time.sleep(0.02)
    pid = int(told.read_text().rstrip(";"))
    holder.send_signal(signal.SIGINT)
    holder.communicate(timeout=30)
    assert ended(pid)


def test_names_that_stand_for_nothing_say_what_there_is():
    """A name that is not known and a file that is not there are told apart, each with what to do."""
    with pytest.raises(UsageError, match=r"no local model 'llama'; there are: smollm2-135m, or local/PATH.gguf"):
        find("local/llama")
    with pytest.raises(UsageError, match=r"no file nowhere/x.gguf"):
        find("local/nowhere/x.gguf")
    with pytest.raises(UsageError, match="no model 'llama' to install"):
        install("llama")


def test_a_file_of_another_size_or_content_is_refused(tmp_path):
    """Known weights are compared with their size and their hash before they run."""
    name, known = next(iter(KNOWN.items()))
    path = tmp_path / "other.gguf"
    path.write_bytes(b"x")
    with pytest.raises(UsageError, match="has 1 bytes"):
        verify_weights(name, path)
    with path.open("r+b") as file:
        file.truncate(known.size)
    with pytest.raises(UsageError, match="its SHA-256 is"):
        verify_weights(name, path)


def test_local_models_take_the_small_prompts_unless_told_otherwise():
    """`local/...` picks the set `small`; a set of the configuration or the name of a set wins."""
    assert load_for_model("local/smollm2-135m").places[0].name == "small"
    assert load_for_model("local/smollm2-135m", "default").places[0].name == "default"
    assert load_for_model("local/smollm2-135m", None, Path("paper")).places[0].name == "paper"
    assert load_for_model("openai/m").places[0].name == "default"


def test_a_running_engine_is_asked_past_the_proxy_of_the_environment(weights, monkeypatch):
    """A proxy of the environment learns of no engine on this machine, and hides none."""
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    first = hold(weights, child=FAKE)
    second = hold(weights, child=FAKE)
    joined = second.joined
    second.release()
    first.release()
    assert joined
