"""ITCare: Keycloak's token endpoint in two versions, and the API behind it."""

from collections.abc import AsyncIterator, Callable

import pytest

from asyncauth.testing.emulators import ITCareEmulator, KeycloakClient
from asyncauth.testing.emulators._keycloak import KeycloakProfile
from emulator_http import Client, open_client
from emulator_itcare import GRANT, ME, login, refresh, server

both = pytest.mark.parametrize("profile", ["kc11", "kc21"])


@pytest.fixture
async def http() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


async def test_the_documented_login_gives_the_documented_answer(http: Client) -> None:
    async with server() as vendor:
        assert vendor.token_url.path == "/auth/realms/cloud/protocol/openid-connect/token"
        got = await http.form(vendor.token_url, GRANT, ME)
        assert (got.headers["Cache-Control"], got.headers["Pragma"]) == ("no-store", "no-cache")
        data = got.data
        assert (data["expires_in"], data["refresh_expires_in"]) == (1200, 7200)
        assert (data["token_type"], data["not-before-policy"]) == ("bearer", 0)
        assert data["scope"] == "profile email"
        assert {"access_token", "refresh_token", "session_state"} <= set(data)
        assert "id_token" not in data


async def test_the_newer_profile_writes_the_type_with_a_capital(http: Client) -> None:
    async with server(profile="kc21") as vendor:
        assert (await login(http, vendor))["token_type"] == "Bearer"


async def test_scope_openid_gives_an_id_token(http: Client) -> None:
    async with server() as vendor:
        data = await login(http, vendor, scope="openid")
        assert data["scope"] == "openid profile email"
        assert data["id_token"]


@both
@pytest.mark.parametrize("field", ["living", "garbage"])
async def test_the_documented_refresh_is_a_login_that_leaves_a_session(
    http: Client, profile: KeycloakProfile, field: str
) -> None:
    async with server(profile=profile) as vendor:
        first = await login(http, vendor)
        again = await login(
            http, vendor, refresh_token=first["refresh_token"] if field == "living" else field
        )
        assert again["session_state"] != first["session_state"]
        assert vendor.sessions_alive == 2
        assert (await refresh(http, vendor, first["refresh_token"])).status == 200


@both
async def test_a_real_refresh_keeps_the_session_and_gives_two_new_tokens(
    http: Client, profile: KeycloakProfile
) -> None:
    async with server(profile=profile) as vendor:
        first = await login(http, vendor)
        got = (await refresh(http, vendor, first["refresh_token"])).data
        assert got["session_state"] == first["session_state"]
        assert got["access_token"] != first["access_token"]
        assert got["refresh_token"] != first["refresh_token"]
        assert vendor.sessions_alive == 1
        # Without revocation an old refresh token works until its own end.
        assert (await refresh(http, vendor, first["refresh_token"])).status == 200


async def test_lifetimes_are_exact_and_a_refresh_starts_the_idle_time_anew(http: Client) -> None:
    async with server() as vendor:
        first = await login(http, vendor)
        vendor.clock.advance(7199)
        second = (await refresh(http, vendor, first["refresh_token"])).data
        assert second["refresh_expires_in"] == 7200
        vendor.clock.advance(1)
        late = await refresh(http, vendor, first["refresh_token"])
        assert late.error == (400, "invalid_grant", "Token is not active")
        assert (await refresh(http, vendor, second["refresh_token"])).status == 200


async def test_near_the_sessions_end_both_lifetimes_shrink(http: Client) -> None:
    async with server(session_max=10000) as vendor:
        token = (await login(http, vendor))["refresh_token"]
        vendor.clock.advance(7000)
        data = (await refresh(http, vendor, token)).data
        assert (data["expires_in"], data["refresh_expires_in"]) == (1200, 3000)
        vendor.clock.advance(2900)
        data = (await refresh(http, vendor, data["refresh_token"])).data
        assert (data["expires_in"], data["refresh_expires_in"]) == (100, 100)
        vendor.clock.advance(100)
        assert (await refresh(http, vendor, data["refresh_token"])).error[2] == "Token is not active"
        assert vendor.sessions_alive == 0


async def test_sessions_live_two_minutes_longer_than_their_tokens_say(http: Client) -> None:
    async with server() as vendor:
        await login(http, vendor)
        vendor.clock.advance(7319)
        assert vendor.sessions_alive == 1
        vendor.clock.advance(1)
        assert vendor.sessions_alive == 0


@both
async def test_without_refresh_tokens_there_is_no_session(http: Client, profile: KeycloakProfile) -> None:
    async with server(profile=profile, refresh_for_client_credentials=False) as vendor:
        data = await login(http, vendor)
        assert data["refresh_expires_in"] == 0
        assert not {"refresh_token", "session_state"} & set(data)
        assert vendor.sessions_alive == 0
        assert (await http.get(vendor.api_url / "compute/vms", data["access_token"])).status == 200


def _stale(vendor: ITCareEmulator) -> None:
    vendor.clock.advance(10)
    vendor.not_before = int(vendor.clock.wall())


def _disable(vendor: ITCareEmulator) -> None:
    vendor.clients["itcare-client"].user_enabled = False


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (ITCareEmulator.restart, "Session not active"),
        (_stale, "Stale token"),
        (_disable, "User disabled"),
    ],
)
async def test_a_sound_refresh_token_can_be_refused_for_what_happened_since(
    http: Client, change: Callable[[ITCareEmulator], None], text: str
) -> None:
    async with server() as vendor:
        token = (await login(http, vendor))["refresh_token"]
        change(vendor)
        assert (await refresh(http, vendor, token)).error == (400, "invalid_grant", text)


async def test_an_access_token_or_another_clients_token_refreshes_nothing(http: Client) -> None:
    clients = {"itcare-client": KeycloakClient("itcare-secret"), "other": KeycloakClient("x")}
    async with server(clients=clients) as vendor:
        data = await login(http, vendor)
        assert (await refresh(http, vendor, data["access_token"])).error[2] == "Invalid refresh token"
        other = await refresh(http, vendor, data["refresh_token"], ("other", "x"))
        assert other.error[2] == "Invalid refresh token. Token client and authorized client don't match"


@both
async def test_one_time_refresh_tokens_are_refused_again(http: Client, profile: KeycloakProfile) -> None:
    async with server(profile=profile, revoke_refresh=True) as vendor:
        first = (await login(http, vendor))["refresh_token"]
        second = (await refresh(http, vendor, first)).data["refresh_token"]
        reused = await refresh(http, vendor, first)
        assert reused.error[1:] == ("invalid_grant", "Maximum allowed refresh token reuse exceeded")
        after = await refresh(http, vendor, second)
        if profile == "kc21":
            assert after.error[1:] == ("invalid_grant", "Session doesn't have required client")
        else:
            assert after.status == 200
        assert vendor.stats.reuses_detected == 1
        assert vendor.stats.families_revoked == (profile == "kc21")


async def test_an_older_one_time_token_is_stale_after_a_newer_was_used(http: Client) -> None:
    async with server(revoke_refresh=True) as vendor:
        first = (await login(http, vendor))["refresh_token"]
        vendor.clock.advance(1)
        second = (await refresh(http, vendor, first)).data["refresh_token"]
        vendor.clock.advance(1)
        assert (await refresh(http, vendor, second)).status == 200
        assert (await refresh(http, vendor, first)).error[2] == "Stale token"


async def test_reuse_may_be_allowed_so_many_times(http: Client) -> None:
    async with server(revoke_refresh=True, max_reuse=2) as vendor:
        token = (await login(http, vendor))["refresh_token"]
        statuses = [(await refresh(http, vendor, token)).status for _ in range(4)]
        assert statuses == [200, 200, 200, 400]
