"""Kill -9 anywhere in a search, then the same command: nothing is sent twice, and the end is the same."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from engine_runs.test_kill import asked, finished, run, tables
from support import search_server as toy
from support.server import Server

CONCURRENCY = 8
KILLS: dict[str, Sequence[tuple[str, int]]] = {
    "gepa": [
        ("backends/wire.py:reply_of", 5),
        ("search/reflect.py:check_reflection", 2),
        ("search/store_step.py:_branch", 1),
        ("runs.py:record_step", 1),
        ("runs.py:finish_run", 1),
    ],
    "gepa-merge": [
        ("search/validate.py:score_library", 2),
        ("search/merge_ancestors.py:subsample", 1),
        ("lineage.py:plan_branch", 1),
    ],
}


def command(folder: Path, db: str, url: str, method: str) -> list[str]:
    """Return the arguments of a small search in which candidates join the pool."""
    more = ["-s", "search.pool=separate", "-s", "search.validation=full"] if method == "gepa-merge" else []
    return [
        "learn", str(folder / "problems.jsonl"), "--heldout", str(folder / "heldout.jsonl"), "--method", method,
        "--model", "openai/test-model", "--base-url", url, "--grader", "exact", "--db", str(folder / db),
        "--epochs", "2", "--concurrency", str(CONCURRENCY), "--json", *more,
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("method", KILLS)
def test_a_killed_search_goes_on_where_it_stood(tmp_path: Path, method: str):
    """Killed while it scores, reflects, accepts, merges and stores, a search ends like an undisturbed one."""
    rows = toy.rows(36, 0)
    for name, part in (("problems", rows[:24]), ("heldout", rows[24:])):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
    with Server(reply=toy.reply) as server:
        whole = run(command(tmp_path, "whole.db", server.url, method))
        assert whole.returncode == 0, whole.stderr
        fresh = Counter(q for body in server.bodies for q in asked(body))
        sent: list[str] = []
        for kill in [*KILLS[method], None]:
            done = finished(tmp_path / "killed.db")
            server.bodies.clear()
            ended = run(command(tmp_path, "killed.db", server.url, method), kill)
            assert ended.returncode == (0 if kill is None else -signal.SIGKILL), (kill, ended.stderr[-2000:])
            again = [q for body in server.bodies for q in asked(body)]
            assert not done & set(again), f"a finished call was sent again after {kill}"
            sent += again
    assert set(sent) == set(fresh)
    assert len(sent) <= len(fresh) + len(KILLS[method]) * CONCURRENCY
    assert tables(tmp_path / "killed.db") == tables(tmp_path / "whole.db")
    before, after = (json.loads(r.stdout) for r in (whole, ended))
    assert before["version"] == after["version"] > 0
    assert before["heldout"] == after["heldout"]
