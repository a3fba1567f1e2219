"""`KillPoint` without killing: it acts once, at the moment that it names, and passes everything on."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import attrs
import pytest

from asyncauth import (
    AuthorizationRequiredError,
    ConfigurationError,
    StoreUnavailableError,
    Token,
    TokenManager,
)
from asyncauth._codec import encode
from asyncauth.abc import TokenStore
from asyncauth.schemes import ClientCredentials, RefreshToken
from asyncauth.testing import STORE_CHECKS, KillPoint, ManualClock, Moment, StoreCheck
from asyncauth.testing.emulators import OAuth2Emulator
from asyncauth_stores.file import PlainFileStore
from asyncauth_stores.memory import MemoryTokenStore
from makers import a_lease, a_record


@attrs.frozen(eq=False)
class World:
    """A vendor, and a place for its tokens."""

    vendor: OAuth2Emulator
    place: MemoryTokenStore
    clock: ManualClock

    def service(self) -> ClientCredentials:
        return ClientCredentials(self.vendor.token_url, client_id="app", client_secret="app-secret")

    def user(self) -> RefreshToken:
        return RefreshToken(self.vendor.token_url, client_id="app", client_secret="app-secret", subject="ada")

    async def renew(self, point: KillPoint, scheme: ClientCredentials | RefreshToken) -> Token:
        async with point.client() as client, point.store(self.place) as store:
            manager = TokenManager(store, client=client, clock=self.clock)
            if isinstance(scheme, RefreshToken):
                await manager.put(scheme, attrs.evolve(self.vendor.authorize("ada"), expires_in=1))
                self.clock.step(10)
            return await manager.token(scheme)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    clock = ManualClock()
    async with OAuth2Emulator(clock=clock) as vendor:
        yield World(vendor, MemoryTokenStore(clock=clock), clock)


@pytest.mark.parametrize("who", ["service", "user"])
async def test_all_moments_pass_in_their_order_once_per_renewal(
    world: World, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    passed: list[Moment] = []
    monkeypatch.setattr(KillPoint, "pass_by", lambda _, moment: passed.append(moment))
    await world.renew(KillPoint(None), getattr(world, who)())

    assert passed == list(Moment)


@pytest.mark.parametrize("moment", Moment)
async def test_the_vendor_has_acted_from_the_moment_on_at_which_the_request_was_sent(
    world: World, moment: Moment
) -> None:
    seen: list[int] = []
    await world.renew(
        KillPoint(moment, lambda: seen.append(world.vendor.stats.tokens_issued)), world.service()
    )

    before = list(Moment).index(moment) <= list(Moment).index(Moment.REQUEST_SENT)
    assert seen == [0 if before else 1]


async def test_requests_without_a_body_are_seen_as_well(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[Moment] = []
    monkeypatch.setattr(KillPoint, "pass_by", lambda _, moment: passed.append(moment))
    async with KillPoint(None).client() as client:
        for method in ("GET", "POST"):
            async with client.request(method, world.vendor.url / "nothing") as response:
                await response.read()

    assert passed == [Moment.REQUEST_SENT, Moment.ANSWER_RECEIVED] * 2


def _fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("moment", [Moment.BEFORE_LEASE, Moment.LEASE_GRANTED])
async def test_what_is_raised_at_the_store_is_the_stores_error(moment: Moment) -> None:
    point = KillPoint(moment, lambda: _fail(StoreUnavailableError("so it was said")))
    async with point.store(MemoryTokenStore()) as store:
        granted = encode(a_record(lease=a_lease()))
        with pytest.raises(StoreUnavailableError, match="so it was said"):
            await store.write("name", granted, await store.read("name"))

        assert (await store.read("name")).value == (None if moment is Moment.BEFORE_LEASE else granted)


async def test_what_is_raised_at_the_answer_is_a_lost_answer(world: World) -> None:
    point = KillPoint(Moment.ANSWER_RECEIVED, lambda: _fail(ConnectionResetError()))
    task = asyncio.create_task(world.renew(point, world.user()))
    async with asyncio.timeout(5):
        while not task.done():
            await world.clock.advance(1)
            await asyncio.sleep(0.001)
    with pytest.raises(AuthorizationRequiredError, match="invalid_grant"):
        task.result()

    # Sent once more after the quiet time, as PROTOCOL.md says of lost answers.
    assert (world.vendor.stats.token_calls, world.vendor.stats.reuses_detected) == (2, 1)


async def test_a_moment_may_be_skipped_and_happens_once() -> None:
    acted: list[int] = []
    point = KillPoint(Moment.COMMITTED, lambda: acted.append(len(acted)), skip=1)
    point.pass_by(Moment.COMMITTED)
    point.pass_by(Moment.BEFORE_LEASE)
    assert acted == []
    point.pass_by(Moment.COMMITTED)
    point.pass_by(Moment.COMMITTED)
    point.pass_by(Moment.COMMITTED)

    assert acted == [0]


@pytest.mark.parametrize("moment", Moment)
def test_a_kill_point_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, moment: Moment) -> None:
    sent: list[tuple[int, signal.Signals]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    for text in (f"kill {moment.value}", f"stop {moment.value} #2"):
        monkeypatch.setenv("ASYNCAUTH_KILL_POINT", text)
        point = KillPoint.from_environment()
        point.pass_by(moment)
        point.pass_by(moment)

    assert sent == [(os.getpid(), signal.SIGKILL), (os.getpid(), signal.SIGSTOP)]


def test_without_the_environment_variable_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASYNCAUTH_KILL_POINT", raising=False)
    monkeypatch.setattr(os, "kill", lambda *_: _fail(AssertionError("killed")))
    point = KillPoint.from_environment()

    for moment in Moment:
        point.pass_by(moment)


@pytest.mark.parametrize(
    "text",
    ["kill", "before commit", "end before commit", "kill sometimes", "kill committed #0", "stop  committed"],
)
def test_a_text_that_is_no_kill_point_is_refused_with_those_that_there_are(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"'kill' or 'stop', then one of before lease, .*#2"):
        KillPoint.parse(text)


@pytest.mark.slow
@pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
async def test_a_watched_store_keeps_every_promise_of_its_inner_one(
    check: StoreCheck, tmp_path: Path
) -> None:
    def watched(namespace: str = "asyncauth") -> AbstractAsyncContextManager[TokenStore]:
        return KillPoint(None).store(PlainFileStore(tmp_path, namespace=namespace))

    await check(watched)
