"""One simulated worker's connections: to the vendor's token endpoint, and to its API."""

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, cast

import attrs
from yarl import URL

from sim_loop import SimLoop
from sim_schemes import API_URL, TOKEN_URL
from sim_vendor import Reply, Sender, SimVendor, number_in


class SimClient(Sender):
    """What the library takes for an aiohttp session."""

    closed = False

    def __init__(self, vendor: SimVendor, process: str) -> None:
        super().__init__(process)
        self._vendor = vendor

    def request(self, method: str, url: URL, *, data: bytes, **_: object) -> "_Exchange":
        assert (method, url) == ("POST", TOKEN_URL)
        return _Exchange(self._vendor, self, data)

    async def close(self) -> None:
        """Do nothing: it holds nothing."""


class _Exchange:
    """One request and its response, which is also its body."""

    headers: Mapping[str, str] = {"Content-Type": "application/json"}

    def __init__(self, vendor: SimVendor, sender: SimClient, data: bytes) -> None:
        self._vendor, self._sender, self._data = vendor, sender, data
        self.status = 0
        self.content = self

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        reply: asyncio.Future[Reply] = loop.create_future()
        self._sender.owed = True
        # From here on the vendor has it, whatever becomes of the sender.
        self._vendor.fates.sent(self._sender.process, self._data.decode())
        _ = loop.start("vendor", self._vendor.answer(self._data, self._sender, reply))
        answer = await reply
        self.status, self._data = answer.status, answer.body
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: there is no connection."""

    async def read(self, size: int) -> bytes:
        body, self._data = self._data, b""
        return body


@attrs.define(eq=False)
class SimResponse:
    """What the API answers a request."""

    status: int
    url: URL
    headers: Mapping[str, str] = attrs.field(factory=dict)
    content_length: int = 0

    async def read(self) -> bytes:
        return b""

    def release(self) -> None:
        """Do nothing: there is no connection."""

    close = release


@attrs.define(eq=False)
class SimRequest:
    """What the middleware is given by a client session."""

    url: URL = API_URL
    body: bytes = b""
    headers: dict[str, str] = attrs.field(factory=dict)
    loop: asyncio.AbstractEventLoop = attrs.field(factory=asyncio.get_running_loop)
    session: SimClient = attrs.field(factory=lambda: SimClient(cast("Any", None), ""))

    async def close(self) -> None:
        """Do nothing: there is no connection."""

    def update_expect_continue(self) -> None:
        """Do nothing: nothing is expected."""


def api_of(vendor: SimVendor) -> Any:
    """Return the handler that the middleware sends requests with."""

    async def handler(request: SimRequest) -> SimResponse:
        await asyncio.sleep(vendor.fates.latency())
        number = number_in(str(request.headers["Authorization"]))
        status = 200 if vendor.honours(number) else 401
        await asyncio.sleep(vendor.fates.latency())
        return SimResponse(status, request.url)

    return handler
