"""A token made ready for the requests of one event loop, and taken off what comes back."""

from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Callable, Mapping
from http.cookies import SimpleCookie
from math import inf
from typing import Self, final
from urllib.parse import unquote_plus, urlencode

import aiohttp
import attrs
from aiohttp import hdrs
from multidict import istr
from yarl import URL

from asyncauth._exchange import Placement
from asyncauth._slot import Held, Slot
from asyncauth._token import Token
from asyncauth._worker import Worker


class _Unshown(str):
    """A header's value that no `repr` shows: aiohttp's errors carry the headers that were sent."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'<secret>'"


@final
@attrs.frozen(eq=False, repr=False)
class Worn:
    """A token made ready for the requests of one event loop.

    Attributes:
        loop: Whose requests.
        worker: Whose slot.
        slot: Where the token is from.
        monotonic: This process' clock.
        held: The entry.
        token: Its token.
        headers: Set on each request.
        query: Merged into its URL.
        cookies: Sent with it.
        is_plain: Whether headers are all that there is to it: nothing to hide or to note in responses.
        only: The one header that is all that there is to it, if that is so.
    """

    loop: AbstractEventLoop
    worker: Worker
    slot: Slot
    monotonic: Callable[[], float]
    held: Held
    token: Token
    headers: tuple[tuple[istr, str], ...]
    query: Mapping[str, str]
    cookies: Mapping[str, str]
    is_plain: bool
    only: tuple[istr, str] | None

    @classmethod
    def of(cls, worker: Worker, slot: Slot, held: Held, placement: Placement, *, heads_do: bool) -> Self:
        """Prepare what `AuthScheme.apply` says, once per token.

        Args:
            worker: Whose slot.
            slot: Where the entry is from.
            held: The entry.
            placement: Where its token goes.
            heads_do: Whether no response's body has to be read.
        """
        headers = tuple((istr(name), _Unshown(value)) for name, value in placement.headers.items())
        is_plain = heads_do and not placement.query and not placement.cookies and held.idle_for == inf
        return cls(
            loop=get_running_loop(),
            worker=worker,
            slot=slot,
            monotonic=worker.means.clock.monotonic,
            held=held,
            token=held.entry.token,
            headers=headers,
            query=placement.query,
            cookies=placement.cookies,
            is_plain=is_plain,
            only=headers[0] if is_plain and len(headers) == 1 else None,
        )

    def put_on(self, request: aiohttp.ClientRequest) -> None:
        """Put the token on a request, in place of an earlier one."""
        for name, value in self.headers:
            request.headers[name] = value
        if self.query:
            request.url = _with_query(request.url, self.query)
        if self.cookies:
            request.headers[hdrs.COOKIE] = _with_cookies(request.headers.get(hdrs.COOKIE), self.cookies)

    def hide(self, request: aiohttp.ClientRequest, response: aiohttp.ClientResponse, url: URL) -> None:
        """Keep the token out of what the caller sees, and out of the cookie jar.

        Args:
            request: As it was sent.
            response: As it came.
            url: Where the request went, without the token.
        """
        if self.query:
            request.url = url
            # Errors of aiohttp show it in their `repr`; there is no public way to say another one.
            response._request_info = _shown(response._request_info, url)  # noqa: SLF001
            response._cache.pop("request_info", None)  # noqa: SLF001 - if a middleware has looked at it
        if self.cookies.keys() & response.cookies.keys():
            kept = SimpleCookie()
            kept.update({name: m for name, m in response.cookies.items() if name not in self.cookies})
            response.cookies = kept

    def hide_in(self, error: BaseException, request: aiohttp.ClientRequest, url: URL) -> None:
        """Keep the token out of an error that came instead of a response.

        Args:
            error: What was raised; changed in place, because it is the caller's.
            request: As it was sent.
            url: Where the request went, without the token.
        """
        if not self.query:
            return
        sent, request.url = str(request.url), url
        error.args = tuple(a.replace(sent, str(url)) if isinstance(a, str) else a for a in error.args)
        if isinstance(error, OSError) and error.strerror:
            error.strerror = error.strerror.replace(sent, str(url))
        if isinstance(error, aiohttp.ClientResponseError):
            error.request_info = _shown(error.request_info, url)
            error.args = (error.request_info, error.history)


def _shown(info: aiohttp.RequestInfo, url: URL) -> aiohttp.RequestInfo:
    return aiohttp.RequestInfo(url, info.method, info.headers, info.real_url)


def _with_query(url: URL, query: Mapping[str, str]) -> URL:
    """Merge the token's parameters into a URL, whose own ones stay as they are written."""
    text = url.raw_query_string
    pairs = text.split("&") if text else []
    others = [pair for pair in pairs if unquote_plus(pair.partition("=")[0]) not in query]
    return URL.build(
        scheme=url.scheme,
        authority=url.raw_authority,
        path=url.raw_path,
        query_string="&".join([*others, urlencode(query)]),
        encoded=True,
    )


def _with_cookies(present: str | None, cookies: Mapping[str, str]) -> _Unshown:
    """Merge the token's cookies into a Cookie header, replacing those of the same name."""
    pairs = [pair.strip() for pair in (present or "").split(";") if pair.strip()]
    others = [pair for pair in pairs if pair.partition("=")[0] not in cookies]
    return _Unshown("; ".join([*others, *(f"{name}={value}" for name, value in cookies.items())]))
