"""ITCare: what a caller is told for each row of Keycloak's error table (VENDORS 4.1b), in both versions."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from asyncauth import CredentialRefusedError, RenewalStarted
from asyncauth._codec import decode
from asyncauth.testing.emulators import KeycloakClient
from asyncauth.testing.emulators._keycloak import KeycloakProfile
from itcare_world import FORM, ITCareWorld, an_itcare

both = pytest.mark.parametrize("profile", ["kc11", "kc21"])

NEW_TEXT = "Invalid client or Invalid client credentials"
PUBLIC = "Public client not allowed to retrieve service account"
CHECK = "check client_id and client_secret, and that this client may use this grant"
HOW = "check client_id, client_secret and how the client has to authenticate"

# What is wrong with the account, what version 11 makes the caller see, and the newer one.
REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any], str, str]] = {
    "wrong secret": (
        {},
        {"client_secret": "wrong"},
        f"401 of {{url}}: unauthorized_client; Invalid client secret; {CHECK}",
        f"401 of {{url}}: unauthorized_client; {NEW_TEXT}; {CHECK}",
    ),
    "unknown client": (
        {},
        {"client_id": "nobody"},
        f"400 of {{url}}: unauthorized_client; Invalid client credentials; {CHECK}",
        f"401 of {{url}}: invalid_client; {NEW_TEXT}; {HOW}",
    ),
    "disabled client": (
        {"clients": {"itcare-client": KeycloakClient("itcare-secret", enabled=False)}},
        {},
        f"400 of {{url}}: unauthorized_client; Invalid client credentials; {CHECK}",
        f"401 of {{url}}: invalid_client; {NEW_TEXT}; {HOW}",
    ),
    "service account off": (
        {"clients": {"itcare-client": KeycloakClient("itcare-secret", service_account=False)}},
        {},
        f"401 of {{url}}: unauthorized_client; Client not enabled to retrieve service account; {CHECK}",
        f"401 of {{url}}: unauthorized_client; Client not enabled to retrieve service account; {CHECK}",
    ),
    "public client": (
        {"clients": {"itcare-client": KeycloakClient(None)}},
        {},
        f"401 of {{url}}: unauthorized_client; {PUBLIC}; {CHECK}",
        f"401 of {{url}}: unauthorized_client; {PUBLIC}; {CHECK}",
    ),
    "bad scope": (
        {},
        {"scope": "made-up"},
        "400 of {url}: invalid_scope; Invalid scopes: made-up; check the scopes that are asked for",
        "400 of {url}: invalid_scope; Invalid scopes: made-up; check the scopes that are asked for",
    ),
    "disabled user": (
        {"clients": {"itcare-client": KeycloakClient("itcare-secret", user_enabled=False)}},
        {},
        "401 of {url}: invalid_request; User 'service-account-itcare-client' disabled; ",
        "401 of {url}: invalid_request; User 'service-account-itcare-client' disabled; ",
    ),
    "http": (
        {"require_https": True},
        {},
        "403 of {url}: invalid_request; HTTPS required; ",
        "403 of {url}: invalid_request; HTTPS required; ",
    ),
    "realm off": (
        {"realm_enabled": False},
        {},
        "403 of {url}: access_denied; Realm not enabled",
        "403 of {url}: access_denied; Realm not enabled",
    ),
}


@both
@pytest.mark.parametrize("row", REFUSED)
async def test_a_refused_account_is_named_asked_for_once_and_costs_nothing_stored(
    profile: KeycloakProfile, row: str
) -> None:
    knobs, options, old, new = REFUSED[row]
    async with an_itcare(profile=profile, **knobs) as world:
        scheme = world.scheme(**options)
        for _ in range(5):
            with pytest.raises(CredentialRefusedError) as caught:
                await world.manager().token(scheme)
            text = (old if profile == "kc11" else new).format(url=world.vendor.token_url)
            assert text in str(caught.value)
        assert world.vendor.stats.token_calls == 1


@pytest.mark.parametrize(
    ("profile", "encodes", "works"),
    [("kc11", False, True), ("kc11", True, False), ("kc21", True, True), ("kc21", False, False)],
)
async def test_basic_is_read_in_two_ways_and_the_message_names_the_other(
    profile: KeycloakProfile, *, encodes: bool, works: bool
) -> None:
    clients = {"me": KeycloakClient("50%+1")}
    async with an_itcare(profile=profile, clients=clients) as world:
        scheme = world.scheme(client_id="me", client_secret="50%+1", urlencode_basic=encodes)
        if works:
            assert await world.status(scheme) == 200
            return
        with pytest.raises(CredentialRefusedError, match=f"try urlencode_basic={not encodes}") as caught:
            await world.manager().token(scheme)
        assert "50%" not in str(caught.value)


async def test_a_corrected_secret_is_tried_at_once() -> None:
    async with an_itcare() as world:
        with pytest.raises(CredentialRefusedError):
            await world.manager().token(world.scheme(client_secret="wrong"))
        assert await world.status(world.scheme()) == 200


def _clock_ahead(world: ITCareWorld) -> None:
    world.vendor.clock.advance(6000)


def _session_over(world: ITCareWorld) -> None:
    world.vendor.session_max = 1200


def _logged_out_by_somebody(world: ITCareWorld) -> None:
    world.vendor.end_sessions(*world.vendor._sessions.values())


def _stale(world: ITCareWorld) -> None:
    world.vendor.not_before = int(world.vendor.clock.wall()) + 10


def _detached(world: ITCareWorld) -> None:
    for session in world.vendor._sessions.values():
        session.attached = False


def _used_by_somebody(world: ITCareWorld) -> None:
    world.vendor.revoke_refresh = True
    [text] = [text for text, token in world.vendor._tokens.items() if token.kind == "refresh"]
    world.vendor.begin_refresh(text, "itcare-client")


def _signed_with_other_keys(world: ITCareWorld) -> None:
    world.vendor._tokens.clear()


def _another_clients(world: ITCareWorld) -> None:
    tokens = world.vendor._tokens
    tokens.update({text: attrs.evolve(token, client_id="somebody") for text, token in tokens.items()})


LOST: dict[str, Callable[[ITCareWorld], None]] = {
    "Token is not active": _clock_ahead,
    "Session not active (max)": _session_over,
    "Session not active (restart)": lambda world: world.vendor.restart(),
    "Session not active (logout)": _logged_out_by_somebody,
    "Stale token": _stale,
    "Session doesn't have required client": _detached,
    "Maximum allowed refresh token reuse exceeded": _used_by_somebody,
    "Invalid refresh token": _signed_with_other_keys,
    "Token client and authorized client don't match": _another_clients,
}


@both
@pytest.mark.parametrize("row", LOST)
async def test_a_lost_session_is_replaced_by_a_login_in_the_same_flight(
    profile: KeycloakProfile, row: str
) -> None:
    async with an_itcare(profile=profile) as world:
        scheme = world.scheme(renew_with="refresh_token")
        await world.manager().token(scheme)
        LOST[row](world)
        await world.renew(scheme)
        assert await world.status(scheme) == 200
        started = [event for event in world.events if isinstance(event, RenewalStarted)]
        assert [event.mode for event in started] == ["login", "refresh", "login"]
        assert started[1].attempt == started[2].attempt
        assert world.bodies[1].startswith("grant_type=refresh_token&refresh_token=")
        assert world.bodies[2] == FORM
        assert world.vendor.stats.refusals == {"invalid_grant": 1}


@both
async def test_a_refresh_token_that_is_known_to_have_ended_is_not_even_sent(profile: KeycloakProfile) -> None:
    async with an_itcare(profile=profile) as world:
        scheme = world.scheme(renew_with="refresh_token")
        await world.manager().token(scheme)
        await world.renew(scheme, after=7200)
        assert world.bodies == [FORM, FORM]


@both
async def test_a_disabled_user_is_told_and_the_old_token_stays_stored(profile: KeycloakProfile) -> None:
    async with an_itcare(profile=profile) as world:
        scheme = world.scheme(renew_with="refresh_token")
        old = await world.manager().token(scheme)
        world.vendor.clients["itcare-client"].user_enabled = False
        with pytest.raises(CredentialRefusedError, match="User 'service-account-itcare-client' disabled"):
            await world.renew(scheme)
        assert world.vendor.stats.refusals == {"invalid_grant": 1, "invalid_request": 1}
        value = (await world.place.read(world.place.name(scheme.key))).value
        stored = None if value is None else decode(value).entry
        assert stored is not None
        assert stored.token == old
