"""Foreign JSON comes in by one door: readers beside it are found by walking the modules; deep nesting is refused."""

import ast
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experience_db.errors import BadImport
from experience_db.foreign import read_foreign
from experience_db.formats_read import _from_messages, _from_predictor
from experience_db.lesson_lists import read_list
from tfgrpo.environments.tool_calling import _rendered
from tfgrpo.environments.tool_text import _tagged
from tfgrpo.integrations.promptfoo import CHECKS
from tfgrpo.prompting.json_repair import recover_json
from tfgrpo.system.untrusted_json import DEEPEST, Unreadable, each_value, loads
from tfgrpo.tools.arguments import read_arguments

ROOT = Path(__file__).parents[2]
OWN = {
    "experience_db/codec.py": "rows of our own database",
    "experience_db/groups.py": "rows of our own database",
    "experience_db/journal.py": "rows of our own database; replies are read again by typed models",
    "experience_db/pages.py": "rows of our own database",
    "experience_db/reports.py": "rows of our own database",
    "experience_db/runs.py": "rows of our own database",
    "experience_db/sessions.py": "rows of our own database",
    "experience_db/lesson_pages.py": "rows of our own database",
    "experience_db/foreign.py": "YAML of a user without anchors, of which one text is taken",
    "experience_db/foreign_json.py": "the door",
    "experience_db/texts.py": "rows of our own database",
    "tfgrpo/backends/capabilities.py": "a fact that we stored",
    "tfgrpo/backends/local/child.py": "what its parent sends",
    "tfgrpo/backends/local/engine.py": "what our own child says and keeps",
    "tfgrpo/backends/pricing.py": "a file of an installed package",
    "tfgrpo/backends/tiny/model.py": "weights of an installed package",
    "tfgrpo/backends/tiny/network.py": "weights of an installed package",
    "tfgrpo/graders/math_worker.py": "what its parent sends",
    "tfgrpo/graders/program.py": "a line of our own harness, under a mark that the program cannot know",
    "tfgrpo/graders/program_harness.py": "what its parent sends",
    "tfgrpo/graders/program_wire.py": "runs shut in, with limits",
    "tfgrpo/learning/events.py": "what was written a moment before",
    "tfgrpo/lessons/blocks.py": "a row of our own database",
    "tfgrpo/proving/output.py": "a file of this package",
    "tfgrpo/system/workers.py": "what our own worker answers",
    "tfgrpo/tools/fetch_page_worker.py": "what its parent sends",
    "tfgrpo/tools/sandbox_child.py": "what its parent sends",
    "tfgrpo/readers/documents.py": "YAML of a user, with a limit on what aliases make",
}
"""Files that read JSON or YAML by themselves, each with the reason."""
PARSERS = frozenset({
    "json", "simplejson", "orjson", "ujson", "rapidjson", "msgspec", "ijson", "hjson", "json5", "yaml", "ruamel",
    "pickle", "cloudpickle", "dill", "marshal", "shelve", "plistlib", "msgpack", "cbor2", "bson", "ast",
    "pydantic_core", "xml",
})  # fmt: skip
READS = re.compile(
    r"(?:\w+_)?loads?(?:_all|_json)?|JSONDecoder|raw_decode|decode|literal_eval|from_json|i?parse|Unpickler|open"
)
BY_ANY_NAME = frozenset({"model_validate_json", "validate_json", "raw_decode", "parse_raw", "read_json", "from_json"})


def _reads_beside(source: str) -> bool:
    """Whether a module's text reads JSON, YAML or pickles by itself: by any name of a parser, and by `.json()`."""
    tree = ast.parse(source)
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {(a.asname or a.name.split(".")[0]): a.name.split(".")[0] for a in node.names}
        elif (
            isinstance(node, ast.ImportFrom)
            and (node.module or "").split(".")[0] in PARSERS - {"ast"}
            and any(READS.fullmatch(a.name) for a in node.names)
        ):
            return True
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        whose = names.get(node.value.id, "") if isinstance(node.value, ast.Name) else ""
        if node.attr in BY_ANY_NAME or (whose in PARSERS and READS.fullmatch(node.attr) and whose != "ast"):
            return True
        if node.attr == "literal_eval":
            return True
    bare_calls = (n for n in ast.walk(tree) if isinstance(n, ast.Call) and not n.args and not n.keywords)
    return any(isinstance(n.func, ast.Attribute) and n.func.attr == "json" for n in bare_calls)


def _readers() -> set[str]:
    paths = (path for package in ("tfgrpo", "experience_db") for path in (ROOT / package).rglob("*.py"))
    return {str(path.relative_to(ROOT)) for path in paths if _reads_beside(path.read_text(encoding="utf-8"))}


@pytest.mark.parametrize(
    "source",
    [
        "import json\njson.loads(x)",
        "import json as j\nj.load(f)",
        "from json import loads as read\nread(x)",
        "from json.decoder import JSONDecoder",
        "import json\nread = json.JSONDecoder().raw_decode",
        "response.json()",
        "(await answer.json())['data']",
        "Model.model_validate_json(x)",
        "TypeAdapter(dict).validate_json(x)",
        "from pydantic_core import from_json",
        "import orjson\norjson.loads(x)",
        "import yaml as y\ny.safe_load(x)",
        "import pickle\npickle.Unpickler(f)",
        "import ast\nast.literal_eval(x)",
        "import pandas as pd\npd.read_json(x)",
        "import marshal\nmarshal.loads(x)",
    ],
)
def test_a_reader_beside_the_door_is_found(source):
    """By whichever name it comes in."""
    assert _reads_beside(source)


@pytest.mark.parametrize(
    "source", ["import json\njson.dumps(x)", "from x.untrusted_json import loads\nloads(x)", "ast.parse(x)"]
)
def test_what_takes_the_door_is_none(source):
    """Writing JSON is no reading, and the door's own function is what is asked for."""
    assert not _reads_beside(source)


def test_nothing_reads_json_beside_the_door():
    """A new reader takes the door, or says here why it need not; one that is gone leaves the list."""
    assert _readers() == set(OWN)


def _nest(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


@pytest.mark.parametrize("depth", [DEEPEST + 1, 300, 900, 200_000])
def test_what_is_too_deep_is_refused(depth):
    """Also at depths that Python reads, and that end the first function that walks the value."""
    for text in (_nest(depth), _nest(depth).encode(), "[" * depth + "]" * depth):
        with pytest.raises(Unreadable, match="too deep"):
            loads(text)


def test_what_is_wide_or_as_deep_as_allowed_is_read():
    """Many brackets are no depth, and brackets in a text are none."""
    assert len(loads("[" + ",".join(["{}"] * 1000) + "]")) == 1000
    assert loads('["' + "[" * 1000 + '"]') == ["[" * 1000]
    assert loads(_nest(DEEPEST))


@pytest.mark.parametrize("depth", [300, 200_000])
def test_a_bomb_of_a_model_is_no_traceback(depth):
    """Arguments, calls written in the text, checks of an answer: each says what it says of broken JSON."""
    bomb = _nest(depth)
    assert "too deep" in read_arguments(bomb, {})[1]
    assert _rendered(bomb) == "{}"
    assert _tagged(bomb) == ("", bomb)
    assert CHECKS["is-json"](bomb, None) is False


@pytest.mark.parametrize("read", [_from_messages, _from_predictor])
def test_a_bomb_in_an_export_is_damaged(read):
    """The package that stands alone says so, too."""
    with pytest.raises(BadImport, match="damaged"):
        read(_nest(200_000))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 5_000])
def test_numbers_that_are_none_cost_their_field_or_the_text(number):
    """What vendors send loses the field; what a user, a model or a file says is refused."""
    text = f'{{"a": [1, {number}], "b": "kept"}}'
    assert loads(text, forgiving=True) == {"a": [1, None], "b": "kept"}
    with pytest.raises(Unreadable):
        loads(text)
    with pytest.raises(Unreadable):
        list(each_value(text))


@pytest.mark.parametrize("text", ["[" + "[]," * 200 + "1]", b"[" + b"{}," * 200 + b"1]", "[" + "1," * 200 + "1]"])
def test_many_values_are_refused_before_they_are_made(text):
    """A short text can stand for much memory."""
    assert loads(text)
    with pytest.raises(Unreadable, match="more than 100 values"):
        loads(text, most_values=100)


def test_values_one_after_the_other_are_each_bounded():
    """Depth is counted for each value, and what stands before a fault was read."""
    assert list(each_value(" [1], {} ,3\n4 ")) == [[1], {}, 3, 4]
    assert len(list(each_value("[[]]" * 300))) == 300
    read = each_value(f"1 {_nest(DEEPEST + 1)}")
    assert next(read) == 1
    with pytest.raises(Unreadable, match="too deep"):
        next(read)


@pytest.mark.parametrize("depth", [DEEPEST + 1, 900, 200_000])
def test_a_bomb_in_a_list_of_lessons_or_a_file_of_another_program_is_refused(depth):
    """One sentence, and no lesson."""
    with pytest.raises(BadImport, match="too deep"):
        read_list(_nest(depth))
    assert read_foreign('{"G0": ' + _nest(depth) + "}") is None


def test_a_reply_with_quotes_to_mend_is_bounded_too():
    """The way of the mended quotes reads the same depth."""
    bomb = '{"op": "add", "text": "say "no" twice", "x": ' + _nest(DEEPEST + 50) + "}"
    found = recover_json(bomb)
    assert found is None or not _deeper(found, DEEPEST)


def _deeper(value, most):
    for _ in range(most):
        value = next(iter(value.values()), None) if isinstance(value, dict) else None
    return isinstance(value, dict)


@given(st.text(alphabet='[]{},:" \n01e.-NaINfty\\u', max_size=200))
def test_whatever_is_read_is_finite_and_flat(text):
    """Every text gives a value without odd numbers, or Unreadable."""
    for read in (loads, lambda x: loads(x, forgiving=True), lambda x: list(each_value(x))):
        try:
            value = read(text)
        except Unreadable:
            continue
        json.dumps(value, allow_nan=False)
