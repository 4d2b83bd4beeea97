"""`tfgrpo reproduce` from the outside: list, price, consent, rehearsal, wrong input."""

import json


def test_recipes_are_listed_with_what_they_are(cli, parsed):
    """Without a name there is a list, in words and as JSON."""
    result = cli("reproduce")
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["math-paper", "tiny-quickstart", "web-paper"]
    assert set(parsed(cli("reproduce", "--json"))["recipes"]) == {"math-paper", "tiny-quickstart", "web-paper"}


def test_the_price_comes_before_and_the_papers_figures_are_the_papers(cli, parsed):
    """--estimate prints calls, tokens and money and runs nothing."""
    result = cli("reproduce", "math-paper", "--estimate")
    assert "estimate: at most 23466 calls" in result.stdout
    assert "80.0 without, 82.7 with the library" in result.stdout
    assert "the paper's figures" in result.stdout
    told = parsed(cli("reproduce", "web-paper", "--estimate", "--json"))
    assert told["estimate"]["calls"] > 10_000
    assert not list(__import__("pathlib").Path.cwd().glob("*.db"))


def test_a_hosted_recipe_wants_consent(cli):
    """Without --yes the price is all there is, and nothing is asked or fetched."""
    result = cli("reproduce", "math-paper")
    assert result.exit_code == 2
    assert "estimate: at most 23466 calls" in result.stdout
    assert "asks deepseek/deepseek-chat so often; add --yes to run it, or --dry-run" in result.stderr


def test_a_rehearsal_ends_with_one_json_object(cli, parsed):
    """--dry-run needs no key and writes a database of its own."""
    told = parsed(cli("reproduce", "web-paper", "--dry-run", "--json", "--quiet"))
    assert told["verdict"] == "too few problems to tell"
    assert told["pinned"] is False
    assert told["learn"]["calls"]["tool:web_search"]["new"] > 0
    assert json.dumps(told)


def test_wrong_names_end_with_exit_code_2(cli):
    """An unknown recipe lists those there are."""
    result = cli("reproduce", "nope")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "there are: math-paper, tiny-quickstart, web-paper" in result.stderr
