"""The learning loop as a whole: what enters the library, and what each lesson rests on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.script import TOPICS, Model, edits, learn, lesson, play, propose, rows, solve, text_of

import tfgrpo
from experience_db import Edit, Op, Store
from experience_db.errors import StoreError
from tfgrpo.errors import UsageError
from tfgrpo.lessons.leakage import REMEDY
from tfgrpo.types import Reply, Request, Usage


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A database file that is not there yet."""
    return tmp_path / "x.db"


def test_groups_with_a_contrast_become_lessons_and_flat_ones_cost_no_call(db):
    """Kept groups are contrasted, flat ones are not, and the lessons are those that the contrasts proposed."""
    flat = {"id": "flat", "question": "In topic maple: what comes of 7?", "answer": "none of it"}
    model = Model()
    result = learn(model, [*rows(4), flat], db)
    assert result.summary["groups"] == {"kept": 4, "flat": 1, "failed": 0, "filtered": 0}
    assert model.calls == {"rollout": 20, "contrast": 4, "consolidate": 1}
    assert sorted(x.text for x in result.library) == sorted(map(lesson, TOPICS))
    assert result.library.version == 1


def test_an_edit_names_its_problems_rollouts_model_and_template(db):
    """The source of a lesson is the group it came from, with the attempts that show it."""
    learn(Model(), rows(4), db)
    with Store.open(db, readonly=True) as store:
        (source,) = store.blame("default", 1).lesson.sources
        run = store.runs()[0]
    assert source.problem_id in {row["id"] for row in rows(4)}
    assert source.rollouts == (0, 1)
    assert (source.run, source.step) == (run.id, 0)
    assert source.model.startswith("scripted/")
    assert len(source.template) == 12


def test_problems_that_ask_for_the_same_lesson_support_it_together(db):
    """Two groups of a topic make one proposal with two sources."""
    model = Model()
    learn(model, rows(8), db)
    assert "(support 2)" in model.asked("consolidate")[0]
    with Store.open(db, readonly=True) as store:
        assert all(len({s.problem_id for s in x.sources}) == 2 for x in store.library("default"))


def test_lessons_of_one_epoch_are_in_the_prompts_of_the_next(db):
    """The second epoch sees the library of the first and has nothing left to contrast."""
    model = Model()
    result = learn(model, rows(4), db, epochs=2)
    assert [step.epoch for step in result.steps] == [0, 1]
    assert result.summary["reward"] == {"first": 0.5, "last": 1.0}
    assert result.summary["groups"]["flat"] == 4
    second = [text_of(r) for r in model.requests if r.role == "rollout"][16:]
    assert all(lesson(topic) in text for text in second for topic in TOPICS)


def test_an_epoch_draws_new_noise(db):
    """No rollout of a later epoch has the seed or the attempt index of an earlier one."""
    model = Model(contrast=lambda _: edits())
    learn(model, rows(2), db, epochs=2)
    drawn = [(r.sampling.seed, r.attempt, text_of(r)) for r in model.requests if r.role == "rollout"]
    assert len(set(drawn)) == 16
    assert {attempt for _, attempt, _ in drawn} == set(range(8))


def test_batches_are_steps_that_see_the_version_before_them(db):
    """Each batch runs under the version that the batch before it made."""
    result = learn(Model(), rows(8), db, batch_size=3)
    assert [len(step.groups_P) for step in result.steps] == [3, 3, 2]
    assert [s.version_before for s in result.steps[1:]] == [s.version_after for s in result.steps[:-1]]
    assert all(g.version == s.version_before for s in result.steps for g in s.groups_P)


@pytest.mark.parametrize(
    ("operation", "left"),
    [
        ({"op": "UPDATE", "ids": [1], "text": "When asked of maple, double the figure."}, 4),
        ({"op": "DELETE", "ids": [2]}, 3),
        ({"op": "MERGE", "ids": [1, 3], "text": "When asked of trees or cloth, double the figure."}, 3),
        ({"op": "ADD", "text": "When no topic is named, ask for one."}, 5),
    ],
    ids=lambda value: value["op"] if isinstance(value, dict) else None,
)
@pytest.mark.parametrize("mode", ["batch", "each"])
def test_every_operation_reaches_the_library(db, mode, operation, left):
    """What consolidation says is what the next version holds, asked for all proposals at once or one by one."""
    with Store.open(db) as store:
        store.create_library("default")
        store.import_texts([lesson(topic) for topic in TOPICS], "default")
    model = Model(
        rollout=lambda r: "Answer: 400" if r.attempt % 2 else "Answer: 1",
        contrast=lambda _: edits(operation),
        consolidate=lambda _: edits({**operation, "attempts": [1]}),
    )
    result = learn(model, rows(1), db, lessons__consolidate=mode)
    assert result.steps[0].version_after == result.steps[0].version_before + 1
    assert len(result.library) == left
    if operation.get("text"):
        assert operation["text"] in {x.text for x in result.library}


def test_a_proposal_that_consolidation_leaves_out_is_named(db):
    """No proposal vanishes in silence."""
    result = learn(Model(consolidate=lambda _: edits()), rows(4), db)
    assert result.summary["edits"] == {
        "proposed": 4, "accepted": 0, "rejected": 0, "undecided": 0, "untested": 4, "malformed": 0,
    }  # fmt: skip
    with Store.open(db, readonly=True) as store:
        assert {item.reason for item in store.unapplied("default")} == {
            "left out when the proposals of the batch were consolidated"
        }


def test_the_gate_keeps_what_helps_and_its_evidence_names_the_lesson(db):
    """A proven lesson carries its effect, interval and n; a harmful one is set aside with the reason."""
    harmful = "When the topic is maple, think of autumn first."

    def attempt(request: Request) -> str:
        text = text_of(request)
        found = re.search(r"topic maple: what comes of (\d+)", text)
        if found is None or request.role == "rollout":
            return solve(request)
        return "Answer: 0" if harmful in text else f"Answer: {2 * int(found[1])}"

    model = Model(
        gate=attempt,
        evaluate=attempt,
        contrast=lambda r: edits({"op": "ADD", "text": harmful}) if "topic maple" in text_of(r) else propose(r),
    )
    result = learn(model, rows(4), db, heldout=rows(40, 100), gate="paired")
    assert {x.text for x in result.library} == {lesson(t) for t in TOPICS if t != "maple"}
    assert result.summary["heldout"]["before"] == 0.25
    assert result.summary["heldout"]["after"] == 1.0
    assert result.summary["heldout"]["ci"][0] > 0.5
    with Store.open(db, readonly=True) as store:
        for kept in result.library:
            found = store.evidence("default", kept.id)
            assert found[0].estimate > 0.5
            assert found[0].verdict == "accepted"
            assert found[0].low < found[0].estimate <= found[0].high
            assert found[0].n >= 8
        (refused,) = store.unapplied("default")
    assert (refused.edit.text, refused.status) == (harmful, "rejected")
    assert refused.reason


def test_a_refused_edit_is_not_asked_again_while_the_version_stays(db):
    """The second epoch proposes it again; the gate is not asked, for nothing has changed."""
    useless = "When the topic is maple, think of autumn first."
    model = Model(contrast=lambda _: edits({"op": "ADD", "text": useless}))
    result = learn(model, rows(1), db, heldout=rows(32, 100), gate="paired", epochs=2)
    first, second = result.steps
    assert first.verdicts[0].decision in ("rejected", "undecided")
    assert second.verdicts == ()
    assert useless in model.asked("contrast")[1]
    assert "refused" in model.asked("contrast")[1]


def test_a_lesson_over_the_word_limit_is_refused_with_the_reason(db):
    """The limit is checked in code, whatever the model says."""
    long = "When " + "very " * 40 + "sure, stop."
    result = learn(Model(contrast=lambda _: edits({"op": "ADD", "text": long})), rows(1), db)
    assert len(result.library) == 0
    (verdict,) = result.steps[0].verdicts
    assert verdict.reason == "the text has 43 words; at most 32 are allowed"


def test_a_lesson_that_gives_the_answer_away_is_refused(db):
    """The reference is shown to the summarizer, so the code looks whether it ended up in the lesson."""
    model = Model(contrast=lambda _: edits({"op": "ADD", "text": "When asked of maple, the answer is 400."}))
    result = learn(model, rows(1), db)
    assert len(result.library) == 0
    assert result.steps[0].verdicts[0].reason == f"it states the answer of its source problem; {REMEDY}"


@pytest.mark.parametrize("shown", [True, False])
def test_the_reference_is_shown_to_the_summarizer_only_if_asked_for(db, shown):
    """`lessons.ground_truth` decides, and the graders' words do not give it away either."""
    model = Model(rollout=lambda r: f"Answer: {r.attempt}")
    odd = [{"id": "a", "question": "In topic maple: what comes of 7?", "answer": "0"}]
    secret = [{**odd[0], "metadata": {}, "answer": "0"}]
    learn(model, secret, db, lessons__ground_truth=shown)
    (prompt,) = model.asked("contrast")
    assert ("Reference answer" in prompt) is shown


def test_the_library_keeps_to_its_token_budget(db):
    """What does not fit stays out and is named; nothing is cut in half."""
    room = len(lesson("maple")) // 4 + 1
    result = learn(Model(), rows(4), db, lessons__budget_tokens=2 * room)
    assert len(result.library) == 2
    assert sum("the library is full" in v.reason for v in result.steps[0].verdicts) == 2


def test_lessons_from_tool_output_are_tainted(db):
    """An agent that read pages marks its rollout, and what was learned from it says so."""

    async def agent(problem: tfgrpo.Problem, lessons: str) -> tfgrpo.Rollout:
        seen.append(problem.id)
        answer = f"Answer: {problem.answer if len(seen) % 2 else 1}"
        return tfgrpo.Rollout("", 0, ({"role": "assistant", "content": answer},), answer, tainted=True)

    seen: list[str] = []
    result = learn(Model(), rows(1), db, environment=agent)
    assert [x.tainted for x in result.library] == [True]


def test_the_no_contrast_control_hides_every_reward(db):
    """With `lessons.contrast = false` all attempts look failed, and no grader's word is shown."""
    model = Model()
    learn(model, rows(1), db, lessons__contrast=False)
    (prompt,) = model.asked("contrast")
    assert "reward 0.00, advantage +0.00" in prompt
    assert "reward 1.00" not in prompt
    assert "correct" not in prompt.partition("## The attempts")[2]


def test_the_summarizer_may_be_another_model(db):
    """Rollouts go to the actor, everything that writes lessons goes to the summarizer."""
    actor, writer = Model(), Model()
    result = learn(actor, rows(4), db, summarizer_model=play(writer, "writer"))
    assert set(actor.calls) == {"rollout"}
    assert set(writer.calls) == {"contrast", "consolidate"}
    assert {r.model for r in writer.requests} == {"scripted/support.script:writer"}
    assert len(result.library) == 4


def test_the_paper_preset_asks_its_four_stages(db):
    """Summaries of every attempt, one contrast a group, operations against the library, one merge a batch."""

    def settle(request: Request) -> str:
        new = re.findall(r"^(\d+)\. (When .+?) \| reason", text_of(request), re.MULTILINE)
        return edits(*({"op": "ADD", "text": words, "attempts": [int(number)]} for number, words in new))

    model = Model(operations=settle)
    result = learn(model, rows(2), db, method="training-free-grpo", group_size=2)
    assert model.calls == {"rollout": 4, "summarize": 4, "contrast": 2, "operations": 2, "consolidate": 1}
    assert len(result.library) == 2


def test_long_attempts_are_summarized_and_short_ones_are_not(db):
    """A prompt has room for all attempts of a group: where they do not fit, summaries do, equal ones asked once."""
    model = Model(rollout=lambda r: "so " * 20_000 + "\n" + solve(r))
    learn(model, rows(1), db)
    assert model.calls["summarize"] == 2
    assert "brief" in model.asked("contrast")[0]
    assert max(map(len, model.asked("contrast"))) < 20_000


@pytest.mark.parametrize(("key", "answer"), [("all_wrong", "nothing"), ("all_right", "400")])
def test_flat_groups_teach_only_if_asked_to(tmp_path, key, answer):
    """Groups without a winner, or without a loser, have their own questions, which are off by default."""
    problem = [{**rows(1)[0], "answer": answer}]
    off, on = Model(rollout=lambda _: "Answer: 400"), Model(rollout=lambda _: "Answer: 400")
    assert learn(off, problem, tmp_path / "off.db").summary["groups"]["flat"] == 1
    learn(on, problem, tmp_path / "on.db", **{f"lessons__{key}": True})
    assert "contrast" not in off.calls
    assert on.calls["contrast"] == 1


def test_usage_is_summed_over_roles_and_unknown_money_stays_unknown(db):
    """A call without a price makes the whole sum unknown; it is never counted as free."""
    priced = Model(rollout=lambda r: Reply(solve(r), usage=Usage(10, 2, 4, 0.5)))
    assert learn(priced, rows(1), db).summary["usage"] == {
        "prompt_tokens": 40, "completion_tokens": 8, "cached_tokens": 16, "usd": 2.0,
    }  # fmt: skip
    unpriced = Model(contrast=lambda r: Reply(propose(r), usage=Usage(usd=None)))
    assert learn(unpriced, rows(2)[1:], db).summary["usage"]["usd"] is None


def test_a_library_that_somebody_else_moved_stops_the_run(db):
    """Two writers never overwrite each other; the message says what to do."""

    def meddle(request: Request) -> object:
        with Store.open(db) as other:
            other.commit("default", [Edit(Op.ADD, "When in doubt, ask.")], parent=0)
        return propose(request)

    with pytest.raises(StoreError, match="default"):
        learn(Model(contrast=meddle), rows(1), db)


def test_use_of_lessons_is_counted(db):
    """Each lesson knows how many rollouts had it in their prompt."""
    learn(Model(), rows(2), db, epochs=2)
    with Store.open(db, readonly=True) as store:
        assert store.blame("default", 1).shown == 8


def test_a_gate_that_measures_wants_held_out_problems(db):
    """`paired` with nothing held out is refused before anything is stored."""
    with pytest.raises(UsageError, match="needs held-out problems"):
        learn(Model(), rows(4), db, gate="paired")
    assert not db.exists()
