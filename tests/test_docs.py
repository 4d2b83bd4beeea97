"""What the documentation shows exists: commands, options, files."""

import contextlib
import re
import runpy
import shlex
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parents[1]
GENERATOR = runpy.run_path(str(ROOT / "docs" / "generate.py"))
TREE = dict(GENERATOR["commands"]())
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md", *sorted(ROOT.glob("docs/*.md"))]
TEXTS = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in PAGES}

FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SHELLS = {"bash", "sh", "shell", "console"}
FOLDERS = ("tfgrpo", "experience_db", "prompts", "examples", "tests", "docs", ".ci")
NAMED_FILE = re.compile(rf"(?<![\w./-])(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./*-]*[\w/*]")
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")
INLINE = re.compile(r"`(tfgrpo [^`\n]+)`")


def shell_lines(text: str) -> list[str]:
    """Return what a page shows to be typed: lines of shell blocks, joined where they continue, without output."""
    lines = []
    for language, block in FENCE.findall(text):
        typed = block.replace("\\\n", " ").splitlines()
        if language == "console":
            typed = [line.removeprefix("$ ") for line in typed if line.startswith("$ ")]
        if language in SHELLS:
            lines += typed
    return lines


def shown_commands(text: str) -> list[list[str]]:
    """Return the arguments of each complete `tfgrpo` command line that a page shows."""
    found = []
    for line in shell_lines(text):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set("();<>|&"):
                while words and "=" in words[0]:
                    words.pop(0)
                if words and Path(words[0]).name == "tfgrpo":
                    found.append(words[1:])
                words = []
            else:
                words.append(word)
    return found


def descend(words: list[str]) -> tuple[object, list[str]]:
    """Follow the words down the command tree; return the command and the arguments that are left."""
    path, rest = "tfgrpo", list(words)
    while rest and f"{path} {rest[0]}" in TREE:
        path = f"{path} {rest.pop(0)}"
    return TREE[path], rest


def parse(words: list[str]) -> None:
    """Parse a command line without running it; whatever is wrong with it is raised."""
    command, rest = descend(words)
    assert not hasattr(command, "commands") or (rest and rest[0].startswith("-")), f"no command: tfgrpo {words}"
    with contextlib.suppress(typer.Exit):  # `--version` and `--help` are done when they are parsed
        command.make_context("tfgrpo", rest)


@pytest.mark.parametrize("path", TREE)
def test_every_command_has_help(path):
    """Commands say in a sentence what they do, and so does each of their options."""
    assert len(TREE[path].help.split()) > 2
    for parameter in TREE[path].params:
        assert parameter.help, parameter.name


@pytest.mark.parametrize("path", TREE)
def test_every_command_answers_to_help(path):
    """`--help` of each command ends well, and every option is on it."""
    from typer.testing import CliRunner

    from tfgrpo.cli.app import app

    shown = CliRunner().invoke(app, [*path.split()[1:], "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert shown.exit_code == 0, shown.output
    for parameter in TREE[path].params:
        if parameter.param_type_name == "option":
            assert parameter.opts[-1] in shown.output


@pytest.mark.parametrize("path", TREE)
def test_every_command_is_documented(path):
    """Each command appears in the README or on a page of docs/."""
    assert any(path in text for name, text in TEXTS.items() if name == "README.md" or name.startswith("docs/"))


def test_the_command_page_is_up_to_date():
    """docs/cli.md is what the commands say about themselves."""
    written = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert written == GENERATOR["page"](), "docs/cli.md is stale; run `python docs/generate.py`"


@pytest.mark.parametrize("name", TEXTS)
def test_shown_command_lines_parse(name):
    """Every `tfgrpo` line of a shell block is one that the command line accepts."""
    for words in shown_commands(TEXTS[name]):
        parse(words)


@pytest.mark.parametrize("name", TEXTS)
def test_commands_in_running_text_exist(name):
    """A command named in a sentence is in the tree, with the options that the sentence gives it."""
    for shown in INLINE.findall(TEXTS[name]):
        command, rest = descend(shown.split()[1:])
        assert not (hasattr(command, "commands") and rest and re.fullmatch("[a-z-]+", rest[0])), shown
        known = {"-h", "--help", *(option for parameter in command.params for option in parameter.opts)}
        assert {word.partition("=")[0] for word in rest if re.match("--?[a-z]", word)} <= known, shown


@pytest.mark.parametrize("name", TEXTS)
def test_named_files_exist(name):
    """Links within the project, and paths below its folders, lead somewhere."""
    here = (ROOT / name).parent
    links = [link for link in LINK.findall(TEXTS[name]) if "://" not in link and not link.startswith("mailto:")]
    for path in [*links, *NAMED_FILE.findall(TEXTS[name])]:
        assert any(list(base.glob(path.rstrip("/"))) for base in (ROOT, here)), path


def test_wrong_documentation_is_noticed():
    """The checks above see an unknown command, an unknown option and a missing argument."""
    page = "```bash\nA=1 tfgrpo lessons list --db x.db | tfgrpo nope; .venv/bin/tfgrpo learn d \\\n  --grader g\n```"
    assert shown_commands(page) == [["lessons", "list", "--db", "x.db"], ["nope"], ["learn", "d", "--grader", "g"]]
    parse(["lessons", "list", "--db", "x.db"])
    with pytest.raises(AssertionError, match="no command"):
        parse(["nope"])
    for wrong in (["learn", "d", "--grader", "g"], ["lessons", "list", "--nope"]):
        with pytest.raises(Exception, match=r"(?i)missing|no such") as raised:
            parse(wrong)
        assert raised.type.__module__.endswith("exceptions")
