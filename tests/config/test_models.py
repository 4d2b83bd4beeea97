"""What a model sets for itself, between what a person sets and what learning does."""

import pytest

from tfgrpo import config


@pytest.mark.parametrize(
    ("model", "given", "drawn"),
    [
        ("openai/m", [], (1.0, None, None)),
        ("tiny", [], (0.3, 0.95, None)),
        ("local/smollm2-135m", [], (0.3, 0.95, None)),
        ("tiny", ["evaluation.temperature=1.0"], (1.0, 0.95, None)),
        ("tiny-other", [], (1.0, None, None)),
        ("openai/local/x", [], (1.0, None, None)),
        ("openai/m", ["rollout.temperature=0.6", "rollout.max_tokens=7"], (0.6, None, 7)),
    ],
)
def test_the_nearest_setting_holds(model, given, drawn):
    """What is set holds, then the model's own, then what learning does."""
    found = config.for_model(config.load(overrides=given), model).evaluation
    assert (found.temperature, found.top_p, found.max_tokens) == drawn


def test_a_published_method_keeps_its_own():
    """The paper's preset says how it measures, whatever the model."""
    found = config.for_model(config.load("training-free-grpo"), "openai/m").evaluation
    assert (found.temperature, found.top_p) == (0.3, 0.95)


def test_filling_in_twice_changes_nothing():
    """A filled-in configuration stays as it is."""
    once = config.for_model(config.load(), "tiny")
    assert config.for_model(once, "tiny") == once
