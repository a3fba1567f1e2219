"""A whole life of a Simplicité token, in every mode, after which nothing that is shown holds a secret."""

import asyncio
import logging
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from asyncauth import AuthError, AuthSession
from asyncauth.testing.emulators import Answer, Cut
from simplicite_samples import Instance, an_instance, call
from test_no_secrets_shown import _told

BACK = "http://localhost/back"

MODES: dict[str, dict[str, Any]] = {
    "basic": {},
    "form": {"login_with": "form"},
    "query": {"login_with": "query", "answer": "text"},
    "oauth2": {"answer": "oauth2"},
    "redirect": {"answer": "redirect", "redirect_uri": BACK},
    "url": {"send_in": "url", "whoami": True},
    "version 3": {"session_cookie": True, "idle_timeout": 300},
}


@pytest.fixture(autouse=True)
def _all_logs(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.DEBUG):
        yield


async def live(world: Instance, options: dict[str, Any], told: list[object]) -> list[str]:
    """Log in, call, fail in several ways, log out; return the secrets that were about."""
    scheme, manager = world.scheme(**options), world.worker()
    async with AuthSession(scheme, manager) as session:
        await call(session)
        token = await manager.token(scheme)
        assert token.access_token is not None
        text = token.access_token.reveal()
        secrets = [text, *(value.reveal() for value in token.cookies.values())]
        told += [scheme, token, manager, session, scheme.apply(token), await world.entry(scheme)]
        world.clock.step(60)
        world.vendor.faults.add(Cut(), on="api", times=2)
        with pytest.raises(aiohttp.ClientError) as cut:
            await call(session)
        told.append(cut.value)
        world.vendor.faults.clear()
        world.vendor.faults.add(Answer(410), on="api")
        response = await session.get("/rest/Customer")
        with pytest.raises(aiohttp.ClientResponseError) as gone:
            response.raise_for_status()
        told += [response, response.url, gone.value]
        await manager.forget(scheme)
        for fault in (Cut(when="after"), Answer(302, headers={"Location": f"{BACK}?x={text}"})):
            world.vendor.faults.add(fault, on="token", times=None)
            with pytest.raises(AuthError) as failed:
                await world.patiently(manager.token(scheme))
            told.append(failed.value)
            world.vendor.faults.clear()
            world.clock.step(200)
        await call(session)
    await manager.logout(scheme)
    return secrets


@pytest.mark.slow
@pytest.mark.parametrize("options", MODES.values(), ids=MODES.keys())
async def test_no_mode_shows_a_secret(options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    asyncio.get_running_loop().set_debug(True)
    told: list[object] = []
    profile = "v3" if "session_cookie" in options else "v6"
    async with an_instance(profile=profile, oauth2_over_http="allow") as world:
        secrets = await live(world, options, told)
        told += world.events
    secrets += ["svc-password", b64encode(b"svc:svc-password").decode()]
    errors = [each for each in told if isinstance(each, BaseException)]
    assert len(errors) == 4
    shown = caplog.text + repr(told) + "".join(map(str, told)) + "".join(map(_told, errors))
    assert [secret for secret in secrets if secret in shown] == []
