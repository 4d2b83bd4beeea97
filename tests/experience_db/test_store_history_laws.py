"""Laws that hold after any sequence of edits, checked against a model in plain Python."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from experience_db import Edit, Op, Store

WORDS = ("units", "figure", "Straße", "x'y", "loop", "NOT", "ромб")
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join)


class Histories(RuleBasedStateMachine):
    """A store, and beside it a list of {id: text} for each version."""

    @initialize()
    def open(self):
        """Start with one empty library."""
        self.store = Store.open(":memory:")
        self.store.create_library("web")
        self.versions = [{}]
        self.given = 0

    def teardown(self):
        """Close, after a last look at the whole file."""
        assert self.store.verify() == ()
        self.store.close()

    def commit(self, edits):
        """Commit on the newest version."""
        return self.store.commit("web", edits, parent=len(self.versions) - 1)

    @rule(texts=st.lists(TEXTS, min_size=1, max_size=3))
    def add(self, texts):
        """New lessons get ids that nobody had."""
        self.commit([Edit(Op.ADD, text) for text in texts])
        new = {self.given + i: text for i, text in enumerate(texts, start=1)}
        self.given += len(texts)
        self.versions.append(self.versions[-1] | new)

    @precondition(lambda self: self.versions[-1])
    @rule(data=st.data(), text=TEXTS)
    def update(self, data, text):
        """New words under the same id."""
        i = data.draw(st.sampled_from(sorted(self.versions[-1])))
        self.commit([Edit(Op.UPDATE, text, (i,))])
        self.versions.append(self.versions[-1] | {i: text})

    @precondition(lambda self: self.versions[-1])
    @rule(data=st.data())
    def delete(self, data):
        """One lesson leaves."""
        i = data.draw(st.sampled_from(sorted(self.versions[-1])))
        self.commit([Edit(Op.DELETE, ids=(i,))])
        self.versions.append({k: v for k, v in self.versions[-1].items() if k != i})

    @precondition(lambda self: len(self.versions[-1]) > 1)
    @rule(data=st.data(), text=TEXTS)
    def merge(self, data, text):
        """Several become the first named."""
        choice = st.lists(st.sampled_from(sorted(self.versions[-1])), min_size=2, max_size=3, unique=True)
        ids = data.draw(choice)
        self.commit([Edit(Op.MERGE, text, tuple(ids))])
        self.versions.append({k: v for k, v in self.versions[-1].items() if k not in ids} | {ids[0]: text})

    @rule(data=st.data())
    def rollback(self, data):
        """An old version becomes the newest."""
        to = data.draw(st.integers(0, len(self.versions) - 1))
        assert self.store.rollback("web", to).lessons == self.store.library("web", to).lessons
        self.versions.append(dict(self.versions[to]))

    @invariant()
    def every_version_is_what_the_model_says_and_what_its_edits_make(self):
        """library(v) equals the model and rebuild(v) for all v; the next id is past all given ones."""
        for number, model in enumerate(self.versions):
            library = self.store.library("web", number)
            assert {lesson.id: lesson.text for lesson in library} == model
            assert [lesson.id for lesson in library] == sorted(model)
            assert self.store.rebuild("web", number) == library
        assert self.store.library("web").next_id == self.given + 1

    @invariant()
    def search_finds_exactly_the_lessons_with_the_word(self):
        """For each word, search in the newest and the first version agrees with looking at the texts."""
        for word in WORDS:
            for number in {0, len(self.versions) - 1}:
                found = {lesson.id for lesson in self.store.search("web", word, 100, version=number)}
                assert found == {i for i, text in self.versions[number].items() if word in text.split(" ")}


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
