"""Every template renders to a golden file, wants what its header says, and treats the text of others as data.

After a change of wording run `REGENERATE_GOLDEN=1 pytest tests/prompting/test_templates.py` and read the diff of
tests/prompting/golden: it is what models will see.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import meta

from experience_db.library import DEFAULT_TEMPLATE, place_of
from experience_db.templating import environment, fence
from tfgrpo.errors import TemplateError, UnknownKey
from tfgrpo.prompting import templates
from tfgrpo.replies import EditsReply

HERE = Path(__file__).parent
VARIABLES: dict[str, Any] = json.loads((HERE / "variables.json").read_text(encoding="utf-8"))
OWN = [
    (set_name, name)
    for set_name in templates.set_names()
    for loaded in [templates.load(set_name)]
    for name in loaded.names
    if loaded.path(name).is_relative_to(templates.templates_folder() / set_name)
]
LISTED = [(set_name, name) for set_name, name in OWN if set_name in ("default", "paper")]


def render(set_name: str, name: str) -> str:
    """Render one template with the fixed variables."""
    given_here = VARIABLES | ({"max_words": 150} if name.startswith("summarize/") else {})
    return templates.load(set_name).render(name, **given_here)


def wants(source: str) -> tuple[set[str], set[str]]:
    """Return the variables and the `.fields` that the header of a template names."""
    found = re.search(r"^wants:\s*(.*)$", source, re.MULTILINE)
    assert found
    listed = re.sub(r"\([^)]*\)", "", found[1]).split(";") if found[1] != "nothing" else []
    return {item.split()[0] for item in listed}, set(re.findall(r"\.(\w+)", found[1]))


@pytest.mark.parametrize(("set_name", "name"), OWN)
def test_render_equals_golden_file(set_name: str, name: str) -> None:
    """The render of each template is the one that was reviewed."""
    golden = HERE / "golden" / set_name / f"{name}.txt"
    text = render(set_name, name) + "\n"
    if os.environ.get("REGENERATE_GOLDEN"):
        golden.parent.mkdir(parents=True, exist_ok=True)
        golden.write_text(text, encoding="utf-8")
    if set_name not in ("default", "paper") and not golden.exists():
        pytest.skip(f"no golden file for {set_name}/{name} yet")
    assert text == golden.read_text(encoding="utf-8"), "the wording changed: see the module docstring"


@pytest.mark.parametrize(("set_name", "name"), LISTED)
def test_header_names_caller_reply_and_exactly_the_variables_in_use(set_name: str, name: str) -> None:
    """Each template begins with a comment that says who calls it, what it wants and what it asks for."""
    loaded = templates.load(set_name)
    source = loaded.source(name)
    assert re.match(r"\{#\ncaller: .+\nwants:  .+\nreply:  .+\n#\}\n", source)
    variables, attributes = wants(source)
    assert variables == loaded.variables(name)
    body = source[source.index("#}") :]
    read = set(re.findall(r"\{[{%][^}\"]*?\b(?:problem|attempt|answer|lesson|proposal|edit)\.(\w+)", body))
    assert read <= attributes


@pytest.mark.parametrize(("set_name", "name"), LISTED)
def test_missing_variable_is_an_error_that_names_it(set_name: str, name: str) -> None:
    """A template that lacks any one of its variables says which one, and where the template is."""
    loaded = templates.load(set_name)
    for missing in sorted(loaded.variables(name)):
        if name == "consolidate/each" and missing == "max_words":
            continue
        rest = {key: value for key, value in VARIABLES.items() if key != missing}
        with pytest.raises(TemplateError, match=rf"{re.escape(str(loaded.path(name)))}.*'{missing}'"):
            loaded.render(name, **rest)


@pytest.mark.parametrize(("set_name", "name"), LISTED)
def test_every_prompt_stays_short(set_name: str, name: str) -> None:
    """Instructions cost tokens in every call: 2000 at most, with the small fixture."""
    assert len(render(set_name, name)) / 4 < 2000


@pytest.mark.parametrize(
    ("set_name", "name"), [(s, n) for s, n in LISTED if "reply:  edits\n" in templates.load(s).source(n)]
)
def test_example_reply_is_what_the_parser_wants_and_cannot_be_applied(set_name: str, name: str) -> None:
    """The example follows the schema, the empty list is offered, and ids of the example do not exist."""
    text = render(set_name, name)
    examples = [json.loads(found) for found in re.findall(r'\{"edits": \[\{.*\}\]\}', text)]
    assert len(examples) == 1
    edits = EditsReply.model_validate(examples[0]).edits
    assert all(number > 900000 for edit in edits for number in edit.ids)
    assert all(len((edit.text or "").split()) <= 32 for edit in edits)
    assert "n empty list is a good answer" in text


@pytest.mark.parametrize("name", ["judge/answer", "judge/group"])
def test_judge_is_asked_for_the_verdict_before_the_reason(name: str) -> None:
    """The example of a judge's reply puts the verdict first, and abstaining is allowed."""
    text = render("default", name)
    assert text.index('"verdict"') < text.index('"reason"')
    assert '"ABSTAIN"' in text


def test_what_varies_comes_last() -> None:
    """Two contrasts of one step share everything up to the problem, so that a prefix cache can serve it."""
    loaded = templates.load()
    first = loaded.render("contrast/group", **VARIABLES)
    second = loaded.render("contrast/group", **VARIABLES | {"problem": {"question": "Another one?"}, "attempts": ()})
    shared = first[: next(i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)]
    assert "## The problem" in shared
    assert len(shared) > 0.6 * len(first)


def test_lessons_block_is_empty_without_lessons_and_the_same_for_all_problems() -> None:
    """An empty library changes no prompt; a full one gives the same bytes every time."""
    loaded = templates.load()
    assert loaded.render("lessons", lessons=()) == ""
    block = loaded.render("lessons", lessons=VARIABLES["lessons"])
    assert block == templates.load().render("lessons", lessons=VARIABLES["lessons"])
    assert "[3] When a border is shared" in block


def test_lesson_cannot_pose_as_two() -> None:
    """A line break inside a lesson does not begin a new one."""
    block = templates.load().render("lessons", lessons=[{"id": 1, "text": "Do this.\n[2] Do that."}])
    assert "\n[2]" not in block


def test_template_syntax_inside_texts_is_not_evaluated() -> None:
    """Jinja signs in a lesson, a problem or an attempt are plain characters."""
    evil = "{{ 7 * 7 }} {% for x in y %} {# gone #} {{ problem.__class__ }}"
    loaded = templates.load()
    assert evil in loaded.render("solve/user", problem={"question": evil})
    assert evil in loaded.render("lessons", lessons=[{"id": 1, "text": evil}])


def test_templates_run_in_a_sandbox(tmp_path: Path) -> None:
    """A template from elsewhere cannot reach Python's inside."""
    (tmp_path / "solve").mkdir()
    (tmp_path / "solve" / "user.md.jinja").write_text("{{ problem.__class__.__mro__ }}")
    with pytest.raises(TemplateError, match="unsafe"):
        templates.load(override=tmp_path).render("solve/user", problem=object())


TAGS = st.sampled_from(["attempt", "lessons", "feedback"])
PIECES = st.one_of(
    st.sampled_from(["</attempt>", "</ATTEMPT-00000000>", "< / lessons", "<feedback-0a1b2c3d>", "</x-0a1b2c3d>", "\n"]),
    st.text(max_size=20),
)


@given(st.lists(PIECES, max_size=6).map("".join), TAGS)
def test_nothing_breaks_out_of_a_fence(text: str, tag: str) -> None:
    """Whatever the text, the only closing tag is the last line, and no other fence opens inside."""
    fenced = fence(text, tag)
    name = re.match(rf"<({tag}-[0-9a-f]{{8}})>\n", fenced)
    assert name
    assert fenced.endswith(f"\n</{name[1]}>")
    inside = fenced[len(name[0]) : -len(f"</{name[1]}>")]
    assert not re.search(rf"<\s*/\s*{tag}\b", inside, re.IGNORECASE)
    assert not re.search(r"<\s*/?\s*\w+-[0-9a-f]{8}\b", inside, re.IGNORECASE)


def test_copied_closing_tag_cannot_end_its_fence() -> None:
    """Not even the right closing tag, found out beforehand, gets through."""
    tag = re.findall(r"</attempt-[0-9a-f]{8}>", fence("x", "attempt"))[0]
    assert fence(f"x{tag}", "attempt").count("</attempt") == 1


def test_fence_is_the_same_in_every_run_and_differs_between_texts() -> None:
    """Tags come from the text, so journal keys are stable."""
    assert fence("x", "attempt") == "<attempt-bf6f8504>\nx\n</attempt-bf6f8504>"
    assert fence("x", "attempt")[:17] != fence("y", "attempt")[:17]


def test_override_wins_over_the_set_and_the_set_over_default(tmp_path: Path) -> None:
    """A template is taken from the override folder, then from the set, then from default."""
    (tmp_path / "contrast").mkdir()
    (tmp_path / "contrast" / "group.md.jinja").write_text("Mine: {{ problem.question }}\n")
    paper, mine = templates.load("paper"), templates.load("paper", tmp_path)
    assert mine.render("contrast/group", problem={"question": "Why?"}) == "Mine: Why?"
    assert mine.source("summarize/rollout") == paper.source("summarize/rollout")
    assert paper.source("summarize/rollout") != templates.load().source("summarize/rollout")
    assert paper.source("judge/answer") == templates.load().source("judge/answer")
    assert mine.hash("contrast/group") != paper.hash("contrast/group")
    assert mine.hash("judge/answer") == templates.load().hash("judge/answer")


def test_hash_changes_with_a_part(tmp_path: Path) -> None:
    """The hash covers what a template includes: another form of lessons is another prompt."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "lesson.md.jinja").write_text("A lesson has {{ max_words }} words.\n")
    assert templates.load(override=tmp_path).hash("contrast/group") != templates.load().hash("contrast/group")
    assert templates.load(override=tmp_path).hash("judge/answer") == templates.load().hash("judge/answer")
    assert len(templates.load().hash("contrast/group")) == 12


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("contrast/grupo.md.jinja", "x", "did you mean 'contrast/group'"),
        ("solve/user.md.jinja", "{{ question }}", "asks for question"),
        ("solve/user.md.jinja", "{% if %}", "line 1"),
        ("solve/user.md.jinja", '{% include "parts/absent.md.jinja" %}', "no prompt template 'parts/absent'"),
        ("notes.txt", "x", "holds neither"),
        ("set.toml", 'summaries = "sometimes"', "not one of never, when-long, always"),
        ("set.toml", "summaries = ", "not valid TOML"),
    ],
)
def test_broken_override_is_found_when_it_is_loaded(tmp_path: Path, file: str, text: str, message: str) -> None:
    """A mistake in an override ends the command before the first model call."""
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    with pytest.raises(TemplateError, match=message):
        templates.load(override=tmp_path)


def test_file_that_is_no_text_is_an_error(tmp_path: Path) -> None:
    """A template that is not UTF-8 is named."""
    (tmp_path / "repair.md.jinja").write_bytes(b"\xff\xfe")
    with pytest.raises(TemplateError, match=r"repair\.md\.jinja cannot be read"):
        templates.load(override=tmp_path)


def test_unknown_key_of_a_set_is_an_error(tmp_path: Path) -> None:
    """A key of set.toml that does not exist is rejected, with the nearest one."""
    (tmp_path / "set.toml").write_text('sumaries = "never"')
    with pytest.raises(UnknownKey, match="did you mean 'summaries'"):
        templates.load(override=tmp_path)


def test_settings_come_with_the_set(tmp_path: Path) -> None:
    """The paper's set summarises every rollout; an override may say otherwise."""
    assert templates.load().settings == templates.PromptSettings("when-long", "batch")
    assert templates.load("paper").settings == templates.PromptSettings("always", "batch")
    (tmp_path / "set.toml").write_text('consolidate = "each"')
    assert templates.load("paper", tmp_path).settings.consolidate == "each"


def test_unknown_names_list_what_there_is(tmp_path: Path) -> None:
    """A set, template or folder that does not exist is named beside those that do."""
    with pytest.raises(TemplateError, match=r"no prompt set 'papre'.*default.*paper"):
        templates.load("papre")
    with pytest.raises(TemplateError, match=r"no prompt template 'contrast/grup'.*contrast/group"):
        templates.load().render("contrast/grup")
    with pytest.raises(TemplateError, match="does not exist"):
        templates.load(override=tmp_path / "absent")


def test_hidden_rewards_and_reference_leave_no_trace() -> None:
    """Without ground truth and rewards the prompts show neither."""
    attempt = VARIABLES["attempts"][0] | {"reward": None, "advantage": None, "feedback": "", "scores": []}
    given_here = VARIABLES | {"attempts": [attempt], "attempt": attempt, "reference": None}
    for name in ("contrast/group", "summarize/rollout"):
        text = templates.load().render(name, **given_here)
        assert "reward None" not in text
        assert "<reference-" not in text
        assert "<feedback-" not in text


def test_the_block_of_the_set_default_is_the_one_of_libraries_made_by_hand() -> None:
    """Libraries made by hand, by import and by learning show their lessons in the same bytes."""
    assert templates.load("default").block() == DEFAULT_TEMPLATE


def test_the_block_keeps_its_place_and_loses_the_comment_for_authors() -> None:
    """What a library stores says where it stands and holds no header; a place of the configuration wins."""
    small = templates.load("small")
    assert small.block() == "{# place: user_end #}\n" + small.block("system")
    assert "caller" not in small.block()
    assert place_of(templates.load("default").block("user_end")) == "user_end"


def test_the_size_of_a_template_is_near_what_it_says_by_itself():
    """Whoever asks whether a prompt fits counts its words and not the program around them."""
    loaded = templates.load()
    empty = {**VARIABLES, "attempts": (), "lessons": (), "rejected": (), "problem": {"question": ""}, "majority": None}
    said = len(loaded.render("contrast/group", **(empty | {"reference": None, "agent_objective": ""})))
    assert said < loaded.size("contrast/group") < 1.4 * said


@pytest.mark.parametrize(("set_name", "name"), OWN)
def test_only_templates_that_may_have_parts_are_parsed_for_them(set_name: str, name: str) -> None:
    """What the pattern passes over names no part for Jinja either."""
    source = templates.load(set_name).source(name)
    if not templates.REFERS.search(source):
        assert not list(meta.find_referenced_templates(environment(None).parse(source)))
