"""A pytest plugin: with `--named-skips FILE` a run fails where a test was skipped that the file does not name.

Each line of the file is `pattern of a test's id: pattern of the reason`, both as in a shell; # begins a comment.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that names the file."""
    parser.addoption("--named-skips", metavar="FILE", help="fail where a test was skipped that FILE does not name")


def named(text: str) -> list[tuple[str, str]]:
    """Return the pairs of patterns that a file lists."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [(test.strip(), reason.strip()) for test, _, reason in (line.partition(": ") for line in lines if line)]


def unnamed(skipped: list[tuple[str, str]], known: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the skipped tests, each with its reason, that no line of the file names."""
    return [
        (test, reason)
        for test, reason in skipped
        if not any(fnmatchcase(test, name) and fnmatchcase(reason, why) for name, why in known)
    ]


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Turn an unnamed skip into a failure; with xdist only the process that collects the reports looks."""
    file = session.config.getoption("--named-skips")
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not file or reporter is None or hasattr(session.config, "workerinput"):
        return
    reports = reporter.stats.get("skipped", ())
    skipped = [(report.nodeid, str(report.longrepr[2]).removeprefix("Skipped: ")) for report in reports]
    wrong = unnamed(skipped, named(Path(file).read_text(encoding="utf-8")))
    for test, reason in wrong:
        reporter.write_line(f"skipped, and not named in {file}: {test}: {reason}", red=True)
    if wrong and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
