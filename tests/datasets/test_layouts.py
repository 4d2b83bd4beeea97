"""The forms that own data comes in: other tables, arrays, chats, folders, standard input, and wrong columns."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tfgrpo.datasets import load
from tfgrpo.datasets.rows import file_rows
from tfgrpo.errors import BadRow, UsageError

ROWS = [("What is 2+2?", "4"), ("Where; is\tParis, then?", "France | Europe")]


def pairs(found) -> list[tuple[str, str | None]]:
    """Return questions with their references."""
    return [(problem.question, problem.answer) for problem in found]


def as_csv(delimiter: str) -> bytes:
    """Return the rows as a table with this delimiter."""
    import csv

    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([("question", "answer"), *ROWS])
    return out.getvalue().encode()


def as_objects(rows=ROWS) -> list[dict[str, str]]:
    """Return the rows as objects."""
    return [{"question": question, "answer": answer} for question, answer in rows]


TEXTS = {
    "a.csv": as_csv(","),
    "semicolon.csv": as_csv(";"),
    "pipe.csv": as_csv("|"),
    "a.tsv": as_csv("\t"),
    "a.txt": as_csv(";"),
    "unicode.csv": as_csv("\t").decode().encode("utf-16"),
    "array.json": json.dumps(as_objects(), indent=1).encode(),
    "array.jsonl": json.dumps(as_objects()).encode(),
    "held.json": json.dumps({"version": 1, "data": as_objects()}).encode(),
    "lines.json": "\n".join(map(json.dumps, as_objects())).encode(),
    "bom.json": b"\xef\xbb\xbf" + json.dumps(as_objects()).encode(),
    "a.ndjson": "\n".join(map(json.dumps, as_objects())).encode(),
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_same_rows_are_read_from_every_form(tmp_path: Path, name: str):
    """Whatever stands between the cells, one array or a line each, with a byte order mark or without."""
    (tmp_path / name).write_bytes(TEXTS[name])
    assert pairs(load(tmp_path / name)) == ROWS


def test_a_sheet_is_read(tmp_path: Path):
    """The first sheet below its header; whole numbers have no fraction, empty rows are passed over."""
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (("question", "answer", None), ("What is 2+2?", 4, "x"), (None, None, None), ("And 0.5+1?", 1.5, None)):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    assert pairs(load(tmp_path / "a.xlsx")) == [("What is 2+2?", "4"), ("And 0.5+1?", "1.5")]
    (tmp_path / "b.xlsx").write_text("no")
    with pytest.raises(BadRow, match="not a workbook"):
        load(tmp_path / "b.xlsx")


def test_a_parquet_file_is_read(tmp_path: Path):
    """Nested columns are reached by their path."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"q": "2+2?", "gold": [{"text": "4"}]}, {"q": "3+3?", "gold": [{"text": "6"}]}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    found = load(tmp_path / "a.parquet", fields={"question": "q", "answer": "gold.0.text"})
    assert pairs(found) == [("2+2?", "4"), ("3+3?", "6")]
    (tmp_path / "b.parquet").write_text("no")
    with pytest.raises(BadRow, match="not a Parquet file"):
        load(tmp_path / "b.parquet")


CHAT = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "2+2?"}]
LAYOUTS = {
    "messages": ({"messages": CHAT}, "Be short.\n\n2+2?", None),
    "messages with the reply": ({"messages": [*CHAT, {"role": "assistant", "content": "4"}]}, "Be short.\n\n2+2?", "4"),
    "several turns": (
        {"messages": [*CHAT, {"role": "assistant", "content": "4"}, {"role": "user", "content": "and 3?"}]},
        "Be short.\n\nuser: 2+2?\n\nassistant: 4\n\nuser: and 3?",
        None,
    ),
    "parts": ({"messages": [{"role": "user", "content": [{"type": "text", "text": "2+2?"}]}]}, "2+2?", None),
    "verl": (
        {"data_source": "d", "prompt": CHAT[1:], "reward_model": {"style": "rule", "ground_truth": "4"}},
        "2+2?",
        "4",
    ),
    "TRL, text": ({"prompt": "2+2?", "answer": "4"}, "2+2?", "4"),
    "TRL, conversation": ({"prompt": CHAT[1:], "completion": [{"role": "assistant", "content": "4"}]}, "2+2?", "4"),
    "TRL, rewards": ({"prompt": CHAT[1:], "solution": "4"}, "2+2?", "4"),
    "OpenAI evals": ({"input": CHAT, "ideal": "4"}, "Be short.\n\n2+2?", "4"),
    "OpenAI evals, one of a list": ({"input": CHAT, "ideal": ["4"]}, "Be short.\n\n2+2?", "4"),
    "ShareGPT": ({"conversations": [{"from": "human", "value": "2+2?"}, {"from": "gpt", "value": "4"}]}, "2+2?", "4"),
    "null beside": ({"question": None, "problem": None, "prompt": "2+2?", "answer": "4"}, "2+2?", "4"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_rows_of_other_tools_are_understood(tmp_path: Path, name: str):
    """What is asked is the question, what the row says of the right answer is the reference."""
    row, question, answer = LAYOUTS[name]
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    assert pairs(load(tmp_path / "a.jsonl")) == [(question, answer)]


@pytest.mark.parametrize(
    ("path", "answer"), [("messages.-1.content", "4"), ("messages[2].content", "4"), ("extra.gold[0]", "four")]
)
def test_paths_reach_into_lists(tmp_path: Path, path: str, answer: str):
    """With dots or brackets, also from the end."""
    row = {"messages": [*CHAT, {"role": "assistant", "content": "4"}], "extra": {"gold": ["four"]}}
    (tmp_path / "a.jsonl").write_text(json.dumps(row))
    assert load(tmp_path / "a.jsonl", fields={"answer": path})[0].answer == answer


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"answer": "empty"}, "no column 'empty' with anything in it, but question, label, n"),
        (
            {"answer": "lable"},
            "has no column 'lable' with anything in it, but question, label, n; did you mean --field answer=label?",
        ),
        (
            {"answer": "gold"},
            "has no column 'gold' with anything in it, but question, label, n; give one of them: --field answer=COLUMN",
        ),
        ({"question": "questin"}, "no 'questin'; the row has 'question', .*did you mean --field question=question"),
    ],
)
def test_a_column_that_is_not_there_is_told_with_the_nearest(tmp_path: Path, fields: dict[str, str], said: str):
    """And with those that are there."""
    (tmp_path / "a.csv").write_text("question,label,n,empty\n2+2?,4,1,\n")
    with pytest.raises(UsageError, match=said):
        load(tmp_path / "a.csv", fields=fields)


def test_a_folder_is_all_its_files_by_name(tmp_path: Path):
    """Files that are no data are passed over."""
    (tmp_path / "b.csv").write_bytes(as_csv(";"))
    (tmp_path / "a.jsonl").write_text(json.dumps({"question": "first"}))
    (tmp_path / "README.md").write_text("no")
    assert [p.question for p in load(tmp_path)] == ["first", *(question for question, _ in ROWS)]


@pytest.mark.parametrize("name", ["semicolon.csv", "array.json", "a.ndjson"])
def test_standard_input_is_read(name: str):
    """What it holds is seen by its first line."""
    code = (
        "import json\nfrom tfgrpo.datasets import load\n"
        "for _ in 1, 2: print(json.dumps([p.question for p in load('-')]))"
    )
    ran = subprocess.run([sys.executable, "-c", code], input=TEXTS[name], capture_output=True, check=True)
    assert [json.loads(line) for line in ran.stdout.splitlines()] == [[question for question, _ in ROWS]] * 2


def test_white_space_is_no_reference(tmp_path: Path):
    """A cell of blanks says as little as none."""
    (tmp_path / "a.jsonl").write_text('{"question": "q", "answer": " \\t\\n"}')
    assert load(tmp_path / "a.jsonl")[0].answer is None


def test_a_long_cell_is_read(tmp_path: Path):
    """As long as in JSONL."""
    (tmp_path / "a.csv").write_text(f'question,answer\n"{"x" * 200_000}",4\n')
    assert len(load(tmp_path / "a.csv")[0].question) == 200_000


def test_a_workbook_that_unpacks_beyond_memory_is_refused(tmp_path):
    """The sizes that a zip names are summed before anything of it is unpacked."""
    file = tmp_path / "bomb.xlsx"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "x")
    data = bytearray(file.read_bytes())
    at = data.rfind(b"PK\x01\x02") + 24
    data[at : at + 4] = b"\xff\xff\xff\xf0"
    file.write_bytes(bytes(data))
    with pytest.raises(BadRow, match="unpacked"):
        list(file_rows(file))
