"""ClicRDV: every way in which a login or a key fails; what the caller is told, and that nothing is lost."""

import asyncio
import hashlib
import logging
import traceback
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from asyncauth import AuthError, CredentialRefusedError, RenewalFailedError, Token, TokenManager
from asyncauth.abc import AuthScheme
from asyncauth.testing import ManualClock
from asyncauth.testing.emulators import Answer, Cut, Fault, html_page
from clicrdv_world import FOREIGN, GROUPS, ClicWorld, a_clicrdv, ask

pytestmark = pytest.mark.slow

JSON = {"Content-Type": "application/json"}
OLD = Token(cookies={"_session_id": "old-session"}, idle_timeout=3600)
WHICH = "check e-mail and password of this pro, and the API key: ClicRDV does not say which"
KEYS = "sandbox and production have different keys"


async def failure_of(clock: ManualClock, manager: TokenManager, scheme: AuthScheme) -> AuthError:
    """Need a new session, and return what a caller is told."""
    asking = asyncio.create_task(manager.token(scheme))
    async with asyncio.timeout(10):
        while not asking.done():
            # Less than the shortest back-off: the failure may come before the time has moved on.
            await clock.advance(0.5)
            await asyncio.sleep(0.001)
    error = asking.exception()
    assert isinstance(error, AuthError)
    return error


async def fail(world: ClicWorld, **options: Any) -> AuthError:
    """Have an old session idle out, fail to open another one, and find the old one stored still."""
    manager, scheme = world.manager(), world.scheme(**options)
    await manager.put(scheme, OLD)
    world.clock.step(3600)
    error = await failure_of(world.clock, manager, scheme)
    stored = await world.entry(scheme)
    assert stored is not None
    assert stored.token == OLD
    calls = world.vendor.stats.token_calls
    with pytest.raises(type(error)):
        await world.manager().token(scheme)
    assert world.vendor.stats.token_calls == calls, "another worker tried the same again"
    return error


@pytest.mark.parametrize("knob", ["http401", "inband200", "http403"])
async def test_a_wrong_password_is_tried_once_and_said_to_be_one_of_three(knob: str) -> None:
    async with a_clicrdv(login_failure=knob) as world:
        error = await fail(world, password="mistaken")
        assert isinstance(error, CredentialRefusedError)
        assert WHICH in str(error)
        assert KEYS in str(error)
        assert str(error).endswith("Its words: Unknown e-mail or wrong password")
        assert world.vendor.stats.token_calls == 1


@pytest.mark.parametrize("knob", ["http401", "inband200", "http403"])
async def test_a_corrected_password_is_tried_at_once(knob: str) -> None:
    async with a_clicrdv(login_failure=knob) as world:
        await fail(world, password="mistaken")
        assert (await world.manager().token(world.scheme())).cookies.keys() == {"_session_id"}


@pytest.mark.parametrize(("status", "words"), [(401, WHICH), (403, WHICH), (404, "check the key")])
@pytest.mark.parametrize("apikey", ["sandbox-apikey", "unknown-apikey"])
async def test_a_wrong_api_key_is_not_called_a_wrong_password(status: Any, words: str, apikey: str) -> None:
    async with a_clicrdv(wrong_apikey=status) as world:
        error = await fail(world, apikey=apikey)
        assert isinstance(error, CredentialRefusedError)
        assert words in str(error)
        assert KEYS in str(error)
        assert ("password" in str(error)) == (status != 404)
        assert world.vendor.stats.token_calls == 1


async def test_a_production_key_in_the_sandbox_is_hinted_at() -> None:
    async with a_clicrdv(environment="sandbox") as world:
        error = await fail(world, environment="sandbox")
        assert KEYS in str(error)
        assert world.vendor.stats.refusals == {"wrong apikey": 1}


@pytest.mark.parametrize(
    ("status", "words"), [(400, "something on the way drops the query"), (401, WHICH), (403, WHICH)]
)
async def test_a_key_that_is_lost_on_the_way_is_hinted_at(status: Any, words: str) -> None:
    async with a_clicrdv(missing_apikey=status) as world:
        world.vendor.faults.add(Answer(status, b'{"error": "apikey is missing"}', JSON), on="token")
        error = await fail(world)
        assert isinstance(error, CredentialRefusedError)
        assert words in str(error)
        assert "Its words: apikey is missing" in str(error)


async def test_the_user_of_the_other_profile_is_refused_as_this_profile() -> None:
    async with a_clicrdv() as world:
        error = await fail(world, profile="account")
        assert "check e-mail and password of this account" in str(error)


TROUBLE: dict[str, tuple[Fault, str]] = {
    "a page with 200": (html_page(200), "HTML page"),
    "a page with 404": (html_page(404), "check the base URL"),
    "a redirect": (Answer(302, b"", {"Location": "/login"}), "check the base URL"),
    "no cookie": (Answer(200, b'{"pro": {"id": 9}, "error": null}', JSON), "no _session_id cookie"),
    "no profile": (Answer(200, b'{"error": null}', JSON), "holds no pro"),
    "not JSON": (Answer(200, b"ok", JSON), "is not JSON"),
    "a gateway": (html_page(504), "504"),
    "a cut connection": (Cut(), "cut"),
    "an answer lost": (Cut(when="after"), "cut"),
}


@pytest.mark.parametrize(("fault", "words"), TROUBLE.values(), ids=TROUBLE.keys())
async def test_what_is_no_answer_of_a_login_is_told_and_tried_again_later(fault: Fault, words: str) -> None:
    async with a_clicrdv() as world:
        world.vendor.faults.add(fault, on="token", times=None)
        error = await fail(world)
        assert isinstance(error, RenewalFailedError)
        assert words in str(error)
        world.vendor.faults.clear()
        world.clock.step(120)
        assert (await world.manager().token(world.scheme())).cookies != OLD.cookies


async def test_a_clear_refusal_is_the_callers_where_the_login_fails() -> None:
    async with a_clicrdv(unauth_mode="401_no_challenge") as world, world.session() as session:
        await ask(session)
        world.end_all_sessions()
        world.vendor.pros["pro@example.com"].password = "changed"
        assert (await ask(session))[0] == 401
        with pytest.raises(CredentialRefusedError, match="check e-mail and password"):
            await ask(session)
        assert world.vendor.stats.token_calls == 2


@pytest.mark.parametrize("mode", ["403", "404"])
async def test_a_dead_sessions_404_is_never_mistaken_for_a_missing_object_where_the_login_fails(
    mode: str,
) -> None:
    async with a_clicrdv(unauth_mode=mode) as world, world.session() as session:
        await ask(session)
        world.end_all_sessions()
        world.vendor.pros["pro@example.com"].password = "changed"
        with pytest.raises(CredentialRefusedError, match="check e-mail and password"):
            await ask(session)
        assert world.vendor.stats.token_calls == 2


@pytest.mark.parametrize("mode", ["403", "404", "302_login_html"])
async def test_a_session_that_the_probe_found_dead_is_not_sent_again(mode: str) -> None:
    async with a_clicrdv(unauth_mode=mode) as world, world.session() as session:
        await ask(session)
        world.end_all_sessions()
        world.vendor.pros["pro@example.com"].password = "changed"
        for _ in range(3):
            with suppress(CredentialRefusedError):
                await ask(session, allow_redirects=False)
        assert world.targets() == ["sessions/login", "groups", "groups", "groups.json", "sessions/login"]


async def test_an_api_key_that_is_disabled_later_is_refused_by_name() -> None:
    async with a_clicrdv() as world, world.session() as session:
        await ask(session)
        world.clock.step(60)
        world.vendor.apikeys.clear()
        with suppress(CredentialRefusedError):
            await ask(session)
        with pytest.raises(CredentialRefusedError, match="API key"):
            await ask(session)
        assert world.vendor.stats.token_calls == 2


async def test_where_the_probe_fails_no_404_is_handed_out_and_the_session_stays_in_use() -> None:
    async with a_clicrdv() as world, world.session() as session:
        await ask(session)
        world.clock.step(60)
        foreign = Answer(404, b'{"error": "Not Found"}', JSON)
        world.vendor.faults.add(foreign, on="api")
        world.vendor.faults.add(Answer(400, b'{"error": "Bad Request"}', JSON), on="api")
        with pytest.raises(RenewalFailedError, match="check probe_path"):
            await ask(session, FOREIGN)
        assert (await ask(session))[0] == 200
        assert world.vendor.stats.token_calls == 1


@pytest.fixture
def _all_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG), caplog.at_level(logging.DEBUG, "asyncauth"):
        yield


@pytest.mark.usefixtures("_all_logs")
@pytest.mark.parametrize("login_in", ["body", "query"])
@pytest.mark.parametrize("knob", ["http401", "inband200", "http403"])
async def test_neither_the_api_key_nor_the_password_nor_its_sha1_is_shown(
    knob: str, login_in: str, caplog: pytest.LogCaptureFixture
) -> None:
    asyncio.get_running_loop().set_debug(True)
    told: list[str] = []
    async with (
        a_clicrdv(login_failure=knob, unauth_mode="401_no_challenge") as world,
        world.session(login_in=login_in) as session,
    ):
        await ask(session)
        for path in (GROUPS, FOREIGN):
            response = await session.get(path)
            told += [repr(response), repr(response.request_info), str(response.url), repr(response.cookies)]
            if response.status == 404:
                with pytest.raises(aiohttp.ClientResponseError) as refused:
                    response.raise_for_status()
                told += [_told(refused.value)]
            response.release()
        world.vendor.faults.add(Cut(), on="api", times=2)
        with pytest.raises(aiohttp.ClientError) as cut:
            await ask(session)
        told += [_told(cut.value)]
        world.end_all_sessions()
        world.vendor.pros["pro@example.com"].password = "changed"
        await ask(session)
        with pytest.raises(CredentialRefusedError) as failed:
            await ask(session)
        told += [_told(failed.value), repr(session), repr(world.scheme(login_in=login_in))]
        sids = {sid.partition("=")[2] for sid in world.sids()}
    digest = hashlib.sha1(b"pro-password", usedforsecurity=False).hexdigest()
    secrets = ["production-apikey", "pro-password", digest, *sids]
    assert len(secrets) >= 4
    assert caplog.records
    text = caplog.text + "".join(told)
    assert [secret for secret in secrets if secret in text] == []


def _told(error: BaseException) -> str:
    return repr(error) + str(error) + "".join(traceback.format_exception(error))
