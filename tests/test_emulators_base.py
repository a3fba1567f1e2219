"""What all emulators share: server, clock, counters, records, faults."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from yarl import URL

from asyncauth import _errors
from asyncauth._clock import SystemClock
from asyncauth.testing import ManualClock, emulators
from asyncauth.testing.emulators import (
    GATEWAY_504_HTML,
    Answer,
    Connection,
    Cut,
    Hold,
    Latency,
    MovableClock,
    OAuth2Emulator,
    html_page,
)
from asyncauth.testing.emulators._faults import When
from emulator_http import Client, Got, open_client

GRANT = {"grant_type": "client_credentials"}
APP = ("app", "app-secret")


@pytest.fixture
async def http() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


@pytest.fixture
async def vendor() -> AsyncIterator[OAuth2Emulator]:
    async with OAuth2Emulator(clock=ManualClock()) as server:
        yield server


async def login(http: Client, vendor: OAuth2Emulator) -> Got:
    return await http.form(vendor.token_url, GRANT, APP)


def test_every_exported_name_exists() -> None:
    assert sorted(emulators.__all__) == sorted(set(emulators.__all__))
    assert all(hasattr(emulators, name) for name in emulators.__all__)


async def test_an_emulator_listens_on_loopback_only_while_it_is_entered(http: Client) -> None:
    vendor = OAuth2Emulator()
    with pytest.raises(_errors.ClosedError, match="OAuth2Emulator"):
        _ = vendor.url
    async with vendor:
        url = vendor.token_url
        assert url.host == "127.0.0.1"
        assert (await login(http, vendor)).status == 200
    with pytest.raises(aiohttp.ClientConnectorError):
        await http.get(url)
    with pytest.raises(_errors.ClosedError):
        _ = vendor.url


async def test_an_emulator_can_be_entered_again_and_keeps_its_state(http: Client) -> None:
    vendor = OAuth2Emulator()
    async with vendor:
        token = (await login(http, vendor)).data["access_token"]
    async with vendor:
        assert (await http.get(vendor.api_url / "x", token)).status == 200


def test_a_movable_clock_is_its_base_plus_what_was_added() -> None:
    base = ManualClock(start=1000.0)
    clock = MovableClock(base)
    clock.advance(5)
    base.step(2)
    assert clock.wall() == 1007.0
    assert clock.monotonic() == base.monotonic() + 5


async def test_a_movable_clock_passes_by_itself_on_the_machines_clock() -> None:
    clock = OAuth2Emulator().clock
    assert abs(clock.wall() - SystemClock().wall()) < 1
    async with clock.timeout(5):
        await clock.sleep(0)


async def test_two_emulators_may_share_one_movable_clock() -> None:
    clock = MovableClock(ManualClock())
    assert OAuth2Emulator(clock=clock).clock is clock


async def test_requests_are_recorded_byte_for_byte(http: Client, vendor: OAuth2Emulator) -> None:
    url = URL(f"{vendor.api_url}?a=%5B1%5D&b=+", encoded=True)
    await http.call("PUT", url, data=b"\x00body", headers={"X-One": "1"})
    request = vendor.requests[-1]
    assert request.method == "PUT"
    assert request.path_qs == "/api?a=%5B1%5D&b=+"
    assert request.headers["x-one"] == "1"
    assert (request.body, request.size) == (b"\x00body", 5)
    assert repr(request) == "<PUT /api>"


async def test_recording_can_be_off(http: Client) -> None:
    async with OAuth2Emulator(record=False) as vendor:
        await login(http, vendor)
        assert (len(vendor.requests), vendor.stats.requests) == (0, 1)


async def test_statistics_tell_token_calls_from_api_calls_and_others(
    http: Client, vendor: OAuth2Emulator
) -> None:
    token = (await login(http, vendor)).data["access_token"]
    await http.get(vendor.api_url / "x", token)
    await http.get(vendor.api_url / "x")
    assert (await http.get(vendor.url / "nowhere")).status == 404
    stats = vendor.stats
    assert (stats.requests, stats.token_calls, stats.tokens_issued, stats.api_calls) == (4, 1, 1, 2)
    assert stats.refusals == {"missing": 1}


async def test_a_wrong_method_is_405_and_names_the_right_one(http: Client, vendor: OAuth2Emulator) -> None:
    got = await http.get(vendor.token_url)
    assert (got.status, got.headers["Allow"]) == (405, "POST")


async def test_latency_waits_on_the_emulators_clock(http: Client) -> None:
    clock = ManualClock()
    async with OAuth2Emulator(clock=clock) as vendor:
        hold = Hold()
        vendor.faults.add(hold, Latency(30), on="token")
        call = asyncio.create_task(login(http, vendor))
        await hold.arrived.wait()
        hold.release()
        await clock.advance(29)
        assert not call.done()
        assert vendor.stats.tokens_issued == 0
        await clock.advance(1)
        assert (await call).status == 200


async def test_a_status_fault_keeps_the_vendor_from_acting(http: Client, vendor: OAuth2Emulator) -> None:
    vendor.faults.add(Answer(503, b"busy", {"Retry-After": "7"}), on="token")
    got = await login(http, vendor)
    assert (got.status, got.body, got.headers["Retry-After"]) == (503, b"busy", "7")
    assert (vendor.stats.token_calls, vendor.stats.tokens_issued, vendor.faults.struck) == (1, 0, 1)
    assert (await login(http, vendor)).status == 200


async def test_a_status_fault_after_acting_hides_what_was_done(http: Client, vendor: OAuth2Emulator) -> None:
    vendor.faults.add(Answer(502, when="after"), on="token")
    assert (await login(http, vendor)).status == 502
    assert vendor.stats.tokens_issued == 1


@pytest.mark.parametrize(("when", "issued"), [("before", 0), ("after", 1)])
async def test_a_cut_connection_gives_no_answer(
    http: Client, vendor: OAuth2Emulator, when: When, issued: int
) -> None:
    vendor.faults.add(Cut(when=when), on="token")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await login(http, vendor)
    assert (vendor.stats.token_calls, vendor.stats.tokens_issued) == (1, issued)


@pytest.mark.parametrize("fault", [html_page(), html_page(504), GATEWAY_504_HTML])
async def test_a_page_answers_for_the_vendor(http: Client, vendor: OAuth2Emulator, fault: Answer) -> None:
    vendor.faults.add(fault, on="token")
    got = await login(http, vendor)
    assert got.status == fault.status
    assert got.headers["Content-Type"] == "text/html"
    assert got.body.startswith(b"<html>")


@pytest.mark.parametrize("body", [b"", b"[]", b'{"access_token": "a\\nb"}', b"\xff\xfe"])
async def test_any_body_comes_with_200(http: Client, vendor: OAuth2Emulator, body: bytes) -> None:
    vendor.faults.add(Answer(200, body, {"Content-Type": "application/json"}), on="token")
    got = await login(http, vendor)
    assert (got.status, got.body) == (200, body)


async def test_a_hold_hangs_until_it_is_released(http: Client, vendor: OAuth2Emulator) -> None:
    hold = Hold()
    vendor.faults.add(hold, on="token")
    call = asyncio.create_task(login(http, vendor))
    await hold.arrived.wait()
    assert vendor.stats.tokens_issued == 0
    hold.release()
    assert (await call).status == 200


async def test_a_released_request_is_processed_though_its_client_has_gone(
    http: Client, vendor: OAuth2Emulator
) -> None:
    hold, done = Hold(), Hold(when="after")
    vendor.faults.add(hold, done, on="token")
    call = asyncio.create_task(login(http, vendor))
    await hold.arrived.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    hold.release()
    await done.arrived.wait()
    assert vendor.stats.tokens_issued == 1
    done.release()


async def test_a_dropped_request_is_never_processed(http: Client, vendor: OAuth2Emulator) -> None:
    hold = Hold()
    vendor.faults.add(hold, on="token")
    call = asyncio.create_task(login(http, vendor))
    await hold.arrived.wait()
    hold.drop()
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await call
    assert vendor.stats.tokens_issued == 0


def test_a_connection_that_is_gone_can_still_be_cut() -> None:
    assert Connection(SystemClock(), None).cut().body == b""


async def test_faults_strike_their_own_scope_in_order_and_count_down(
    http: Client, vendor: OAuth2Emulator
) -> None:
    vendor.faults.add(Answer(500), on="api", times=2)
    vendor.faults.add(Answer(501), on="api")
    vendor.faults.add(Answer(599), on="other")
    assert (await login(http, vendor)).status == 200
    statuses = [(await http.get(vendor.api_url / "x")).status for _ in range(4)]
    assert statuses == [500, 500, 501, 401]
    assert (await http.get(vendor.url / "elsewhere")).status == 599


async def test_a_standing_fault_serves_when_no_counted_one_waits(
    http: Client, vendor: OAuth2Emulator
) -> None:
    vendor.faults.add(Answer(503), on="token", times=None)
    vendor.faults.add(Answer(502), on="token")
    assert [(await login(http, vendor)).status for _ in range(3)] == [502, 503, 503]
    vendor.faults.clear()
    assert (await login(http, vendor)).status == 200


async def test_faults_of_one_addition_strike_the_same_request(http: Client, vendor: OAuth2Emulator) -> None:
    vendor.faults.add(Latency(0), Cut(when="after"), on="token")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await login(http, vendor)
    assert (await login(http, vendor)).status == 200


async def test_the_server_ends_at_once_with_requests_under_way(http: Client) -> None:
    holds = [Hold() for _ in range(3)]
    async with OAuth2Emulator() as vendor:
        for hold in holds:
            vendor.faults.add(hold, on="token")
        calls = [asyncio.create_task(login(http, vendor)) for _ in holds]
        await asyncio.gather(*[hold.arrived.wait() for hold in holds])
        start = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - start < 0.5
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(result, aiohttp.ClientError) for result in results)
