"""`AuthSession`: an aiohttp client session whose requests carry a shared token."""

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, final

import aiohttp
from yarl import URL

from asyncauth._errors import ConfigurationError
from asyncauth._manager import TokenManager
from asyncauth._middleware import AuthMiddleware
from asyncauth._policy import RefreshPolicy
from asyncauth.abc import AuthScheme, TokenStore

if TYPE_CHECKING:
    from typing import Unpack

    # Private to aiohttp, and looked at by type checkers only: they give our methods its own options.
    from aiohttp.client import (
        _RequestContextManager,
        _RequestOptions,
        _WSConnectOptions,
        _WSRequestContextManager,
    )


@final
class AuthSession:
    """Sends requests with a shared token, and returns aiohttp's own responses.

    The methods are those of `aiohttp.ClientSession`, with its options. A URL without a host is
    relative to the scheme's base URL: with `https://erp.example.com/api`, both `/rest/Customer` and
    `rest/Customer` mean `https://erp.example.com/api/rest/Customer`. What `AuthMiddleware` says of
    refusals, redirects and bodies holds here too.

    Args:
        scheme: Whose token, and how it is put on requests.
        store: Where tokens are shared; or a `TokenManager` on one. It is not closed.
        policy: The durations, if `store` is a store.
        client_options: For `aiohttp.ClientSession`: `timeout`, `connector`, `headers`, ...

    Like `aiohttp.ClientSession` it is made while the loop runs, and closed with `async with` or
    `aclose`.
    """

    def __init__(
        self,
        scheme: AuthScheme,
        store: TokenStore | TokenManager,
        *,
        policy: RefreshPolicy | None = None,
        **client_options: Any,
    ) -> None:
        self._manager = store if isinstance(store, TokenManager) else TokenManager(store, policy=policy)
        self._owns_manager = self._manager is not store
        self._middleware = AuthMiddleware(scheme, self._manager)
        self._base = None if scheme.base_url is None else str(scheme.base_url).rstrip("/")
        # Innermost, so that a middleware of the caller's that repeats a request has it authenticated anew.
        middlewares = (*client_options.pop("middlewares", ()), self._middleware)
        self._client = aiohttp.ClientSession(middlewares=middlewares, **client_options)
        if self._owns_manager:
            self._manager.retain()

    @property
    def client(self) -> aiohttp.ClientSession:
        """The client session underneath; its requests carry the token too."""
        return self._client

    @property
    def closed(self) -> bool:
        """Whether the session was closed."""
        return self._client.closed

    def request(
        self, method: str, url: str | URL, **options: "Unpack[_RequestOptions]"
    ) -> "_RequestContextManager":
        """Send a request; see `aiohttp.ClientSession.request`.

        Raises:
            TokenUnavailableError: There is no token, and why. Nothing was sent.
            StoreError: The store is needed and does not answer. Nothing was sent.
            ConfigurationError: The URL is relative, and the scheme has no base URL.
        """
        if "middlewares" in options:
            options["middlewares"] = (*(options["middlewares"] or ()), self._middleware)
        return self._client.request(method, self._absolute(url), **options)

    def get(self, url: str | URL, **options: "Unpack[_RequestOptions]") -> "_RequestContextManager":
        """Send a GET request; see `request`."""
        return self.request("GET", url, **options)

    def head(self, url: str | URL, **options: "Unpack[_RequestOptions]") -> "_RequestContextManager":
        """Send a HEAD request, which follows no redirect by default; see `request`."""
        options.setdefault("allow_redirects", False)
        return self.request("HEAD", url, **options)

    def options(self, url: str | URL, **options: "Unpack[_RequestOptions]") -> "_RequestContextManager":
        """Send an OPTIONS request; see `request`."""
        return self.request("OPTIONS", url, **options)

    def post(self, url: str | URL, **options: "Unpack[_RequestOptions]") -> "_RequestContextManager":
        """Send a POST request; see `request`."""
        return self.request("POST", url, **options)

    def put(self, url: str | URL, **options: "Unpack[_RequestOptions]") -> "_RequestContextManager":
        """Send a PUT request; see `request`."""
        return self.request("PUT", url, **options)

    def patch(self, url: str | URL, **options: "Unpack[_RequestOptions]") -> "_RequestContextManager":
        """Send a PATCH request; see `request`."""
        return self.request("PATCH", url, **options)

    def delete(self, url: str | URL, **options: "Unpack[_RequestOptions]") -> "_RequestContextManager":
        """Send a DELETE request; see `request`."""
        return self.request("DELETE", url, **options)

    def ws_connect(
        self, url: str | URL, **options: "Unpack[_WSConnectOptions]"
    ) -> "_WSRequestContextManager":
        """Open a WebSocket whose handshake carries the token; see `aiohttp.ClientSession.ws_connect`."""
        return self._client.ws_connect(self._absolute(url), **options)

    def _absolute(self, url: str | URL) -> str | URL:
        text = str(url)
        if text.startswith(("https://", "http://", "wss://", "ws://")):
            return url
        if self._base is None:
            raise ConfigurationError("a relative URL needs a scheme with a base_url")
        return f"{self._base}{text}" if text.startswith("/") else f"{self._base}/{text}"

    async def aclose(self) -> None:
        """Close the client session; drain renewals if nobody else uses this store in this loop.

        May be called again.
        """
        await self._client.close()
        if self._owns_manager:
            await self._manager.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
