"""Only this machine's own pages are answered, and only who has the token may change anything."""

import pytest

from tfgrpo.ui.access import Access, refusal


@pytest.mark.parametrize("host", ["127.0.0.1:80", "localhost", "[::1]:8020"])
def test_loopback_names_are_answered(host):
    """A browser on this machine may call the server by any loopback name."""
    assert refusal({"Host": host}, writes=False) == ""


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": ""},
        {"Host": "[x"},
        {"Host": "localhost:1", "Sec-Fetch-Site": "cross-site"},
        {"Host": "localhost:1", "Sec-Fetch-Site": "same-site"},
        {"Host": "localhost:1", "Origin": "http://evil.example"},
        {"Host": "localhost:1", "Origin": "http://localhost:2"},
        {"Host": "localhost:1", "Origin": "null"},
    ],
)
def test_other_sites_are_refused(headers):
    """A name that was pointed at loopback, another site, another port and an origin that hides are refused."""
    assert refusal(headers, writes=False)


def test_an_edit_says_where_it_comes_from():
    """Without the header Origin nothing is changed."""
    assert refusal({"Host": "localhost:1"}, writes=True)
    assert not refusal({"Host": "localhost:1", "Origin": "http://localhost:1"}, writes=True)


def test_keys_follow_from_the_token_and_do_not_tell_it():
    """Cookie and form key differ from each other, from the token, and from those of another token."""
    one, other = Access("one"), Access("other")
    assert len({one.token, one.session, one.form_key, other.session, other.form_key}) == 5
    assert one.may_write(one.session, one.form_key)
    assert not one.may_write(one.session, other.form_key)
    assert not one.may_write(other.session, one.form_key)
    assert not one.may_write("", "")
    assert "one" not in repr(one)


def test_a_foreign_host_gets_nothing(reader):
    """A request under another name is refused by the server itself, with no word of the database."""
    answer = reader.get("/", Host="evil.example")
    assert answer.status_code == 403
    assert "web" not in answer.text


def test_another_site_gets_nothing(reader):
    """What the browser says of a request's origin is believed."""
    assert reader.get("/", **{"Sec-Fetch-Site": "cross-site"}).status_code == 403


@pytest.mark.parametrize("path", ["/", "/assets/ui.js", "/events-that-are-not", "/sign-in"])
def test_every_answer_forbids_the_rest(reader, path):
    """Nothing is loaded from elsewhere, framed, or kept."""
    headers = reader.get(path).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Cache-Control"] == "no-store"


def test_a_wrong_token_signs_nobody_in(reader):
    """It is told, and no cookie comes."""
    answer = reader.sign_in("a guess")
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


def test_the_cookie_stays_with_its_site(writer):
    """Scripts cannot read it, and no other site can make a browser send it."""
    writer.client.cookies.clear()
    answer = writer.client.get(f"{writer.where}/sign-in?token=a token for tests", follow_redirects=False)
    assert answer.status_code == 303
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


@pytest.mark.parametrize(
    "path", ["/library/web/lesson/99999999999999999999999", "/run/night?step=99999999999999999999"]
)
def test_numbers_beyond_the_database_are_no_fault_of_the_server(reader, path):
    """A number that no database holds is like one that is not there, and the answer carries our headers."""
    answer = reader.get(path)
    assert answer.status_code in (200, 404)
    assert "Content-Security-Policy" in answer.headers


def test_a_cookie_of_other_bytes_is_just_wrong():
    """Half characters, which stand for bytes that are not UTF-8, are compared like any other."""
    access = Access("one")
    assert not any((access.signed_in("\udcff"), access.fits("\udcff"), access.may_write(access.session, "\udcff")))
