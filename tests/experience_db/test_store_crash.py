"""A killed writer: what was committed is there, what was not is not, and nothing is half-written."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from experience_db import Journal, Store

CHILD = """
import sys
from experience_db import Edit, Evidence, Journal, Op, Store
with Store.open(sys.argv[1]) as store:
    library = store.create_library("web")
    store.start_run("r", name="n", kind="learn", fingerprint="f", config={}, library="web", base_version=0, dataset="d")
    journal = Journal(store)
    while True:
        v = library.version
        journal.put(journal.key({"v": v}), role="rollout", model="m", request={"v": v}, reply={"text": "t" * 3000})
        with store.atomic():
            edits = [Edit(Op.ADD, f"lesson {v} {i} " + "x" * 500) for i in range(3)]
            edits += [Edit(Op.DELETE, ids=(lesson.id,)) for lesson in library.lessons[:2]]
            library = store.commit("web", edits, parent=v, run="r", step=v, evidence=[Evidence("gate", 0.1)])
            rollouts = [{"index": i, "answer": "a" * 2000} for i in range(4)]
            store.record_group("r", v, problem={"id": "p"}, status="kept", version=v, rollouts=rollouts)
            store.record_step("r", v, epoch=0, version_before=v, version_after=v + 1, summary={})
        print(library.version, flush=True)
"""


@pytest.mark.parametrize("delay", [0.0, 0.03, 0.11])
def test_killed_writer_leaves_whole_steps(path, package_path, delay):
    """After kill -9 the file opens, verify finds nothing, and each step is there as a whole or not at all."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], env={"PYTHONPATH": package_path}, stdout=subprocess.PIPE, text=True
    )
    for _ in range(5):
        child.stdout.readline()
    time.sleep(delay)
    child.send_signal(signal.SIGKILL)
    told = [int(line) for line in child.stdout if line.endswith("\n")]
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    with Store.open(path) as store:
        assert store.verify() == ()
        head = store.library("web").version
        assert head >= max(told, default=5)
        assert [step.version_after for step in store.steps("r")] == list(range(1, head + 1))
        assert [len(group["rollouts"]) for group in store.groups("r")] == [4] * head
        assert len(store.evidence("web")) == head
        journal = Journal(store)
        assert all(journal.get(journal.key({"v": v})) for v in range(head))
        assert len(journal) in {head, head + 1}
