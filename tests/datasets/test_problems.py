"""Rows become problems or a clear complaint; splits, batches, overlap."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrpo.datasets import (
    batches,
    content_hash,
    from_rows,
    inventory,
    load,
    load_named,
    local_copy,
    marks,
    overlap,
    split,
)
from tfgrpo.datasets.named import NAMED_SETS
from tfgrpo.datasets.overlap import clusters
from tfgrpo.errors import BadRow, UsageError
from tfgrpo.types import Problem

SHARED = Path(os.environ.get("TFGRPO_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


@pytest.fixture
def write(tmp_path):
    """Write text or bytes to a file and return its path."""

    def write(content, name="rows.jsonl"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def many(count):
    """That many different problems."""
    return [Problem(f"p{i}", f"question {i}") for i in range(count)]


def test_rows_become_problems(write):
    """Keys of the contract fill the problem, all others go to its metadata."""
    path = write('{"id": 7, "question": "2+2?", "answer": 4, "level": 1, "metadata": {"topic": "sums"}}\n')
    (problem,) = load(path)
    assert problem == Problem("7", "2+2?", "4", {"level": 1, "topic": "sums"})


@pytest.mark.parametrize("key", ["question", "prompt", "problem"])
def test_questions_have_three_names(write, key):
    """A question may be called question, prompt or problem."""
    assert load(write(json.dumps({key: "why?"})))[0].question == "why?"


@pytest.mark.parametrize(
    ("written", "answer"),
    [("5", "5"), ("0.5", "0.5"), ("1.50", "1.50"), ("1e3", "1e3"), ('"x"', "x"), ("null", None), ('""', None)],
)
def test_answers_are_kept_as_written(write, written, answer):
    """Numbers become the very digits of the file; nothing stays nothing."""
    assert load(write(f'{{"question": "q", "answer": {written}}}'))[0].answer == answer


def test_missing_ids_are_content_hashes(write):
    """An id made of the content is the same in every file and differs between problems."""
    one = load(write('{"question": "a"}\n{"question": "b"}', "one.jsonl"))
    two = load(write('{"question": "b"}\n\n{"extra": 1, "question": "a"}', "two.jsonl"))
    assert {p.id for p in one} == {p.id for p in two}
    assert one[0].id == two[1].id != one[1].id


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b'{"question": "a"}\n{"question": \n', ":2: not JSON"),
        (b'{"question": "a"}\n\n[1]\n', ":3: a list, not an object"),
        (b'[{"question": "a"},\n', ":1: not JSON .* one object a line"),
        (b'{"question": "  "}', "'question' is empty"),
        (b'{"question": 5}', "'question' is a number"),
        (b'{"prompt": [{"role": "user"}]}', "'prompt' is a list"),
        (b'{"text": "a", "b": 1}', "no 'question'; the row has 'text', 'b'"),
        (b"{}", "the row has no keys"),
        (b'{"question": "a", "answer": true}', "'answer' is true or false"),
        (b'{"question": "a", "answer": ["x"]}', "'answer' is a list"),
        (b'{"question": "a", "metadata": "x"}', "'metadata' is a string"),
        (b'{"question": "a", "id": {}}', "'id' is an object"),
        (b'{"question": "a", "answer": NaN}', "NaN is not JSON"),
        (b'{"question": "\\ud800"}', ":1: not JSON"),
        (b'{"question": "a"}\n{"question": "\xff"}', ":2: not UTF-8 at byte 15"),
        (b'{"id": "x", "question": "a"}\n{"id": "x", "question": "b"}', ":2: same id 'x' as in .*:1"),
        (b'{"question": "a"}\n{"question": "a"}', "same question and answer as in .*:1"),
        (b"[" * 100_000, ":1: not JSON"),
        (b'{"question": "a", "answer": ' + b"9" * 5000 + b"}", ":1: not JSON"),
    ],
)
def test_bad_rows_name_place_and_fault(write, content, complaint):
    """A row that cannot be used ends everything, naming file, line and what is wrong."""
    path = write(content)
    with pytest.raises(BadRow, match=complaint) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_byte_order_mark_crlf_and_blank_lines_are_fine(write):
    """Files from other systems are read as they are; line separators inside strings end no line."""
    path = write(b'\xef\xbb\xbf{"question": "a\xe2\x80\xa8b"}\r\n\r\n{"question": "c"}\r\n')
    assert [p.question for p in load(path)] == ["a\u2028b", "c"]


def test_fields_map_other_names(write):
    """Columns of any name are mapped, also inside objects; mapped columns leave the metadata."""
    path = write('{"q": "why?", "gold": {"text": "so"}, "question": "not this"}')
    (problem,) = load(path, fields={"question": "q", "answer": "gold.text"})
    assert (problem.question, problem.answer) == ("why?", "so")
    assert "q" not in problem.metadata


def test_unknown_fields_are_refused(write):
    """A field that no problem has is a mistake, and the message lists those it has."""
    with pytest.raises(UsageError, match="'answr'; fields that can be mapped: question, answer"):
        load(write('{"question": "a"}'), fields={"answr": "x"})


def test_csv_is_read(write):
    """A CSV with quoted cells and line breaks gives the same problems as JSON Lines."""
    path = write('id,question,answer,level\n1,"a, ""b""\nc",007,\n2,d,,easy\n', "rows.csv")
    one, two = load(path)
    assert one == Problem("1", 'a, "b"\nc', "007")
    assert two == Problem("2", "d", None, {"level": "easy"})


@pytest.mark.parametrize("rows", ["question,answer\na,b,c\n", "question,answer\na\n", 'question\n"a" b\n'])
def test_bad_csv_names_the_line(write, rows):
    """Too many cells, too few, or broken quotes name the line."""
    with pytest.raises(BadRow, match=r"rows\.csv:2: not "):
        load(write(rows, "rows.csv"))


def test_missing_empty_and_folder_are_usage_errors(write, tmp_path):
    """What is no file with rows is said plainly, with what to give instead."""
    with pytest.raises(UsageError, match=r"no dataset .*gone\.jsonl.*aime24"):
        load(tmp_path / "gone.jsonl")
    with pytest.raises(UsageError, match="holds no rows"):
        load(write("\n \n"))
    with pytest.raises(UsageError, match="is a folder"):
        load(tmp_path)


def test_limit_comes_after_the_checks(write):
    """The first rows are returned, and a bad row behind them is still an error."""
    good = "".join(f'{{"question": "{i}"}}\n' for i in range(5))
    assert len(load(write(good), limit=2)) == 2
    with pytest.raises(BadRow):
        load(write(good + "{"), limit=2)
    with pytest.raises(UsageError, match="limit is 0"):
        load(write(good), limit=0)


def test_named_sets_take_a_local_copy(tmp_path):
    """A folder with a copy is used; with another number of rows it is not the benchmark."""
    rows = [json.dumps({"problem": f"q{i}", "answer": str(i), "id": i}) for i in range(30)]
    (tmp_path / "aime25.jsonl").write_text("\n".join(rows))
    assert [p.answer for p in load("aime25", folder=tmp_path)][:2] == ["0", "1"]
    (tmp_path / "aime25.jsonl").write_text("\n".join(rows[:29]))
    with pytest.raises(UsageError, match="29 rows, but aime25 has 30"):
        load("aime25", folder=tmp_path)


def test_gsm8k_keeps_the_final_number(tmp_path):
    """Of a worked solution, what follows the mark is the reference."""
    rows = [json.dumps({"question": f"q{i}", "answer": f"work\n#### 1,{i:03}"}) for i in range(1319)]
    (tmp_path / "gsm8k_test.jsonl").write_text("\n".join(rows))
    anything = replace(NAMED_SETS["gsm8k"], answers_mark="", words_mark="")
    assert load_named(anything, {}, tmp_path)[2].answer == "1002"


def test_a_copy_with_other_content_is_not_the_benchmark(tmp_path):
    """The right number of rows is not enough: changed answers and changed questions are told apart, and refused."""
    rows = [{"question": f"What is {i}?", "answer": str(i)} for i in range(30)]
    answers, words = marks(from_rows(rows))
    mine = replace(NAMED_SETS["aime24"], answers_mark=answers, words_mark=words)

    def copy(changed):
        (tmp_path / "aime24.jsonl").write_text("\n".join(json.dumps(row) for row in changed))
        return load_named(mine, {}, tmp_path)

    assert len(copy([{"id": str(i), **row} for i, row in enumerate(rows)][::-1])) == 30
    assert len(copy([{**row, "question": row["question"].upper()} for row in rows])) == 30
    with pytest.raises(UsageError, match=r"aime24\.jsonl has 30 rows, but not the answers of aime24"):
        copy([*rows[:-1], {**rows[-1], "answer": "31"}])
    with pytest.raises(UsageError, match="has the answers of aime24, but other questions"):
        copy([*rows[:-1], {**rows[-1], "question": "What else?"}])


def test_the_inventory_says_what_is_there_and_how_to_get_the_rest(tmp_path, monkeypatch):
    """A broken copy, one without a hash on record, and what is missing, with the package for the hub and without."""
    (tmp_path / "aime24.jsonl").write_text('{"question": "a", "answer": 1}')
    rows = [json.dumps({"problem": f"q{i}", "answer": str(i)}) for i in range(30)]
    (tmp_path / "aime25.jsonl").write_text("\n".join(rows))
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(UsageError, match="pip install"):
        load("math500", folder=tmp_path)
    found = {copy.named.name: copy for copy in inventory(tmp_path)}
    assert found["aime24"].state == "broken"
    assert "has 1 rows, but aime24 has 30" in found["aime24"].said
    assert (found["aime25"].state, found["aime25"].there) == ("counted", True)
    assert "no hash of it is on record" in found["aime25"].said
    assert found["math500"].state in ("hub", "missing")
    assert f"put math500.jsonl in {tmp_path}" in found["math500"].said


def test_what_the_hub_does_not_give_is_a_usage_error(tmp_path, monkeypatch):
    """No network, no such dataset or no such split end with one sentence that names the way around."""
    (tmp_path / "datasets.py").write_text(
        'def load_dataset(name, subset, split):\n    raise ConnectionError("Couldn\'t reach it")\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "datasets", raising=False)
    with pytest.raises(UsageError, match=r"hf:a/b cannot be loaded \(Couldn't reach it\); .*TFGRPO_DATA"):
        load("hf:a/b")


@pytest.mark.slow
def test_the_package_of_the_hub_reads_what_lies_there(tmp_path, monkeypatch):
    """The real package `datasets` gives rows that become problems; offline, from a folder of that name."""
    pytest.importorskip("datasets.load", reason="needs the extra hf")
    (tmp_path / "own" / "name").mkdir(parents=True)
    (tmp_path / "own" / "name" / "data.jsonl").write_text('{"question": "a?", "answer": "1"}\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    assert load("hf:own/name")[0].answer == "1"
    with pytest.raises(UsageError, match="Unknown split"):
        load("hf:own/name:nope")


def test_hub_sets_are_loaded_with_the_extra(tmp_path, monkeypatch):
    """hf:owner/name/subset:split asks the package `datasets` for exactly that."""
    (tmp_path / "datasets.py").write_text(
        "def load_dataset(name, subset, split):\n    return [{'question': f'{name} {subset} {split}', 'answer': 1}]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "datasets", raising=False)
    assert load("hf:a/b")[0].question == "a/b None train"
    assert load("hf:a/b/main:test")[0].question == "a/b main test"
    with pytest.raises(UsageError, match="write hf:owner/name"):
        load("hf:nothing")


def test_without_the_extra_the_message_names_it(monkeypatch):
    """A missing package is a usage error that says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(UsageError, match=r"pip install 'tfgrpo\[hf\]'"):
        load("hf:a/b")


def test_rows_in_memory_are_checked_like_files():
    """Problem objects pass unchanged, dicts are read by the same rules, and a bad one is named by its number."""
    problem = Problem("1", "a", "b", {"x": [1]})
    assert from_rows([problem, {"prompt": "c", "answer": 0.5}])[0] is problem
    assert from_rows([{"prompt": "c", "answer": 0.5}])[0].answer == "0.5"
    with pytest.raises(BadRow, match="row 2: same id '1' as in row 1"):
        from_rows([problem, problem])
    with pytest.raises(BadRow, match="row 1: str, not a Problem or a mapping"):
        from_rows(["question?"])
    with pytest.raises(UsageError, match="no rows"):
        from_rows([])


def test_every_named_set_has_an_address():
    """Named sets say where they lie, and are not found without a folder."""
    assert NAMED_SETS["gsm8k"].address == "hf:openai/gsm8k/main:test"
    assert NAMED_SETS["aime24"].address == "hf:HuggingFaceH4/aime_2024:train"
    assert local_copy(NAMED_SETS["gsm8k"], None) is None


def test_split_is_disjoint_complete_and_seeded():
    """Every problem is in one part, the share is right, and the seed decides."""
    problems = many(100)
    learn, heldout = split(problems, 0.2, seed=0)
    assert len(heldout) == 20
    assert sorted(p.id for p in learn + heldout) == sorted(p.id for p in problems)
    assert split(problems, 0.2, seed=0) == (learn, heldout)
    assert split(problems, 0.2, seed=1) != (learn, heldout)
    assert split(problems[::-1], 0.2, seed=0)[1] == heldout[::-1]


def test_split_of_more_rows_moves_few():
    """Adding a tenth of new rows leaves nearly all others where they were."""
    before = {p.id for p in split(many(100), 0.2, seed=0)[1]}
    after = {p.id for p in split(many(110), 0.2, seed=0)[1]}
    assert len(before - after) <= 4


@pytest.mark.parametrize(
    ("count", "share", "heldout"), [(1, 0.5, 0), (2, 0.01, 1), (2, 0.99, 1), (9, 0.0, 0), (0, 0.5, 0)]
)
def test_split_leaves_no_part_empty(count, share, heldout):
    """With two problems or more, either part gets one, unless nothing is to be held out."""
    assert len(split(many(count), share, seed=0)[1]) == heldout


@pytest.mark.parametrize("share", [-0.1, 1, 1.5])
def test_split_refuses_impossible_shares(share):
    """A share outside [0, 1) is refused."""
    with pytest.raises(UsageError, match="heldout"):
        split(many(3), share, seed=0)


@given(st.integers(0, 40), st.integers(1, 15), st.integers(0, 5), st.integers(0, 5))
def test_batches_hold_every_problem_once(count, size, seed, epoch):
    """An epoch shows each problem exactly once, in full batches but the last."""
    problems = many(count)
    made = batches(problems, size, seed, epoch)
    assert sorted(p.id for batch in made for p in batch) == sorted(p.id for p in problems)
    assert all(len(batch) == size for batch in made[:-1])
    assert made == batches(problems, size, seed, epoch)


def test_each_epoch_and_seed_shuffles_anew():
    """Epochs and seeds give different orders, and none is the order of the file."""
    orders = {tuple(p.id for b in batches(many(30), 7, seed, epoch) for p in b) for seed in (0, 1) for epoch in (0, 1)}
    orders.add(tuple(p.id for p in many(30)))
    assert len(orders) == 5


def test_batch_size_below_one_is_refused():
    """A batch holds at least one problem."""
    with pytest.raises(UsageError, match="batch size is 0"):
        batches(many(3), 0, 0, 0)


def test_overlap_finds_same_id_text_and_near_copies():
    """The same id, the same words in another dress, and a copy with a tail are found; a new question is not."""
    text = r"Let $F(z)=\dfrac{z+i}{z-i}$ for all complex numbers z and find the sum of all a such that F(a) is real"
    a = [Problem("1", "alpha"), Problem("2", "Is  this THE question?"), Problem("3", text)]
    b = [
        Problem("1", "something else"),
        Problem("x", "is this the question"),
        Problem("y", text.replace("dfrac", "frac") + ". Express it as a fraction and give the sum of both parts."),
        Problem("z", "Let $G(z)$ be a polynomial of degree three with integer roots; find its leading coefficient."),
    ]
    found = overlap(a, b)
    assert [(o.a, o.b, o.kind) for o in found] == [("1", "1", "id"), ("2", "x", "text"), ("3", "y", "ngram")]
    assert found[2].share >= 0.9


def test_overlap_reads_chinese():
    """Questions without spaces are compared by characters."""
    text = "请问欧洲血液学协会的项目从什么时候开始持续多长时间"
    assert overlap([Problem("a", text)], [Problem("b", text + "呢")])[0].kind == "ngram"


def test_content_hash_sees_every_change():
    """Any changed field, and the order, give another hash; the same content gives the same."""
    base = [Problem("1", "q", "a", {"x": 1}), Problem("2", "r")]
    variants = [
        base[::-1],
        [Problem("1", "q", "b", {"x": 1}), base[1]],
        [Problem("1", "q", "a", {"x": 2}), base[1]],
        [Problem("3", "q", "a", {"x": 1}), base[1]],
        base[:1],
    ]
    assert len({content_hash(v) for v in [base, *variants]}) == 6
    assert content_hash(base) == content_hash(list(base))


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the public data (TFGRPO_DATA)")
def test_public_copies_load():
    """The copies of the named sets at hand have the rows they should have."""
    for name in ("aime24", "gsm8k", "webwalkerqa"):
        assert len(load(name, folder=SHARED)) == NAMED_SETS[name].rows


def test_same_frame_with_other_numbers_is_another_problem():
    """Short problems, and long ones that differ in their numbers, are no copies of each other."""
    frame = "A train leaves the station at {} o'clock and drives {} miles an hour to a town that lies far from the "
    frame += "sea; how long will it take until the passengers can see the town"
    a = [Problem("1", frame.format(3, 50)), Problem("2", "Take the time you need. It is a list. Compute 3 glorp 5.")]
    b = [Problem("x", frame.format(4, 60)), Problem("y", "Take the time you need. It is a list. Compute 3 dax 5.")]
    assert overlap(a, b) == ()
    assert overlap(a, [Problem("x", frame.format(3, 50) + ", and how happy are they?")])[0].kind == "ngram"


def test_a_split_keeps_problems_that_say_the_same_on_one_side():
    """A held-out problem with a twin among the learning ones goes to it; one with a held-out twin stays."""
    problems = [Problem(str(i), f"What is {i // 2} and {i // 2}?") for i in range(40)]
    learn, kept = split(problems, 0.5, 0)
    assert overlap(learn, kept)
    learn, kept = split(problems, 0.5, 0, apart=True)
    assert kept
    assert not overlap(learn, kept)
    assert sorted(p.id for p in (*learn, *kept)) == sorted(p.id for p in problems)


def test_problems_that_say_the_same_are_one_cluster():
    """Equal texts with equal answers, and long texts that share most of their words, count as one; others do not."""
    long = " ".join(f"word{i}" for i in range(30))
    pool = [
        Problem("a", "What is 2 + 2?", "4"),
        Problem("b", "what is 2+2", "4"),
        Problem("c", "What is 2 + 2?", "5"),
        Problem("d", long, "x"),
        Problem("e", f"Please: {long} now", "x"),
        Problem("f", "Play.", metadata={"level": 1}),
        Problem("g", "Play.", metadata={"level": 2}),
        Problem("h", "Play."),
        Problem("i", "Play."),
        Problem("j", long),
        Problem("k", long),
    ]
    found = clusters(pool)
    assert {key: value for key, value in found.items() if key != value} == {"b": "a", "e": "d", "k": "j"}
