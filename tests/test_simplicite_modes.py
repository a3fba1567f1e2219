"""Every documented way to log in, to be answered and to send a token, against every version's emulator."""

from typing import Any

import pytest

from asyncauth import AuthSession
from asyncauth._exchange import basic_auth
from asyncauth.testing.emulators._simplicite_sessions import SimpliciteProfile
from simplicite_samples import Instance, an_instance, call

pytestmark = pytest.mark.slow

BASIC = basic_auth("svc", "svc-password")
BACK = "http://localhost/back?a=1"
DAY = 86_401

PROFILES: list[SimpliciteProfile] = ["v3", "v5_1", "v5_2", "v6"]
every = pytest.mark.parametrize("profile", PROFILES)
ASKING: dict[str, dict[str, Any]] = {
    "json": {},
    "text": {"answer": "text"},
    "oauth2": {"answer": "oauth2"},
    "redirect": {"answer": "redirect", "redirect_uri": BACK},
}
SENDING: dict[str, dict[str, Any]] = {
    "custom header": {},
    "standard header": {"header": "Authorization"},
    "url": {"send_in": "url"},
    "url as on the page": {"send_in": "url", "url_param": "_x_simplicite_autorization_"},
}


async def live_through_an_expiry(world: Instance, **options: Any) -> None:
    """Log in, call, outlive the token, call, log out: with a login per token and no failed call."""
    scheme = world.scheme(session_cookie=world.vendor.profile == "v3", **options)
    manager = world.worker()
    async with AuthSession(scheme, manager) as session:
        for serial in (1, 2):
            status, data = await call(session)
            assert (status, data["login"], data["serial"]) == (200, "svc", serial)
            assert len(world.asked("login")) == world.vendor.stats.tokens_issued == serial
            world.clock.step(DAY)
        await call(session)
        await manager.logout(scheme)
    assert world.vendor.tokens_alive == world.vendor.sessions_alive == 0
    assert len(world.asked("logout")) == 1


@every
@pytest.mark.parametrize("way", ["basic", "form", "query"])
@pytest.mark.parametrize("asking", ASKING.values(), ids=ASKING.keys())
async def test_every_login_and_answer_lives_through_an_expiry(
    profile: SimpliciteProfile, way: str, asking: dict[str, Any]
) -> None:
    async with an_instance(profile=profile, oauth2_over_http="allow", context_path="/myapp") as world:
        await live_through_an_expiry(world, login_with=way, **asking)


@every
@pytest.mark.parametrize("sending", SENDING.values(), ids=SENDING.keys())
@pytest.mark.parametrize("trailing_newline", [False, True])
async def test_every_way_to_send_a_token_lives_through_an_expiry(
    profile: SimpliciteProfile, sending: dict[str, Any], *, trailing_newline: bool
) -> None:
    async with an_instance(profile=profile, trailing_newline=trailing_newline) as world:
        await live_through_an_expiry(world, answer="text", **sending)


@every
@pytest.mark.parametrize("asking", ASKING.values(), ids=ASKING.keys())
async def test_servers_that_know_the_bare_token_only_are_understood(
    profile: SimpliciteProfile, asking: dict[str, Any]
) -> None:
    async with an_instance(profile=profile, plain_only=True) as world:
        await live_through_an_expiry(world, **asking)


@every
@pytest.mark.parametrize("mode", ["simple", "jwt"])
@pytest.mark.parametrize("reuse", [True, False])
async def test_either_kind_of_token_is_used(profile: SimpliciteProfile, mode: str, *, reuse: bool) -> None:
    async with an_instance(profile=profile, mode=mode, reuse=reuse) as world:
        await live_through_an_expiry(world)


@pytest.mark.parametrize(
    ("options", "method", "target"),
    [
        ({}, "GET", "/api/login?format=json&_json=true"),
        ({"answer": "text"}, "GET", "/api/login"),
        ({"answer": "oauth2"}, "GET", "/api/login?_oauth2=true"),
        (ASKING["redirect"], "GET", "/api/login?redirect_uri=http://localhost/back?a%3D1"),
        (
            {"answer": "text", "login_with": "query"},
            "GET",
            "/api/login?username=svc&password=svc-password",
        ),
        ({"answer": "text", "login_with": "form"}, "POST", "/api/login"),
    ],
)
async def test_logins_arrive_as_the_page_shows_them(
    options: dict[str, Any], method: str, target: str
) -> None:
    async with an_instance(oauth2_over_http="allow") as world:
        await world.worker().token(world.scheme(**options))
        (request,) = world.vendor.requests
        assert (request.method, request.path_qs) == (method, target)
        way = options.get("login_with", "basic")
        assert request.headers.get("Authorization") == (BASIC if way == "basic" else None)
        assert "Cookie" not in request.headers
        assert b"svc-password" not in request.body or way == "form"


@pytest.mark.parametrize("sending", SENDING.values(), ids=SENDING.keys())
async def test_calls_and_logout_arrive_with_the_token_in_one_place_only(sending: dict[str, Any]) -> None:
    async with an_instance() as world:
        scheme, manager = world.scheme(**sending), world.worker()
        async with AuthSession(scheme, manager) as session:
            await call(session, "/rest/Customer", params={"name": "a b"})
        token = await manager.token(scheme)
        assert token.access_token is not None
        text = token.access_token.reveal()
        await manager.logout(scheme)
        _, service, logout = world.vendor.requests
        url_param = sending.get("url_param", "_x_simplicite_authorization_")
        for request, own in ((service, "name=a+b"), (logout, "format=json")):
            header = "Authorization" if "header" in sending else "X-Simplicite-Authorization"
            if "send_in" in sending:
                assert request.path_qs.endswith(f"?{own}&{url_param}={text}")
                assert text not in str(request.headers)
            else:
                assert request.path_qs.endswith(f"?{own}")
                carrying = {name: value for name, value in request.headers.items() if text in value}
                assert carrying == {header: f"Bearer {text}"}


async def test_the_name_of_the_url_parameter_is_the_servers() -> None:
    async with an_instance(url_param_name="tok", also_accept_doc_spelling=False) as world:
        await live_through_an_expiry(world, send_in="url", url_param="tok")


async def test_a_proxy_that_keeps_authorization_gets_its_own_and_the_server_the_token() -> None:
    async with an_instance() as world:
        scheme = world.scheme(login_header="X-Simplicite-Authorization")
        async with AuthSession(scheme, world.worker()) as session:
            assert (await call(session, headers={"Authorization": "Basic for-the-proxy"}))[0] == 200
        login, service = world.vendor.requests
        assert login.headers["X-Simplicite-Authorization"] == BASIC
        assert "Authorization" not in login.headers
        assert service.headers["Authorization"] == "Basic for-the-proxy"
        assert service.headers["X-Simplicite-Authorization"].startswith("Bearer ")


@pytest.mark.parametrize("names_user", ["on top", "below user"])
@pytest.mark.parametrize("asking", ASKING.values(), ids=ASKING.keys())
async def test_whoami_costs_one_call_per_login(asking: dict[str, Any], names_user: str) -> None:
    async with an_instance(oauth2_over_http="allow", names_user=names_user) as world:
        async with AuthSession(world.scheme(whoami=True, **asking), world.worker()) as session:
            assert [(await call(session))[0] for _ in range(3)] == [200] * 3
        assert world.asked("rest") == ["/api/rest"]
        assert len(world.asked("login")) == 1
