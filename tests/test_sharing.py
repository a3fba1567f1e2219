"""Who shares a worker, and who may not; where a token may go; what scopes and lifetimes are."""

import math

import aiohttp
import pytest

from asyncauth import (
    AuthMiddleware,
    AuthSession,
    ConfigurationError,
    RefreshPolicy,
    Token,
    TokenKey,
    TokenManager,
)
from asyncauth.testing import ManualClock
from asyncauth_stores.memory import MemoryTokenStore
from scripted import Scripted
from worlds import text_of, worker_of


async def test_another_client_clock_or_policy_on_one_store_is_refused_by_name() -> None:
    store = MemoryTokenStore()
    async with store, aiohttp.ClientSession() as client:
        assert not worker_of(TokenManager(store)).closed
        others = {
            "client": TokenManager(store, client=client),
            "clock": TokenManager(store, clock=ManualClock()),
            "RefreshPolicy": TokenManager(store, policy=RefreshPolicy(retries=0)),
        }
        for name, manager in others.items():
            with pytest.raises(ConfigurationError, match=f"with another {name}:"):
                await manager.token(Scripted())


async def test_the_first_ones_client_stands_for_those_who_give_none() -> None:
    async with MemoryTokenStore() as store, aiohttp.ClientSession() as client:
        assert worker_of(TokenManager(store, client=client)) is worker_of(TokenManager(store))
        assert worker_of(TokenManager(store)).means.client() is client
    assert client.closed


async def test_a_scheme_that_may_send_nowhere_is_for_token_managers_only() -> None:
    scheme = Scripted(base=None)
    async with MemoryTokenStore() as store:
        with pytest.raises(ConfigurationError, match="give the scheme a base_url or origins"):
            AuthMiddleware(scheme, store)
        with pytest.raises(ConfigurationError, match="scripted may go nowhere"):
            async with AuthSession(scheme, store):
                pass
        assert text_of(await TokenManager(store).token(scheme)) == "t1"


def test_a_string_of_scopes_is_a_list_of_words() -> None:
    key = TokenKey(scheme="s", issuer="i", scopes="write read write")
    assert key == TokenKey(scheme="s", issuer="i", scopes=("read", "write"))
    token = Token(access_token="a", scope="write read")
    assert token.scope == ("read", "write")


@pytest.mark.parametrize("name", ["expires_in", "idle_timeout", "refresh_expires_in"])
@pytest.mark.parametrize("value", ["abc", "60", math.nan, math.inf, True, [1]])
def test_a_tokens_durations_are_numbers(name: str, value: object) -> None:
    wrong: dict[str, object] = {name: value}
    with pytest.raises(ValueError, match=f"{name} has to be a number of seconds"):
        Token(access_token="a", **wrong)  # type: ignore[arg-type]  # that is the point


def test_equal_tokens_have_equal_hashes() -> None:
    tokens = {
        Token(access_token="a", cookies={"c": "1"}, extra={"more": [1]}),
        Token(access_token="a", cookies={"c": "1"}, extra={"more": [1]}),
        Token(access_token="a", cookies={"c": "2"}),
    }
    assert len(tokens) == 2
