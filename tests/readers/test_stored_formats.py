"""Stored results of other tools become rows: the same item under the same id, a score, or why there is none."""

import json
import zipfile
from pathlib import Path

import pytest

from tfgrpo.errors import BadRow, UsageError
from tfgrpo.readers import FORMATS, read

USER = {"role": "user", "content": "2+2?"}
SAID = {"role": "assistant", "content": "4"}

PROMPTFOO = {
    "evalId": "eval-1",
    "results": {
        "version": 3,
        "results": [
            {
                "promptIdx": place,
                "testIdx": 0,
                "vars": {"question": "2+2?"},
                "provider": {"id": "openai:gpt-5-mini"},
                "prompt": {"raw": name, "label": name},
                "response": {"output": "4", "tokenUsage": {"total": 12}},
                "success": score == 1,
                "score": score,
                "namedScores": {"brief": 0.5},
                "latencyMs": 250,
                "cost": 0.001,
                "gradingResult": {"pass": True},
            }
            for place, (name, score) in enumerate([("with", 1), ("without", 0)])
        ]
        + [
            {
                "promptIdx": 0,
                "testIdx": 1,
                "vars": {"question": "3+3?"},
                "provider": {"id": "openai:gpt-5-mini"},
                "prompt": {"raw": "with", "label": "with"},
                "error": "429",
                "failureReason": 2,
                "success": False,
                "score": 0,
            }
        ],
    },
}
INSPECT_SAMPLE = {
    "id": "s1",
    "epoch": 1,
    "input": "2+2?",
    "target": "4",
    "messages": [USER, SAID],
    "output": {"completion": "4", "choices": []},
    "scores": {"match": {"value": "C"}, "quality": {"value": {"style": 0.25}}},
    "model_usage": {"m": {"total_tokens": 9}},
    "working_time": 1.5,
}
INSPECT_BROKEN = {"id": "s2", "epoch": 1, "input": [USER], "target": "4", "error": {"message": "boom"}, "scores": {}}
LM_EVAL = [
    {
        "doc_id": 3,
        "doc": {"question": "2+2?"},
        "target": "4",
        "resps": [["4"]],
        "filtered_resps": ["4"],
        "filter": name,
        "metrics": ["exact_match"],
        "exact_match": score,
    }
    for name, score in [("strict-match", 0.0), ("flexible-extract", 1.0)]
]
TRACE = {
    "id": "t",
    "task": {"type": "T", "data": {"idx": 0, "id": "q1", "prompt": "2+2?"}, "key": "k"},
    "nodes": [{"message": USER}, {"message": SAID, "sampled": True}],
    "rewards": {"right": {"score": 1.0, "weight": 0.5}, "brief": {"score": 0.5, "weight": 1.0}},
    "metrics": {"words": 1.0},
    "ok": True,
    "errors": [],
    "num_input_tokens": 5,
    "num_output_tokens": 2,
}
VERIFIERS_OLD = {"example_id": 7, "prompt": [USER], "completion": [SAID], "answer": "4", "reward": 0.75, "brief": 1.0}
HELM = [
    {"instance_id": "id1", "predicted_text": " 4", "train_trial_index": 0, "stats": {"exact_match": 1.0, "runtime": 2}},
]
HELM_STATS = [
    {
        "instance_id": "id1",
        "stats": [{"name": {"name": "num_tokens"}, "mean": 3}, {"name": {"name": "f1_score"}, "mean": 0.5}],
    }
]
OAIEVAL = [
    {"spec": {"completion_fns": ["gpt"], "eval_name": "arith"}},
    {"event_id": 0, "sample_id": "arith.dev.0", "type": "sampling", "data": {"prompt": [USER], "sampled": ["4"]}},
    {"event_id": 1, "sample_id": "arith.dev.0", "type": "match", "data": {"correct": True, "expected": "4"}},
    {"final_report": {"accuracy": 1.0}},
]
OUTPUT_ITEM = {
    "object": "eval.run.output_item",
    "datasource_item_id": 5,
    "datasource_item": {"question": "2+2?", "ideal": "4"},
    "status": "fail",
    "results": [{"name": "close", "score": 0.5, "passed": False}],
    "sample": {"output": [SAID], "input": [USER], "usage": {"total_tokens": 8}},
}
WEAVE = {
    "id": "c1",
    "op_name": "weave:///team/p/op/Evaluation.predict_and_score:abc",
    "inputs": {"example": {"id": "e1", "question": "2+2?"}, "model": "weave:///team/p/object/Solver:v1"},
    "output": {"output": "4", "scores": {"exact": {"correct": True}}, "model_latency": 0.5},
    "exception": None,
}
LANGFUSE = {
    "id": "trace",
    "input": {"question": "2+2?"},
    "output": "4",
    "metadata": {"dataset_item_id": "d1"},
    "datasetRunName": "with-skill",
    "scores": [{"name": "correct", "value": 1, "dataType": "BOOLEAN"}],
    "latency": 0.5,
    "totalCost": 0.01,
}
LANGFUSE_ITEM = {
    "id": "span",
    "traceId": "trace",
    "experimentId": "run-1",
    "experimentName": "with-skill",
    "experimentItemId": "d1",
    "level": "DEFAULT",
    "input": "2+2?",
    "output": "4",
    "expectedOutput": "4",
    "scores": [{"name": "correct", "value": 1.0, "dataType": "NUMERIC", "subject": {"kind": "trace", "id": "trace"}}],
}
OTLP = {
    "resourceSpans": [
        {
            "scopeSpans": [
                {
                    "spans": [
                        {
                            "traceId": "aa",
                            "name": "chat m",
                            "attributes": [
                                {"key": "test.case.id", "value": {"stringValue": "case-1"}},
                                {
                                    "key": "gen_ai.input.messages",
                                    "value": {
                                        "stringValue": json.dumps(
                                            [{"role": "user", "parts": [{"type": "text", "content": "2+2?"}]}]
                                        )
                                    },
                                },
                                {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "11"}},
                            ],
                            "events": [
                                {
                                    "name": "gen_ai.evaluation.result",
                                    "attributes": [
                                        {"key": "gen_ai.evaluation.name", "value": {"stringValue": "right"}},
                                        {"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": 1.0}},
                                    ],
                                }
                            ],
                        }
                    ]
                }
            ]
        }
    ]
}
CLAUDE = [
    {"type": "summary", "summary": "x"},
    {
        "type": "user",
        "sessionId": "s",
        "message": {"role": "user", "content": "<system-reminder>be kind</system-reminder>"},
    },
    {"type": "user", "sessionId": "s", "message": {"role": "user", "content": "2+2?"}},
    {
        "type": "assistant",
        "sessionId": "s",
        "message": {
            "role": "assistant",
            "content": [{"type": "tool_use", "name": "Bash", "input": {"command": "ls"}}],
            "usage": {"input_tokens": 5, "output_tokens": 2},
        },
    },
    {
        "type": "user",
        "sessionId": "s",
        "message": {"role": "user", "content": [{"type": "tool_result", "content": "a.txt"}]},
    },
    {
        "type": "assistant",
        "sessionId": "s",
        "message": {"role": "assistant", "content": [{"type": "text", "text": "4"}]},
    },
]
CODEX = [
    {"type": "session_meta", "payload": {"id": "sid", "cwd": "/"}},
    {
        "type": "response_item",
        "payload": {
            "type": "message",
            "role": "user",
            "content": [
                {
                    "type": "input_text",
                    "text": "# AGENTS.md instructions for /\n\n<INSTRUCTIONS>Be brief.</INSTRUCTIONS>",
                },
                {"type": "input_text", "text": "<environment_context>\n  <cwd>/</cwd>\n</environment_context>"},
            ],
        },
    },
    {
        "type": "response_item",
        "payload": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "2+2?"}]},
    },
    {"type": "response_item", "payload": {"type": "function_call", "name": "shell", "arguments": "{}"}},
    {
        "type": "response_item",
        "payload": {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "4"}]},
    },
    {"type": "event_msg", "payload": {"type": "token_count", "info": {"total_token_usage": {"total_tokens": 40}}}},
]


def lines(path: Path, *values: object) -> Path:
    """Write one JSON value a line."""
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return path


def whole(path: Path, value: object) -> Path:
    """Write one JSON document."""
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def zipped(path: Path, **members: object) -> Path:
    """Write JSON members into a zip, as inspect_ai does."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in members.items():
            archive.writestr(f"{name}.json", json.dumps(value))
    return path


CASES = {
    "promptfoo": (lambda p: whole(p / "out.json", PROMPTFOO), "promptfoo", 1.0, "4", "2+2?"),
    "inspect zip": (
        lambda p: zipped(p / "a.eval", **{"header": {"eval": {}}, "samples/s1_epoch_1": INSPECT_SAMPLE}),
        "inspect",
        1.0,
        "4",
        "2+2?",
    ),
    "inspect json": (
        lambda p: whole(p / "a.json", {"version": 2, "eval": {}, "plan": {}, "samples": [INSPECT_SAMPLE]}),
        "inspect",
        1.0,
        "4",
        "2+2?",
    ),
    "lm-eval": (lambda p: lines(p / "samples_gsm8k_2026-01-01T00.jsonl", *LM_EVAL), "lm-eval", 0.0, "4", "2+2?"),
    "verifiers episode": (
        lambda p: lines(p / "traces.jsonl", {"task": {}, "traces": [TRACE], "ok": True}),
        "verifiers",
        1.0,
        "4",
        "2+2?",
    ),
    "verifiers trace": (lambda p: lines(p / "traces.jsonl", TRACE), "verifiers", 1.0, "4", "2+2?"),
    "verifiers old": (lambda p: lines(p / "results.jsonl", VERIFIERS_OLD), "verifiers", 0.75, "4", "2+2?"),
    "helm": (lambda p: whole(p / "display_predictions.json", HELM), "helm", 1.0, " 4", ""),
    "helm stats": (lambda p: whole(p / "per_instance_stats.json", HELM_STATS), "helm", 0.5, "", ""),
    "oaieval": (lambda p: lines(p / "log.jsonl", *OAIEVAL), "openai-evals", 1.0, "4", "2+2?"),
    "openai run": (lambda p: whole(p / "r.json", {"data": [OUTPUT_ITEM]}), "openai-evals", 0.0, "4", "2+2?"),
    "openai dataset": (
        lambda p: lines(p / "d.jsonl", {"item": {"question": "2+2?", "answer": "4"}}),
        "openai-dataset",
        None,
        "",
        "2+2?",
    ),
    "weave": (
        lambda p: lines(p / "w.jsonl", {"op_name": "weave:///x/op/Evaluation.evaluate:1"}, WEAVE),
        "weave",
        1.0,
        "4",
        "2+2?",
    ),
    "langfuse": (lambda p: whole(p / "l.json", {"data": [LANGFUSE]}), "langfuse", 1.0, "4", '{"question": "2+2?"}'),
    "langfuse experiment": (
        lambda p: whole(p / "l.json", {"data": [LANGFUSE_ITEM], "meta": {}}),
        "langfuse",
        1.0,
        "4",
        "2+2?",
    ),
    "otel": (lambda p: lines(p / "spans.jsonl", OTLP), "otel", 1.0, "", "2+2?"),
    "claude": (lambda p: lines(p / "c.jsonl", *CLAUDE), "claude-code", None, "4", "2+2?"),
    "codex": (lambda p: lines(p / "rollout-1.jsonl", *CODEX), "codex", None, "4", "2+2?"),
    "plain": (
        lambda p: lines(p / "p.jsonl", {"id": 1, "reward": 0.5, "pred": "4", "question": "2+2?"}),
        "plain",
        0.5,
        "4",
        "2+2?",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_each_format_is_told_and_read(case, tmp_path):
    """A file is known by its content alone, and its first row has score, answer and question."""
    make, form, score, text, question = CASES[case]
    stored = read(make(tmp_path))
    assert stored.formats == (form,)
    row = stored.rows[0]
    assert (row.score, row.text) == (score, text)
    if question:
        assert row.question == question


def test_each_format_has_a_case():
    """No reader is without a file that it was tried on."""
    tried = {form for _, form, *_ in CASES.values()} | {"replay", "trials", "promptfoo-config"}
    assert tried == set(FORMATS)


def test_promptfoo_arms_are_what_differs(tmp_path):
    """Prompts of one provider are told apart by the prompt alone, and a broken call is a failure, not a zero."""
    rows = read(whole(tmp_path / "out.json", PROMPTFOO)).rows
    assert [r.arm for r in rows] == ["with", "without", "with"]
    assert rows[0].id == rows[1].id != rows[2].id
    assert (rows[2].score, rows[2].failure) == (None, "429")
    assert rows[0].scores == {"brief": 0.5, "success": 1.0, "score": 1.0}
    assert (rows[0].tokens, rows[0].usd, rows[0].seconds) == (12, 0.001, 0.25)


def test_promptfoo_config_gives_tasks(tmp_path):
    """The tests of a configuration are items with a question and the expected answer."""
    config = {"prompts": ["{{question}}"], "providers": ["x"], "tests": [
        {"vars": {"question": "2+2?"}, "assert": [{"type": "equals", "value": "4"}]}]}  # fmt: skip
    (row,) = read(whole(tmp_path / "promptfooconfig.json", config)).rows
    assert (row.question, row.answer, row.score) == ("2+2?", "4", None)


def test_inspect_epochs_and_errors(tmp_path):
    """Epochs of a sample are trials of one item, scores of all scorers are kept, an error is a failure."""
    again = INSPECT_SAMPLE | {"epoch": 2, "scores": {"match": {"value": "I"}}}
    rows = read(whole(tmp_path / "a.json", {"eval": {}, "samples": [INSPECT_SAMPLE, again, INSPECT_BROKEN]})).rows
    assert [(r.id, r.index, r.score) for r in rows] == [("s1", 0, 1.0), ("s2", 0, None), ("s1", 1, 0.0)]
    assert rows[0].scores == {"match": 1.0, "quality.style": 0.25}
    assert rows[1].failure == "boom"


def test_lm_eval_filters_are_scores_of_one_row(tmp_path):
    """Two filters of one document are one row with two scores, and its id names the task."""
    (row,) = read(lines(tmp_path / "samples_gsm8k_2026-01-01T00.jsonl", *LM_EVAL)).rows
    assert row.id == "gsm8k/3"
    assert row.scores == {"exact_match,strict-match": 0.0, "exact_match,flexible-extract": 1.0}
    assert row.by("exact_match,flexible-extract").score == 1.0


def test_replay_rows_hold_trials(tmp_path):
    """A position of the replay format is an item; a list there holds trials; unequal lists name the line."""
    rows = read(lines(tmp_path / "r.jsonl", {"id": "x", "before": [0, [1, 0]], "after": [1, None]})).rows
    assert [(r.arm, r.id, r.index, r.score) for r in rows] == [
        ("x/before", "0", 0, 0.0), ("x/before", "1", 0, 1.0), ("x/before", "1", 1, 0.0),
        ("x/after", "0", 0, 1.0), ("x/after", "1", 0, None),
    ]  # fmt: skip
    with pytest.raises(BadRow, match=r"r\.jsonl:1.*same length"):
        read(lines(tmp_path / "r.jsonl", {"id": "x", "before": [0], "after": []}))


def test_arms_of_trials(tmp_path):
    """One object of arms holds the trials of each item under each arm."""
    stored = read(
        whole(tmp_path / "t.json", {"source": "x", "arms": {"seed": {"a": [1, 0]}, "edit": {"a": [1.0, None]}}})
    )
    assert stored.arms == ("seed", "edit")
    assert [(r.id, r.index, r.score) for r in stored.rows] == [
        ("a", 0, 1.0),
        ("a", 1, 0.0),
        ("a", 0, 1.0),
        ("a", 1, None),
    ]


def test_tools_of_a_session_are_no_answer(tmp_path):
    """Calls and results stay in the conversation; the answer is what was said last, words of the host are left out."""
    (row,) = read(lines(tmp_path / "c.jsonl", *CLAUDE)).rows
    assert [m["role"] for m in row.messages] == ["user", "assistant", "tool", "assistant"]
    assert row.tokens == 7
    (other,) = read(lines(tmp_path / "rollout-1.jsonl", *CODEX)).rows
    assert (other.id, other.tokens) == (row.id, 40)


def test_a_reply_in_several_blocks_is_counted_once(tmp_path):
    """Claude Code writes a line for each block of a reply, every time with its usage; the cache is part of it."""
    usage = {"input_tokens": 5, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 10, "output_tokens": 2}
    asked, *_ = [line for line in CLAUDE if line["type"] == "user"][1:]
    said = [
        {"type": "assistant", "sessionId": "s", "message": {"id": "msg_1", "role": "assistant", "usage": usage,
                                                             "content": [{"type": "text", "text": word}]}}
        for word in ("Well,", "4")
    ]  # fmt: skip
    (row,) = read(lines(tmp_path / "c.jsonl", asked, *said)).rows
    assert (row.tokens, row.text) == (117, "4")


def test_weave_arms_and_questions(tmp_path):
    """The arm is a model's name; what was asked is in the call below, unless that holds only a reference."""

    def call(name, place, question):
        below = {"op_name": "weave:///x/op/Solver.predict:1", "parent_id": f"{name}{place}",
                 "inputs": {"self": "weave:///x/object/m:1", "question": question}}  # fmt: skip
        inputs = {"example": f"weave:///x/object/Dataset:d/attr/rows/id/r{place}",
                  "model": f"weave:///x/object/{name}:1"}  # fmt: skip
        return [below, WEAVE | {"id": f"{name}{place}", "inputs": inputs}]

    found = read(lines(tmp_path / "w.jsonl", *call("new", 0, "2+2?"), *call("old", 0, "weave:///x/attr/q"))).rows
    assert [(r.id, r.arm, r.question) for r in found] == [("r0", "new", "2+2?"), ("r0", "old", "")]


def test_objects_over_several_lines(tmp_path):
    """OpenTelemetry's console exporter prints objects one after the other, each over many lines; faults name a line."""
    spans = [
        {"name": "case", "context": {"trace_id": f"0x{i}"},
         "attributes": {"test.case.id": f"q{i}", "gen_ai.system": "x"},
         "events": [{"name": "gen_ai.evaluation.result",
                     "attributes": {"gen_ai.evaluation.name": "exact", "gen_ai.evaluation.score.value": 1.0}}]}
        for i in range(3)
    ]  # fmt: skip
    place = tmp_path / "console.json"
    place.write_text("".join(json.dumps(s, indent=4) + "\n" for s in spans), encoding="utf-8")
    stored = read(place)
    assert stored.formats == ("otel",)
    assert [(r.id, r.score) for r in stored.rows] == [("q0", 1.0), ("q1", 1.0), ("q2", 1.0)]
    place.write_text(json.dumps(spans[0], indent=4) + "\n{\n  broken\n}\n", encoding="utf-8")
    with pytest.raises(BadRow, match=r"console\.json:\d+"):
        read(place)


def test_evaluations_in_logs(tmp_path):
    """The conventions also write an evaluation as a record of a log, under the trace it is about."""
    record = {
        "traceId": "aa", "eventName": "gen_ai.evaluation.result",
        "attributes": [
            {"key": "gen_ai.evaluation.name", "value": {"stringValue": "right"}},
            {"key": "gen_ai.evaluation.score.value", "value": {"doubleValue": 0.5}},
        ],
    }  # fmt: skip
    span = json.loads(json.dumps(OTLP))
    del span["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["events"]
    kept = {"key": "gen_ai.response.finish_reasons", "value": {"arrayValue": {"values": [{"stringValue": "stop"}]}}}
    span["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["attributes"].append(kept)
    (row,) = read(lines(tmp_path / "o.jsonl", span, {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})).rows
    assert (row.id, row.score, row.scores) == ("case-1", 0.5, {"right": 0.5})


SHEET = """Description,n,[m] with: do,Status,Score,Named Scores,Grader Reason,Comment,[m] old,Status,Score,x,y,z
Row #1,1,2,PASS,1.00,,ok,,1,FAIL,0.00,,no,
Row #2,2,,ERROR,0.00,,,,4,PASS,1.00,,ok,
"""


def test_promptfoo_sheets(tmp_path):
    """A sheet of promptfoo has its columns again for each arm; an error is a failure, a counted name no id."""
    (tmp_path / "out.csv").write_text(SHEET, encoding="utf-8")
    stored = read(tmp_path / "out.csv")
    assert (stored.formats, stored.arms) == (("promptfoo",), ("with: do", "old"))
    first = [(r.arm, r.score, r.text, r.failure) for r in stored.rows]
    assert first == [("with: do", 1.0, "2", ""), ("old", 0.0, "1", ""), ("with: do", None, "", "ERROR"),
                     ("old", 1.0, "4", "")]  # fmt: skip
    assert stored.rows[0].id == stored.rows[1].id != stored.rows[2].id


def test_promptfoo_descriptions_that_several_tests_share(tmp_path):
    """Tests with one description and other variables are other items, not trials of one."""
    kept = PROMPTFOO["results"]["results"]
    told = [r | {"testCase": {"description": "sums"}} for r in (kept[0], kept[2] | {"failureReason": 0, "error": None})]
    rows = read(whole(tmp_path / "out.json", {"results": {"results": told}})).rows
    assert len({r.id for r in rows}) == 2
    assert all(r.id.startswith("sums ") for r in rows)


def test_promptfoo_tests_in_files(tmp_path):
    """A configuration may name files of tests: a sheet has `__expected`, JSON the tests themselves."""
    (tmp_path / "t.csv").write_text("n,__expected\n1,2\n2,contains: 4\n", encoding="utf-8")
    whole(tmp_path / "t.json", [{"vars": {"n": 3}, "assert": [{"type": "equals", "value": "6"}]}])
    config = {"prompts": ["{{n}}"], "providers": ["x"], "tests": ["file://t.csv", "file://t.json"]}
    rows = read(whole(tmp_path / "promptfooconfig.json", config)).rows
    assert [r.answer for r in rows] == ["2", "4", "6"]


def test_a_folder_has_an_arm_for_each_file(tmp_path):
    """Files of a folder are arms by name, folders in it are arms where there are several, and strangers are named."""
    for name, score in (("with", 1), ("without", 0)):
        (tmp_path / name).mkdir()
        lines(tmp_path / name / "a.jsonl", {"id": "1", "score": score})
        lines(tmp_path / name / "b.jsonl", {"id": "2", "score": score})
    whole(tmp_path / "with" / "notes.json", {"hello": "there"})
    stored = read(tmp_path)
    assert stored.arms == ("with", "without")
    assert len(stored.skipped) == 1
    assert "notes.json" in stored.skipped[0]
    assert read(tmp_path / "with").arms == ("a", "b")


def test_a_run_of_helm_is_read_from_all_its_files(tmp_path):
    """Scores of one file, words of another, each instance one row; totals and settings beside them are no results."""
    whole(tmp_path / "display_predictions.json", [HELM[0] | {"stats": {}}])
    whole(tmp_path / "per_instance_stats.json", HELM_STATS)
    references = [{"output": {"text": text}, "tags": tags} for text, tags in (("5", []), ("4", ["correct"]))]
    instance = {"id": "id1", "input": {"text": "2+2?"}, "references": references}
    state = {"instance": instance, "result": {"success": True, "completions": [{"text": " 4"}]}}
    whole(tmp_path / "scenario_state.json", {"adapter_spec": {}, "request_states": [state]})
    whole(tmp_path / "stats.json", [{"name": {"name": "f1_score"}, "mean": 0.5}])
    stored = read(tmp_path)
    assert stored.skipped == ()
    (row,) = stored.rows
    assert (row.id, row.score, row.text, row.question, row.answer) == ("id1", 0.5, " 4", "2+2?", "4")


def test_helm_keeps_books_that_are_no_score(tmp_path):
    """Numbers of tokens are no score; of several that may be one none is taken unasked, and they are named."""
    stats = [{"name": {"name": name}, "mean": mean} for name, mean in (("num_references", 2), ("a", 0.5), ("b", 0.1))]
    (row,) = read(whole(tmp_path / "per_instance_stats.json", [{"instance_id": "id1", "stats": stats}])).rows
    assert row.score is None
    assert "--metric, one of a, b" in row.failure
    assert row.by("a").score == 0.5


@pytest.mark.parametrize(
    ("content", "error"),
    [("{", BadRow), ("", UsageError), ('{"a": 1}', UsageError), ('{"id": 1}\n{', BadRow), ("[" * 100_000, BadRow)],
)
def test_unusable_files_are_told(content, error, tmp_path):
    """A file that is cut, empty, unknown or absurd ends with one sentence that names it."""
    file = tmp_path / "x.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(error, match=r"x\.json"):
        read(file)


def changed_zip(path, changes, text="{}"):
    """Write a zip of one member, with bytes of its local and central header changed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", text)
    data = bytearray(path.read_bytes())
    for offset, value in changes.items():
        for at in (offset, data.rfind(b"PK\x01\x02") + offset + 2):
            data[at : at + len(value)] = value
    path.write_bytes(bytes(data))
    return path


ALIASES = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("aliases.yaml", ALIASES),
        ("endless.yaml", "a: &a [*a]\n"),
        ("deep.yaml", "[" * 5000),
        ("date.yaml", "a: 2020-99-99\n"),
        ("deep.eval", "[" * 200_000),
        ("huge.eval", {22: b"\xff\xff\xff\xf0"}),
        ("locked.eval", {6: b"\x01"}),
        ("method.eval", {8: b"\x4d"}),
    ],
)
def test_a_file_made_to_exhaust_or_to_fail_is_refused_in_a_sentence(tmp_path, name, content):
    """Aliases and members that stand for more than memory holds, deep nesting, locked and unknown packing: no trace."""
    file = tmp_path / name
    if name.endswith(".yaml"):
        file.write_text(content, encoding="utf-8")
    else:
        changed_zip(file, content if isinstance(content, dict) else {}, "{}" if isinstance(content, dict) else content)
    with pytest.raises(BadRow, match=name):
        read(file)
