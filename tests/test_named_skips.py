"""A test that CI skips is named in a list, or the run is red."""

from pathlib import Path

import pytest
from support.named_skips import named, unnamed

LISTED = """
# a comment
tests/tools/*: could not import 'ddgs*   # the extra is not there
tests/test_a.py::test_b: the superuser may write everywhere
"""


def test_only_what_the_list_names_may_be_skipped():
    """A skip counts as named when one line fits both the test and the reason."""
    fits = ("tests/tools/test_web.py::test_x[1]", "could not import 'ddgs.exceptions': No module named 'ddgs'")
    other_reason = ("tests/test_a.py::test_b", "no browser")
    other_test = ("tests/test_a.py::test_c", "the superuser may write everywhere")
    assert unnamed([fits, other_reason, other_test], named(LISTED)) == [other_reason, other_test]


@pytest.mark.slow
def test_an_unnamed_skip_turns_the_run_red(pytester, monkeypatch):
    """A whole run with an unnamed skip fails and says which; with the skip named it passes."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    pytester.makepyfile("import pytest\n\ndef test_one():\n    pytest.skip('no engine here')\n\ndef test_two(): pass\n")
    listed = pytester.makefile(".txt", skips="")
    options = ("-p", "support.named_skips", "-p", "no:cacheprovider", "--named-skips", str(listed))
    red = pytester.runpytest_subprocess(*options)
    assert red.ret == 1
    red.stdout.fnmatch_lines(["skipped, and not named in *: *::test_one: no engine here"])
    listed.write_text("*::test_one: no engine *\n")
    assert pytester.runpytest_subprocess(*options).ret == 0
