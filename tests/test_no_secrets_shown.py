"""A whole life of a token, after which no secret is in a log, a repr, an error or a traceback."""

import asyncio
import logging
import traceback
from collections.abc import Iterator

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from asyncauth import (
    AuthMiddleware,
    AuthSession,
    RenewalFailedError,
    Token,
    TokenManager,
)
from asyncauth._exchange import AuthRequest, AuthResponse, Placement
from asyncauth._worn import Worn
from asyncauth.abc import AuthScheme
from asyncauth.schemes import (
    AuthorizationCode,
    Basic,
    CareCloudCustomer,
    CareCloudEnterprise,
    ClicRDV,
    ClientCredentials,
    CronofyApplication,
    CronofyUser,
    CustomerLogin,
    ITCare,
    RefreshToken,
    Simplicite,
    StaticBearer,
)
from asyncauth.testing.emulators import Answer, Cut
from asyncauth_stores.memory import MemoryTokenStore
from asyncauth_stores.sealed import KeyRing, SealedTokenStore
from http_places import NO_RETRY, Ready, a_site, a_world

PASSWORD = "pass-w0rd"


@pytest.fixture(autouse=True)
def _all_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("", "asyncauth", "aiohttp", "aiohttp.client", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)


async def test_a_whole_life_shows_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    asyncio.get_running_loop().set_debug(True)
    errors: list[BaseException] = []
    secrets = ["app-secret"]
    shown: list[object] = []
    async with a_world(NO_RETRY) as world:
        scheme = RefreshToken(
            world.vendor.token_url,
            client_id="app",
            client_secret="app-secret",
            subject="u",
            base_url=world.vendor.api_url,
        )
        first = world.vendor.authorize("u")
        await world.manager.put(scheme, first)
        async with AuthSession(scheme, world.manager, raise_for_status=True) as session:
            await session.get("/x")
            world.clock.step(11)
            assert first.access_token is not None
            world.vendor.revoke_access(first.access_token)
            await session.get("/x")
            world.vendor.faults.add(Answer(401), on="api", times=2)
            world.vendor.faults.add(Cut(), on="api", times=2)
            for _ in range(4):
                try:
                    await session.get("/x", params={"own": "p"})
                except aiohttp.ClientError as error:
                    errors.append(error)
            world.clock.step(5000)
            world.vendor.faults.add(Cut(when="after"), on="token")
            with pytest.raises(RenewalFailedError) as failed:
                await session.get("/x")
            errors.append(failed.value)
            worker = world.manager.worker
            slot = worker.slot(scheme)
            middleware = AuthMiddleware(scheme, world.manager)
            shown += [session, middleware, session.client, world.manager, worker, slot, slot.held, slot.entry]
            shown += [scheme, worker.means, worker.means.ledger, *world.events, world.store]
            record = (await worker.means.ledger.look(slot.name)).record
            shown += [record, await world.store.read(slot.name)]
        assert len(errors) >= 4
        sent = [request.credentials("bearer") or "" for request in world.vendor.requests]
        secrets += [text for text in sent if text]
        secrets += [
            form["refresh_token"]
            for form in (each.form() for each in world.vendor.requests if each.path == "/oauth/token")
        ]
    assert len(set(secrets)) >= 4
    assert {record.name for record in caplog.records} >= {"asyncauth"}
    text = caplog.text + repr(shown) + "".join(map(str, shown)) + "".join(map(_told, errors))
    assert [secret for secret in secrets if secret in text] == []


def _told(error: BaseException) -> str:
    return repr(error) + str(error) + "".join(traceback.format_exception(error))


async def test_aiohttps_own_errors_and_responses_show_no_token_that_was_sent() -> None:
    def place(text: str) -> Placement:
        return Placement(headers={"X-Auth": f"Bearer {text}-hidden"}, cookies={"sid": f"{text}-hidden"})

    async def gone(request: web.BaseRequest) -> web.Response:
        return web.Response(status=410)

    async with (
        a_site(gone=gone) as site,
        MemoryTokenStore() as store,
        AuthSession(Ready(base_url=site.url, place=place), store) as session,
    ):
        response = await session.get("/gone", cookies={"own": "1"})
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            response.raise_for_status()
    assert site.seen[0].headers["X-Auth"] == "Bearer t1-hidden"
    assert site.seen[0].headers["Cookie"] == "own=1; sid=t1-hidden"
    assert "hidden" not in repr(caught.value) + repr(response) + repr(response.request_info)


@pytest.mark.parametrize(
    "scheme",
    [
        ClientCredentials(
            "https://a.example/t", client_id="c", client_secret=PASSWORD, base_url="https://a.example"
        ),
        RefreshToken(
            "https://a.example/t",
            client_id="c",
            client_secret=PASSWORD,
            subject="u",
            base_url="https://a.example",
        ),
        Simplicite("https://a.example/api", login="u", password=PASSWORD),
        ITCare(client_id="c", client_secret=PASSWORD),
        CareCloudEnterprise("https://a.example", login="u", password=PASSWORD, application_id="e"),
        CareCloudCustomer(
            "https://a.example",
            application_id="e",
            device_id="d",
            device_name="n",
            device_system="s",
            device_type="t",
            push_token=PASSWORD,
            customer=CustomerLogin(kind="email", value="ada@example.com", password=PASSWORD),
        ),
        ClicRDV(PASSWORD, email="u@example.com", password=PASSWORD),
        ClicRDV(PASSWORD, email="u@example.com", password=PASSWORD, auth="session"),
        CronofyUser(client_id="c", client_secret=PASSWORD, sub="acc_1"),
        CronofyApplication(client_id="c", client_secret=PASSWORD),
        AuthorizationCode(
            "https://a.example/t",
            authorization_url="https://a.example/authorize",
            client_id="c",
            client_secret=PASSWORD,
            redirect_uri="https://b.example/back",
            subject="u",
            base_url="https://a.example",
        ),
        StaticBearer(PASSWORD, base_url="https://a.example"),
        Basic("u", PASSWORD, base_url="https://a.example"),
    ],
    ids=lambda scheme: type(scheme).__name__,
)
async def test_no_scheme_shows_its_credential(scheme: AuthScheme) -> None:
    flow = scheme.refresh(Token(access_token=PASSWORD, refresh_token=PASSWORD))
    request = next(flow, None)
    shown = [
        scheme,
        scheme.key,
        scheme.fingerprint,
        request,
        flow,
        AuthMiddleware(scheme, MemoryTokenStore()),
    ]
    flow.close()
    assert PASSWORD not in repr(shown) + "".join(map(str, shown))


async def test_no_value_shows_what_it_holds() -> None:
    token = Token(
        access_token=PASSWORD, refresh_token=PASSWORD, cookies={"s": PASSWORD}, extra={"e": PASSWORD}
    )
    placement = Placement(headers={"A": PASSWORD}, query={"q": PASSWORD}, cookies={"s": PASSWORD})
    store = SealedTokenStore(MemoryTokenStore(), KeyRing.generate())
    manager = TokenManager(store)
    await manager.put(Ready(base_url=None), token)
    slot = manager.worker.slot(Ready(base_url=None))
    assert slot.held is not None
    shown = [
        token,
        placement,
        store,
        manager,
        manager.worker,
        slot,
        slot.held,
        slot.entry,
        Worn.of(manager.worker, slot, slot.held, placement, heads_do=True),
        AuthResponse(status=200, body=PASSWORD.encode()),
        AuthRequest.form(URL(f"https://a.example/t?p={PASSWORD}"), {"p": PASSWORD}),
    ]
    await store.aclose()
    assert PASSWORD not in repr(shown) + "".join(map(str, shown))
