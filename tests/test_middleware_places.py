"""`AuthMiddleware` and where the token goes: origins, redirects, headers, parameters, cookies."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from asyncauth import AuthMiddleware, AuthSession, InsecureURLError, TokenManager
from asyncauth._exchange import Placement
from asyncauth.schemes import ClientCredentials
from asyncauth.testing import ManualClock
from asyncauth_stores.memory import MemoryTokenStore
from http_places import Answering, Ready, Site, a_site, unauthorized


@pytest.fixture
async def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def manager(clock: ManualClock) -> AsyncIterator[TokenManager]:
    async with MemoryTokenStore(clock=clock) as store:
        yield TokenManager(store, clock=clock)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with a_site() as site:
        yield site


def client_with(scheme: Ready, manager: TokenManager, **options: object) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(middlewares=[AuthMiddleware(scheme, manager)], **options)  # type: ignore[arg-type]


def to(location: str, status: int = 302) -> Answering:
    async def answer(request: web.BaseRequest) -> web.Response:
        await request.read()
        return web.Response(status=status, headers={"Location": location})

    return answer


@pytest.mark.parametrize("location", ["/there", "there", "?x=1", "//{host}/there", "http://{host}/there"])
async def test_a_redirect_within_the_origin_takes_the_token_along(
    location: str, manager: TokenManager
) -> None:
    async with a_site() as site:
        target = location.format(host=site.url.authority)
        answers = iter([to(target), _fine])

        async def go(request: web.BaseRequest) -> web.StreamResponse:
            return await next(answers)(request)

        site.paths["/go"] = go
        async with (
            client_with(Ready(base_url=site.url), manager) as client,
            client.get(site.url / "go") as response,
        ):
            assert response.status == 200
        assert site.tokens == ["Bearer t1", "Bearer t1"]


async def _fine(request: web.BaseRequest) -> web.Response:
    return web.Response()


@pytest.mark.parametrize("header", ["Authorization", "X-Simplicite-Authorization"])
async def test_a_redirect_to_another_origin_leaves_the_token_at_home(
    header: str, manager: TokenManager
) -> None:
    def place(text: str) -> Placement:
        return Placement(headers={header: f"Bearer {text}"}, query={"key": text}, cookies={"sid": text})

    async with (
        a_site() as stranger,
        a_site(go=to(str(stranger.url / "x"))) as site,
        client_with(Ready(base_url=site.url, place=place), manager) as client,
        client.get(site.url / "go", headers={"X-Own": "kept"}) as response,
    ):
        assert response.status == 200
        assert not client.cookie_jar.filter_cookies(site.url)
    (hop,), (last,) = site.seen, stranger.seen
    assert hop.headers[header] == "Bearer t1"
    assert last.headers["X-Own"] == "kept"
    assert "t1" not in last.target + str(dict(last.headers))


@pytest.mark.parametrize("status", [307, 308])
async def test_a_body_that_is_redirected_home_is_refused_and_renewed_there(
    status: int, manager: TokenManager, clock: ManualClock
) -> None:
    async with a_site(go=to("/x", status)) as site:
        scheme = Ready(base_url=site.url)
        await manager.token(scheme)
        clock.step(11)
        site.refused.add("t1")
        async with (
            client_with(scheme, manager) as client,
            client.post(site.url / "go", data=b"body") as response,
        ):
            assert response.status == 200
        assert [(each.target, each.token, each.body) for each in site.seen[1:]] == [
            ("/x", "Bearer t1", b"body"),
            ("/x", "Bearer t2", b"body"),
        ]


async def test_a_strangers_refusal_renews_nothing(manager: TokenManager, clock: ManualClock) -> None:
    async with a_site(x=unauthorized) as stranger, a_site(go=to(str(stranger.url / "x"))) as site:
        scheme = Ready(base_url=site.url)
        await manager.token(scheme)
        clock.step(11)
        async with client_with(scheme, manager) as client:
            for url in (site.url / "go", stranger.url / "x"):
                async with client.get(url) as response:
                    assert (response.status, await response.text()) == (401, "never")
    assert scheme.drawn == ["t1"]
    assert stranger.tokens == [None, None]


async def test_a_token_for_https_is_not_sent_over_http(site: Site, manager: TokenManager) -> None:
    async with (
        client_with(Ready(base_url=site.url.with_scheme("https")), manager) as client,
        client.get(site.url / "x") as response,
    ):
        assert response.status == 200
    assert site.tokens == [None]


def test_a_scheme_refuses_http_to_another_machine() -> None:
    with pytest.raises(InsecureURLError):
        ClientCredentials(
            "https://id.example/token", client_id="app", client_secret="s", base_url="http://api.example"
        )


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}/x", "HTTP://127.0.0.1:{port}/x?y#z"])
async def test_an_origin_is_known_however_it_is_written(url: str, site: Site, manager: TokenManager) -> None:
    async with client_with(Ready(base_url=site.url), manager) as client:
        await client.get(url.format(port=site.url.port))
        await client.get(URL(url.format(port=site.url.port)).update_query(a="b"), params={"c": "d"})
    assert site.tokens == ["Bearer t1"] * 2


async def test_a_callers_own_headers_and_parameters_stay_and_a_token_of_theirs_does_not(
    site: Site, manager: TokenManager
) -> None:
    headers = {"X-Own": "mine", "authorization": "Bearer mine", "Accept": "text/plain"}
    async with client_with(Ready(base_url=site.url), manager) as client:
        await client.get(site.url / "x", params={"a": "1"}, headers=headers)
    (seen,) = site.seen
    assert (seen.headers["X-Own"], seen.headers["Accept"]) == ("mine", "text/plain")
    assert seen.headers.getall("Authorization") == ["Bearer t1"]
    assert seen.target == "/x?a=1"
    assert headers["authorization"] == "Bearer mine"


def by_query(text: str) -> Placement:
    return Placement(query={"apikey": f"{text}+/ &=é"})


ENCODED = "apikey=t1%2B%2F+%26%3D%C3%A9"


@pytest.mark.parametrize(
    ("query", "sent"),
    [
        ("", ENCODED),
        ("a=1&a=2", f"a=1&a=2&{ENCODED}"),
        ("a=x%2Fy&b=%2B&c=a+b&d=%20&e&f=", f"a=x%2Fy&b=%2B&c=a+b&d=%20&e&f=&{ENCODED}"),
        ("a=1&&b=2", f"a=1&&b=2&{ENCODED}"),
        ("apikey=mine&a=1&api%6bey=mine", f"a=1&{ENCODED}"),
    ],
)
async def test_a_parameter_is_merged_into_the_query_as_it_is_written(
    query: str, sent: str, site: Site, manager: TokenManager
) -> None:
    async with client_with(Ready(base_url=site.url, place=by_query), manager) as client:
        url = URL(f"{site.url}/p%2Fq{'?' if query else ''}{query}", encoded=True)
        async with client.get(url) as response:
            assert "apikey=t1" not in str(response.url)
    assert site.seen[0].target == f"/p%2Fq?{sent}"


async def test_a_refused_parameter_and_cookie_are_replaced(
    site: Site, manager: TokenManager, clock: ManualClock
) -> None:
    def place(text: str) -> Placement:
        return Placement(
            headers={"Authorization": f"Bearer {text}"}, query={"k": text}, cookies={"sid": text}
        )

    scheme = Ready(base_url=site.url, place=place)
    await manager.token(scheme)
    clock.step(11)
    site.refused.add("t1")
    async with client_with(scheme, manager) as client:
        await client.get(site.url / "x", params={"a": "1"}, cookies={"own": "c"})
    assert [(each.target, each.headers["Cookie"]) for each in site.seen] == [
        ("/x?a=1&k=t1", "own=c; sid=t1"),
        ("/x?a=1&k=t2", "own=c; sid=t2"),
    ]


async def test_cookies_of_the_token_go_beside_the_callers_and_never_into_the_jar(
    site: Site, manager: TokenManager
) -> None:
    scheme = Ready(base_url=site.url, place=lambda text: Placement(cookies={"sid": text, "node": "n1"}))
    jar = aiohttp.CookieJar(unsafe=True)
    jar.update_cookies({"own": "1", "sid": "stale"}, site.url)
    async with client_with(scheme, manager, cookie_jar=jar) as client:
        await client.get(site.url / "x", cookies={"now": "2"})
        await client.get(site.url / "x")
    assert [each.headers["Cookie"] for each in site.seen] == [
        "now=2; own=1; sid=t1; node=n1",
        "own=1; sid=t1; node=n1",
    ]
    assert {cookie.key: cookie.value for cookie in jar} == {"own": "1", "sid": "stale"}


async def test_middlewares_run_in_order_and_the_token_is_put_on_last(
    site: Site, manager: TokenManager, clock: ManualClock
) -> None:
    steps: list[str] = []

    def step(name: str) -> aiohttp.ClientMiddlewareType:
        async def middleware(
            request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
        ) -> aiohttp.ClientResponse:
            steps.append(f"{name} {request.headers.get('Authorization')}")
            response = await handler(request)
            steps.append(f"{name} {response.status}")
            return response

        return middleware

    scheme = Ready(base_url=site.url)
    await manager.token(scheme)
    clock.step(11)
    site.refused.add("t1")
    async with AuthSession(scheme, manager, middlewares=[step("a"), step("b")]) as session:
        await session.get("/x")
        assert steps == ["a None", "b None", "b 200", "a 200"]
        steps.clear()
        await session.get("/x", middlewares=[step("c")])
        assert steps == ["c None", "c 200"]
    assert site.tokens == ["Bearer t1", "Bearer t2", "Bearer t2"]


async def test_a_middleware_that_sends_again_has_the_request_authenticated_anew(
    site: Site, manager: TokenManager
) -> None:
    async def twice(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        (await handler(request)).release()
        await asyncio.sleep(0)
        return await handler(request)

    async with AuthSession(Ready(base_url=site.url), manager) as session:
        await session.get("/x", middlewares=[twice])
    assert site.tokens == ["Bearer t1", "Bearer t1"]
