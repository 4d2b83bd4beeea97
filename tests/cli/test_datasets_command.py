"""`tfgrpo datasets` for scripts, and with copies that are not what they claim."""

import json
from pathlib import Path

from support.script import rows, write


def test_the_list_is_one_json_object(cli, parsed, tmp_path, monkeypatch):
    """Every named set with its state; a copy that cannot be used says why, and the command still ends well."""
    write(tmp_path / "aime24.jsonl", rows(1))
    monkeypatch.setenv("TFGRPO_DATA", str(tmp_path))
    told = parsed(cli("datasets", "list", "--json"))
    assert told["folder"] == str(tmp_path)
    assert set(told["datasets"]) == {"aime24", "aime25", "dapo-math-17k", "gsm8k", "math500", "webwalkerqa"}
    broken = told["datasets"]["aime24"]
    assert (broken["state"], broken["rows"], broken["grader"]) == ("broken", 30, "math")
    assert "has 1 rows, but aime24 has 30" in broken["where"]


def test_a_dataset_is_shown_with_the_hashes_that_a_recipe_pins(cli, parsed):
    """Content, answers and words are hashed; order changes the content alone."""
    told = parsed(cli("datasets", "show", "learn.jsonl", "--json", "--rows", 1))
    write(Path("turned.jsonl"), rows(4)[::-1])
    turned = parsed(cli("datasets", "show", "turned.jsonl", "--json"))
    assert told["problems"] == told["answered"] == 4
    assert len(told["first"]) == 1
    assert (told["answers"], told["words"]) == (turned["answers"], turned["words"])
    assert told["content"] != turned["content"]


def test_a_copy_that_is_not_the_benchmark_cannot_be_used(cli, tmp_path, monkeypatch):
    """The right number of wrong problems ends with exit code 2 before anything is asked."""
    write(tmp_path / "aime24.jsonl", rows(30))
    monkeypatch.setenv("TFGRPO_DATA", str(tmp_path))
    result = cli("datasets", "show", "aime24")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "has 30 rows, but not the answers of aime24" in result.stderr


def test_the_proposed_command_says_what_its_model_needs(cli, tmp_path, monkeypatch):
    """A key that is not there is named, with the two ways around it; who has one reads nothing of it."""
    (tmp_path / "t.csv").write_text(
        "Order No,Text,Label\n" + "".join(f"{i},is {i}?,{'xy'[i % 2]}\n" for i in range(40))
    )
    told = cli("datasets", "show", "t.csv").stdout
    assert "'id=Order No'" in told
    assert "export OPENAI_API_KEY=...; or add --base-url of an endpoint of your own" in told
    assert "tfgrpo models list" in told
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    assert "OPENAI_API_KEY" not in cli("datasets", "show", "t.csv").stdout


def test_a_table_without_a_header_is_told(cli, tmp_path):
    """Columns that are called like their cells are the first row; a table with names says nothing of it."""
    rows = "".join(f"where is my parcel number {i}?,{('shipping', 'billing')[i % 2]}\n" for i in range(40))
    (tmp_path / "bare.csv").write_text(rows)
    (tmp_path / "named.csv").write_text(f"text,label\n{rows}")
    assert "the first line looks like a row" in cli("datasets", "show", "bare.csv").stdout
    assert "the first line" not in cli("datasets", "show", "named.csv").stdout


def test_conversations_that_end_with_a_label_are_graded_by_it(cli, tmp_path):
    """The reply that ends a conversation is its reference: a label is compared, and no judge is asked for."""
    asked = [f"where is parcel {i}?" for i in range(40)]
    said = [("late", "lost")[i % 2] for i in range(40)]
    chats = [
        [{"role": "user", "content": question}, {"role": "assistant", "content": reply}]
        for question, reply in zip(asked, said, strict=True)
    ]
    (tmp_path / "c.jsonl").write_text("".join(json.dumps({"messages": chat}) + "\n" for chat in chats))
    told = cli("datasets", "show", "c.jsonl").stdout
    assert "40 with a reference answer" in told
    assert "--grader exact" in told
    assert "labels: late, lost" in told
