"""What a renewal leaves to be cleared away is nobody's wait."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asyncauth import RefreshPolicy, TokenManager
from asyncauth.testing import ManualClock, settle
from asyncauth_stores.memory import MemoryTokenStore
from scripted import Scripted
from worlds import Handle, text_of, worker_of


class SlowToLetGo(Handle):
    """Takes the mark of an attempt away only when it is told to."""

    let_go = False

    @asynccontextmanager
    async def hold(self, name: str, attempt: str) -> AsyncIterator[None]:
        del name, attempt
        yield
        while not self.let_go:
            await asyncio.sleep(0)


async def test_callers_have_their_token_before_the_mark_of_the_attempt_is_gone() -> None:
    async with SlowToLetGo(MemoryTokenStore(), ManualClock()) as store, TokenManager(store) as manager:
        scheme = Scripted()
        tokens = await asyncio.gather(*(manager.token(scheme) for _ in range(10)))
        assert {text_of(token) for token in tokens} == {"t1"}
        flight = worker_of(manager).slot(scheme).flight
        assert flight is not None

        # And who comes now waits for nothing either, but who needs another one does.
        assert text_of(await manager.token(scheme)) == "t1"
        longer = asyncio.create_task(manager.token(scheme, min_ttl=7200))
        await settle()
        store.let_go = True
        assert text_of(await longer) == "t1"  # what was issued just now satisfies any wish
        assert scheme.calls == 1


async def test_a_wish_that_no_token_fulfils_costs_one_renewal() -> None:
    # As if no token were ever too fresh to be renewed again.
    policy = RefreshPolicy(margin_share=1e-9)
    async with (
        SlowToLetGo(MemoryTokenStore(), ManualClock()) as store,
        TokenManager(store, policy=policy) as manager,
    ):
        scheme = Scripted()
        assert text_of(await manager.token(scheme, min_ttl=1e6)) == "t1"
        store.let_go = True
        await settle()
        assert scheme.calls == 1
