"""Graders and agents on a real Ray cluster of two nodes: the same library, and deaths that cost little."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from support.server import Server

import tfgrpo
from experience_db import Store
from tfgrpo.errors import UsageError

pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore"), pytest.mark.timeout(90)]

HERE = str(Path(__file__).parent)
LESSON = '{"edits": [{"op": "ADD", "text": "Add the two numbers."}]}'


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of two CPUs each, ended by this process alone."""
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    made.add_node(num_cpus=2)
    ray.init(address=made.address, namespace="tfgrpo", log_to_driver=False)
    yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture
def pool(cluster):
    """Make pools on the cluster."""
    from tfgrpo.config.engine import RayConfig
    from tfgrpo.executors.ray import RayPool

    return lambda **options: RayPool(RayConfig(runtime_env={"env_vars": {"PYTHONPATH": path()}}, **options))


def path():
    """What workers must be able to import."""
    return os.pathsep.join([HERE, *filter(None, sys.path)])


def running(job):
    """Run a coroutine function to its end."""
    return asyncio.run(job())


class Counting:
    """An object that says where it ran."""

    async def __call__(self, x):
        """Return the process and the double."""
        await asyncio.sleep(0.01)
        return os.getpid(), 2 * x

    def fail(self, x):
        """Raise."""
        raise ValueError(f"no {x}")

    def die(self, folder, deaths):
        """End the process so many times."""
        marks = len(list(Path(folder).iterdir()))
        if marks < deaths:
            (Path(folder) / str(marks)).touch()
            os._exit(1)
        return marks


def test_calls_are_spread_bounded_and_in_order(pool):
    """Forty calls run on several processes, never more of them out than the queues hold."""

    async def job():
        p = pool(workers=4, queue=2)
        p.add("counting", Counting(), "")
        await p.open()
        found = await asyncio.gather(*[p.call("counting", "", i) for i in range(40)])
        await p.aclose()
        return found, p.most_held

    found, most = running(job)
    assert [value for _, value in found] == [2 * i for i in range(40)]
    assert os.getpid() not in {process for process, _ in found}
    assert most <= 8


def test_what_a_worker_raises_arrives(pool):
    """An exception of the user's code comes back as it is."""

    async def job():
        p = pool(workers=1)
        p.add("counting", Counting(), "")
        try:
            await p.call("counting", "fail", 3)
        finally:
            await p.aclose()

    with pytest.raises(ValueError, match="no 3"):
        running(job)


def test_a_death_costs_a_second_sending_and_two_are_an_error(pool, tmp_path):
    """A call whose worker dies is answered by another one; a second death is told, and the pool goes on."""
    from tfgrpo.executors.ray import WorkerLost

    once, twice = tmp_path / "once", tmp_path / "twice"
    once.mkdir()
    twice.mkdir()

    async def job():
        p = pool(workers=2)
        p.add("counting", Counting(), "")
        try:
            assert await p.call("counting", "die", str(once), 1) == 1
            assert p.resent == 1
            with pytest.raises(WorkerLost, match="two of Ray's workers died"):
                await p.call("counting", "die", str(twice), 2)
            return (await p.call("counting", "", 4))[1]
        finally:
            await p.aclose()

    assert running(job) == 8


def test_a_session_dies_with_its_worker(pool, tmp_path):
    """State is never silently replaced by none: later calls of the session say that it is gone."""
    from tfgrpo.executors.ray import WorkerLost

    async def job():
        p = pool(workers=2)
        p.add("counting", Counting(), "")
        try:
            first, _ = await p.call("counting", "", 1, sticky="a")
            again, _ = await p.call("counting", "", 1, sticky="a")
            assert first == again
            with pytest.raises(WorkerLost, match="session"):
                await p.call("counting", "die", str(tmp_path), 1, sticky="a")
            with pytest.raises(WorkerLost, match="session"):
                await p.call("counting", "", 1, sticky="a")
            return (await p.call("counting", "", 1, sticky="b"))[1]
        finally:
            await p.aclose()

    assert running(job) == 2


def test_nodes_come_and_go(cluster, pool):
    """A node that joins brings workers, one that leaves takes them along, and calls go on."""

    async def job():
        p = pool()
        p.add("counting", Counting(), "")
        await p.open()
        # These two block, for they may be called from the main thread alone.
        node = cluster.add_node(num_cpus=2)
        found = [await asyncio.gather(*[p.call("counting", "", i) for i in range(10)]) for _ in range(20)]
        under_way = [asyncio.create_task(p.call("counting", "", i)) for i in range(10)]
        await asyncio.sleep(0.02)
        cluster.remove_node(node)
        found.append([await one for one in under_way])
        await p.aclose()
        return found

    assert all([value for _, value in one] == [2 * i for i in range(10)] for one in running(job))


def test_what_cannot_be_sent_is_refused_before_anything_runs(pool):
    """A lock cannot be pickled: one sentence says so, and what to give instead."""
    import threading

    with pytest.raises(UsageError, match=r"cannot be sent to Ray's workers.*package\.module:function"):
        pool().add("grader 'x'", threading.Lock(), "give `package.module:function`")


def test_what_a_worker_cannot_import_is_named(cluster):
    """A module that only the driver has ends the run with its name and the remedy."""
    from tfgrpo.config.engine import RayConfig
    from tfgrpo.executors.ray import RayPool

    async def job():
        p = RayPool(
            RayConfig(workers=1, runtime_env={"env_vars": {"PYTHONPATH": str(Path(tfgrpo.__file__).parents[1])}})
        )
        p.add("grader", Server, "")
        try:
            await p.call("grader", "", 1)
        finally:
            await p.aclose()

    with pytest.raises(UsageError, match=r"support.*make its module importable"):
        running(job)


def grade(problem, rollout):
    """Return 1 for the right answer, in whatever process this runs."""
    return float(rollout.answer == problem.answer)


async def agent(problem, lessons):
    """An agent that knows more once it is told: it adds where a lesson says so."""
    a, b = map(int, problem.question.split())
    return str(a + b if "add" in lessons.lower() else a * b)


def test_the_library_is_the_same_to_the_byte(cluster, tmp_path, monkeypatch):
    """One learn run on local and on Ray over the same replies ends in equal versions and equal evidence."""
    monkeypatch.setenv("PYTHONPATH", path())
    rows = [{"question": f"{a} {b}", "answer": str(a + b)} for a in range(2, 8) for b in range(2, 8)]
    ends = []
    for executor in ("local", "ray"):
        db = tmp_path / f"{executor}.db"
        with Server(reply=lambda body: LESSON) as server:
            result = tfgrpo.learn_sync(
                rows, model="openai/m", base_url=server.url, grader=grade, environment=agent, db=db, executor=executor,
                epochs=1, limit=8, group_size=2, **{"engine__ray__runtime_env": {"env_vars": {"PYTHONPATH": path()}}},
            )  # fmt: skip
        with Store.open(db, readonly=True) as store:
            library = store.library("default")
            ends.append(([(lesson.id, lesson.text) for lesson in library], result.summary["heldout"]))
    assert ends[0] == ends[1]
