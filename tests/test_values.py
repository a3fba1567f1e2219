"""Values: secrets that do not show, tokens, keys and their names in a store."""

import copy
import logging
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from asyncauth import InsecureURLError, Secret, Token, TokenKey
from asyncauth._errors import ConfigurationError
from asyncauth._exchange import AuthRequest, AuthResponse, Placement, basic_auth
from asyncauth._origin import is_loopback, secure_url

HIDDEN = "s3cr3t-value-that-never-shows"


def test_a_secret_shows_a_fingerprint_only(caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret(HIDDEN)
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("asyncauth").warning("%s %r %s", secret, secret, {"a": [secret]})

    for shown in (str(secret), repr(secret), f"{secret}", f"{secret:>40}", caplog.text):
        assert HIDDEN not in shown
        assert secret.fingerprint in shown
    assert secret.reveal() == HIDDEN


def test_secrets_are_equal_by_value_and_hash_alike() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
    assert Secret("a") != "a"


def test_a_token_shows_no_part_of_it() -> None:
    token = Token(
        access_token=HIDDEN, refresh_token=HIDDEN + "2", cookies={"sid": HIDDEN}, extra={"id_token": HIDDEN}
    )

    assert HIDDEN not in repr(token)
    assert HIDDEN not in "".join(traceback.format_exception(ValueError(token)))


def test_a_token_is_immutable_in_all_its_parts() -> None:
    token = Token(access_token="a", cookies={"sid": "x"}, extra={"a": 1}, scope=("b", "a"))

    assert token.scope == ("a", "b")
    with pytest.raises(AttributeError):
        token.access_token = Secret("b")  # type: ignore[misc]
    with pytest.raises(TypeError):
        token.cookies["sid"] = Secret("y")  # type: ignore[index]
    assert copy.copy(token) == token


@pytest.mark.parametrize("text", ["line\nbreak", "cr\r", "", " edge ", "é", "nul\0", "tab\t"])
def test_a_token_that_no_header_may_carry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no header may carry") as refused:
        Token(access_token=text)
    assert not text.strip() or text not in str(refused.value)


def test_a_token_needs_something_to_authenticate_or_renew_with() -> None:
    with pytest.raises(ValueError, match="needs an access token"):
        Token()
    assert Token(refresh_token="r", expires_in=0).access_token is None


PARTS = st.builds(
    TokenKey,
    scheme=st.text(),
    issuer=st.text(),
    client=st.text(),
    subject=st.text(),
    tenant=st.text(),
    scopes=st.lists(st.text(), max_size=3),
)


@given(PARTS, PARTS)
def test_names_are_equal_exactly_when_keys_are(one: TokenKey, other: TokenKey) -> None:
    assert (one.name("app", b"k") == other.name("app", b"k")) == (one == other)


def test_names_tell_apart_what_a_separator_would_join() -> None:
    keys = [
        TokenKey(scheme="s", issuer="a:b", client="c"),
        TokenKey(scheme="s", issuer="a", client="b:c"),
        TokenKey(scheme="s", issuer="a", client="b", scopes=("c",)),
        TokenKey(scheme="s", issuer="a", client="b", subject="c"),
    ]

    assert len({key.name("app", b"k") for key in keys}) == 4


def test_names_depend_on_namespace_and_name_key_and_show_nothing() -> None:
    key = TokenKey(scheme="s", issuer="i", client="ada@example.com")
    names = {key.name("app", b"k"), key.name("other", b"k"), key.name("app", b"other")}

    assert len(names) == 3
    assert all("ada" not in name and len(name) == 64 for name in names)


def test_scopes_are_a_set() -> None:
    assert TokenKey(scheme="s", issuer="i", scopes=("b", "a", "b")) == TokenKey(
        scheme="s", issuer="i", scopes=("a", "b")
    )


@pytest.mark.parametrize("host", ["localhost", "api.localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_may_be_clear_text(host: str) -> None:
    assert is_loopback(host)
    netloc = f"[{host}]" if ":" in host else host
    assert secure_url(f"http://{netloc}:8000/x").host == host


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "http://10.0.0.1/x",
        "http://localhost.example.com",
        "http://127.0.0.1.evil.example",
    ],
)
def test_clear_text_to_anybody_else_is_refused(url: str) -> None:
    with pytest.raises(InsecureURLError, match="use https"):
        secure_url(url)


@pytest.mark.parametrize(
    "url", ["/relative", "ftp://example.com", "example.com", "https://", "file:///etc/passwd"]
)
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="absolute URL"):
        secure_url(url)


def test_credentials_in_a_url_are_refused_and_not_shown() -> None:
    with pytest.raises(ConfigurationError, match="pass them as arguments") as refused:
        secure_url(f"https://user:{HIDDEN}@example.com/")
    assert HIDDEN not in str(refused.value)


def test_requests_and_answers_show_neither_query_nor_body() -> None:
    url = URL("https://example.com/login").with_query({"password": HIDDEN})
    request = AuthRequest.form(url, {"client_secret": HIDDEN}, {"Authorization": HIDDEN})
    response = AuthResponse(status=200, url=url, body=HIDDEN.encode(), headers={"Set-Cookie": HIDDEN})
    placement = Placement(
        headers={"Authorization": HIDDEN}, query={"apikey": HIDDEN}, cookies={"sid": HIDDEN}
    )

    for value in (request, response, placement):
        assert HIDDEN not in repr(value)
        assert HIDDEN not in str(value)


def test_basic_is_one_line_of_utf8_however_long() -> None:
    value = basic_auth("é" * 100, "ü" * 100)

    assert value.isascii()
    assert "\n" not in value
