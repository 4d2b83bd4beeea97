"""Sessions of an app: drawn by chance, logged before they end, kept with the version that they met."""

from __future__ import annotations

import asyncio
import json

import pytest

from experience_db import Edit, InvalidEdit, Op, Serving, Store, UnknownSession, open_library


@pytest.fixture
def app(path):
    """A database with the library `support` of one lesson."""
    with Store.open(path) as store:
        made = store.create_library("support")
        store.commit("support", [Edit(Op.ADD, "Ask for the order number first.")], parent=made.version)
    return path


def on_trial(path, control=0.2, canary=0.5):
    """Put an edit on trial."""
    with Store.open(path) as store:
        ids = store.set_aside("support", [Edit(Op.ADD, "Offer a refund.")], status="undecided", reason="x", version=1)
        return store.serve(Serving("support", 1, control, canary, ids))


def all_sessions(path, **more):
    """The sessions of the library."""
    with Store.open(path, readonly=True) as store:
        return store.sessions("support", **more)


def test_a_session_is_kept_with_the_version_that_it_met(app):
    """What was asked, said and reported lies with the version, and secrets in it do not."""
    library = open_library("support", db=app)
    with library.session(task="A refund, key sk-abcdefghijkl", user="ann@example.com") as s:
        sent = s.inject([{"role": "user", "content": "My key is sk-abcdefghijkl"}])
        s.add({"role": "assistant", "content": "Done", "tool_calls": [{"arguments": "4111 1111 1111 1111"}]})
        s.report(0.75, feedback="quick, password is hunter22!")
    assert "order number" in sent[0]["content"]
    (kept,) = all_sessions(app)
    assert (kept.arm, kept.share, kept.version, kept.reward, kept.outcome) == ("served", 1.0, 1, 0.75, "succeeded")
    assert kept.tainted
    assert len(kept.user) == 16
    with Store.open(app, readonly=True) as store:
        (turn,) = store.turns(kept.id)
    whole = json.dumps([kept.task, kept.feedback, turn.messages])
    assert not [secret for secret in ("sk-abc", "ann@", "hunter22", "4111") if secret in whole]
    assert [m["role"] for m in turn.messages] == ["user", "assistant"]


def test_the_draw_decides_what_a_session_meets(app):
    """Control shows nothing, the canary the shadow version, and each session knows with which chance."""
    on_trial(app)
    library = open_library("support", db=app)
    blocks = []
    for draws in ([0.1], [0.3, 0.4], [0.3, 0.6], [0.9]):
        with library.session(draw=iter(draws).__next__) as s:
            blocks.append((s.arm, round(s.share, 9), s.library.block()))
    assert [b[:2] for b in blocks] == [
        ("control", 0.2), ("canary", 0.5), ("canary", 0.5), ("served", 0.3),
    ]  # fmt: skip
    assert blocks[0][2] == ""
    assert "Offer a refund" in blocks[1][2]
    assert not [b for b in blocks[2:] if "Offer a refund" in b[2] or "order number" not in b[2]]
    assert [(s.arm, s.serving, s.edits, s.version) for s in all_sessions(app)] == [
        ("control", 1, (), 1), ("canary", 1, (2,), 1), ("canary", 1, (), 1), ("served", 1, (), 1),
    ]  # fmt: skip


def test_a_shadow_ends_with_its_base(app):
    """Once there is a newer version, or its edit is settled, no session meets the shadow, and the control stays."""
    on_trial(app)
    with Store.open(app) as store:
        store.commit("support", [Edit(Op.ADD, "Brand new.")], parent=1)
    library = open_library("support", db=app)
    with library.session(draw=lambda: 0.3) as s:
        assert (s.arm, s.share) == ("served", 0.8)
        assert "Brand new" in s.library.block()


def test_a_version_by_name_is_held(app):
    """A library that was opened at a version meets no draw."""
    on_trial(app)
    with open_library("support", db=app, version=1).session(draw=lambda: 0.0) as s:
        assert (s.arm, len(s.library)) == ("served", 1)


def test_async_and_late_reports(app):
    """The same in an event loop; a report may come later, and of several the last in time counts."""

    async def run():
        async with open_library("support", db=app).session(task="t") as s:
            s.report(outcome="failed")
        return s.id

    session = asyncio.run(run())
    library = open_library("support", db=app)
    library.report(session, 1.0)
    assert all_sessions(app)[0].reward == 1.0
    assert all_sessions(app, patience=-1.0)[0].reward is None
    with pytest.raises(UnknownSession, match="no session 'x'"):
        library.report("x", 1.0)
    with pytest.raises(InvalidEdit, match="between 0 and 1"):
        library.report(session, 2.0)


def test_an_app_goes_on_where_nothing_can_be_kept(app, caplog):
    """A database that is gone costs the record, never the answer, and the session says so."""
    library = open_library("support", db=app)
    app.unlink()
    app.mkdir()
    with library.session() as s:
        sent = s.inject([{"role": "user", "content": "q"}])
        s.report(1.0)
    assert "order number" in sent[0]["content"]
    assert "folder" in s.fault
    assert "is not kept" in caplog.text


def test_what_the_app_raises_passes_and_is_kept(app):
    """An error of the app is its own; the session is on record without an outcome."""
    s = open_library("support", db=app).session()
    with pytest.raises(ZeroDivisionError), s:
        raise ZeroDivisionError
    with Store.open(app, readonly=True) as store:
        (turn,) = store.turns(s.id)
    assert turn.failure == "the app raised ZeroDivisionError"
    assert all_sessions(app)[0].reward is None


@pytest.mark.parametrize(
    ("control", "canary", "edits", "design"),
    [(1.0, 0, (), "randomized"), (0.5, 0.5, (1,), "randomized"), (0, 0.1, (), "randomized"), (0, 0, (), "thought")],
)
def test_shares_that_are_none(app, control, canary, edits, design):
    """Shares that leave nothing for what is served, or that show nothing, are refused and not kept."""
    with Store.open(app) as store:
        with pytest.raises(InvalidEdit):
            store.serve(Serving("support", 1, control, canary, edits, design))
        assert store.serving("support") is None
