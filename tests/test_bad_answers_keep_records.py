"""Whatever a token endpoint answers: a clear error for who needs a new token; the old entry stays stored."""

import asyncio
from collections.abc import Iterator

import pytest

from asyncauth import AuthError, Token, TokenManager
from asyncauth._codec import decode
from asyncauth.abc import AuthScheme
from asyncauth.schemes import ClientCredentials, Simplicite
from asyncauth.testing import ManualClock
from asyncauth.testing.emulators import Answer, Cut, Fault, html_page
from asyncauth_stores.memory import MemoryTokenStore
from vendor_jobs import CASES, scheme_of
from worlds import Fleet, text_of

pytestmark = pytest.mark.slow

JSON = {"Content-Type": "application/json"}
MARK = "what-the-vendor-keeps-secret"
OLD = Token(access_token="old-access", refresh_token="old-refresh", expires_in=60)


def _json(text: str) -> Answer:
    return Answer(200, text.encode(), JSON)


def _life(value: str) -> Answer:
    return _json(f'{{"access_token": "{MARK}", "token_type": "Bearer", "expires_in": {value}}}')


FAULTS: dict[str, Fault] = {
    "HTML with 200": html_page(200),
    "an empty body": Answer(200, b"", JSON),
    "JSON that is no object": _json(f'["{MARK}"]'),
    "no access token": _json(f'{{"token_type": "Bearer", "secret": "{MARK}"}}'),
    "expires_in abc": _life('"abc"'),
    "expires_in -5": _life("-5"),
    "expires_in 0": _life("0"),
    "a line break in the token": _json(f'{{"access_token": "{MARK}\\nX: 1", "token_type": "Bearer"}}'),
    "a cut connection": Cut(),
}


async def failure_of(clock: ManualClock, manager: TokenManager, scheme: AuthScheme) -> AuthError:
    """Need a new token, and return what a caller is told."""
    asking = asyncio.create_task(manager.token(scheme))
    async with asyncio.timeout(10):
        while not asking.done():
            # Less than the shortest back-off: the failure may come before the time has moved on.
            await clock.advance(0.5)
            await asyncio.sleep(0.001)
    error = asking.exception()
    assert isinstance(error, AuthError)
    return error


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Follow what an error came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def assert_shows_nothing(error: BaseException, *secrets: str) -> None:
    for each in chain(error):
        shown = f"{each} {each!r} {vars(each)} {each.args}"
        assert not [secret for secret in secrets if secret in shown]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("kind", ["service", "user"])
async def test_a_bad_answer_is_an_error_and_the_old_entry_stays(
    fleet: Fleet, fault: Fault, kind: str
) -> None:
    manager, other = fleet.manager(), fleet.manager()
    scheme: AuthScheme = fleet.service() if kind == "service" else fleet.user()
    if kind == "user":
        await manager.put(scheme, fleet.vendor.authorize("ada"))
    old = await manager.token(scheme)
    fleet.clock.step(3600)
    fleet.vendor.faults.add(fault, on="token", times=None)
    error = await failure_of(fleet.clock, manager, scheme)
    assert str(error)
    assert_shows_nothing(error, MARK, "app-secret", text_of(old))
    record = await fleet.record(scheme)
    assert record is not None
    assert record.entry is not None
    assert record.entry.token == old
    calls = fleet.vendor.stats.token_calls
    with pytest.raises(AuthError):
        await other.token(scheme)
    assert fleet.vendor.stats.token_calls == calls


@pytest.mark.parametrize("name", CASES)
async def test_a_page_for_people_is_no_vendors_token(name: str) -> None:
    clock, case = ManualClock(), CASES[name]
    async with case.emulator() as vendor, MemoryTokenStore(clock=clock) as store:
        vendor.faults.add(html_page(200), on="token", times=None)
        scheme, manager = scheme_of(case.job(vendor)), TokenManager(store, clock=clock)
        await manager.put(scheme, OLD)
        clock.step(60)
        error = await failure_of(clock, manager, scheme)
        assert vendor.faults.struck
        assert_shows_nothing(error, "-password", "-secret", "old-access", "old-refresh", "production-apikey")
        value = (await store.read(store.name(scheme.key))).value
        assert value is not None
        entry = decode(value).entry
        assert entry is not None
        assert entry.token == OLD


async def _rubbish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(65536)
    writer.write(b"\x16\x03\x01 this is not HTTP\r\n\r\n" + MARK.encode())
    await writer.drain()
    writer.close()
    await writer.wait_closed()


async def test_a_server_that_speaks_no_http_brings_no_secret_into_an_errors_chain() -> None:
    clock = ManualClock()
    async with (
        await asyncio.start_server(_rubbish, "127.0.0.1", 0) as server,
        MemoryTokenStore(clock=clock) as store,
    ):
        host, port = server.sockets[0].getsockname()
        scheme = Simplicite(f"http://{host}:{port}/api", login="svc", password="hidden-password")
        oauth = ClientCredentials(
            f"http://{host}:{port}/token?key=hidden-query", client_id="app", client_secret="hidden-password"
        )
        manager = TokenManager(store, clock=clock)
        for each in (scheme, oauth):
            error = await failure_of(clock, manager, each)
            assert len(list(chain(error))) > 1
            assert_shows_nothing(error, "hidden-password", "c3ZjOmhpZGRlbi1wYXNzd29yZA", "hidden-query")
