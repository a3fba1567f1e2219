"""Credentials that never change: what goes onto a request, and that nothing is ever renewed."""

from base64 import b64decode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from asyncauth import AuthSession, TokenManager
from asyncauth._errors import ConfigurationError, InsecureURLError
from asyncauth.abc import AuthScheme, Verdict
from asyncauth.schemes import Basic, StaticBearer
from asyncauth.testing.emulators import Answer, OAuth2Emulator
from asyncauth_stores.memory import MemoryTokenStore
from flow_driver import Head, drive

BASE = "https://api.example/v1"


def header(scheme: StaticBearer | Basic) -> str:
    return scheme.apply(scheme.constant).headers["Authorization"]


def both(**places: Any) -> list[StaticBearer | Basic]:
    return [StaticBearer("mF_9.B5f-4.1JqM", **places), Basic("svc", "s3cret-s3cret", **places)]


def test_the_examples_of_the_standards() -> None:
    # RFC 6750, section 2.1; RFC 7617, sections 2 and 2.1.
    assert header(StaticBearer("mF_9.B5f-4.1JqM", base_url=BASE)) == "Bearer mF_9.B5f-4.1JqM"
    assert header(Basic("Aladdin", "open sesame", base_url=BASE)) == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert header(Basic("test", "123£", base_url=BASE)) == "Basic dGVzdDoxMjPCow=="


@given(
    user=st.text(st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters=":"), max_size=40),
    password=st.text(st.characters(categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=200),
)
def test_basic_carries_any_text_on_one_line(user: str, password: str) -> None:
    sent = header(Basic(user, password, base_url=BASE))
    assert sent.isprintable()
    assert b64decode(sent.removeprefix("Basic ")).decode() == f"{user}:{password}"


def test_a_key_may_stand_alone_in_basic() -> None:
    assert b64decode(header(Basic("key", "", base_url=BASE))[6:]) == b"key:"
    assert b64decode(header(Basic("", "key", base_url=BASE))[6:]) == b":key"
    with pytest.raises(ConfigurationError, match="both empty"):
        Basic("", "", base_url=BASE)


@pytest.mark.parametrize("scheme", both(base_url=BASE), ids=repr)
def test_nobody_is_asked_for_anything(scheme: AuthScheme) -> None:
    assert scheme.constant is not None
    assert drive(scheme.login()).result == scheme.constant
    assert drive(scheme.refresh(scheme.constant)).result == scheme.constant
    assert drive(scheme.logout(scheme.constant)).result is None


@pytest.mark.parametrize("scheme", both(base_url=BASE), ids=repr)
@pytest.mark.parametrize("status", [200, 401, 403, 429, 500])
def test_no_response_asks_for_a_renewal(scheme: StaticBearer | Basic, status: int) -> None:
    assert scheme.classify(Head(status=status), scheme.constant) is Verdict.FINE


@pytest.mark.parametrize("text", ["", " ", "a\n", "a\r\nX: 1", "é"])
def test_a_token_that_no_header_may_carry_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ConfigurationError, match="token is empty or has characters"):
        StaticBearer(text, base_url=BASE)


@pytest.mark.parametrize(
    ("user", "password", "words"),
    [("a:b", "x", "user has a colon"), ("a\n", "x", "user has a line"), ("a", "x\n", "password has a line")],
)
def test_what_basic_cannot_carry_is_named(user: str, password: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Basic(user, password, base_url=BASE)


def test_the_credential_goes_to_named_places_only() -> None:
    for scheme in both(base_url=BASE, origins=["https://other.example/x"]):
        assert scheme.origins == {URL("https://api.example"), URL("https://other.example")}
    for scheme in both(origins=["https://other.example/x"]):
        assert scheme.base_url is None
        assert scheme.origins == {URL("https://other.example")}
    with pytest.raises(ConfigurationError, match="would go nowhere"):
        StaticBearer("abc")
    with pytest.raises(InsecureURLError):
        Basic("a", "b", base_url="http://api.example")


def test_no_secret_is_shown_and_a_changed_one_is_another_credential() -> None:
    schemes = [
        *both(base_url=BASE),
        StaticBearer("other", base_url=BASE),
        Basic("svc", "other", base_url=BASE),
    ]
    text = " ".join(map(repr, [*schemes, *(s.key for s in schemes), *(s.constant for s in schemes)]))
    for secret in ("mF_9", "s3cret", "c3ZjOnMzY3JldA"):
        assert secret not in text
    assert len({scheme.fingerprint for scheme in schemes}) == 4
    assert len({scheme.key for scheme in schemes}) == 2


async def test_a_401_reaches_the_caller_and_nothing_is_stored() -> None:
    async with OAuth2Emulator() as vendor, MemoryTokenStore() as store:
        manager = TokenManager(store)
        for scheme in both(base_url=vendor.api_url):
            vendor.faults.add(Answer(401), on="api")
            async with AuthSession(scheme, manager) as session, session.get("/x") as response:
                assert response.status == 401
            assert vendor.requests[-1].headers["Authorization"] == header(scheme)
        assert (vendor.stats.api_calls, vendor.stats.token_calls) == (2, 0)
        assert not [name async for name in store.keys()]  # noqa: SIM118 - a store is no mapping
        await manager.aclose()
