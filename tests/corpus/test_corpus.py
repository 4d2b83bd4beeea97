"""The corpus server: what it reads, what it finds, and what it answers over HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrpo import corpus
from tfgrpo.corpus import Index, Page
from tfgrpo.corpus.index import SNIPPET, snippet, words
from tfgrpo.corpus.pages import content_hash
from tfgrpo.errors import BadRow, UsageError

DATA = Path(os.environ.get("TFGRPO_DATA") or Path(__file__).parents[3] / "shared" / "data")
PAGES = (
    Page("https://wiki.example/Caf%C3%A9", "Café", "The café of Zürich serves coffee & <b>cake</b>."),
    Page("https://wiki.example/Zurich", "Zürich", "Zürich is a city on a lake. The city has a university."),
    Page("https://wiki.example/Lake", "Lake", "Water all around, and a city."),
    Page("https://wiki.example/Raw", "Raw", "Hidden words.", html="<p>served as it is</p>"),
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server of PAGES."""
    with corpus.serving(PAGES) as where:
        yield where


def ask(url: str, path: str, /, **query: object) -> tuple[int, Any]:
    """Status and JSON of an answer."""
    got = httpx.get(url + path, params={k: str(v) for k, v in query.items()})
    return got.status_code, got.json()


def test_search_ranks_by_words_and_ignores_case_and_accents(url: str):
    """The page with the word in title and text comes first, however the word is written."""
    status, found = ask(url, "/search", q="ZURICH", k=5)
    assert status == 200
    assert [hit["title"] for hit in found["results"]] == ["Zürich", "Café"]
    assert set(found["results"][0]) >= {"title", "url", "snippet"}


def test_search_gives_at_most_k_and_nothing_for_unknown_words(url: str):
    """`k` limits the results, and pages without a word of the query are not results."""
    assert len(ask(url, "/search", q="city", k=1)[1]["results"]) == 1
    assert ask(url, "/search", q="xylophone")[1] == {"results": []}
    assert ask(url, "/search", q="?!")[1] == {"results": []}


@pytest.mark.parametrize("wrong", [{}, {"q": " "}, {"q": "a", "k": 0}, {"q": "a", "k": "many"}, {"q": "a" * 2001}])
def test_a_wrong_search_is_told_what_is_wrong(url: str, wrong: dict[str, object]):
    """Missing words and impossible counts get 400 and a sentence."""
    status, said = ask(url, "/search", **wrong)
    assert status == 400
    assert said["error"].startswith(("q is", "k is"))


def test_a_page_is_served_as_escaped_html_under_either_spelling(url: str):
    """Markup in the text is text, and percent signs in the address do not matter."""
    for address in ("https://wiki.example/Caf%C3%A9", "https://wiki.example/Café", "https://wiki.example/Café#top"):
        got = httpx.get(f"{url}/page", params={"url": address})
        assert got.status_code == 200
        assert "coffee &amp; &lt;b&gt;cake&lt;/b&gt;" in got.text
        assert got.headers["content-type"] == "text/html; charset=utf-8"


def test_a_page_with_html_of_its_own_is_served_as_it_is(url: str):
    """A corpus can hold pages that no escaping touched, for instance hostile ones."""
    assert httpx.get(f"{url}/page", params={"url": "https://wiki.example/Raw"}).text == "<p>served as it is</p>"


def test_an_unknown_page_is_404_with_advice(url: str):
    """The model can act on the message."""
    status, said = ask(url, "/page", url="https://wiki.example/None")
    assert status == 404
    assert "search first" in said["error"]


def test_identity_is_of_the_pages_not_of_the_place(url: str):
    """The same pages have the same identity on every port; one other character gives another."""
    assert ask(url, "/")[1] == {"pages": 4, "identity": f"corpus:{content_hash(PAGES)}"}
    assert content_hash(PAGES) != content_hash(PAGES[:3])


def write(path: Path, *rows: object) -> Path:
    """Write rows as JSONL."""
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def test_several_files_are_one_corpus(tmp_path: Path):
    """Extra pages come in a file of their own."""
    row = {"url": "https://a.example/", "title": "A", "text": "one"}
    one, two = write(tmp_path / "1", row), write(tmp_path / "2", {**row, "url": "https://b.example/"})
    assert [page.url for page in corpus.load([one, two])] == ["https://a.example/", "https://b.example/"]


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ({"title": "A", "text": "b"}, "no url"),
        ({"url": "ftp://a", "title": "A", "text": "b"}, "no address"),
        ({"url": "https://a", "title": "A", "text": " "}, "no text"),
        ({"url": "https://a", "title": 3, "text": "b"}, "title is a number"),
        ("[1]", "not an object"),
        ('{"url":', "not JSON"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: object, fault: str):
    """File, line and what is wrong; nothing is served."""
    with pytest.raises(BadRow, match=fault) as caught:
        corpus.load(write(tmp_path / "c.jsonl", {"url": "https://x", "title": "X", "text": "x"}, row))
    assert "c.jsonl:2" in str(caught.value)


def test_an_address_may_occur_once(tmp_path: Path):
    """Two pages of one address cannot both be fetched."""
    row = {"url": "https://a.example/%C3%A9", "title": "A", "text": "one"}
    with pytest.raises(BadRow, match="was there before"):
        corpus.load(write(tmp_path / "c", row, {**row, "url": "https://a.example/é"}))


def test_an_empty_or_missing_corpus_is_refused(tmp_path: Path):
    """There is nothing to serve."""
    with pytest.raises(UsageError, match="has no page"):
        corpus.load(write(tmp_path / "empty"))
    with pytest.raises(UsageError, match="no corpus file"):
        corpus.load(tmp_path / "none")


@given(st.text(max_size=600), st.sets(st.text("abc ", min_size=1, max_size=3)))
def test_a_snippet_is_a_piece_of_the_text(text: str, wanted: set[str]):
    """Whatever the text, the snippet is short, from it, and not empty where the text is not."""
    found = snippet(text, wanted)
    assert len(found) <= SNIPPET + 4
    assert found.removeprefix("… ").removesuffix(" …") in text
    assert bool(found.strip()) == bool(text.strip())


def test_a_snippet_shows_where_the_words_are():
    """The stretch with the query's words is chosen, not the beginning."""
    assert "needle in it" in snippet("hay " * 200 + "a needle in it " + "hay " * 200, {"needle", "it"})


def test_words_are_folded():
    """Case and accents do not matter."""
    assert words("Ångström, ÉCOLE 42") == ["angstrom", "ecole", "42"]


def test_the_command_serves_until_it_is_told_to_stop(tmp_path: Path):
    """`tfgrpo corpus serve` prints its address, answers, and ends on SIGTERM with exit code 0."""
    file = write(tmp_path / "c.jsonl", {"url": "https://a.example/", "title": "Alpha", "text": "one"})
    command = [sys.executable, "-m", "tfgrpo.cli.app", "corpus", "serve", str(file), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            where = next(word for word in process.stdout.readline().split() if word.startswith("http")).rstrip(";")
            assert httpx.get(f"{where}/search", params={"q": "alpha"}).json()["results"][0]["title"] == "Alpha"
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "web_offline_corpus.jsonl").is_file(), reason="no offline web corpus; set TFGRPO_DATA")
def test_plain_search_finds_the_gold_pages_as_often_as_measured():
    """All gold pages are among the first ten for most HotpotQA questions, half of 2Wiki and a fifth of MuSiQue."""
    index = Index(corpus.load(DATA / "web_offline_corpus.jsonl"))
    found: dict[str, list[bool]] = {}
    for line in (DATA / "web_offline_eval_shared_half.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        top = {hit.page.url for hit in index.search(row["question"], 10)}
        found.setdefault(row["metadata"]["dataset"], []).append(set(row["metadata"]["supporting_urls"]) <= top)
    shares = {name: sum(hits) / len(hits) for name, hits in found.items()}
    assert shares == pytest.approx({"HotpotQA": 0.82, "2WikiMultihopQA": 0.512, "MuSiQue": 0.202}, abs=0.02)
