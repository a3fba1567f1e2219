"""`AuthSession`: an aiohttp client session whose requests carry a shared token."""

import re
from asyncio import get_running_loop
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, NoReturn, Self, final

import aiohttp
from yarl import URL

from asyncauth._errors import ClosedError, ConfigurationError
from asyncauth._manager import TokenManager
from asyncauth._middleware import AuthMiddleware, describe, manager_on
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


_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
"""RFC 3986, section 3.1: a scheme; without one, also `//host/path` is relative to the base URL."""


_KNOWN_URLS = 256


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

    Raises:
        ConfigurationError: There is a policy that cannot be used here: `store` is a manager, which
            has its own, or is in use in this loop with another.

    Like `aiohttp.ClientSession` it is made while the loop runs, and closed with `async with` or
    `aclose`. It belongs to that loop, also where a store and a scheme serve several.
    """

    def __init__(
        self,
        scheme: AuthScheme,
        store: TokenStore | TokenManager,
        *,
        policy: RefreshPolicy | None = None,
        **client_options: Any,
    ) -> None:
        self._scheme = scheme
        self._manager = manager_on(store, policy)
        self._owns_manager = self._manager is not store
        self._middleware = AuthMiddleware(scheme, self._manager)
        base = None if scheme.base_url is None else str(scheme.base_url).rstrip("/")
        # Services ask for the same places again and again.
        self._resolve = lru_cache(_KNOWN_URLS)(partial(_resolved, base))
        # Innermost, so that a middleware of the caller's that repeats a request has it authenticated anew.
        middlewares = (*(client_options.pop("middlewares", None) or ()), self._middleware)
        self._manager.bind()  # before there is anything to close
        self._client = aiohttp.ClientSession(middlewares=middlewares, **client_options)
        self._loop = get_running_loop()
        self._closed = False
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
            ConfigurationError: At once: the URL is relative, and the scheme has no base URL.
                Or the session is another event loop's.
            ClosedError: At once: the session was closed.
        """
        return self._client.request(method, self._target(url, options), **options)

    def get(self, url: str | URL, **options: "Unpack[_RequestOptions]") -> "_RequestContextManager":
        """Send a GET request; see `request`."""
        return self._client.get(self._target(url, options), **options)

    def head(self, url: str | URL, **options: "Unpack[_RequestOptions]") -> "_RequestContextManager":
        """Send a HEAD request, which follows no redirect by default; see `request`."""
        return self._client.head(self._target(url, options), **options)

    def options(self, url: str | URL, **options: "Unpack[_RequestOptions]") -> "_RequestContextManager":
        """Send an OPTIONS request; see `request`."""
        return self._client.options(self._target(url, options), **options)

    def post(self, url: str | URL, **options: "Unpack[_RequestOptions]") -> "_RequestContextManager":
        """Send a POST request; see `request`."""
        return self._client.post(self._target(url, options), **options)

    def put(self, url: str | URL, **options: "Unpack[_RequestOptions]") -> "_RequestContextManager":
        """Send a PUT request; see `request`."""
        return self._client.put(self._target(url, options), **options)

    def patch(self, url: str | URL, **options: "Unpack[_RequestOptions]") -> "_RequestContextManager":
        """Send a PATCH request; see `request`."""
        return self._client.patch(self._target(url, options), **options)

    def delete(self, url: str | URL, **options: "Unpack[_RequestOptions]") -> "_RequestContextManager":
        """Send a DELETE request; see `request`."""
        return self._client.delete(self._target(url, options), **options)

    def ws_connect(
        self, url: str | URL, **options: "Unpack[_WSConnectOptions]"
    ) -> "_WSRequestContextManager":
        """Open a WebSocket whose handshake carries the token; see `aiohttp.ClientSession.ws_connect`."""
        return self._client.ws_connect(self._target(url, {}), **options)

    def _target(self, url: str | URL, options: "_RequestOptions") -> URL:
        """Return where a request goes, and keep the token on it."""
        if "middlewares" in options:
            options["middlewares"] = (*(options["middlewares"] or ()), self._middleware)
        if self._closed:
            raise ClosedError("the session was closed: make a new one")
        try:
            is_own_loop = get_running_loop() is self._loop
        except RuntimeError:
            is_own_loop = True  # a request may be made before a loop runs, and awaited in it
        if not is_own_loop:
            raise ConfigurationError(
                "this session is of another event loop, or of the parent process: make one here"
            )
        return self._resolve(url)

    async def aclose(self) -> None:
        """Close the client session; drain renewals if nobody else uses this store in this loop.

        Requests under way end with aiohttp's errors. May be called again. Cancellation may leave a
        renewal to run to its end by itself.
        """
        self._closed = True
        try:
            await self._client.close()
        finally:
            if self._owns_manager:
                await self._manager.aclose()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an AuthSession stays in its process: give the other one scheme and store, for its own"
        )

    def __repr__(self) -> str:
        state = "closed" if self.closed else "open"
        return f"AuthSession({describe(self._scheme)}, {state})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.aclose()


def _resolved(base: str | None, url: str | URL) -> URL:
    """Return the absolute URL that a caller's URL means."""
    text = str(url)
    if not text.startswith("/") and _ABSOLUTE.match(text):
        return URL(url)
    if base is None:
        raise ConfigurationError("a relative URL needs a scheme with a base_url")
    slash = "" if text.startswith(("/", "?", "#")) or not text else "/"
    # A URL object is quoted already, and perhaps in the caller's own way.
    return URL(f"{base}{slash}{text}", encoded=isinstance(url, URL))
