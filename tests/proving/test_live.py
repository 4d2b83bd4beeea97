"""`tfgrpo prove` with rollouts: verdict, exit code, floor, books, several texts, controls, resume, budget."""

import json
import sqlite3

import pytest
from proving.conftest import HARM, attempt, data
from support.script import ASKED, TOPICS, Model, lesson, play, rows, text_of, write

from tfgrpo.proving import output

REQUIRED = {
    "verdict", "effect", "ci", "touched", "problems", "pairs", "alpha", "floor", "won", "lost", "cost", "failures",
    "seconds",
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "verdict", "code"), [("good.md", "helps", 0), ("bad.md", "harms", 1), ("idle.md", "no-worth", 1)]
)
def test_verdict_and_exit_code(prove, text, verdict, code):
    """A text that helps, one that harms and one that does nothing are told apart, by word and by exit code."""
    result = prove(text, "--json")
    found = data(result)
    assert (found["verdict"], result.exit_code) == (verdict, code)
    assert set(found) >= REQUIRED
    low, high = found["ci"]
    assert low <= found["effect"] <= high
    assert found["pairs"] <= 96
    if verdict != "no-worth":
        assert (low > 0) == (verdict == "helps")


def test_json_follows_the_published_schema(prove):
    """The keys of `prove --json` are those of the schema that ships, at the top and for each text."""
    found, schema = data(prove("good.md", "--json")), output.schema()
    assert set(found) == set(schema["required"]) == set(schema["properties"])
    assert set(found["texts"][0]) == set(schema["$defs"]["finding"]["required"])
    assert set(found["floor"]) == set(schema["properties"]["floor"]["required"])


def test_it_stops_when_clear(prove, model):
    """A text that always helps needs few looks; the rest of the tasks is never asked."""
    found = data(prove("good.md", "--json"))
    assert found["pairs"] <= 32
    assert model.calls["prove"] == 3 * found["pairs"] == found["calls"]["new"]


def test_both_arms_meet_the_same_seeds(prove, model):
    """With and without are asked about the same problem under the same seed; the second try of the floor is another."""
    prove("idle.md")
    seeds = {}
    for request in model.requests:
        seeds.setdefault(request.messages[-1]["content"], []).append(request.sampling.seed)
    assert all(len(set(found)) == len(found) - 1 for found in seeds.values())
    assert sorted(map(len, seeds.values())) == [2] * (len(seeds) - 32) + [3] * 32


def test_arms_are_interleaved(prove, model):
    """Neither arm is asked before the other one as a whole."""
    prove("idle.md", "--concurrency", 1, "--floor", 0)
    asked = ["weather" in r.messages[0]["content"] for r in model.requests[:16]]
    assert asked == [False, True, True, False] * 4


def test_the_same_command_again_costs_nothing(prove, model):
    """A proof that is repeated is answered by the journal, with the same verdict and figures."""
    first, calls = data(prove("good.md", "--json")), model.calls["prove"]
    again = data(prove("good.md", "--json"))
    assert model.calls["prove"] == calls
    assert again["calls"] == {"new": 0, "replayed": first["calls"]["new"]}
    for key in ("verdict", "effect", "ci", "won", "lost", "pairs", "floor"):
        assert again[key] == first[key]


def test_floor_names_flaky_tasks(prove):
    """The same text against itself is measured, and the tasks whose reward moved are named."""
    floor = data(prove("good.md", "--json"))["floor"]
    assert floor["n"] == 32 or floor["n"] == 16
    assert floor["flaky"]
    low, high = floor["ci"]
    assert low <= floor["effect"] <= high


def test_several_texts_share_the_error(prove):
    """Each text gets a verdict of its own, the level is divided, and one that harms decides the exit code."""
    result = prove("good.md", "idle.md", "bad.md", "--json")
    found = data(result)
    assert [t["verdict"] for t in found["texts"]] == ["helps", "no-worth", "harms"]
    assert found["verdict"] == "harms"
    assert result.exit_code == 1
    assert max(t["alpha"] for t in found["texts"]) < 0.05


def test_leave_one_out_says_who_hurts_whom(prove, tmp_path):
    """Of skills that are used together the one that hurts is found by leaving it out; names of folders are names."""
    for name, words in (("good", "\n".join(f"- {lesson(t)}" for t in TOPICS)), ("bad", "Never double a figure.")):
        (tmp_path / "skills" / name).mkdir(parents=True)
        (tmp_path / "skills" / name / "SKILL.md").write_text(words, encoding="utf-8")
    found = data(prove("skills", "--together", "--json"))
    told = {(t["kind"], t["text"]): t["verdict"] for t in found["texts"]}
    assert told["leave-one-out", "bad"] == "harms"
    assert told["text", "good"] == "helps"
    assert told["together", "all together"] in ("harms", "no-worth")


def skills(tmp_path, **words):
    """Write a folder of skills."""
    for name, said in words.items():
        (tmp_path / "skills" / name).mkdir(parents=True)
        (tmp_path / "skills" / name / "SKILL.md").write_text(said, encoding="utf-8")
    return "skills"


def test_the_pair_that_hurts_is_named(prove, model, tmp_path):
    """Of three skills one spoils a second, and says nothing to the third: that pair is named, and no other."""

    def said(request):
        topic = ASKED.search(text_of(request))[1]
        spoilt = "Watch the tides." in text_of(request) and topic == "maple"
        return attempt(request) if not spoilt else "Answer: none"

    model.roles["prove"] = said
    set_ = skills(tmp_path, maple=lesson("maple"), cedar=lesson("cedar"), tide="Watch the tides.")
    write(tmp_path / "tasks.jsonl", [r for r in rows(256) if "maple" in r["question"] or "cedar" in r["question"]])
    result = prove(set_, "--together", "--json")
    found = data(result)
    hurt = {(f["text"], f["against"]) for f in found["beside"] if f["verdict"] == "harms"}
    assert ("tide", "maple") in hurt
    assert all(text == "tide" for text, _ in hurt)
    assert len(found["beside"]) == 2
    assert [f["alpha"] for f in found["beside"]] == [0.05 / 6, 0.05 / 6]
    assert "hurts: tide beside maple: -" in prove(set_, "--together").stdout


def test_two_that_do_the_same_harm(prove, tmp_path):
    """Where two texts do the same harm leaving one out shows nothing; each is then asked beside each other."""
    set_ = skills(tmp_path, good="\n".join(f"- {lesson(t)}" for t in TOPICS), one=HARM, two=f"{HARM} Never.")
    found = data(prove(set_, "--together", "--json"))
    assert {f["verdict"] for f in found["texts"] if f["kind"] == "leave-one-out"} <= {"no-worth", "cannot-tell"}
    hurt = {(f["text"], f["against"]) for f in found["beside"] if f["verdict"] == "harms"}
    assert hurt == {("one", "good"), ("two", "good")}


def test_of_two_the_other_is_hurt(prove, tmp_path):
    """With two texts no more is asked: the set without one is the other."""
    set_ = skills(tmp_path, good="\n".join(f"- {lesson(t)}" for t in TOPICS), bad=HARM)
    found = data(prove(set_, "--together", "--json"))
    assert [(f["text"], f["against"]) for f in found["beside"] if f["verdict"] == "harms"] == [("bad", "good")]
    assert found["calls"]["new"] <= 5 * 96 + 32


def test_two_texts_against_each_other(prove):
    """`--against` names the other text, and the effect is that of the first over the second."""
    found = data(prove("good.md", "--against", "bad.md", "--json"))
    assert (found["verdict"], found["against"]) == ("helps", "bad.md")
    assert data(prove("bad.md", "--against", "good.md", "--json"))["verdict"] == "harms"


def test_a_text_against_itself_has_no_worth(prove):
    """The same text under two names differs nowhere."""
    found = data(prove("good.md", "--against", "good.md", "--json"))
    assert (found["verdict"], found["effect"], found["won"], found["lost"]) == ("no-worth", 0.0, [], [])


def test_controls_stand_beside_the_verdict(prove, model):
    """Filler of the same length and a text written in one shot are arms of their own, with findings of their own."""
    model.roles["tips"] = lambda _: json.dumps(
        {"edits": [{"op": "ADD", "ids": [], "text": "Think.", "reason": "r", "attempts": [1], "when": None}]}
    )
    found = data(prove("good.md", "--control", "filler,one-shot", "--json"))
    assert set(found["controls"]) == {"filler", "one-shot"}
    assert {c["verdict"] for c in found["controls"].values()} == {"helps"}


def test_touched_problems_have_their_own_effect(prove, tmp_path):
    """A text about one topic is measured where it applies, and overall."""
    (tmp_path / "maple.md").write_text(lesson("maple"), encoding="utf-8")
    touched = data(prove("maple.md", "--json"))["touched"]
    whole = data(prove("maple.md", "--json"))
    assert touched["how"] == "word"
    assert touched["n"] < whole["problems"]
    assert touched["effect"] > whole["effect"]


def test_few_tasks_are_visited_several_times(prove, cli, tmp_path):
    """Twelve tasks are visited four times on seeds of their own, and the problem stays the unit."""
    write(tmp_path / "tasks.jsonl", rows(12))
    found = data(prove("good.md", "--json"))
    assert found["verdict"] == "helps"
    assert found["problems"] == 12
    assert found["pairs"] % 12 == 0


def test_a_budget_ends_it_as_cannot_tell(prove):
    """When a budget ends a proof early the verdict is cannot tell, exit code 3; a larger one goes on from there."""
    result = prove("idle.md", "--budget-calls", 20, "--json")
    assert (data(result)["verdict"], result.exit_code) == ("cannot-tell", 3)
    assert "budget" in data(result)["notes"][0]
    after = data(prove("idle.md", "--json"))
    assert after["verdict"] == "no-worth"
    assert after["calls"]["replayed"] >= 16


def test_failures_of_both_sides_are_told(prove, model):
    """Attempts that fail are counted by side and kind, and a difference between the sides has a p."""
    said = model.roles["prove"]
    model.roles["prove"] = lambda r: "" if "weather" in r.messages[0]["content"] else said(r)
    failures = data(prove("idle.md", "--json"))["failures"]
    assert failures["with"].get("empty", 0) > 0
    assert failures["without"] == {}
    assert failures["p"] < 0.05


def test_an_endpoint_that_refuses_is_no_verdict(cli):
    """Where nothing listens the verdict is cannot tell, exit code 3, with one JSON object that says why."""
    result = cli("prove", "good.md", "--on", "tasks.jsonl", "--grader", "exact", "--model", "openai/m", "--base-url",
                 "http://127.0.0.1:9/v1", "-s", "engine.attempts=1", "--json")  # fmt: skip
    found = data(result)
    assert (found["verdict"], result.exit_code) == ("cannot-tell", 3)
    assert found["reason"]
    assert set(found) == set(output.schema()["required"])
    refused = cli("prove", "good.md", "--on", "tasks.jsonl", "--grader", "exact", "--model", "openai/m", "--base-url",
                  "http://127.0.0.1:9/v1", "-s", "engine.attempts=1", "--exit", "cannot-tell=0")  # fmt: skip
    assert refused.exit_code == 3


def test_rewards_say_where_nothing_could_move(prove, model):
    """Both sides' mean rewards are told, and that a model which solves nothing, or everything, shows no worth."""
    found = prove("good.md")
    assert "1.000 with, 0." in found.stdout
    for answer, words in (("Answer: none", "neither side solved anything"), ("right", "harder tasks")):
        model.roles["prove"] = lambda r, a=answer: a if a != "right" else right(r)
        assert words in prove("bad.md", "--seed", str(len(answer))).stdout


def right(request):
    """Solve every problem."""
    found = ASKED.search(text_of(request))
    return f"Answer: {2 * int(found[2])}"


def test_a_model_that_is_none_is_wrong_usage(cli):
    """A name that leads to no provider, or one whose key is not set, is one sentence of ours and exit code 2."""
    for name, words in (("nope", "knows no provider"), ("anthropic/some", "export ANTHROPIC_API_KEY")):
        result = cli("prove", "good.md", "--on", "tasks.jsonl", "--grader", "exact", "--model", name)
        assert (result.exit_code, result.stdout) == (2, "")
        assert words in result.stderr


def test_exit_codes_can_be_mapped(prove):
    """`--exit` gives a verdict another code; a verdict that does not exist is refused before any call."""
    assert prove("idle.md", "--exit", "no-worth=0").exit_code == 0
    assert prove("idle.md", "--exit", "fine=0").exit_code == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["missing.md"], "missing.md"),
        ([], "which text"),
        (["good.md", "--as", "poem"], "--as"),
        (["good.md", "--detect", "7"], "--detect"),
        (["good.md", "--control", "magic"], "magic"),
        (["good.md", "--alpha", "0"], "--alpha"),
        (["good.md", "--together"], "--together"),
        (["good.md", "--range", "1,5"], "--replay"),
        (["good.md", "--seal", " "], "--seal"),
        (["good.md", "-o", "nowhere/page.html"], "nowhere"),
    ],
)
def test_wrong_usage_is_told_before_any_call(prove, model, options, words):
    """A wrong text or option is one sentence and exit code 2, and the model is not asked."""
    result = prove(*options)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not model.requests


@pytest.mark.parametrize(
    "option",
    [
        ("--pairs", "32"), ("--as", "file"), ("--together",), ("--budget-usd", "1"), ("--floor", "0"), ("--seed", "0"),
        ("--concurrency", "2"), ("--db", "x.db"), ("--set", "rollout.temperature=0"), ("--base-url", "http://x/v1"),
        ("--field", "question=q"), ("--prompts", "x"), ("--model", "tiny"), ("--control", "filler"), ("--seal", "x"),
    ],
)  # fmt: skip
def test_a_replay_refuses_what_asks_a_model(cli, option):
    """An option that means nothing in a replay is named, not read over."""
    result = cli("prove", "--replay", "tasks.jsonl", *option)
    assert result.exit_code == 2
    assert f"{option[0]} goes with rollouts" in result.stderr


def test_candidates_are_refused(prove, tmp_path):
    """Tasks that nobody has accepted are never used."""
    write(tmp_path / "tasks.jsonl", [r | {"accepted": False} for r in rows(4)])
    result = prove("good.md")
    assert result.exit_code == 2
    assert "accepted" in result.stderr


def test_a_library_is_a_text(prove, cli):
    """A library's version can be proved like a file."""
    cli("lessons", "add", lesson("maple"), "--library", "own")
    found = data(prove("own", "--json"))
    assert found["text"] == "own"
    assert data(prove("own@1", "--json"))["effect"] == found["effect"]


def test_ways_of_showing_a_text(prove, model):
    """As file the model reads the file's name, as lessons the library's words, as system the text alone."""
    seen = {}
    for way in ("system", "lessons", "file"):
        model.requests.clear()
        prove("good.md", "--as", way, "--db", f"{way}.db")
        seen[way] = next(t for t in model.asked("prove") if lesson("maple") in t)
    assert "The file good.md" in seen["file"]
    assert "Advice; follow what fits this problem" in seen["lessons"]
    assert "good.md" not in seen["system"]


def test_the_run_is_on_record(prove, tmp_path):
    """A proof is a run of the database, with its summary."""
    prove("good.md")
    (row,) = sqlite3.connect(tmp_path / "experience.db").execute("SELECT kind, status, summary FROM runs").fetchall()
    assert row[:2] == ("prove", "finished")
    assert json.loads(row[2])["verdict"] == "helps"


def test_more_pairs_for_a_smaller_effect(prove, tmp_path, model):
    """`--detect` sets how long it may look, and how many pairs would show the effect is said."""
    write(tmp_path / "tasks.jsonl", rows(40))
    result = prove("idle.md", "--detect", "0.02", "--json")
    assert data(result)["needed"] > 40
    assert data(result)["detect"] == 0.02


def test_a_graders_own_range_is_refused(cli, tmp_path, model, monkeypatch):
    """A grader whose rewards leave [0, 1] ends the proof with a sentence, not with a wrong test."""
    (tmp_path / "ten.py").write_text("def grade(problem, rollout):\n    return 10.0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    result = cli(
        "prove", "good.md", "--on", "tasks.jsonl", "--grader", "ten:grade", "--model", play(Model(prove=lambda _: "x"))
    )
    assert result.exit_code == 2
    assert "[0, 1]" in result.stderr
