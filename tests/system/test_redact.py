"""Taking keys out of texts and data, in whatever spelling, and nothing else."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrpo.backends.transports import completions_url
from tfgrpo.system.redact import (
    HIDDEN,
    address_texts,
    clean_data,
    hide_secrets,
    secret_hider,
    url_secrets,
    without_secrets,
)

KEY = 'k+ö/y"\\=secret'
secrets = st.text(min_size=8, max_size=20).filter(lambda text: len(set(text) - set("* ")) > 2)


@given(secrets, st.text(max_size=30), st.text(max_size=30))
def test_no_spelling_of_a_secret_is_left(secret, before, after):
    """As it is, in JSON with and without escapes, in URLs."""
    conceal = secret_hider([secret])
    for form in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        for hidden in (hide_secrets(f"{before}{form}{after}", [secret]), conceal(f"{before}{form}{after}")):
            assert HIDDEN in hidden
            assert secret not in hidden.replace(HIDDEN, "\0")


@given(st.text(max_size=60))
def test_other_texts_stay_as_they_are(text):
    """Hiding changes what it is about and nothing else; without secrets there is nothing to do."""
    assert hide_secrets(text, ["a-key-nobody-has"]) == text
    assert secret_hider(["a-key-nobody-has"])(text) == text
    assert secret_hider([]) is None


def test_a_secret_inside_of_another_leaves_no_rest():
    """The longest goes first."""
    assert secret_hider(["a-secret", "a-secret-and-more"])("x a-secret-and-more y a-secret z") == "x *** y *** z"
    assert hide_secrets(f"{quote(KEY, safe='')} {quote_plus(KEY)} {json.dumps(KEY)}", [KEY]) == f'*** *** "{HIDDEN}"'


def test_data_is_cleaned_at_any_depth():
    """Keys and values of mappings, lists and tuples; numbers stay numbers."""
    given_ = {"a": [KEY, 1, (KEY, None)], KEY: {"b": f"x{KEY}"}}
    assert clean_data(given_, secret_hider([KEY])) == {"a": [HIDDEN, 1, (HIDDEN, None)], HIDDEN: {"b": f"x{HIDDEN}"}}


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://host/v1", ()),
        ("https://someone:p%40ssword@host/v1", ("p@ssword", "someone:p@ssword")),
        ("https://h/v1?api-version=20240101&api_key=abcdefgh&sig=ijklmnop", ("abcdefgh", "ijklmnop")),
        ("https://me:pw@host/v1", ()),
        ("https://user:pass@host/v1", ("user:pass",)),
        ("http://[broken", ()),
        ("", ()),
        (None, ()),
    ],
)
def test_an_address_tells_which_of_its_parts_are_private(url, found):
    """User, password, and values named as keys; not versions, and not what is too short to be a key."""
    assert url_secrets(url) == found


def test_messages_name_addresses_without_what_is_private_in_them():
    """Logins and keys of any address, known or not."""
    said = without_secrets("GET https://me:pw@host/v1?api-version=1&api_key=abc failed: known-key", ["known-key"])
    assert said == "GET https://***@host/v1?api-version=1&api_key=*** failed: ***"


def test_addresses_are_found_anywhere_in_a_configuration():
    """Texts with a scheme, in tables and lists."""
    assert list(address_texts({"a": ["x", {"b": "http://one"}], "c": ("ftp://two", 3)})) == ["http://one", "ftp://two"]


@pytest.mark.parametrize(
    ("base", "url", "login"),
    [
        ("http://h/v1", "http://h/v1/chat/completions", ""),
        ("http://h/v1/", "http://h/v1/chat/completions", ""),
        ("http://h:1/v1?api-version=2&key=x", "http://h:1/v1/chat/completions?api-version=2&key=x", ""),
        ("http://me:p%40w@h/v1", "http://h/v1/chat/completions", "bWU6cEB3"),
    ],
)
def test_a_base_url_may_hold_a_query_and_a_login(base, url, login):
    """The path goes before the query, and a login becomes a header, not a part of the address."""
    assert completions_url(base) == (url, login)


@pytest.mark.parametrize("before", ["", "u:", "user", "abcde"])
def test_no_encoding_of_a_secret_is_left(before):
    """Base64 at any offset, hex, percent, HTML, JSON within JSON: each gives way to stars."""
    import base64
    import html

    secret = "p&s'w<ö>rd/+="
    conceal, whole = secret_hider([secret]), f"{before}{secret}!"
    coded = base64.b64encode(whole.encode()).decode()
    forms = [
        coded,
        base64.urlsafe_b64encode(whole.encode()).decode().rstrip("="),
        whole.encode().hex(),
        whole.encode().hex().upper(),
        quote(whole, safe=""),
        quote(quote(whole, safe=""), safe=""),
        quote(whole, safe="").lower() if before.islower() or not before else quote(whole, safe=""),
        html.escape(whole),
        json.dumps(json.dumps(whole)),
        "".join(f"\\u{ord(letter):04x}" for letter in whole),
        "".join(f"&#{ord(letter)};" for letter in whole),
    ]
    for form in forms:
        assert HIDDEN in conceal(f"x {form} y"), form


def test_nothing_under_eight_characters_is_a_secret():
    """A key of one letter strikes no letter out of any text."""
    assert secret_hider(["x", "1", "secret7"]) is None
    assert hide_secrets("x 1 secret7", ["x", "1", "secret7"]) == "x 1 secret7"
