"""What is read of a large library page by page is what reading all of it would tell."""

from hypothesis import given, settings
from hypothesis import strategies as st

from experience_db import Diff, Edit, Evidence, Op, Source, Store, effect_of, own_words

TEXTS = ("Name the unit.", "Begin with the left one.", "Check twice.", "Name the unit twice.")
edits = st.lists(
    st.tuples(st.sampled_from(["add", "update", "delete", "rollback"]), st.integers(0, 9), st.sampled_from(TEXTS)),
    min_size=1, max_size=12,
)  # fmt: skip
measured = st.builds(
    Evidence,
    kind=st.sampled_from(["gate", "dropout", "leave-one-out"]),
    estimate=st.one_of(st.none(), st.sampled_from([-0.3, 0.0, 0.2])),
    n=st.just(8),
    lesson_ids=st.lists(st.integers(1, 5), max_size=3, unique=True).map(tuple),
    verdict=st.sampled_from(["", "accepted", "rejected", "undecided"]),
)


def made(store, steps, told=()):
    """Make a library of some edits, each a version, with evidence strewn in."""
    store.create_library("a")
    for number, (what, at, text) in enumerate(steps):
        head = store.library("a")
        there = [lesson.id for lesson in head]
        store.add_evidence("a", told[number::3] if number < 3 else ())
        if what == "add" or not there:
            store.commit("a", [Edit(Op.ADD, text)], parent=head.version)
        elif what == "rollback":
            store.rollback("a", at % (head.version + 1))
        else:
            one = there[at % len(there)]
            sources = (Source(f"p{number}", (0,)),)
            op = Op.UPDATE if what == "update" else Op.DELETE
            store.commit(
                "a", [Edit(op, text if what == "update" else None, (one,), sources=sources)], parent=head.version
            )


@settings(deadline=None, max_examples=40)
@given(edits, st.data())
def test_a_difference_of_versions_is_that_of_their_lessons(steps, data):
    """Pages of a difference, put together, are what both versions read in full differ by."""
    with Store.open(":memory:") as store:
        made(store, steps)
        head = store.version_number("a")
        a, b = (data.draw(st.integers(0, head)) for _ in range(2))
        old, new = ({x.id: x for x in store.library("a", v)} for v in (a, b))
        total = len([i for i in old.keys() | new.keys() if i not in old or i not in new or old[i].text != new[i].text])
        whole = Diff(
            tuple(new[i] for i in new if i not in old),
            tuple(old[i] for i in old if i not in new),
            tuple((old[i], new[i]) for i in old if i in new and old[i].text != new[i].text),
            total,
        )
        assert store.diff("a", a, b) == whole
        pages = [store.diff("a", a, b, limit=2, offset=at) for at in range(0, total, 2)]
        for side in ("added", "removed", "changed"):
            assert tuple(x for page in pages for x in getattr(page, side)) == getattr(whole, side)
        assert {page.total for page in pages} <= {total}


@settings(deadline=None, max_examples=40)
@given(edits, st.lists(measured, max_size=9))
def test_light_rows_tell_what_full_ones_do(steps, told):
    """In every version the light lessons, their effects and their neighbours are those of the full lessons."""
    with Store.open(":memory:") as store:
        made(store, steps, told)
        for version in range(store.version_number("a") + 1):
            full = store.library("a", version).lessons
            light = store.light_lessons("a", version)
            assert [tuple(x) for x in light] == [(x.id, x.text, x.changed, x.tainted) for x in full]
            assert list(store.some_lessons("a", version, [x.id for x in full]).values()) == list(full)
            effects = store.light_effects("a", version, light)
            for lesson in full:
                known = [e for e in store.evidence("a", lesson.id) if (e.version or 0) <= version]
                speaks, found = effect_of(own_words(known, lesson.changed)), effects.get(lesson.id)
                assert (speaks and (speaks.estimate, speaks.lesson_ids)) == (
                    found and (found.estimate, tuple(found.lesson_ids))
                )
        ids = [x.id for x in store.library("a")]
        for i in range(store.library("a").next_id + 1):
            before, after = [x for x in ids if x < i], [x for x in ids if x > i]
            assert store.lessons_beside("a", i) == (max(before, default=None), min(after, default=None))


def test_a_small_library_beside_a_large_one_is_found(tmp_path):
    """Words that are common in another library say much in this one, and nothing of the other comes."""
    with Store.open(tmp_path / "x.db") as store:
        store.create_library("large")
        large = [Edit(Op.ADD, f"Begin with the left one of {i % 97} and name the unit.") for i in range(2_500)]
        store.commit("large", large, parent=0)
        store.create_library("few")
        store.commit("few", [Edit(Op.ADD, "Name the unit."), Edit(Op.ADD, "Check the left side.")], parent=0)
        assert [x.id for x in store.search("few", "unit left")] == [1, 2]
        assert [x.id for x in store.search("few", "the unit")] == [1, 2]
        assert not store.search("few", "few large begin")


def test_a_search_reads_what_it_finds_and_not_the_library(tmp_path):
    """With ten times the lessons the same few are found by hardly more steps of SQLite, in the same order."""
    steps, found = {}, {}
    for many in (400, 4_000):
        with Store.open(tmp_path / f"{many}.db") as store:
            store.create_library("a")
            rare = {7: "glorp twice", 70: "glorp", 300: "glorp once and once more"}
            store.commit("a", [Edit(Op.ADD, f"Name the unit {i} {rare.get(i, '')}") for i in range(many)], parent=0)
            counted = [0]
            store._connection.set_progress_handler(lambda counted=counted: counted.__setitem__(0, counted[0] + 1), 1)
            found[many] = [x.id for x in store.search("a", "glorp")]
            store._connection.set_progress_handler(None, 1)
            steps[many] = counted[0]
            store.create_library("b")  # Narrowed to one of two libraries, a search finds the same.
            assert [x.id for x in store.search("a", "glorp")] == found[many]
    assert found[4_000] == found[400]
    assert set(found[400]) == {8, 71, 301}
    assert steps[4_000] < 2 * steps[400]


@settings(deadline=None, max_examples=60)
@given(st.text(min_size=1, max_size=12).filter(lambda x: not set(x) & set("@\n\ud800") and x.strip() == x))
def test_a_library_of_any_name_is_searched(name):
    """Whatever a library is called, its lessons are found by their words, and no other's."""
    with Store.open(":memory:") as store:
        for one in (name, "other", f"{name} more"):
            if one not in store.libraries():
                store.create_library(one)
                store.commit(one, [Edit(Op.ADD, f"Name the unit of {len(store.libraries())}.")], parent=0)
        assert [x.id for x in store.search(name, "unit")] == [1]
        assert store.search(name, "unit")[0].text == store.library(name).lessons[0].text


def test_waiting_edits_come_in_pages(store):
    """Pages hold every waiting edit once, by library; settled ones and those that wait for nobody are left out."""
    for name in ("b", "a"):
        store.create_library(name)
        asked = [Edit(Op.ADD, f"{name} {i}") for i in range(3)]
        store.set_aside(name, asked, status="undecided", reason="waits: so", version=0)
        store.set_aside(name, [Edit(Op.ADD, "open")], status="undecided", reason="too few", version=0)
    store.reject("a", [store.pending("a")[0].id], reason="no")
    assert store.waiting_count(begins="waits") == {"a": 2, "b": 3}
    assert store.waiting_count("b") == {"b": 4}
    pages = [store.waiting_page("", "waits", 2, at) for at in (0, 2, 4)]
    assert [[(k, x.edit.text) for k, v in page.items() for x in v] for page in pages] == [
        [("a", "a 1"), ("a", "a 2")], [("b", "b 0"), ("b", "b 1")], [("b", "b 2")],
    ]  # fmt: skip


def test_evidence_of_steps_is_that_of_these_steps(store, run):
    """What other runs and steps measured is left out; no step is a step too."""
    store.create_library("a")
    for where, step in ((run, 0), (run, 1), (None, None)):
        store.add_evidence("a", [Evidence("gate", 0.1, n=step or 7)], run=where, step=step)
    assert [e.n for e in store.evidence_of_steps("a", [(run, 1)])] == [1]
    assert store.evidence_of_steps("a", [(run, None), ("none", 0)]) == ()


def test_of_several_measurements_the_newest_direct_one_is_shown(store):
    """What is newer speaks, but dropout and what was measured with others only where nothing else does."""
    store.create_library("a")
    told = [("gate", 0.1, (1,)), ("leave-one-out", 0.2, (1,)), ("dropout", 0.3, (1,)), ("gate", 0.4, (1, 2))]
    evidence = [Evidence(kind, estimate, n=8, lesson_ids=ids) for kind, estimate, ids in told]
    store.commit("a", [Edit(Op.ADD, text) for text in TEXTS[:2]], parent=0, evidence=evidence)
    found = store.light_effects("a", 1, store.light_lessons("a", 1))
    assert {i: effect.estimate for i, effect in found.items()} == {1: 0.2, 2: 0.4}
