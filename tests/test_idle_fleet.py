"""Workers that use one session at any times: none is used after its end, or given up long before it."""

import asyncio
import random

import attrs
import pytest
from aiohttp import web

from asyncauth import RefreshPolicy, Token
from asyncauth.testing import settle
from crew import Crew, a_crew
from scripted import idling

LIMIT = 600
SERVES = LIMIT - RefreshPolicy().idle_margin_for(LIMIT)
UNTOLD = LIMIT / 10


@attrs.define(eq=False)
class Vendor:
    """Ends a session that nobody uses.

    Attributes:
        crew: Whose clock.
        used_at: When each session was used last.
        idle_before: How long the session before each login had not been used.
    """

    crew: Crew
    used_at: dict[str, float] = attrs.field(factory=dict)
    idle_before: list[float] = attrs.field(factory=list)

    def log_in(self, number: int) -> Token:
        now = self.crew.clock.monotonic()
        self.idle_before += [now - self.used_at[f"t{number - 1}"]] if number > 1 else []
        self.used_at[f"t{number}"] = now
        return idling(number)

    def alive(self) -> bool:
        return self._use(max(self.used_at, key=lambda token: int(token[1:])))

    async def answer(self, request: web.BaseRequest) -> web.Response:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        return web.Response(status=200 if self._use(token) else 401)

    def _use(self, token: str) -> bool:
        now = self.crew.clock.monotonic()
        if now - self.used_at[token] >= LIMIT:
            return False
        self.used_at[token] = now
        return True


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("keep_alive", [False, True])
async def test_no_session_is_used_after_its_end_or_given_up_long_before(
    seed: int, *, keep_alive: bool
) -> None:
    draw = random.Random(seed)  # noqa: S311 - no secret
    async with a_crew() as crew:
        vendor = Vendor(crew)
        crew.site.paths["/session"] = vendor.answer
        scheme = crew.scheme(answer=vendor.log_in, probes=vendor.alive, keep_alive=keep_alive)
        mates = [crew.join(scheme) for _ in range(3)]
        for _ in range(60):
            some = draw.sample(mates, draw.randint(1, 3))
            assert await asyncio.gather(*(mate.ask("session") for mate in some)) == [200] * len(some)
            await settle()
            await crew.clock.advance(draw.choice([1, 20, 50, 61, 100, 300, 500, SERVES - 1, LIMIT]))
        assert all(idle >= SERVES - UNTOLD for idle in vendor.idle_before)
        assert len(vendor.idle_before) == scheme.calls - 1
        if keep_alive:
            assert scheme.calls == 1
        else:
            assert scheme.calls > 1
