"""Mathematics compared in a worker process: what is equal, what is hostile, and what happens to the process."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.patience import AMPLE

from tfgrpo.graders import Math
from tfgrpo.graders.math_pool import Worker, shared_pool
from tfgrpo.graders.math_worker import normalise_forms
from tfgrpo.types import Problem, Rollout

DATA = Path(os.environ.get("TFGRPO_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
CORPUS = DATA / "math_equivalence.jsonl"


async def scores(gold, *answers, seconds=AMPLE):
    """Scores of a group of answers."""
    rollouts = [Rollout("p", i, answer=answer) for i, answer in enumerate(answers)]
    return await Math(seconds)(Problem("p", "?", gold), rollouts)


async def value(gold, answer):
    """The value of one answer."""
    return (await scores(gold, answer))[0].value


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("18", "She has \\boxed{18} eggs."),
        ("\\frac{1}{2}", "Answer: 0.5"),
        ("\\frac{1}{2}", "the answer is $\\dfrac{2}{4}$."),
        ("1,000", "\\boxed{1000}"),
        ("007", "7"),
        ("$\\{1,2\\}$", "\\boxed{\\{2,1\\}}"),
        ("2\\sqrt{3}", "<answer>\\sqrt{12}</answer>"),
        ("x^2+2x+1", "\\boxed{(x+1)^2}"),
        ("\\text{Evelyn}", "\\boxed{Evelyn}"),
        ("2, 3, 5", "\\boxed{2}, \\boxed{3}, \\boxed{5}"),
        ("1000", "1 000"),
        ("1 1/2", "1.5"),
        ("10 cm^2", "10"),
        ("2**(1/4)", "\\boxed{\\sqrt{\\sqrt{2}}}"),
        ("f(x) = 2x + 3", "y = 2x + 3"),
        ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\begin{bmatrix}1\\\\2\\end{bmatrix}"),
        ("5", "<think>maybe \\boxed{4}</think> \\boxed{5}"),
        ("42", "First we add 40 and 1, then 1 more, so we get 42."),
        ("5", "\\boxed{2 + 3 = 5}"),
        ("5", "\\boxed{5 = x}"),
        ("5 m", "\\boxed{500\\text{ cm}}"),
        ("5 hours", "\\boxed{300 \\text{ minutes}}"),
        ("5\\text{ cm}^2", "\\boxed{5}"),
        ("5", "\\boxed{5\\text{ dollars}}"),
        ("-5", "–5"),
        ("2.5", "2½"),
        ("\\frac12", "½"),
        ("1000000", "1 million"),
        ("1,234.5", "1.234,5"),
        ("\\text{Yes}", "\\boxed{\\text{yes}}"),
        ("120", "\\boxed{5!}"),
    ],
)
async def test_equal_mathematics_is_right(gold, answer):
    """Another form of the same value, and any usual way of marking it, scores 1."""
    assert await value(gold, answer) == 1.0


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("18", "\\boxed{19}"),
        ("5", "-5"),
        ("\\frac{1}{2}", "\\frac{1}{3}"),
        ("(1,2)", "\\boxed{(2,1)}"),
        ("[0,1)", "\\boxed{[0,1]}"),
        ("\\sqrt{2}", "\\boxed{\\sqrt{3}}"),
        ("4", "It is 4. No: \\boxed{5}"),
        ("18", ""),
        ("18", "I do not know."),
        ("42", "First we add 42 and 1, so we get 43."),
        ("5", "7=5"),
        ("5", "\\boxed{7 = 5}"),
        ("5", "\\boxed{x = 7 = 5}"),
        ("5", "\\boxed{5 = 7}"),
        ("5", "\\boxed{\\neq 5}"),
        ("5", "\\boxed{x > 5}"),
        ("5", "\\boxed{\\pm 5}"),
        ("5", "5 or 7"),
        ("5", "not 5"),
        ("5", "\\boxed{5!}"),
        ("5 cm", "\\boxed{5\\text{ m}}"),
        ("5 m", "\\boxed{5\\text{ m}^2}"),
        ("5 hours", "\\boxed{5 minutes}"),
        ("5 kg", "\\boxed{5\\text{ km}}"),
        ("\\$5", "\\boxed{5\\text{ euros}}"),
        ("30^\\circ", "\\boxed{30\\text{ rad}}"),
        ("x", "\\boxed{X}"),
        ("2N+1", "\\boxed{2n+1}"),
        ("a+b", "\\boxed{A+b}"),
    ],
)
async def test_other_mathematics_is_wrong(gold, answer):
    """Another value, or none at all, scores 0."""
    assert await value(gold, answer) == 0.0


async def test_scores_stay_in_the_order_of_the_rollouts():
    """A group with repeated answers, some decided at once and some by a worker, comes back in order."""
    answers = ["\\boxed{0.5}", "\\boxed{7}", "\\boxed{\\frac12}", "\\boxed{0.5}", "\\boxed{\\frac24}"]
    assert [s.value for s in await scores("\\frac{1}{2}", *answers)] == [1.0, 0.0, 1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    "answer",
    [
        "\\boxed{10^{10^{10}}}",
        "$9^{9^{9^9}}$",
        "\\boxed{9**9**9**9}",
        "\\boxed{(9^9)^{9^{9}}}",
        "\\boxed{" + "1+" * 500_000 + "1}",
        "\\boxed{" + "(" * 60 + "1" + ")" * 60 + "}",
        "\\boxed{" + "9" * 5000 + "}",
        "\\boxed{" + "9" * 10**6 + "}",
        "\\boxed{0." + "3" * 5000 + "}",
    ],
    ids=["tower", "tower4", "stars", "brackets", "long", "deep", "5000 digits", "million digits", "decimals"],
)
async def test_an_answer_that_cannot_be_compared_is_wrong_at_once(answer):
    """Towers of powers, 60 brackets and 5,000 digits are the answer's own fault: 0 with the reason, and not missing."""
    (score,) = await scores("\\frac{3}{7}", answer)
    assert (score.value, score.failure) == (0.0, None)
    assert score.why.startswith("wrong: ")


async def test_a_hostile_answer_costs_its_own_time_limit():
    """An answer that computes for ever is wrong when its CPU time is used up, and the next one is graded as ever."""
    hostile, right = await scores("\\frac{3}{7}", "\\boxed{(3000!)^{5000}}", "\\boxed{\\frac{6}{14}}", seconds=0.3)
    assert (hostile.value, right.value) == (0.0, 1.0)
    assert "ran over 0.3 s of computing" in hostile.why


@pytest.mark.slow
async def test_a_reference_that_cannot_be_compared_is_no_fault_of_the_answer():
    """Where the reference alone takes too long the answer stays unscored, with the reason."""
    (score,) = await scores("(3000!)^{5000}", "\\boxed{(3001!)^{5000}}", seconds=0.3)
    assert score.value is None
    assert "the reference answer" in score.failure.message


async def test_a_long_reply_without_a_marked_answer_is_read_from_its_end():
    """Of a megabyte of prose the last words count."""
    assert await value("7", "so we try again and again " * 40_000 + "and get 7") == 1.0


async def test_no_reference_is_unscored():
    """Without a reference nothing is right or wrong."""
    (score,) = await Math()(Problem("p", "?"), [Rollout("p", 0, answer="5")])
    assert score.value is None
    assert "no reference answer" in score.failure.message


def test_a_worker_that_was_killed_is_replaced():
    """When the process dies between two requests, the next one starts another; every process is reaped."""
    worker = Worker()
    request = {"gold": "\\frac12", "pred": "0.5"}
    assert worker.ask(request, AMPLE)["equal"] is True
    first = worker.pid
    os.kill(first, 9)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert worker.ask(request, AMPLE)["equal"] is True
    second = worker.pid
    worker.close()
    for pid in (first, second):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_grading_works_in_any_thread_and_any_loop():
    """Several event loops, in threads that are not the main one, share the workers."""
    found = []

    def work():
        found.append(asyncio.run(value("\\frac{1}{2}", "\\boxed{0.50}")))

    for _ in range(2):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert found == [1.0, 1.0]
    assert len(shared_pool().workers) <= 2


def test_the_interpreter_ends_without_leftovers():
    """A program that graded ends by itself, silently, and leaves no worker behind."""
    program = (
        "import asyncio, sys\n"
        "from tfgrpo.graders import Math\n"
        "from tfgrpo.graders.math_pool import shared_pool\n"
        "from tfgrpo.types import Problem, Rollout\n"
        "assert 'math_verify' not in sys.modules\n"
        "asyncio.run(Math()(Problem('p', '?', '1/2'), [Rollout('p', 0, answer='0.50')]))\n"
        "assert 'math_verify' not in sys.modules\n"
        "print([w.pid for w in shared_pool().workers])\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=root,
        check=True,
    )
    assert done.stderr == ""
    for pid in json.loads(done.stdout):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


@pytest.mark.parametrize(
    ("written", "tidied"),
    [
        ("\\$0.20", "0.20"),
        ("1 000", "1000"),
        ("1000,99", "1000.99"),
        ("(1000,99)", "(1000,99)"),
        ("1,000", "1,000"),
        ("-1 1/2", "-(1+\\frac{1}{2})"),
        ("10 cm^2", "10"),
        ("2**(1/4)", "2^{(1/4)}"),
        ("10m", "10m"),
    ],
)
def test_odd_forms_are_tidied(written, tidied):
    """Forms that would be misread are rewritten, forms with another meaning are not."""
    assert normalise_forms(written) == tidied


@pytest.mark.slow
@pytest.mark.skipif(not CORPUS.is_file(), reason="needs math_equivalence.jsonl (TFGRPO_DATA)")
async def test_public_pairs_are_judged_better_than_by_math_verify_alone():
    """Of 273 undisputed public pairs, at least 98.5% are judged as labelled, and no unequal pair passes for equal.

    math-verify alone judges 83.9% as labelled when it gets the texts as they are.
    """
    rows = [json.loads(line) for line in CORPUS.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if not row.get("disputed")]
    found = await asyncio.gather(*(value(row["gold"], row["pred"]) for row in rows))
    judged = [(row["equal"], score) for row, score in zip(rows, found, strict=True)]
    right = sum(equal == bool(score) for equal, score in judged if score is not None)
    assert right / len(rows) >= 0.985
    assert (False, 1.0) not in judged
