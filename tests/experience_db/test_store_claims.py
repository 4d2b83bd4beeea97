"""One writer per library, for as long as its process lives; everybody may read."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from experience_db import Edit, Op, Store, StoreBusy, open_library

HOLDER = """
import sys, time
from experience_db import Store
with Store.open(sys.argv[1]) as store, store.claim("web", "run night"):
    print("held", flush=True)
    time.sleep(60)
"""
ADD = [Edit(Op.ADD, "When in doubt, ask.")]


@pytest.fixture
def held(taught, path, package_path):
    """A library that another process has claimed; yields that process."""
    taught.close()
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], env={"PYTHONPATH": package_path}, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.wait()
    child.stdout.close()


def test_a_claimed_library_is_read_but_not_moved(held, path):
    """The refusal names the holder and its process; reading, and other libraries, are free."""
    with Store.open(path) as store:
        parent = store.library("web").version
        with pytest.raises(StoreBusy, match=rf"run night \(process {held.pid}\) is writing library 'web'"):
            store.commit("web", ADD, parent=parent)
        with pytest.raises(StoreBusy, match="run night"), store.claim("web"):
            pass
        with store.claim("other"):
            other = store.create_library("other")
            assert store.commit("other", ADD, parent=other.version).version == 1
    assert open_library("web", db=path).version == parent


def test_a_killed_holder_holds_nothing(held, path):
    """The claim ends with the process, and what is left of it is taken away."""
    held.send_signal(signal.SIGKILL)
    held.wait()
    with Store.open(path) as store:
        store.commit("web", ADD, parent=store.library("web").version)
    assert not list(Path(path).parent.glob("*-lock-*"))


def test_the_holder_writes_and_gives_back(taught, path):
    """Who claims may commit, also where claims nest; a second store of the same process may not until then."""
    with Store.open(path) as second:
        with taught.claim("web"), taught.claim("web"):
            version = taught.commit("web", ADD, parent=taught.library("web").version).version
            with pytest.raises(StoreBusy):
                second.rollback("web", 0)
        assert second.rollback("web", 0).version == version + 1
    assert not list(Path(path).parent.glob("*-lock-*"))
