"""Fault injection: what may go wrong between a vendor and its clients, as values.

```python
vendor.faults.add(Latency(0.3), on="token")                 # the next token call is slow
vendor.faults.add(Cut(when="after"), on="token", times=2)   # acts, then the answer is lost; twice
vendor.faults.add(Answer(503), on="api", times=None)        # until `vendor.faults.clear()`
```
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from typing import Literal, TypeAlias, final

import attrs

from asyncauth._clock import Clock
from asyncauth.testing.emulators._messages import Reply

Scope: TypeAlias = Literal["token", "api", "other"]
When: TypeAlias = Literal["before", "after"]


@final
@attrs.frozen
class Connection:
    """What a fault can do to the connection that a request came on.

    Attributes:
        clock: The emulator's clock.
    """

    clock: Clock
    _transport: asyncio.Transport | None

    def cut(self) -> Reply:
        """Close the connection at once; the returned reply reaches nobody."""
        if self._transport is not None:
            # Not `close`, which would still send what is buffered.
            self._transport.abort()
        return Reply()


class Fault(ABC):
    """Something that goes wrong with one request, before or after the vendor acted on it."""

    __slots__ = ()

    when: When

    @abstractmethod
    async def strike(self, connection: Connection) -> Reply | None:
        """Go wrong. A reply takes the place of the vendor's; before it acted, it then never does."""


@final
@attrs.frozen
class Latency(Fault):
    """Takes time, then goes on as if nothing had been.

    Attributes:
        seconds: By the emulator's clock.
        when: Before or after the vendor acts.
    """

    seconds: float
    when: When = attrs.field(default="before", kw_only=True)

    async def strike(self, connection: Connection) -> None:
        await connection.clock.sleep(self.seconds)


@final
@attrs.frozen
class Answer(Fault):
    """Answers something else: an error status, a page, garbage with 200.

    Attributes:
        status: The HTTP status.
        body: The exact bytes.
        headers: Such as `Retry-After` and `Content-Type`.
        when: Before the vendor acts (it never does), or after it (only its answer is lost).
    """

    status: int = 200
    body: bytes = attrs.field(default=b"", repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict)
    when: When = attrs.field(default="before", kw_only=True)

    async def strike(self, connection: Connection) -> Reply:
        del connection
        return Reply(status=self.status, body=self.body, headers=self.headers)


def html_page(status: int = 200, *, when: When = "before") -> Answer:
    """Return the page for people that a proxy or a login form answers with."""
    body = f"<html>\r\n<head><title>{status}</title></head>\r\n<body>A page</body>\r\n</html>\r\n"
    return Answer(status, body.encode(), {"Content-Type": "text/html"}, when=when)


GATEWAY_504_HTML = html_page(504)
"""A gateway's time-out page, as it once was stored as a token (vendor's forum, topic 4956)."""


@final
@attrs.frozen
class Cut(Fault):
    """Closes the connection without an answer.

    Attributes:
        when: Before the vendor acts (the request arrived, nothing was done), or after it (it was
            done, the answer is lost).
    """

    when: When = attrs.field(default="before", kw_only=True)

    async def strike(self, connection: Connection) -> Reply:
        return connection.cut()


@final
@attrs.frozen(eq=False)
class Hold(Fault):
    """Hangs until it is released, so that something can happen to the client meanwhile.

    For one event loop. Several requests may hang on the same hold.

    Attributes:
        when: Before or after the vendor acts.
        arrived: Set when a request hangs.
    """

    when: When = attrs.field(default="before", kw_only=True)
    arrived: asyncio.Event = attrs.field(init=False, factory=asyncio.Event, repr=False)
    # Events, because a fault is frozen: requests that hang see what was decided for all of them.
    _over: asyncio.Event = attrs.field(init=False, factory=asyncio.Event, repr=False)
    _dropped: asyncio.Event = attrs.field(init=False, factory=asyncio.Event, repr=False)

    async def strike(self, connection: Connection) -> Reply | None:
        self.arrived.set()
        await self._over.wait()
        return connection.cut() if self._dropped.is_set() else None

    def release(self) -> None:
        """Go on, even if the client has gone: what a delayed request does."""
        self._over.set()

    def drop(self) -> None:
        """Cut the connection instead of going on: what a vendor does that sees its client gone."""
        self._dropped.set()
        self._over.set()


@final
@attrs.define(eq=False)
class Faults:
    """The faults that wait for an emulator's next requests.

    Each request takes one addition: the oldest one of its scope. Standing ones (`times=None`) serve
    when no counted one waits.

    Attributes:
        struck: How many requests took faults so far.
    """

    struck: int = attrs.field(init=False, default=0)
    _queues: dict[Scope, deque[tuple[Fault, ...]]] = attrs.field(init=False, factory=dict)
    _standing: dict[Scope, tuple[Fault, ...]] = attrs.field(init=False, factory=dict)

    def add(self, *faults: Fault, on: Scope, times: int | None = 1) -> None:
        """Have faults strike, one after the other, each of the next requests.

        Args:
            faults: Strike the same request, in this order.
            on: The token endpoint, the API, or whatever else the vendor has (logout, revocation,
                health).
            times: How many requests; none for all, until `clear`.
        """
        if times is None:
            self._standing[on] = faults
        else:
            self._queues.setdefault(on, deque()).extend([faults] * times)

    def clear(self) -> None:
        """Forget every fault that has not struck yet, and the standing ones."""
        self._queues.clear()
        self._standing.clear()

    def take(self, scope: Scope) -> tuple[Fault, ...]:
        """Return the faults of the next request, and count them off."""
        queue = self._queues.get(scope)
        faults = queue.popleft() if queue else self._standing.get(scope, ())
        self.struck += bool(faults)
        return faults


async def strike(faults: tuple[Fault, ...], when: When, connection: Connection) -> Reply | None:
    """Have the faults of one moment strike, until one of them answers."""
    for fault in faults:
        if fault.when == when:
            reply = await fault.strike(connection)
            if reply is not None:
                return reply
    return None
