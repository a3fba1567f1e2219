"""Sessions of Simplicité that end when nobody uses them, shared by several workers on one store."""

from contextlib import AsyncExitStack
from typing import Any

import pytest

from asyncauth import AuthSession
from simplicite_samples import Instance, an_instance, call

pytestmark = pytest.mark.slow

KINDS: dict[str, dict[str, Any]] = {
    "version 3": {"profile": "v3"},
    "tokens that end with their session": {"profile": "v5_1", "usertokens": False},
}
kinds = pytest.mark.parametrize("knobs", KINDS.values(), ids=KINDS.keys())


async def workers(
    stack: AsyncExitStack, world: Instance, count: int = 2, **options: Any
) -> list[AuthSession]:
    """Open sessions of several workers, each of which has used the same session already."""
    scheme = world.scheme(session_cookie=world.vendor.profile == "v3", idle_timeout=300, **options)
    sessions = [await stack.enter_async_context(AuthSession(scheme, world.worker())) for _ in range(count)]
    for session in sessions:
        assert (await call(session))[0] == 200
    assert len(world.asked("login")) == 1
    return sessions


@kinds
async def test_the_end_of_an_idle_session_costs_one_login_and_no_401(knobs: dict[str, Any]) -> None:
    async with an_instance(**knobs) as world, AsyncExitStack() as stack:
        sessions = await workers(stack, world)
        for ended in (1, 2, 3):
            await world.let_pass(300)
            assert [(await call(session))[0] for session in sessions] == [200, 200]
            assert len(world.asked("login")) == ended + 1
        assert world.vendor.stats.refusals == {}
        assert world.asked("rest") == []


@kinds
async def test_one_workers_calls_keep_the_session_for_all(knobs: dict[str, Any]) -> None:
    async with an_instance(**knobs) as world, AsyncExitStack() as stack:
        busy, idle = await workers(stack, world)
        for _ in range(10):
            await world.let_pass(200)
            assert (await call(busy))[0] == 200
        assert (await call(idle))[0] == 200
        assert len(world.asked("login")) == 1
        assert world.vendor.stats.refusals == {}


@kinds
async def test_calls_do_not_keep_a_token_beyond_its_hard_end(knobs: dict[str, Any]) -> None:
    async with an_instance(token_duration=1000, **knobs) as world, AsyncExitStack() as stack:
        (session,) = await workers(stack, world, 1)
        used = []
        for _ in range(7):
            await world.let_pass(150)
            used.append((await call(session))[1]["serial"])
        assert used == [1, 1, 1, 1, 1, 1, 2]


@kinds
async def test_one_of_the_workers_keeps_a_session_alive(knobs: dict[str, Any]) -> None:
    async with an_instance(**knobs) as world, AsyncExitStack() as stack:
        sessions = await workers(stack, world, 3, keep_alive=True)
        await world.let_pass(3000)
        # A probe each 0.6 to 0.85 of what is left of 300 s after the margin: by whoever is first.
        assert 3000 / 285 <= len(world.asked("rest")) <= 3000 / 165
        assert set(world.asked("rest")) == {"/api/rest?session=true"}
        assert [(await call(session))[0] for session in sessions] == [200] * 3
        assert len(world.asked("login")) == 1
        assert world.vendor.stats.refusals == {}


@kinds
async def test_a_session_that_calls_keep_alive_needs_no_probe(knobs: dict[str, Any]) -> None:
    async with an_instance(**knobs) as world, AsyncExitStack() as stack:
        busy, _ = await workers(stack, world, 2, keep_alive=True)
        for _ in range(20):
            await world.let_pass(100)
            assert (await call(busy))[0] == 200
        assert world.asked("rest") == []


async def test_a_kept_session_lives_until_its_hard_end() -> None:
    async with an_instance(profile="v3", token_duration=2000) as world, AsyncExitStack() as stack:
        session, _ = await workers(stack, world, 2, keep_alive=True)
        await world.let_pass(1900)
        assert (await call(session))[1]["serial"] == 1
        await world.let_pass(150)
        assert (await call(session))[1]["serial"] == 2
        assert len(world.asked("login")) == 2


async def test_a_worker_that_is_alone_keeps_its_session_alive() -> None:
    async with an_instance(profile="v3") as world, AsyncExitStack() as stack:
        (session,) = await workers(stack, world, 1, keep_alive=True)
        await world.let_pass(1000)
        assert (await call(session))[0] == 200
        assert len(world.asked("login")) == 1


async def test_a_probe_that_finds_the_token_deleted_has_it_replaced_once() -> None:
    async with an_instance(profile="v3") as world, AsyncExitStack() as stack:
        sessions = await workers(stack, world, 2, keep_alive=True)
        entry = await world.entry(world.scheme())
        assert entry is not None
        assert entry.token.access_token is not None
        world.vendor.revoke_access(entry.token.access_token)
        await world.let_pass(300)
        assert [(await call(session))[1]["serial"] for session in sessions] == [2, 2]
        assert len(world.asked("login")) == 2


async def test_without_an_idle_limit_nobody_probes() -> None:
    async with an_instance() as world, AsyncExitStack() as stack:
        session = await stack.enter_async_context(AuthSession(world.scheme(), world.worker()))
        await call(session)
        await world.let_pass(3000)
        assert (await call(session))[0] == 200
        assert world.asked("rest") == []
        assert len(world.asked("login")) == 1
