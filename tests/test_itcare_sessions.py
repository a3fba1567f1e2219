"""ITCare: what each way to renew does to the server's sessions, and what ends them (VENDORS 4.1 to 4.4)."""

import asyncio
from typing import Any

import pytest

from asyncauth import AuthSession, Token
from asyncauth.schemes.itcare import RenewWith
from asyncauth.testing.emulators import Answer, Cut, KeycloakClient
from asyncauth.testing.emulators._keycloak import KeycloakProfile
from flow_driver import drive, reply
from itcare_world import FORM, an_itcare
from worlds import text_of

pytestmark = pytest.mark.slow

both = pytest.mark.parametrize("profile", ["kc11", "kc21"])
each_way = pytest.mark.parametrize("renew_with", ["login", "refresh_token", "documented"])


@both
@pytest.mark.parametrize(
    ("renew_with", "sessions"),
    # 7200 s of idleness plus Keycloak's tolerance of 120 s hold the last seven logins.
    [("login", 7), ("documented", 7), ("refresh_token", 1)],
)
async def test_only_the_real_refresh_leaves_no_sessions_behind(
    profile: KeycloakProfile, renew_with: RenewWith, sessions: int
) -> None:
    async with an_itcare(profile=profile) as world:
        scheme = world.scheme(renew_with=renew_with)
        await world.manager().token(scheme)
        for _ in range(12):
            await world.renew(scheme)
        assert await world.status(scheme) == 200
        assert (world.vendor.stats.token_calls, world.vendor.sessions_alive) == (13, sessions)


async def test_the_documented_refresh_is_byte_for_byte_that_of_the_page() -> None:
    async with an_itcare(clients={"CLIENT_ID": KeycloakClient("CLIENT_SECRET")}) as world:
        scheme = world.scheme(client_id="CLIENT_ID", client_secret="CLIENT_SECRET", renew_with="documented")
        first = await world.manager().token(scheme)
        second = await world.renew(scheme)
        assert first.refresh_token is not None
        request = world.vendor.requests[-1]
        assert request.method == "POST"
        assert request.path_qs == "/auth/realms/cloud/protocol/openid-connect/token"
        assert request.headers["Authorization"] == "Basic Q0xJRU5UX0lEOkNMSUVOVF9TRUNSRVQ="
        assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
        sent = f"grant_type=client_credentials&refresh_token={first.refresh_token.reveal()}"
        assert request.body == sent.encode()
        assert second.refresh_token != first.refresh_token


@both
@pytest.mark.parametrize("what", ["expired", "garbage"])
async def test_the_documented_refresh_works_with_any_refresh_token_for_it_is_a_login(
    profile: KeycloakProfile, what: str
) -> None:
    async with an_itcare(profile=profile) as world:
        scheme = world.scheme(renew_with="documented")
        token = await world.manager().token(scheme)
        if what == "expired":
            world.vendor.clock.advance(7200)
        else:
            token = Token(access_token="old", refresh_token="garbage", expires_in=1)
            await world.manager().put(scheme, token)
        await world.renew(scheme)
        assert token.refresh_token is not None
        assert world.bodies[-1] == f"{FORM}&refresh_token={token.refresh_token.reveal()}"
        assert await world.status(scheme) == 200
        assert not world.vendor.stats.refusals


@both
async def test_a_real_refresh_keeps_its_session_until_the_sessions_own_end(profile: KeycloakProfile) -> None:
    async with an_itcare(profile=profile, session_max=3000) as world:
        scheme = world.scheme(renew_with="refresh_token")
        lives = [(await world.manager().token(scheme)).refresh_expires_in]
        lives += [(await world.renew(scheme, after=seconds)).refresh_expires_in for seconds in (1200, 1200)]
        # Never 7200 after a refresh: the end of the session is nearer each time.
        assert lives == [3000, 1800, 600]
        assert (await world.renew(scheme, after=600)).refresh_expires_in == 3000
        assert [body.partition("&")[0] for body in world.bodies] == [
            FORM,
            "grant_type=refresh_token",
            "grant_type=refresh_token",
            FORM,
        ]
        assert not world.vendor.stats.refusals


@both
@each_way
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_lost_answer_to_a_one_time_refresh_token_costs_no_outage_and_no_second_use(
    profile: KeycloakProfile, renew_with: RenewWith, when: Any
) -> None:
    async with an_itcare(profile=profile, revoke_refresh=True) as world:
        scheme = world.scheme(renew_with=renew_with)
        await world.manager().token(scheme)
        world.vendor.faults.add(Cut(when=when), on="token")
        renewing = asyncio.create_task(world.renew(scheme))
        async with asyncio.timeout(10):
            while not renewing.done():
                await world.clock.advance(0.1)
                await asyncio.sleep(0.001)
        assert renewing.result().access_token is not None
        assert await world.status(scheme) == 200
        assert world.vendor.stats.reuses_detected == 0
        # The next renewal is like any other.
        await world.renew(scheme)
        assert await world.status(scheme) == 200
        assert world.vendor.stats.reuses_detected == 0


@both
async def test_one_time_refresh_tokens_are_spent_once_each(profile: KeycloakProfile) -> None:
    async with an_itcare(profile=profile, revoke_refresh=True) as world:
        scheme = world.scheme(renew_with="refresh_token")
        for _ in range(5):
            await world.renew(scheme)
        assert len(set(world.bodies)) == 5
        assert (world.vendor.stats.reuses_detected, world.vendor.sessions_alive) == (0, 1)


@both
@each_way
async def test_without_refresh_tokens_each_way_is_a_login(
    profile: KeycloakProfile, renew_with: RenewWith
) -> None:
    async with an_itcare(profile=profile, refresh_for_client_credentials=False) as world:
        scheme = world.scheme(renew_with=renew_with)
        token = await world.manager().token(scheme)
        assert (token.refresh_token, token.refresh_expires_in) == (None, None)
        await world.renew(scheme)
        assert world.bodies == [FORM, FORM]
        await world.manager().logout(scheme)
        assert world.vendor.requests[-1].path.endswith("/token")


@pytest.mark.parametrize(
    ("answer", "life"),
    [({"refresh_expires_in": 0}, None), ({}, None), ({"refresh_expires_in": 7200}, 7200)],
)
@pytest.mark.parametrize("renew_with", ["refresh_token", "documented"])
async def test_a_refresh_life_of_zero_beside_a_refresh_token_is_none_stated(
    renew_with: RenewWith, answer: dict[str, int], life: float | None
) -> None:
    async with an_itcare() as world:
        scheme = world.scheme(renew_with=renew_with)
        body = {"access_token": "a", "refresh_token": "r", "expires_in": 1200, **answer}
        token = drive(scheme.login(), reply(body)).result
        assert token.refresh_expires_in == life
        await world.manager().put(scheme, token)
        await world.renew(scheme)
        # Only a life that was stated and has ended keeps the refresh token from being sent.
        assert "refresh_token=r" in world.bodies[0]


@each_way
async def test_fifty_callers_at_expiry_are_one_token_call(renew_with: RenewWith) -> None:
    async with an_itcare() as world:
        scheme = world.scheme(renew_with=renew_with)
        await world.manager().token(scheme)
        world.clock.step(1200)
        tokens = await asyncio.gather(*(world.manager().token(scheme) for _ in range(50)))
        assert len({text_of(token) for token in tokens}) == 1
        sessions = 1 if renew_with == "refresh_token" else 2
        assert (world.vendor.stats.token_calls, world.vendor.sessions_alive) == (2, sessions)


@both
@each_way
@pytest.mark.parametrize("validation", ["jwt_local", "introspect"])
async def test_an_access_token_that_is_refused_with_an_empty_body_is_renewed_once(
    profile: KeycloakProfile, renew_with: RenewWith, validation: Any
) -> None:
    knobs = {"api_validation": validation, "api_challenge": profile == "kc21", "leeway": 60.0}
    async with an_itcare(profile=profile, **knobs) as world:
        scheme = world.scheme(renew_with=renew_with)
        await world.manager().token(scheme)
        world.clock.step(600)
        # Somebody ended all sessions of the account at the server.
        world.vendor.end_sessions(*world.vendor._sessions.values())
        assert await world.status(scheme) == 200
        refused = {"jwt_local": 0, "introspect": 1}[validation]
        assert world.vendor.stats.refusals["revoked"] == refused
        logins = refused * (2 if renew_with == "refresh_token" else 1)
        assert world.vendor.stats.token_calls == 1 + logins


async def test_a_401_that_stays_reaches_the_caller_and_no_storm_follows() -> None:
    async with an_itcare() as world:
        scheme = world.scheme()
        await world.manager().token(scheme)
        world.clock.step(600)
        world.vendor.faults.add(Answer(401), on="api", times=None)
        async with AuthSession(scheme, world.manager()) as session, session.get("/x/y") as response:
            assert (response.status, await response.read()) == (401, b"")
        assert (world.vendor.stats.token_calls, world.vendor.stats.api_calls) == (2, 2)


@each_way
async def test_a_missing_role_reaches_the_caller_and_renews_nothing(renew_with: RenewWith) -> None:
    clients = {"itcare-client": KeycloakClient("itcare-secret", forbidden=frozenset({"billing"}))}
    async with an_itcare(clients=clients) as world:
        scheme = world.scheme(renew_with=renew_with)
        assert await world.status(scheme, "/billing/invoices") == 403
        assert world.vendor.stats.token_calls == 1


@both
@each_way
async def test_a_logout_ends_the_own_session_and_no_other(
    profile: KeycloakProfile, renew_with: RenewWith
) -> None:
    async with an_itcare(profile=profile) as world:
        mine, other = world.scheme(renew_with=renew_with), world.scheme(scope="openid")
        await world.manager().token(mine)
        await world.manager().token(other)
        await world.renew(mine, after=10)
        alive = world.vendor.sessions_alive
        await world.manager().logout(mine)
        assert world.vendor.sessions_alive == alive - 1
        assert world.vendor.requests[-1].path.endswith("/logout")
        assert await world.status(other) == 200
        # The account's secret is still there: whoever asks again begins a new session.
        assert await world.status(mine) == 200
        assert world.vendor.sessions_alive == alive


async def test_a_worker_that_leaves_tells_the_server_nothing() -> None:
    async with an_itcare() as world:
        assert await world.status(world.scheme(renew_with="refresh_token")) == 200
        await world.manager().aclose()
        assert [request.path.rpartition("/")[2] for request in world.vendor.requests] == [
            "token",
            "resources",
        ]
        assert world.vendor.sessions_alive == 1


async def test_a_logout_does_not_stop_an_access_token_that_the_api_verifies_by_itself() -> None:
    async with an_itcare() as world:
        scheme = world.scheme()
        token = await world.manager().token(scheme)
        await world.manager().logout(scheme)
        await world.manager().put(scheme, token)
        assert await world.status(scheme) == 200
