"""The journal of calls: kept once, found again, never paid twice."""

from __future__ import annotations

import hashlib
import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experience_db import Call, Journal, Store, StoreReadOnly, UnknownRun

REQUEST = {"role": "rollout", "messages": [{"role": "user", "content": "ζ 🦉"}], "attempt": 0}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def journal(store) -> Journal:
    """The journal of an open store."""
    return Journal(store)


def put(journal: Journal, key: str, text: str = "hello", **more) -> bool:
    """Record a reply that says `text`."""
    facts = {"role": "rollout", "model": "m", "request": REQUEST, "reply": {"text": text}} | more
    return journal.put(key, **facts)


def test_reply_is_found_by_its_key(journal):
    """Get returns what put recorded, and None before."""
    key = journal.key(REQUEST)
    assert journal.get(key) is None
    assert put(journal, key) is True
    assert journal.get(key) == {"text": "hello"}


def test_first_record_of_a_key_stays(journal):
    """A second put under the same key changes nothing and says so."""
    put(journal, "k", "first", usd=1.0)
    assert put(journal, "k", "second", usd=5.0) is False
    assert journal.get("k") == {"text": "first"}
    assert journal.usage()["rollout"].usd == 1.0
    assert len(journal) == 1


def test_key_is_the_hash_of_canonical_json():
    """The key is SHA-256 over sorted, compact UTF-8 JSON; the order of keys and list or tuple do not matter."""
    canonical = '{"attempt":0,"messages":[{"content":"ζ 🦉","role":"user"}],"role":"rollout"}'
    assert Journal.key(REQUEST) == hashlib.sha256(canonical.encode()).hexdigest()
    reordered = dict(reversed(REQUEST.items())) | {"messages": tuple(REQUEST["messages"])}
    assert Journal.key(reordered) == Journal.key(REQUEST)
    assert Journal.key(REQUEST | {"attempt": 1}) != Journal.key(REQUEST)


def test_record_outlives_the_process_that_made_it(journal, path):
    """A put is visible to another connection as soon as it returns."""
    put(journal, "k")
    with Store.open(path, readonly=True) as reader:
        assert Journal(reader).get("k") == {"text": "hello"}
        with pytest.raises(StoreReadOnly):
            put(Journal(reader), "other")


def test_put_many_counts_the_new_ones(journal):
    """put_many records a batch in one transaction and leaves known keys alone."""
    put(journal, "1", "old")
    calls = [Call(str(i), "judge", "m", REQUEST, {"text": i}) for i in range(4)]
    assert journal.put_many(calls) == 3
    assert journal.get("1") == {"text": "old"}
    assert [call.key for call in journal.calls(role="judge")] == ["0", "2", "3"]
    assert next(journal.calls(role="judge")) == calls[0]


def test_usage_adds_up_by_role_and_unknown_money_stays_unknown(journal, run):
    """Tokens and money are summed for each role; one call without a price makes the sum unknown, not smaller."""
    put(journal, "a", run=run, usd=0.5, prompt_tokens=10, completion_tokens=3, cached_tokens=4, seconds=1.5)
    put(journal, "b", run=run, usd=0.25, prompt_tokens=1)
    put(journal, "c", run=run, role="judge", usd=None)
    put(journal, "d", run=run, role="judge", usd=1.0)
    put(journal, "e", usd=100.0)
    usage = journal.usage(run)
    assert (usage["rollout"].calls, usage["rollout"].usd, usage["rollout"].prompt_tokens) == (2, 0.75, 11)
    assert (usage["rollout"].completion_tokens, usage["rollout"].cached_tokens, usage["rollout"].seconds) == (3, 4, 1.5)
    assert usage["judge"].usd is None
    assert journal.usage()["rollout"].usd == 100.75


def test_call_of_a_run_that_never_started_is_refused(journal):
    """A run id that is not in the file raises UnknownRun and records nothing."""
    with pytest.raises(UnknownRun, match="call start_run first"):
        put(journal, "k", run="nobody")
    assert journal.get("k") is None


def test_broken_unicode_and_nan_are_kept_as_far_as_json_can(journal, path):
    """Half a surrogate pair survives, nan becomes null, and SQLite can read the JSON."""
    put(journal, "k", "cut \ud83d", reply={"text": "cut \ud83d", "x": float("nan"), "y": [float("inf")]})
    assert journal.get("k") == {"text": "cut \ud83d", "x": None, "y": [None]}
    assert journal._store._rows("SELECT json_valid(reply), json_valid(request) FROM calls")[0][:] == (1, 1)
    assert journal.key({"x": "cut \ud83d"})


def test_threads_may_share_a_journal(journal):
    """Calls from several threads are all recorded, each once."""
    threads = [
        threading.Thread(target=lambda: [put(journal, str(i), "x") for i in range(50)], daemon=True) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journal) == 50


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(reply=st.dictionaries(st.text(), JSON, max_size=4))
def test_any_json_comes_back(journal, reply):
    """Whatever JSON a reply is, get returns an equal one."""
    key = str(len(journal))
    put(journal, key, reply=reply)
    assert journal.get(key) == without_infinity(reply)


def without_infinity(value):
    """JSON has no infinity; it is stored as null."""
    if isinstance(value, float) and value in {float("inf"), float("-inf")}:
        return None
    if isinstance(value, dict):
        return {k: without_infinity(v) for k, v in value.items()}
    if isinstance(value, list):
        return [without_infinity(v) for v in value]
    return value


def test_a_bill_reads_no_texts(store, journal, run):
    """What a run used stands in an index, however long its prompts and replies are."""
    put(journal, "k", run=run)
    asked: list[str] = []
    store._connection.set_trace_callback(asked.append)
    journal.usage(run)
    journal.usage()
    journal.spent(run)
    journal.longest(run)
    store._connection.set_trace_callback(None)
    plans = [store._rows(f"EXPLAIN QUERY PLAN {sql}")[0]["detail"] for sql in asked if "json_extract" not in sql]
    assert len(plans) == 4
    assert all("USING COVERING INDEX calls_of_run" in plan for plan in plans), plans


def test_tries_in_vain_count_as_the_calls_they_stood_for(journal, run):
    """Of one role or of all; their tokens and money count, what an agent paid does not."""
    put(journal, "a", run=run, prompt_tokens=1, completion_tokens=2, usd=0.5)
    put(journal, "b", run=run, role="failed:rollout", request={"calls": 5}, prompt_tokens=10, usd=None)
    put(journal, "c", run=run, role="judge", model="agent:x", prompt_tokens=1000)
    assert journal.spent(run) == (6, 13, 0.5)
    assert journal.spent(run, "rollout") == (6, 13, 0.5)
    assert journal.spent(run, "judge") == (0, 0, 0.0)
