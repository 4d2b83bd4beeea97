"""Configuration: preset, file, overrides; unknown keys, wrong types and values that make no sense are refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrpo import config
from tfgrpo.config import CHOICES, LEAST, PLACES, LearnConfig, from_table, load, preset_names, to_table
from tfgrpo.errors import UnknownKey, UsageError


def keys(table: dict, where: str = "") -> set[str]:
    """All keys of a nested table, with dots."""
    found = set()
    for key, value in table.items():
        found |= keys(value, f"{where}{key}.") if isinstance(value, dict) and value else {f"{where}{key}"}
    return found


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads(name):
    """Each packaged method is a valid configuration and knows its name."""
    assert load(name).method == name


def test_later_sources_win(tmp_path: Path):
    """Preset, then file, then overrides in their order."""
    file = tmp_path / "my.toml"
    file.write_text("epochs = 7\nbatch_size = 8\n[rollout]\ngroup_size = 9\n")
    found = load("default", file, ["batch_size=10", ("rollout.temperature", 0.5), "batch_size=11"])
    assert (found.epochs, found.batch_size, found.rollout.group_size, found.rollout.temperature) == (7, 11, 9, 0.5)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("rollout.temperature=1", "temperature", 1.0),
        ("rollout.temperature = 0.25", "temperature", 0.25),
        ("rollout.top_p=none", "top_p", None),
        ("rollout.max_tokens=128", "max_tokens", 128),
    ],
)
def test_values_are_read_as_toml_and_kept_in_their_type(text, key, value):
    """Whole numbers serve as numbers, none unsets."""
    found = getattr(load(overrides=[text]).rollout, key)
    assert found == value
    assert type(found) is type(value)


def test_words_need_no_quotes():
    """A value that is no TOML is text; one that is keeps its meaning where text is wanted."""
    assert load(overrides=["instructions=Be brief."]).instructions == "Be brief."
    assert load(overrides=["heldout=0.2"]).heldout == "0.2"
    assert load(overrides=["lessons.ground_truth=false"]).lessons.ground_truth is False


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("epoch=3", "unknown configuration key 'epoch'; did you mean epochs?"),
        ("lessons.max_word=3", "did you mean lessons.max_words?"),
        ("zzz=1", "known: advantage, batch_size"),
        ("rollout=3", "rollout is a table, not 3"),
        ("epochs=1.5", "epochs must be a whole number, not 1.5"),
        ("epochs=true", "epochs must be a whole number, not True"),
        ("lessons.contrast=1", "lessons.contrast must be true or false, not 1"),
        ("rollout.temperature=hot", "rollout.temperature must be a number or none, not 'hot'"),
        ("=3", "an override looks like a.b=value, not '=3'"),
        ("budget.usd=nan", "budget.usd is nan; give at least 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(override, said):
    """The message names the key and what was wanted."""
    with pytest.raises(UsageError) as caught:
        load(overrides=[override])
    assert said in str(caught.value)


@pytest.mark.parametrize("key", sorted(LEAST))
def test_numbers_have_a_floor(key):
    """One below the smallest value is refused, with the smallest value in the message."""
    with pytest.raises(UsageError, match=f"give at least {LEAST[key]:g}"):
        load(overrides=[(key, int(LEAST[key]) - 1)])


@pytest.mark.parametrize("key", sorted(CHOICES))
def test_words_of_a_list_are_checked(key):
    """A word that is not in the list is refused, and the list is shown."""
    with pytest.raises(UsageError, match="there are: "):
        load(overrides=[(key, "nonsense")])


def test_every_short_name_floor_and_choice_stands_for_a_key_that_exists():
    """A renamed key cannot leave an option, a floor or a list behind."""
    known = keys(to_table(LearnConfig()))
    assert set(PLACES.values()) | set(LEAST) | set(CHOICES) <= known


def test_a_configuration_survives_the_round_trip():
    """What is stored with a run can be read back as the same configuration."""
    found = load("training-free-grpo", overrides=["gate.options.delta=0.1", "limit=3"])
    assert from_table(LearnConfig, to_table(found)) == found


def test_every_default_is_frozen():
    """Configurations are values."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        load().epochs = 4  # type: ignore[misc]


@pytest.mark.parametrize(("content", "said"), [(b"x = = 1", "is not valid TOML"), (b"\xff", "is not valid TOML")])
def test_a_broken_file_is_named(tmp_path: Path, content, said):
    """The file and the fault are in the message."""
    file = tmp_path / "broken.toml"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=said):
        load(file=file)


@given(st.text(max_size=30))
def test_any_override_is_read_or_refused_with_words(text):
    """No override crashes; a refusal is one of ours."""
    try:
        load(overrides=[text])
    except UsageError as error:
        assert str(error)  # noqa: PT017


def test_unknown_keys_are_their_own_error():
    """Callers can tell a slip of a key from other wrong usage."""
    with pytest.raises(UnknownKey):
        load(overrides=["epocs=1"])


def test_environment_variables_are_read_here_alone(monkeypatch):
    """Unset and empty are the same; TFGRPO_DB and TFGRPO_DATA name places."""
    monkeypatch.setenv("TFGRPO_DB", "")
    monkeypatch.delenv("TFGRPO_DATA", raising=False)
    assert config.default_db() == Path("experience.db")
    assert config.data_folder() is None
    monkeypatch.setenv("TFGRPO_DB", "/somewhere/x.db")
    monkeypatch.setenv("TFGRPO_DATA", "/data")
    assert (config.default_db(), config.data_folder()) == (Path("/somewhere/x.db"), Path("/data"))
