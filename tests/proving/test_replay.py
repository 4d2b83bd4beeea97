"""`tfgrpo prove --replay`: stored results are paired by item id and judged without a model."""

import json
import random
import subprocess
import sys
from math import comb

import pytest
from proving.conftest import data

from tfgrpo.errors import UsageError
from tfgrpo.proving.replay import Asked, replay


def lines(path, *values):
    """Write one JSON value a line."""
    path.write_text("".join(json.dumps(v) + "\n" for v in values), encoding="utf-8")
    return path


def sign_test(before, after):
    """The one-sided exact sign test, written down once more."""
    won = sum(a > b for a, b in zip(after, before, strict=True))
    n = sum(a != b for a, b in zip(after, before, strict=True))
    return sum(comb(n, k) for k in range(won, n + 1)) / 2**n


def test_replay_rows_get_the_exact_test(cli, tmp_path):
    """A row of the replay format is judged by the exact sign test on all of its pairs."""
    rng = random.Random(1)
    before = [int(rng.random() < 0.4) for _ in range(80)]
    after = [int(rng.random() < 0.6) for _ in range(80)]
    result = cli(
        "prove", "--replay", lines(tmp_path / "r.jsonl", {"id": "x", "before": before, "after": after}), "--json"
    )
    found = data(result)
    p = sign_test(before, after)
    assert found["p"] == pytest.approx(p)
    assert (found["verdict"] == "helps") == (p <= 0.05)
    assert (found["problems"], found["pairs"], found["text"]) == (80, 80, "x")


@pytest.mark.parametrize(
    ("won", "lost", "verdict", "code"), [(9, 1, "helps", 0), (1, 9, "harms", 1), (3, 2, "cannot-tell", 3)]
)
def test_exit_codes(cli, tmp_path, won, lost, verdict, code):
    """Stored pairs end in the same verdicts and exit codes as rollouts."""
    before, after = [0] * won + [1] * lost + [1] * 10, [1] * won + [0] * lost + [1] * 10
    result = cli(
        "prove", "--replay", lines(tmp_path / "r.jsonl", {"id": "x", "before": before, "after": after}), "--json"
    )
    assert (data(result)["verdict"], result.exit_code) == (verdict, code)


def test_many_ties_find_no_worth(cli, tmp_path):
    """Where hundreds of pairs agree, an effect worth having is excluded."""
    before = [1, 0] * 200
    result = cli(
        "prove", "--replay", lines(tmp_path / "r.jsonl", {"id": "x", "before": before, "after": before}), "--json"
    )
    assert data(result)["verdict"] == "no-worth"


def test_several_rows_share_the_error(cli, tmp_path):
    """Of several experiments one at p = .03 is not enough, while one at p = .0005 stays clear."""
    strong, weak = {"id": "a", "before": [0] * 11, "after": [1] * 11}, {"id": "b", "before": [0] * 5, "after": [1] * 5}
    alone = data(cli("prove", "--replay", lines(tmp_path / "one.jsonl", weak), "--json"))
    both = data(cli("prove", "--replay", lines(tmp_path / "two.jsonl", strong, weak, weak | {"id": "c"}), "--json"))
    assert alone["verdict"] == "helps"
    assert [t["verdict"] for t in both["texts"]] == ["helps", "cannot-tell", "cannot-tell"]


def test_two_files_are_paired_by_id(cli, tmp_path):
    """Items of two runs meet by id whatever their order; what has no partner or no score is counted and told."""
    ids = [f"q{i}" for i in range(20)]
    lines(tmp_path / "with.jsonl", *({"id": i, "score": 1} for i in reversed(ids)), {"id": "new", "score": 1})
    lines(tmp_path / "without.jsonl", *({"id": i, "score": 0} for i in ids[:-1]), {"id": "q19", "error": "429"})
    result = cli("prove", "--replay", "with.jsonl", "--against", "without.jsonl", "--json")
    found = data(result)
    assert found["verdict"] == "helps"
    assert (found["problems"], found["unpaired"]) == (
        19,
        {"only_with": 1, "only_without": 0, "without_score": 1, "files": 0},
    )
    assert "1 only with" in cli("prove", "--replay", "with.jsonl", "--against", "without.jsonl").stdout


def test_arms_of_one_file(cli, tmp_path):
    """A file with two arms needs to know which one is without; usual names are understood."""
    both = [{"id": str(i), "arm": arm, "score": int(arm != "none")} for i in range(12) for arm in ("skill", "none")]
    assert data(cli("prove", "--replay", lines(tmp_path / "a.jsonl", *both), "--json"))["verdict"] == "helps"
    odd = lines(tmp_path / "b.jsonl", *(r | {"arm": r["arm"][0]} for r in both))
    assert "--baseline" in cli("prove", "--replay", odd).stderr
    assert data(cli("prove", "--replay", odd, "--baseline", "n", "--json"))["text"] == "s"


def test_trials_make_a_floor(cli, tmp_path):
    """Where the baseline was tried several times its own noise is the floor, and flaky items are named."""
    rng = random.Random(3)
    rows = [{"id": str(i), "arm": arm, "score": int(rng.random() < (0.9 if arm == "with" else 0.5))}
            for i in range(30) for arm in ("with", "without") for _ in range(4)]  # fmt: skip
    found = data(cli("prove", "--replay", lines(tmp_path / "t.jsonl", *rows), "--json"))
    assert found["floor"]["n"] == 30
    assert found["floor"]["flaky"]
    assert (found["problems"], found["pairs"], found["verdict"]) == (30, 120, "helps")


def test_scores_of_another_range(cli, tmp_path):
    """Scores from 1 to 5 are brought to their range, which is told; a wrong --range is refused."""
    rows = [
        {"id": str(i), "arm": arm, "score": 1 + 4 * (arm == "with")} for i in range(10) for arm in ("with", "without")
    ]
    file = lines(tmp_path / "s.jsonl", *rows)
    found = data(cli("prove", "--replay", file, "--json"))
    assert (found["verdict"], found["effect"]) == ("helps", 0.8)
    assert "from 0 to 5" in found["notes"][0]
    assert data(cli("prove", "--replay", file, "--range", "1,5", "--json"))["effect"] == 1.0
    assert cli("prove", "--replay", file, "--range", "2,5").exit_code == 2


def test_another_metric(cli, tmp_path):
    """`--metric` picks a score by name, and names those there are when it is wrong."""
    arms = [(i, arm) for i in range(8) for arm in ("with", "without")]
    rows = [{"id": str(i), "arm": arm, "score": 0, "scores": {"brief": int(arm == "with")}} for i, arm in arms]
    file = lines(tmp_path / "m.jsonl", *rows)
    assert data(cli("prove", "--replay", file, "--metric", "brief", "--json"))["verdict"] == "helps"
    assert "brief" in cli("prove", "--replay", file, "--metric", "nope").stderr


def test_sessions_are_graded_by_their_tasks(cli, tmp_path):
    """Sessions have no score: with tasks and a grader that compares each answer gets one, met by its question."""
    rows = [{"question": f"What is {i} times 2?", "answer": str(2 * i)} for i in range(12)]
    lines(tmp_path / "tasks.jsonl", *rows)
    for side, factor in (("with", 2), ("without", 3)):
        (tmp_path / side).mkdir()
        for i in range(1, 12):
            said = [{"type": "text", "text": f"Answer: {factor * i}"}]
            asked = {"type": "user", "sessionId": f"s{i}", "message": {"role": "user", "content": rows[i]["question"]}}
            told = {"type": "assistant", "sessionId": f"s{i}", "message": {"role": "assistant", "content": said}}
            lines(tmp_path / side / f"{i}.jsonl", asked, told)
    bare = cli("prove", "--replay", "with", "--against", "without")
    assert bare.exit_code == 2
    assert "--grader" in bare.stderr
    graded = ["--replay", "with", "--against", "without", "--on", "tasks.jsonl", "--grader"]
    found = data(cli("prove", *graded, "exact", "--json"))
    assert (found["verdict"], found["problems"], found["asked"]["formats"]) == ("helps", 11, ["claude-code"])
    assert cli("prove", *graded, "judge").exit_code == 2


@pytest.mark.parametrize("more", [["x.md"], ["--model", "tiny"], ["--on", "a.jsonl"], ["--control", "filler"]])
def test_replay_takes_no_rollout_options(cli, tmp_path, more):
    """What belongs to rollouts is refused beside --replay."""
    lines(tmp_path / "r.jsonl", {"id": "x", "before": [0], "after": [1]})
    assert cli("prove", "--replay", "r.jsonl", *more).exit_code == 2


def test_nothing_in_common(tmp_path):
    """Runs without a common item end with a sentence that shows ids of both."""
    one, two = (
        lines(tmp_path / "a.jsonl", {"id": "1", "score": 1}),
        lines(tmp_path / "b.jsonl", {"id": "x", "score": 1}),
    )
    with pytest.raises(UsageError, match="1 against x"):
        replay(Asked(one, two))


def test_replay_imports_no_model_client(tmp_path):
    """`prove --replay` loads neither litellm nor openai, and no numbers library."""
    lines(tmp_path / "r.jsonl", {"id": "x", "before": [0] * 9, "after": [1] * 9})
    code = (
        "import sys; from tfgrpo.cli.app import app\n"
        "try: app(['prove', '--replay', 'r.jsonl'])\n"
        "except SystemExit as end: print('code', end.code)\n"
        "print([m for m in ('litellm', 'openai', 'numpy', 'aiohttp', 'tokenizers') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert run.stdout.splitlines()[-2:] == ["code 0", "[]"]


def test_false_verdicts_stay_below_the_level():
    """Over random experiments without an effect at most 5% are said to help, and as few to harm."""
    rng = random.Random(7)
    from tfgrpo.proving.judge import Course, Design, Question, apply_holm
    from tfgrpo.proving.pairs import Pair, Side

    verdicts = []
    for _ in range(400):
        pairs = [Pair(str(i), "", Side(float(rng.random() < 0.5)), Side(float(rng.random() < 0.5))) for i in range(40)]
        question = Question("a", "b")
        course = Course(Design(40, pairs=40).plan()).looked(pairs)
        verdicts.append(apply_holm({question: course}, 0.05)[question].answer.value)
    assert verdicts.count("helps") <= 400 * 0.05 + 2 * (400 * 0.05 * 0.95) ** 0.5
    assert verdicts.count("harms") <= 400 * 0.05 + 2 * (400 * 0.05 * 0.95) ** 0.5


def test_a_text_that_harms_frees_no_error_for_those_that_help():
    """Holm's steps count what was said on each side: a harmful text is one of those that do not help."""
    from tfgrpo.proving.judge import Course, Design, Question, apply_holm
    from tfgrpo.proving.pairs import Pair, Side

    def course(won, lost):
        sides = [(0.0, 1.0)] * won + [(1.0, 0.0)] * lost + [(1.0, 1.0)] * (40 - won - lost)
        pairs = [Pair(str(i), "", Side(a), Side(b)) for i, (a, b) in enumerate(sides)]
        return Course(Design(40, pairs=40).plan(2)).looked(pairs)

    bad, better, good = Question("bad", "none"), Question("better", "none"), Question("good", "none")
    found = apply_holm({bad: course(0, 20), better: course(9, 2)}, 0.05)
    assert [found[q].answer.value for q in (bad, better)] == ["harms", "open"]
    found = apply_holm({good: course(20, 0), better: course(9, 2)}, 0.05)
    assert [found[q].answer.value for q in (good, better)] == ["helps", "helps"]


def test_a_text_whose_bad_attempts_are_missing_is_not_said_to_help():
    """Where outages take the side with the text alone, what is left is no fair sample of it."""
    from tfgrpo.proving.judge import Course, Design, Question, finding
    from tfgrpo.proving.pairs import Pair, Side

    def verdict(gone):
        pairs = [Pair(f"w{i}", "", Side(0.0), Side(1.0)) for i in range(20)]
        pairs += [Pair(f"g{i}", "", Side(1.0), Side(failure="provider")) for i in range(gone)]
        state = Course(Design(40, pairs=40).plan()).looked(pairs).state()
        return finding(Question("a", "none"), state, pairs)

    assert verdict(4).verdict.value == "helps"
    found = verdict(12)
    assert found.verdict.value == "cannot-tell"
    assert "12 attempts with the text are missing" in found.reason
