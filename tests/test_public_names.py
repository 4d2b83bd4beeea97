"""The public surface is a list: what is in it exists, and nothing else is promised."""

import importlib

import pytest

PACKAGES = ("tfgrpo", "experience_db", "tfgrpo.advantages", "tfgrpo.selection", "tfgrpo.edit_scores", "tfgrpo.gates",
            "tfgrpo.graders", "tfgrpo.environments", "tfgrpo.executors")  # fmt: skip


@pytest.mark.parametrize("name", PACKAGES)
def test_all_lists_what_can_be_imported(name):
    """Every name in __all__ is there, the list is sorted (constants, classes, functions), and none is private."""
    module = importlib.import_module(name)
    assert list(module.__all__) == sorted(module.__all__, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    for public in module.__all__:
        assert getattr(module, public) is not None
        assert not public.startswith("_") or public == "__version__"


def test_the_contract_of_the_python_api():
    """The names that other people's code relies on are there."""
    import tfgrpo

    for name in ("open_library", "learn", "learn_sync", "evaluate_sync", "Problem", "Rollout", "Score"):
        assert name in tfgrpo.__all__
    assert tfgrpo.advantages.grpo([1.0, 0.0]).values[0] > 0
    assert tfgrpo.stats.pass_at_k(2, 1, 1) == 0.5
    assert tfgrpo.replies.parse_json('{"a": 1}') == {"a": 1}
