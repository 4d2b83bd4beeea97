"""Programs against their tests: in isolation, all or nothing, and with words that say what failed."""

import json
import tomllib
from pathlib import Path

import pytest

from graders.judges import group
from tfgrpo.errors import UsageError
from tfgrpo.graders.program import Program, cases_of, program_in, unit_tests
from tfgrpo.graders.program_values import read_plain, write_plain
from tfgrpo.tools.sandbox import check_isolation, isolation
from tfgrpo.types import FailureKind, Problem


def works() -> bool:
    """Whether programs can be shut in here."""
    try:
        return bool(check_isolation(isolation("bubblewrap")))
    except UsageError:
        return False


needs_walls = pytest.mark.skipif(not works(), reason="bubblewrap does not work here")
ADDS = "```python\na, b = map(int, input().split())\nprint(a + b)\n```"
SUMS = Problem("sums", "Add.", None, {"cases": [{"input": "2 3\n", "output": "5"}, {"stdin": "1 1", "stdout": "2\n"}]})
SQUARE = "```python\ndef f(x):\n    return x * x\n```"


@needs_walls
async def test_cases_are_runs_with_input_and_output():
    """All cases right is 1, one wrong is 0 with the first difference, and the share is a named score."""
    right, wrong, none = await Program(seconds=60)(
        SUMS, group(ADDS, "print(5)", "I cannot.\n```rust\nfn main() {}\n```")
    )
    assert [s.value for s in (right, wrong, none)] == [1.0, 0.0, 0.0]
    assert wrong.why == "1 of 2 tests passed; case 2: printed '5', expected '2'"
    assert {p.name: p.value for p in wrong.parts} == {"all": 0.0, "passed": 0.5}
    assert none.why == "wrong: no program in the answer"


@needs_walls
async def test_a_share_counts_where_it_is_wanted():
    """`partial` makes the share of passed tests the value."""
    (half,) = await Program(seconds=60, partial=True)(SUMS, group("print(5)"))
    assert half.value == 0.5


@needs_walls
@pytest.mark.parametrize(
    "metadata",
    [
        {"tests": ["assert f(2) == 4", "assert f(-3) == 9"]},
        {"test_list": ["assert f(2) == 4"]},
        {"test": "def check(candidate):\n    assert candidate(3) == 9\n", "entry_point": "f"},
        {"tests": "def test_two():\n    assert f(2) == 4\n\ndef test_three():\n    assert f(3) == 9\n"},
        {"tests": "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): self.assertEqual(f(3), 9)"},
    ],
)
async def test_tests_in_python_come_in_the_usual_forms(metadata):
    """Assertions, functions, unittest classes and an entry point: a right program passes, a wrong one does not."""
    right, wrong = await Program(seconds=60)(
        Problem("p", "Square.", None, metadata), group(SQUARE, "def f(x): return 4 + x")
    )
    assert (right.value, wrong.value) == (1.0, 0.0)
    assert "AssertionError" in wrong.why


@needs_walls
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("import os; os._exit(0)", "the program ended early, exit status 0"),
        ("print('2 of 2 passed')", "NameError: name 'f' is not defined"),
        ("raise SystemExit(0)", "the program raised SystemExit"),
        ("def f(x) return x", "the program raised SyntaxError"),
        ("while True: pass", "the program ran over its time limit"),
        ("x = 'a' * (1 << 40)", "MemoryError"),
    ],
)
async def test_programs_that_dodge_their_tests_fail_them(answer, said):
    """Leaving early, printing success, hanging and swelling are failed tests with the reason, not failures to grade."""
    problem = Problem("p", "Square.", None, {"tests": ["assert f(2) == 4", "assert f(3) == 9"]})
    (score,) = await Program(seconds=2 if "True: pass" in answer else 60)(problem, group(answer))
    assert score.value == 0.0
    assert said in score.why


@needs_walls
async def test_a_case_that_runs_out_of_time_ends_the_program():
    """Further cases are not run, though they would pass."""
    cases = [{"input": "slow", "output": "1"}, {"input": "fast", "output": "1"}]
    code = "while input() == 'slow': input = lambda: 'slow'\nprint(1)"
    (score,) = await Program(seconds=1)(Problem("p", "?", None, {"cases": cases}), group(code))
    assert score.why == "0 of 2 tests passed; case 1: ran over its time limit"


@needs_walls
async def test_a_program_sees_neither_home_nor_network():
    """It runs where the python tool runs."""
    spies = (
        "import os, socket\ntry:\n    socket.create_connection(('127.0.0.1', 1), 1)\nexcept OSError as e:\n    pass\n"
    )
    spies += "print(sorted(os.environ.get(k, '') for k in ('OPENAI_API_KEY', 'USER')))"
    (score,) = await Program(seconds=60)(Problem("p", "?", "['', '']"), group(spies))
    assert score.value == 1.0


def test_a_wrong_isolation_is_refused_before_anything_runs():
    """An isolation that is none, and limits nothing fits in, are usage errors."""
    with pytest.raises(UsageError, match="isolation 'none' is unknown"):
        Program(isolation="none")
    with pytest.raises(UsageError, match="the limit seconds is 0"):
        Program(seconds=0)


async def test_a_problem_without_tests_is_unscored():
    """Nothing to run is no 0."""
    (score,) = await Program(isolation="limits")(Problem("p", "?"), group("print(1)"))
    assert (score.value, score.failure.kind) == (None, FailureKind.GRADER)
    assert "has no tests: give cases, tests or an answer" in score.failure.message


async def test_without_tests_the_answer_is_what_is_printed():
    """A reference answer alone is one case without input; plain limits are an explicit choice."""
    grader = Program(seconds=60, isolation="limits")
    right, wrong = await grader(Problem("p", "?", "42"), group("print(6 * 7)", "print(41)"))
    assert (right.value, wrong.value) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("```python\na = 1\n```\nor better:\n```py\na = 2\n```", "a = 2"),
        ("<think>```python\nno\n```</think>\n```\na = 3\n```", "a = 3"),
        ("```bash\nls\n```", ""),
        ("a = 4", "a = 4"),
        ("  ```python\n  if a:\n      b\n  ```", "  if a:\n      b"),
    ],
)
def test_the_last_python_block_is_the_program(answer, code):
    """Other languages and thinking do not count; without a fence the whole answer does."""
    assert program_in(answer) == code


def test_published_forms_of_cases_are_read():
    """Inputs and outputs as two lists, also as JSON, also as lists of lines."""
    both = {"inputs": ["1\n", ["2", "3"]], "outputs": [1, "5"]}
    for form in (both, json.dumps(both)):
        cases = cases_of(Problem("p", "?", None, {"input_output": form}))
        assert [(c.stdin, c.stdout) for c in cases] == [("1\n", "1"), ("2\n3", "5")]
    assert unit_tests(Problem("p", "?", None, {"tests": "assert f(1)"})) == ("assert f(1)",)


TABLE = tomllib.loads(Path(__file__).with_name("program_cases.toml").read_text(encoding="utf-8"))
FORGERIES = {row["name"]: row["code"] for row in TABLE["forgery"]}
HONEST = [(row["code"], row["test"]) for row in TABLE["honest"]]


@needs_walls
@pytest.mark.parametrize("code", FORGERIES.values(), ids=FORGERIES.keys())
async def test_a_forged_result_gets_nothing(code):
    """Whatever a program does to its own process, its tests compare plain values in another one."""
    tests = [
        "assert f(2) == 4",
        "import math\nassert isclose(f(2), 4.0)",
        "assert sorted([f(3)]) == [9] and isinstance(f(3), int)",
        "assert abs(f(2) - 4) < 1e-6",
        "assert 4 <= f(2) <= 4 or f(2) < 5 and f(2) > 3",
        "import unittest\nclass T(unittest.TestCase):\n    def test_it(self): self.assertAlmostEqual(f(2), 4)",
        "with f(2) as it:\n    assert it == 4",
    ]
    (score,) = await Program(seconds=60)(Problem("p", "?", None, {"tests": tests}), group(code))
    assert score.value == 0.0
    assert {p.name: p.value for p in score.parts}["passed"] == 0.0


@needs_walls
@pytest.mark.parametrize(("code", "test"), HONEST)
async def test_honest_programs_pass_across_two_processes(code, test):
    """Values, changed arguments, functions, classes, exceptions, generators and callbacks work as in one process."""
    (score,) = await Program(seconds=60)(Problem("p", "?", None, {"tests": test}), group(code))
    assert score.value == 1.0, score.why


@needs_walls
@pytest.mark.parametrize(
    ("metadata", "fault"),
    [
        ({"cases": [{"in": "2", "out": "4"}]}, "unknown key 'in'"),
        ({"cases": [{"input": "2", "expected": "4"}]}, "unknown key 'expected'"),
        ({"cases": [{"input": "2"}]}, "has no output"),
        ({"cases": ["2"]}, "is no object"),
        ({"cases": {"input": "2", "output": "4"}}, "are no list"),
        ({"cases": []}, "are no list"),
        ({"input_output": {"inputs": ["2"], "outputs": ["4"], "fn_name": "f"}}, "'fn_name'"),
        ({"input_output": {"inputs": ["2"], "outputs": []}}, "same length"),
        ({"input_output": "{"}, "is no JSON"),
    ],
)
async def test_cases_of_an_unknown_form_are_refused(metadata, fault):
    """A key that is not known leaves the problem unscored and is named; it never compares with nothing."""
    (score,) = await Program()(Problem("p", "?", "4", metadata), group("print(4)"))
    assert score.value is None
    assert fault in score.failure.message


async def test_tests_in_python_need_no_walls():
    """Whoever runs it: the program's process is forked, so that an interpreter in root's home is no hindrance."""
    code = "import decimal\ndef f(x): return decimal.Decimal(x) * x"
    grader = Program(seconds=60, isolation="limits")
    (score,) = await grader(Problem("p", "?", None, {"tests": "assert f(2) == 4"}), group(code))
    assert score.value == 1.0, score.why


def test_numbers_of_numpy_are_numbers():
    """They cross as the plain numbers they stand for."""
    numpy = pytest.importorskip("numpy")

    def pack(value: object) -> object:
        return value if type(value) in {bool, str} else write_plain(value, pack)

    assert pack([numpy.int64(4), numpy.bool_(True)]) == {"list": [{"int": "0x4"}, True]}
    assert read_plain("float", pack(numpy.float32(0.5))["float"], pack) == 0.5
