"""A vendor without sockets: what it issues, spends and revokes, and everything that goes wrong on the way."""

import asyncio
import json
from collections import deque
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl

import aiohttp
import attrs

from asyncauth import Token
from model_vendor import Kind, Vendor

LIFE = 600.0
"""Seconds that an access token lives."""
_FAILURES = {"5xx": 503, "429": 429}
_REFUSAL = b'{"error": "invalid_grant"}'


def number_in(text: str) -> int:
    """Return the number of the token that a secret, or a header, holds."""
    return int(text.rpartition("-")[2])


@attrs.frozen
class Reply:
    """An answer on its way."""

    status: int
    body: bytes = b""


@attrs.define(eq=False)
class Sender:
    """One worker, as the vendor knows it.

    Attributes:
        process: The worker's.
        received: The numbers of the tokens that it was sent, or surely will be.
        owed: Whether the vendor may still issue a token for it, or has one on its way.
    """

    process: str
    received: set[int] = attrs.field(factory=set)
    owed: bool = False


class Fates(Protocol):
    """What the vendor asks about the world around it."""

    def at_vendor(self, what: str) -> None:
        """Hear that a token request arrives, or was answered; may do something to its sender."""

    def sent(self, process: str, body: str) -> None:
        """Hear that a worker sends a token request."""

    def processed(self, grant: str, number: int | None) -> None:
        """Hear what the vendor made of a request; none is `invalid_grant`."""

    def crashed_at(self, process: str) -> float | None:
        """Return when a process was killed."""

    def latency(self) -> float:
        """Return how long a message is under way."""
        ...


@attrs.define(eq=False)
class SimVendor:
    """The vendor's end.

    Attributes:
        kind: How it behaves.
        fates: The world around it.
        quiet: Seconds for which it may still process a request whose sender is gone.
        faults: What goes wrong with the next token requests, each with the seconds that it takes.
        tokens: What was issued, spent and revoked.
        ends: When each access token ends.
        mistaken: The living refresh tokens that were refused by mistake.
        latest: The family of the authorization that a person gave last.
    """

    kind: Kind
    fates: Fates
    quiet: float
    faults: deque[tuple[str, float]] = attrs.field(factory=deque)
    tokens: Vendor = attrs.field(init=False)
    ends: dict[int, float] = attrs.field(factory=dict)
    mistaken: set[int] = attrs.field(factory=set)
    latest: int = 0

    def __attrs_post_init__(self) -> None:
        self.tokens = Vendor(self.kind)

    def authorize(self) -> Token:
        """Have a person authorize: the beginning of a new family."""
        number = self.tokens.login()
        self.latest = number
        return Token(**self._issued(number))

    def revoke(self) -> None:
        """End all access tokens before their time."""
        self.tokens.ended |= self.ends.keys()

    def honours(self, number: int) -> bool:
        """Tell whether an access token works."""
        now = asyncio.get_running_loop().time()
        return number not in self.tokens.ended and now < self.ends[number]

    def living(self) -> frozenset[int]:
        """Return the refresh tokens that work, of the newest authorization."""
        return frozenset(n for n in self.tokens.living if self.tokens.families[n - 1] >= self.latest)

    def _issued(self, number: int) -> dict[str, Any]:
        self.ends[number] = asyncio.get_running_loop().time() + LIFE
        refresh = {"refresh_token": f"refresh-{number}"} if self.kind.refreshable else {}
        return {"access_token": f"access-{number}", "expires_in": LIFE, **refresh}

    async def answer(self, body: bytes, sender: Sender, reply: "asyncio.Future[Reply]") -> None:
        """Receive a token request, and answer it unless something goes wrong."""
        fault, seconds = self.faults.popleft() if self.faults else ("", 0.0)
        grant = dict(parse_qsl(body.decode())).get("refresh_token", "login")
        await asyncio.sleep(self.fates.latency())
        if fault == "unsent":
            nobody = cast("Any", None)
            return _fail(sender, reply, aiohttp.ClientConnectorError(nobody, OSError(111, "refused")))
        self.fates.at_vendor(f"{grant} {fault}".rstrip())
        if fault == "mistaken" and grant != "login":
            self.mistaken.add(number_in(grant))
            return await self._reply(sender, reply, Reply(400, _REFUSAL))
        if fault in _FAILURES:
            return await self._reply(sender, reply, Reply(_FAILURES[fault]))
        if fault == "dropped":
            return _fail(sender, reply, aiohttp.ServerDisconnectedError())
        if fault == "delayed":
            await self._delay(sender, seconds)
        return await self._process_and_reply(grant, sender, reply, fault, seconds)

    async def _process_and_reply(
        self, grant: str, sender: Sender, reply: "asyncio.Future[Reply]", fault: str, seconds: float
    ) -> None:
        processed = self._process(grant)
        if fault == "processed 5xx":
            return await self._reply(sender, reply, Reply(503))
        if fault == "answer lost":
            return _fail(sender, reply, aiohttp.ServerDisconnectedError())
        if fault == "answer hangs":
            sender.owed = False
            return None
        number = number_in(json.loads(processed.body).get("access_token", "-0"))
        if not reply.done():
            sender.received.add(number)  # it waits, and will have it
        await asyncio.sleep(seconds if fault == "late" else 0.0)
        if reply.done():
            sender.received.discard(number)
        return await self._reply(sender, reply, processed)

    async def _reply(self, sender: Sender, reply: "asyncio.Future[Reply]", value: Reply) -> None:
        await asyncio.sleep(self.fates.latency())
        if not reply.done():
            reply.set_result(value)
        sender.owed = False
        self.fates.at_vendor(f"answers {value.status}")

    async def _delay(self, sender: Sender, seconds: float) -> None:
        """Wait before processing, for no longer than `quiet` after the sender is gone."""
        due = asyncio.get_running_loop().time() + seconds
        while (now := asyncio.get_running_loop().time()) < due:
            crashed_at = self.fates.crashed_at(sender.process)
            if crashed_at is not None:
                due = min(due, crashed_at + self.quiet - 1)
            await asyncio.sleep(max(min(0.5, due - now), 0.0))

    def _process(self, grant: str) -> Reply:
        if grant == "login":
            number: int | None = self.tokens.login()
        else:
            number = self.tokens.refresh(number_in(grant), int(asyncio.get_running_loop().time() * 1000))
        self.fates.processed(grant, number)
        if number is None:
            return Reply(400, _REFUSAL)
        return Reply(200, json.dumps(self._issued(number)).encode())


def _fail(sender: Sender, reply: "asyncio.Future[Reply]", error: Exception) -> None:
    sender.owed = False
    if not reply.done():
        reply.set_exception(error)
        _ = reply.exception()  # nobody may be left to hear of it
