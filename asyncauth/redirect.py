"""Receives the browser that comes back from an authorization, for programs on the person's own machine.

RFC 8252, section 7.3: a server on the loopback interface, on whatever port is free.
"""

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Self, final

from aiohttp import web
from yarl import URL

from asyncauth._clock import SYSTEM_CLOCK, Clock
from asyncauth._errors import AuthorizationRequiredError, ClosedError, ConfigurationError

# The port is open for everybody on this machine: a request line beyond this is no answer.
_LONGEST_LINE = 8190
_LAST_PORT = 65_535
# For the page to reach the browser before the server ends.
_SHUTDOWN_SECONDS = 1.0

_HEADERS = {
    "Cache-Control": "no-store",
    # The page's own address holds the code; nothing that it leads to may learn it.
    "Referrer-Policy": "no-referrer",
    "Connection": "close",
}

# aiohttp quotes what it cannot parse, and that may be an answer.
_SILENT = logging.getLogger("asyncauth.redirect")
_SILENT.disabled = True


@final
class LoopbackRedirect:
    """Waits on 127.0.0.1 for one browser that comes back from an authorization.

    ```python
    from asyncauth.redirect import LoopbackRedirect

    async with LoopbackRedirect() as redirect:
        request = scheme.authorization(redirect_uri=redirect.redirect_uri)
        webbrowser.open(str(request.url))
        answer = await redirect.answer()
    ```

    Opening the browser is the caller's. The first request for `path` that has a `code` or an `error` is
    the answer; everything else (an icon, a second answer) is turned away. Whether the answer belongs to
    the request is for the scheme's `exchange` to say. Nothing is logged: the URL holds the code.

    Args:
        port: A free one by default. Servers that compare the whole redirect URI need a fixed one.
        path: What the redirect URI is registered with.
        clock: What `answer` waits by.

    Raises:
        ConfigurationError: There is no such port, or the path does not begin with a slash.
    """

    def __init__(self, *, port: int = 0, path: str = "/", clock: Clock = SYSTEM_CLOCK) -> None:
        if not 0 <= port <= _LAST_PORT:
            raise ConfigurationError(f"port must be one of 0 to {_LAST_PORT}, not {port}")
        if not path.startswith("/"):
            raise ConfigurationError("path has to begin with a slash, as in /authorized")
        self._port = port
        self._path = path
        self._clock = clock
        self._redirect_uri: URL | None = None
        self._answer: URL | None = None
        self._settled = asyncio.Event()
        self._running = AsyncExitStack()

    @property
    def redirect_uri(self) -> URL:
        """Where the browser is to come back to.

        Raises:
            ClosedError: The receiver is not entered.
        """
        if self._redirect_uri is None:
            raise ClosedError("LoopbackRedirect has a redirect_uri only inside its `async with`")
        return self._redirect_uri

    async def answer(self, timeout: float = 300.0) -> URL:
        """Wait for the browser.

        Args:
            timeout: Seconds that the person has.

        Returns:
            The URL that it came back to. It holds the code: keep it out of logs.

        Raises:
            AuthorizationRequiredError: Nobody came back in time.
            ClosedError: The receiver is not entered, or was left meanwhile.

        Cancellation leaves nothing behind: an answer that comes later is there for the next call.
        """
        where = self.redirect_uri
        try:
            async with self._clock.timeout(timeout):
                await self._settled.wait()
        except TimeoutError:
            raise AuthorizationRequiredError(
                f"nobody came back to {where} within {timeout:g} s: begin again"
            ) from None
        if self._answer is None:
            raise ClosedError("LoopbackRedirect was left while it waited for the browser")
        return self._answer

    async def __aenter__(self) -> Self:
        server = web.Server(self._receive, access_log=None, logger=_SILENT, max_line_size=_LONGEST_LINE)
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_SECONDS)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(runner.cleanup)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", self._port).start()
            except OSError:
                raise ConfigurationError(f"port {self._port} of 127.0.0.1 is not to be had") from None
            self._running = stack.pop_all()
        self._answer = None
        self._settled.clear()
        port = runner.addresses[0][1]
        self._redirect_uri = URL.build(scheme="http", host="127.0.0.1", port=port, path=self._path)
        return self

    async def __aexit__(self, *error: object) -> None:
        self._redirect_uri = None
        self._settled.set()
        await self._running.aclose()

    async def _receive(self, request: web.BaseRequest) -> web.Response:
        query = request.rel_url.query
        if request.method != "GET" or request.path != self._path or not {"code", "error"} & query.keys():
            return _page(404, "There is nothing here.")
        if self._settled.is_set():
            return _page(410, "This was answered before. Begin again in the program.")
        self._answer = URL(f"{self.redirect_uri}?{request.rel_url.raw_query_string}", encoded=True)
        self._settled.set()
        return _page(200, "The program has your answer. You can close this window.")


def _page(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=f"{text}\n", headers=_HEADERS)
