"""Long texts are kept once, come back as they were, and go when nothing names them any more."""

from __future__ import annotations

import json
import math
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experience_db import Edit, Journal, Op, RunConflict, Source, Store
from experience_db.texts import COMPRESSED_FROM, SHORTEST, Texts

BLOCK = "When units differ, convert first. " * 40
ODD = st.text(alphabet=st.characters(codec=None), max_size=12)
LONG = st.builds(lambda part, many: part * many, ODD, st.integers(0, 120))
KEYS = st.one_of(st.just("$text"), st.text(max_size=4))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 9), LONG),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


@given(
    texts=st.lists(st.one_of(LONG, st.just('{"$text":1}'), st.just('{"$text":-7}')), max_size=4), share=st.booleans()
)
def test_every_text_of_a_column_comes_back_as_it_was(texts, share):
    """What looks like a reference and is none included."""
    with Store.open(":memory:") as store:
        store.share_texts = share
        kept = Texts(store)
        with store.atomic():
            columns = [kept.to_column(text) for text in texts if text.isascii()]
        assert kept.from_columns(columns) == [text for text in texts if text.isascii()]


def test_tools_that_calls_repeat_are_one_text(store):
    """A call's tools and schema are the same for all calls of a kind, and long."""
    journal = Journal(store)
    tools = [{"type": "function", "function": {"name": f"f{i}", "parameters": {"$text": 5}}} for i in range(20)]
    for number in range(3):
        journal.put(f"k{number}", role="r", model="m", request={"tools": tools, "n": number}, reply={})
    assert [call.request for call in journal.calls()] == [{"tools": tools, "n": number} for number in range(3)]
    assert store._row("SELECT count(*) FROM texts")[0] == 1
    assert store.verify() == ()


@given(value=VALUES, share=st.booleans())
def test_every_value_comes_back_as_it_was(value, share):
    """Whatever its texts hold, half surrogates and what looks like a reference included."""
    with Store.open(":memory:") as store:
        store.share_texts = share
        texts = Texts(store)
        with store.atomic():
            kept = texts.to_json(value)
        assert Texts(store).from_json([kept]) == [value]


def put(journal: Journal, number: int, run: str | None = None, role: str = "rollout", answer: str = "") -> None:
    """Record one call that begins with BLOCK."""
    messages = [{"role": "system", "content": BLOCK}, {"role": "user", "content": f"Problem {number}"}]
    journal.put(
        f"k{number}", role=role, model="m", request={"messages": messages}, reply={"text": answer or f"a{number}"},
        prompt_tokens=7, run=run,
    )  # fmt: skip


def test_a_text_that_calls_share_is_stored_once_and_compressed(store, path):
    """Ten calls with one block hold it in one row, smaller than it is; each is read with it."""
    journal = Journal(store)
    for number in range(10):
        put(journal, number)
    rows = store._rows("SELECT body FROM texts")
    assert [len(row["body"]) < len(BLOCK) / 3 for row in rows] == [True]
    assert {call.request["messages"][0]["content"] for call in journal.calls()} == {BLOCK}
    assert store.verify() == ()


def test_texts_stay_in_place_where_they_are_not_shared(store):
    """For who reads the file with SQL alone; what was shared before is read as well."""
    journal = Journal(store)
    put(journal, 1)
    store.share_texts = False
    put(journal, 2)
    (inline,) = store._rows("SELECT request FROM calls WHERE key = 'k2'")
    assert json.loads(inline["request"])["messages"][0]["content"] == BLOCK
    assert [call.request["messages"][0]["content"] for call in journal.calls()] == [BLOCK, BLOCK]


def test_a_transaction_that_is_undone_takes_what_is_remembered_of_its_texts_along(store):
    """The next call writes the text again instead of naming a row that never was."""
    journal = Journal(store)

    def fail() -> None:
        with store.atomic():
            put(journal, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    put(journal, 2)
    assert [call.request["messages"][0]["content"] for call in journal.calls()] == [BLOCK]


def test_a_text_that_another_process_took_out_is_written_again(store, path):
    """What is remembered of rows is dropped once somebody else has written."""
    journal = Journal(store)
    put(journal, 1)
    with sqlite3.connect(path) as other:
        other.execute("DELETE FROM calls")
        other.execute("DELETE FROM texts")
    other.close()
    put(journal, 2)
    assert [call.request["messages"][0]["content"] for call in journal.calls()] == [BLOCK]


def test_a_text_that_is_gone_is_told_and_its_call_is_not_answered(store):
    """The check names the row; the journal says that it cannot read its record."""
    journal = Journal(store)
    put(journal, 1, answer="b" * SHORTEST)
    store._write("DELETE FROM texts")
    assert [fault.partition(": ")[2] for fault in store.verify()] == [
        "row 1 of calls names a text that is not there"
    ] * 2
    with pytest.raises(ValueError, match="is gone"):
        journal.get("k1")


def test_a_key_is_taken_out_of_long_texts_too(store):
    """Before they are compressed, where nobody could look for it."""
    store.hide = lambda text: text.replace("hunter2-hunter2", "***")
    put(Journal(store), 1, answer="hunter2-hunter2 " + "x" * COMPRESSED_FROM)
    (call,) = Journal(store).calls()
    assert call.reply["text"] == "*** " + "x" * COMPRESSED_FROM
    assert call.reply["hidden"] is True


@pytest.fixture
def learned(store, run):
    """A store with a finished run of two groups, the first of which a lesson came from."""
    journal = Journal(store)
    for number in range(6):
        put(journal, number, run, "contrast" if number == 5 else "rollout", answer=f"{number} " + "because " * 200)
    for name in ("p1", "p2"):
        talk = [{"role": "user", "content": f"{name} {BLOCK}"}, {"role": "assistant", "content": "because " * 200}]
        rollouts = [{"index": i, "messages": talk, "answer": ("so " * 99 + "four", "4")[i]} for i in range(2)]
        store.record_group(
            run, 0, problem={"id": name, "question": "?"}, status="kept", version=0, rollouts=rollouts,
            rewards=[0.0, 1.0],
        )  # fmt: skip
    source = Source("p1", (0, 1), run, 0, "m", "t")
    store.commit("web", [Edit(Op.ADD, "Convert units.", sources=(source,))], parent=0)
    store.finish_run(run, "finished", {})
    return store


def test_pruning_takes_texts_and_leaves_what_is_known(learned, run):
    """A dry run changes nothing and foretells the real one; costs, answers, rewards and a lesson's source stay."""
    before = learned._rows("SELECT * FROM calls ORDER BY rowid")
    spent = learned.usage(run)
    foretold = learned.prune([run])
    assert learned._rows("SELECT * FROM calls ORDER BY rowid") == before
    assert learned.prune([run], dry=False) == foretold
    assert (foretold.calls, foretold.rollouts) == (5, 2)
    assert foretold.bytes > 0
    assert learned.usage(run) == spent
    assert Journal(learned).get("k1") is None
    assert Journal(learned).get("k5") is not None
    first, second = learned.groups(run)
    assert first["rollouts"][0]["messages"][0]["content"] == f"p1 {BLOCK}"
    assert first["rollouts"][0]["answer"] == "so " * 99 + "four"
    assert second["rollouts"][0]["messages"] == []
    assert second["rollouts"][0]["answer"].startswith("... ")
    assert second["rollouts"][0]["answer"].endswith("so so four")
    assert (second["rewards"], second["rollouts"][1]["answer"]) == ([0.0, 1.0], "4")
    assert learned.verify() == ()
    again = learned.prune([run], dry=False)
    assert (again.calls, again.rollouts, again.texts, again.bytes) == (0, 0, 0, 0)
    put(Journal(learned), 1, run)
    assert learned.usage(run)["rollout"].calls == spent["rollout"].calls + 1


def test_a_run_that_goes_on_keeps_its_journal(store, run):
    """It is what the same command goes on from."""
    with pytest.raises(RunConflict, match="has not ended"):
        store.prune([run], dry=False)


def test_a_number_that_is_none_survives(store):
    """JSON knows no nan: it becomes null beside long texts as it does without."""
    with store.atomic():
        kept = Texts(store).to_json({"a": math.nan, "b": BLOCK})
    assert Texts(store).from_json([kept]) == [{"a": None, "b": BLOCK}]
