"""An authorization up to the code: what the browser is sent with, and what may come back."""

import json
import traceback
from typing import Any
from urllib.parse import quote

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from asyncauth._errors import (
    AuthError,
    AuthorizationRequiredError,
    ConfigurationError,
    CredentialRefusedError,
    InsecureURLError,
    TokenUnavailableError,
    VendorError,
    VendorFailedError,
)
from asyncauth._token import Secret
from asyncauth.schemes import AuthorizationRequest
from asyncauth.schemes._authorization import as_redirect_uri, begin, challenge_of, code_of, place_to_authorize

PAGE = URL("https://server.example.com/authorize")
BACK = URL("https://client.example.com/cb")
CODE = "SplxlOBeZQQYbYS6WxSbIA"

# RFC 7636, appendix B.
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def request(*, pkce: bool = True, scope: tuple[str, ...] = (), **extra: str) -> AuthorizationRequest:
    return begin(PAGE, "s6BhdRkqt3", BACK, scope, pkce=pkce, extra=extra)


def answer(begun: AuthorizationRequest, **fields: str) -> URL:
    return BACK.with_query({"state": begun.state.reveal(), **fields})


def shown(error: BaseException) -> str:
    return "".join([*traceback.format_exception(error), repr(error)])


def test_the_url_is_that_of_rfc_6749_4_1_1() -> None:
    begun = attrs.evolve(request(pkce=False), state="xyz")
    url = str(begun.url).replace(request(pkce=False).state.reveal(), "")
    # The RFC's example, but for the order, and for %2E, which nobody writes.
    assert url.partition("&state=")[0] == (
        "https://server.example.com/authorize?response_type=code&client_id=s6BhdRkqt3"
        "&redirect_uri=https%3A%2F%2Fclient.example.com%2Fcb"
    )


def test_the_challenge_is_that_of_rfc_7636_appendix_b() -> None:
    assert challenge_of(VERIFIER) == CHALLENGE


def test_each_authorization_has_a_state_and_a_verifier_of_its_own() -> None:
    begun = [request() for _ in range(20)]
    assert len({each.state for each in begun} | {each.code_verifier for each in begun}) == 40
    for each in begun:
        assert each.code_verifier is not None
        # RFC 7636, section 4.1: 43 to 128 of the unreserved characters.
        assert len(each.code_verifier.reveal()) == 43
        assert each.url.query["state"] == each.state.reveal()
        assert each.url.query["code_challenge"] == challenge_of(each.code_verifier.reveal())
        assert each.url.query["code_challenge_method"] == "S256"


def test_without_pkce_there_is_no_challenge() -> None:
    begun = request(pkce=False)
    assert begun.code_verifier is None
    assert set(begun.url.query) == {"response_type", "client_id", "redirect_uri", "state"}


def test_scopes_extras_and_the_endpoints_own_query_are_sent() -> None:
    begun = begin(
        URL("https://x.example/authorize?tenant=a#top"),
        "a b&c",
        BACK,
        ("read all", "write"),
        pkce=False,
        extra={"login_hint": "ada+1@example.com"},
    )
    text = str(begun.url)
    assert text.startswith("https://x.example/authorize?tenant=a&response_type=code&client_id=a%20b%26c&")
    assert "scope=read%20all%20write" in text
    assert "login_hint=ada%2B1%40example.com" in text
    assert "+" not in text
    assert "#" not in text


@pytest.mark.parametrize("name", ["state", "redirect_uri", "code_challenge", "scope", "client_id"])
def test_an_extra_never_replaces_what_is_set_here(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        begin(PAGE, "c", BACK, (), pkce=True, extra={name: "mine"})


def test_the_place_to_show_has_no_state() -> None:
    place = place_to_authorize(PAGE, "s6BhdRkqt3", BACK, ("read",))
    assert set(place.query) == {"response_type", "client_id", "redirect_uri", "scope"}


@pytest.mark.parametrize(
    "text",
    [
        "https://app.example/cb",
        "https://app.example/c%62?x=%20y",
        "http://127.0.0.1:8080/",
        "http://[::1]:8080/cb",
        "http://localhost:1/cb",
        "com.example.app:/oauth2redirect",
        "urn:ietf:wg:oauth:2.0:oob",
    ],
)
def test_a_redirect_uri_is_sent_as_it_is_written(text: str) -> None:
    begun = begin(PAGE, "c", as_redirect_uri(text), (), pkce=False, extra={})
    assert f"&redirect_uri={quote(text, safe='')}&" in str(begun.url)
    assert str(begun.redirect_uri) == text


@pytest.mark.parametrize(
    "text", ["/cb", "app.example/cb", "https://app.example/cb#x", "", "https:///cb", "http://["]
)
def test_a_redirect_uri_has_to_be_absolute_and_without_a_fragment(text: str) -> None:
    with pytest.raises(ConfigurationError, match="redirect_uri"):
        as_redirect_uri(text)


@pytest.mark.parametrize(
    "text",
    [
        "https://app.example:443/cb",
        "http://127.0.0.1:80/cb",
        "https://app.example/cb?",
        "https://app.example/cb#",
        "https://app.example/zurück",
        "https://bücher.example/cb",
    ],
)
def test_a_redirect_uri_that_would_be_sent_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="redirect_uri"):
        as_redirect_uri(text)


def test_no_code_comes_back_in_clear_text() -> None:
    with pytest.raises(InsecureURLError, match=r"http://app\.example"):
        as_redirect_uri("http://app.example/cb")


@pytest.mark.parametrize(
    "shape",
    [
        "{url}",
        "{url}#_=_",
        "{query}",
        "?{query}",
        "/cb?{query}",
        "com.example.app:/cb?{query}",
        "{query}&iss=https://server.example.com/?x",
        "http://other.host/behind/a/proxy?{query}",
    ],
)
def test_the_code_is_read_from_a_url_or_its_query(shape: str) -> None:
    begun = request()
    url = answer(begun, code=CODE, session_state="x")
    assert code_of(shape.format(url=url, query=url.raw_query_string), begun) == CODE
    assert code_of(url, begun) == CODE


def test_the_examples_of_rfc_6749_4_1_2() -> None:
    begun = attrs.evolve(request(), state="xyz")
    assert code_of("https://client.example.com/cb?code=SplxlOBeZQQYbYS6WxSbIA&state=xyz", begun) == CODE
    with pytest.raises(AuthorizationRequiredError, match="access_denied; the person declined"):
        code_of("https://client.example.com/cb?error=access_denied&state=xyz", begun)


@pytest.mark.parametrize("fields", [{}, {"state": ""}, {"state": "x"}, {"state": "ä\udcff"}])
@pytest.mark.parametrize("more", [{"code": CODE}, {"error": "access_denied"}])
def test_an_answer_to_another_request_is_refused(fields: dict[str, str], more: dict[str, str]) -> None:
    query = "&".join(f"{name}={value}" for name, value in {**fields, **more}.items())
    with pytest.raises(AuthorizationRequiredError, match=r"old tab.*\(CSRF\)\. Begin again"):
        code_of(query, request())


def test_the_state_of_one_authorization_does_not_serve_another() -> None:
    mine, others = request(), request()
    with pytest.raises(AuthorizationRequiredError, match="state"):
        code_of(answer(others, code=CODE), mine)


@pytest.mark.parametrize("fields", [{}, {"code": ""}, {"code": "a\nb"}, {"code": "é"}])
def test_an_answer_without_a_usable_code_is_none(fields: dict[str, str]) -> None:
    begun = request()
    with pytest.raises(AuthorizationRequiredError, match="has no code: begin again"):
        code_of(answer(begun, **fields), begun)


@pytest.mark.parametrize("name", ["state", "code", "error"])
def test_a_repeated_field_is_refused(name: str) -> None:
    begun = request()
    fields = {"state": begun.state.reveal(), "code": CODE}
    query = "&".join([f"{key}={value}" for key, value in fields.items()] + [f"{name}=a", f"{name}=b"])
    with pytest.raises(AuthorizationRequiredError, match="repeats a field"):
        code_of(query, begun)


def test_an_answer_with_masses_of_fields_is_refused() -> None:
    with pytest.raises(AuthorizationRequiredError, match="too many fields"):
        code_of("&".join(f"a{number}=1" for number in range(1000)), request())


ERRORS: list[tuple[str, type[AuthError], str]] = [
    ("access_denied", AuthorizationRequiredError, "the person declined"),
    ("invalid_request", CredentialRefusedError, "misses a parameter"),
    ("unauthorized_client", CredentialRefusedError, "check client_id"),
    ("unsupported_response_type", CredentialRefusedError, "no authorization codes"),
    ("invalid_scope", CredentialRefusedError, "check the scopes"),
    ("server_error", VendorFailedError, "begin again later"),
    ("temporarily_unavailable", VendorFailedError, "begin again later"),
    ("consent_required", AuthorizationRequiredError, "begin again"),
]


@pytest.mark.parametrize(("code", "kind", "words"), ERRORS)
def test_an_error_says_what_is_wrong_and_what_to_do(code: str, kind: type[AuthError], words: str) -> None:
    begun = request()
    with pytest.raises(kind) as caught:
        code_of(answer(begun, error=code, error_description="The reason."), begun)
    assert type(caught.value) is kind
    assert "https://server.example.com/authorize" in str(caught.value)
    assert f"{code}; The reason.; " in str(caught.value)
    assert words in str(caught.value)


ISSUER = "https://server.example.com"


@pytest.mark.parametrize("iss", [None, "", "https://server.example.com/", "https://evil.example"])
@pytest.mark.parametrize("more", [{"code": CODE}, {"error": "access_denied"}])
def test_an_answer_of_another_issuer_is_refused(iss: str | None, more: dict[str, str]) -> None:
    begun = request()
    fields = more if iss is None else {**more, "iss": iss}
    with pytest.raises(AuthorizationRequiredError, match=r"issuer that is expected \(iss\)"):
        code_of(answer(begun, **fields), begun, issuer=ISSUER)


def test_the_right_issuer_is_accepted_and_one_that_nobody_expects_is_not_looked_at() -> None:
    begun = request()
    assert code_of(answer(begun, code=CODE, iss=ISSUER), begun, issuer=ISSUER) == CODE
    assert code_of(answer(begun, code=CODE, iss="https://whoever.example"), begun) == CODE


def test_a_request_shows_no_secret_and_survives_a_web_session() -> None:
    for begun in (request(scope=("a", "b"), prompt="consent"), request(pkce=False)):
        stored = json.loads(json.dumps(begun.dump()))
        assert AuthorizationRequest.load(stored) == begun
        assert repr(begun) == "AuthorizationRequest(https://server.example.com/authorize)"
        assert str(begun) == repr(begun)


@pytest.mark.parametrize("left_out", ["url", "state", "redirect_uri"])
def test_what_is_no_stored_request_is_told_without_its_texts(left_out: str) -> None:
    stored = {name: text for name, text in request().dump().items() if name != left_out}
    with pytest.raises(ConfigurationError, match="url, state and redirect_uri") as caught:
        AuthorizationRequest.load(stored)
    assert not [text for text in stored.values() if text in shown(caught.value)]


@pytest.mark.parametrize("change", [{"state": ""}, {"state": None}, {"code_verifier": ""}])
def test_a_request_that_any_answer_would_match_is_none(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="url, state and redirect_uri"):
        AuthorizationRequest.load({**request().dump(), **change})
    with pytest.raises(ConfigurationError, match="state is empty"):
        AuthorizationRequest(url=PAGE, state="", redirect_uri=BACK)


SECRETS = st.sampled_from(["state", "verifier", "code"])


@given(which=SECRETS, where=st.sampled_from(["error", "error_description", "code", "iss", "extra"]))
def test_no_error_shows_code_state_or_verifier(which: str, where: str) -> None:
    begun = request()
    assert begun.code_verifier is not None
    texts = {"state": begun.state.reveal(), "verifier": begun.code_verifier.reveal(), "code": CODE}
    fields = {"error": "access_denied", "code": CODE, where: f"we got {texts[which]}!"}
    for url in (answer(begun, **fields), BACK.with_query(fields)):
        with pytest.raises(AuthError) as caught:
            code_of(url, begun, issuer=None if where != "iss" else ISSUER)
        assert not [text for text in texts.values() if text in shown(caught.value)]


@given(text=st.text(max_size=200))
def test_whatever_comes_back_it_is_an_error_of_ours(text: str) -> None:
    with pytest.raises((TokenUnavailableError, VendorError)):
        code_of(text, request())


@given(text=st.text(max_size=60))
def test_whatever_follows_the_right_state_it_is_a_printable_code_or_an_error(text: str) -> None:
    begun = attrs.evolve(request(), state=Secret("xyz"))
    try:
        code = code_of(f"state=xyz&code={text}", begun)
    except (TokenUnavailableError, VendorError):
        return
    assert code.isascii()
    assert code.isprintable()
