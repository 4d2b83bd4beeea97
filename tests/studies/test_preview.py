"""A run before it begins: what the model will see and what it takes, without asking anybody or writing anything."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.script import Model, play, rows, write
from typer.testing import CliRunner

from experience_db import Edit, Op
from tfgrpo.backends.limited import Ledger
from tfgrpo.backends.metered import Tally
from tfgrpo.cli.app import app
from tfgrpo.learning.forecast import Plan, Seen, forecast
from tfgrpo.learning.progress import Progress
from tfgrpo.types import Usage, Verdict


@pytest.fixture
def asked(tmp_path: Path) -> list[str]:
    """The arguments of a run on a file of eight problems."""
    write(tmp_path / "p.jsonl", rows(8))
    return ["learn", str(tmp_path / "p.jsonl"), "--grader", "exact", "--db", str(tmp_path / "x.db"), "--heldout", "0.5"]


def test_the_first_prompts_are_those_that_are_sent(asked, tmp_path):
    """Instructions, then the problem; no call is made and no file appears."""
    model = Model()
    more = ["--model", play(model), "--instructions", "Say it in French.", "--dry-run"]
    told = CliRunner().invoke(app, [*asked, *more, "--json"])
    assert told.exit_code == 0, told.stderr
    found = json.loads(told.stdout)
    assert [message["role"] for message in found["prompts"][0]] == ["system", "user"]
    assert found["prompts"][0][0]["content"] == "Say it in French."
    assert found["prompts"][0][1]["content"].startswith("In topic ")
    assert (found["problems"] + found["heldout"], model.requests) == (8, [])
    assert [path.name for path in tmp_path.iterdir()] == ["p.jsonl"]
    page = CliRunner().invoke(app, [*asked, *more]).stdout
    assert "[system]\nSay it in French." in page
    assert "nothing was asked and nothing written" in page


def test_the_price_is_told_without_a_key_and_where_it_is_known(asked, monkeypatch):
    """Low, likely and high; unknown is not zero."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    known = json.loads(CliRunner().invoke(app, [*asked, "--model", "openai/gpt-4o-mini", "--dry-run", "--json"]).stdout)
    assert 0 < known["usd"]["low"] <= known["usd"]["likely"] <= known["usd"]["high"]
    assert known["calls"]["low"] <= known["calls"]["likely"] <= known["calls"]["high"]
    unknown = CliRunner().invoke(app, [*asked, "--model", "openai/nobody-knows", "--dry-run", "--json"])
    assert json.loads(unknown.stdout)["usd"] is None


def test_instructions_come_from_a_file_too(asked, tmp_path):
    """By its name; a file that is not there is no instruction."""
    (tmp_path / "say.txt").write_text("Say it in Latin.\n")
    model = ["--model", play(Model()), "--dry-run", "--json"]
    told = CliRunner().invoke(app, [*asked, *model, "--instructions", str(tmp_path / "say.txt")])
    assert "Say it in Latin." in str(json.loads(told.stdout)["prompts"][0])
    missing = CliRunner().invoke(app, [*asked, *model, "--instructions", str(tmp_path / "no.txt")])
    assert (missing.exit_code, "there is no such file" in missing.stderr) == (2, True)


PLAN = Plan(groups=100, group_size=5, steps=4, heldout=20)


def test_what_is_counted_is_exact_and_what_is_guessed_has_a_range():
    """Rollouts and measurements are known; lessons and gate lie between low and high."""
    parts = {part.name: part.calls for part in forecast(PLAN).parts}
    assert parts["rollouts"] == (500, 500, 500)
    assert parts["held-out"] == (40, 40, 40)
    assert parts["gate"][0] < parts["gate"][1] < parts["gate"][2]
    assert "gate" not in {part.name for part in forecast(Plan(100, 5, 4, 20, gated=False)).parts}


def test_a_forecast_ends_at_what_was_made():
    """Once everything is done nothing is left to guess, and texts that come again and again cost nothing more."""
    made = {"evaluate": 40, "rollout": 500, "contrast": 60, "consolidate": 4, "gate": 300}
    texts = {f"lesson {n}": 10 for n in range(6)}
    used = {role: Usage(10 * n, n) for role, n in made.items()}
    found = forecast(PLAN, Seen(made, used, 100, 500, 60, 60, texts, 6, 4))
    assert found.calls(0) <= found.calls() <= found.calls(2)
    assert found.calls() == pytest.approx(sum(made.values()), rel=0.02)
    assert found.usage().completion_tokens == pytest.approx(sum(made.values()), rel=0.02)
    assert not found.guessed


def test_new_texts_at_every_contrast_promise_more_to_come():
    """The share of texts that were seen once says how many are still unseen."""
    made = {"rollout": 100, "contrast": 20, "gate": 0}
    fresh = forecast(PLAN, Seen(made, {}, 20, 100, 20, 20, {f"{n}": 1 for n in range(20)}))
    stale = forecast(PLAN, Seen(made, {}, 20, 100, 20, 20, {f"{n}": 5 for n in range(4)}))
    assert fresh.calls() > 2 * stale.calls()


def test_edits_that_wait_for_their_test_are_foreseen():
    """In the middle of a gate: what was decided so far says what each of the others will cost."""
    made = {"rollout": 250, "contrast": 30, "gate": 400}
    texts = {f"lesson {n}": 3 for n in range(10)}
    seen = Seen(made, {}, 50, 250, 30, 30, texts, tested=8)
    none, many = forecast(PLAN, seen), forecast(PLAN, replace(seen, waiting=12))
    assert many.calls() - none.calls() == pytest.approx(12 * 400 / 8, rel=0.1)
    assert many.calls(0) <= many.calls() <= many.calls(2)


def test_edits_of_the_next_gate_are_foreseen_too():
    """Texts proposed since the newest gate began come to the next one, as many of them as came to the earlier ones."""
    made = {"rollout": 250, "contrast": 30, "gate": 400}
    texts = {f"lesson {n}": 3 for n in range(20)}
    seen = Seen(made, {}, 50, 250, 30, 30, texts, tested=8)
    more = forecast(PLAN, replace(seen, fresh=10)).calls() - forecast(PLAN, seen).calls()
    assert more == pytest.approx(10 * 8 / 10 * 400 / 8, rel=0.15)


def test_groups_that_were_not_asked_yet_will_be():
    """While rollouts of the next step go on beside a gate, groups whose contrasts are to come are not passed over."""
    made = {"rollout": 250, "contrast": 20}
    lagging = Seen(made, {}, groups=50, finished=250, kept=40, contrasts=20, asked=20, asked_of=20)
    part = next(part for part in forecast(PLAN, lagging).parts if part.name == "lessons")
    assert part.calls[1] == pytest.approx(40 / 50 * 100 + PLAN.steps / 2)
    chosen = next(part for part in forecast(PLAN, replace(lagging, asked=10)).parts if part.name == "lessons")
    assert chosen.calls[1] == pytest.approx(20 / 50 * 100 + PLAN.steps / 2)


def test_lessons_that_entered_leave_less_to_teach():
    """What most proposed texts say is in the library: fewer groups disagree from then on, and fewer edits come."""
    made = {"rollout": 250, "contrast": 30, "gate": 400}
    seen = Seen(made, {}, 50, 250, 30, 30, {f"lesson {n}": 1 + n % 3 for n in range(10)}, tested=10)
    parts = {n: {p.name: p.calls for p in forecast(PLAN, replace(seen, accepted=n)).parts} for n in (0, 8)}
    assert parts[8]["lessons"][1] < parts[0]["lessons"][1]
    assert parts[8]["gate"][1] < parts[0]["gate"][1]
    assert parts[8]["rollouts"] == parts[0]["rollouts"]


def test_contrasts_to_come_carry_what_is_refused_until_then():
    """Where nothing enters, later contrasts are told of ever more refused texts."""
    made = {"rollout": 250, "contrast": 30, "gate": 400}
    used = {role: Usage(40 * n, 10 * n) for role, n in made.items()}
    texts = {f"When a parcel is late, call it shipping, case {n}.": 1 for n in range(20)}
    seen = Seen(made, used, 50, 250, 30, 30, texts, tested=20, refused=20)
    found = [forecast(PLAN, replace(seen, accepted=n)).parts for n in (0, 1)]
    none, one = (next(part.prompt_tokens[1] for part in parts if part.name == "lessons") for parts in found)
    assert none > 1.2 * one


def test_progress_knows_what_came_to_a_gate_and_what_is_for_the_next():
    """Rounds of a step wait together; a version that changes ends what was refused under the one before."""
    tally = {"contrast": Tally(new=3)}
    progress = Progress(Ledger(), (), tally)
    progress.texts.update({"a": 2, "b": 1, "c": 1})
    progress.groups["kept"] = 3
    progress.count_round(2, 1)
    progress.texts.update(["d"])
    seen = progress.seen()
    assert (seen.waiting, seen.fresh, seen.asked, seen.asked_of) == (3, 1, 3, 3)
    progress.count_verdict(Verdict("rejected", (Edit(Op.ADD, "a"),), "no"), 1)
    assert progress.seen().waiting == 2
    progress.count_round(1, 0)
    assert (progress.seen().waiting, progress.seen().fresh) == (1, 1)


def test_rollouts_to_come_carry_the_lessons_that_entered():
    """Tokens of a prompt grow with the library; what was answered before it grew does not count for later."""
    made = {"rollout": 250, "gate": 400}
    used = {role: Usage(40 * n, 10 * n) for role, n in made.items()}
    texts = {"When a parcel is late, call it shipping, since that team asks the courier.": 3}
    seen = Seen(made, used, 50, 250, 30, 30, texts, tested=8)
    with_none = forecast(PLAN, replace(seen, refused=8)).usage().prompt_tokens
    with_eight = forecast(PLAN, replace(seen, accepted=8)).usage().prompt_tokens
    # 250 rollouts and 20 measurements are left, each with eight lessons of some twenty tokens.
    assert with_eight - with_none > 270 * 8 * 18


def test_a_kind_of_rollout_that_was_not_seen_costs_what_another_did():
    """Before the gate begins its tokens are those of the learning rollouts, not a guess."""
    seen = Seen({"rollout": 100}, {"rollout": Usage(2000, 500)}, 20, 100, 10)
    gate = next(part for part in forecast(PLAN, seen).parts if part.name == "gate")
    assert gate.completion_tokens[1] == pytest.approx(5 * gate.calls[1])
