"""Drives a scheme's sans-I/O conversation over a bare aiohttp session."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import aiohttp

from asyncauth._clock import Clock
from asyncauth._errors import AnswerLostError, UnreadableAnswerError, VendorUnreachableError
from asyncauth._exchange import AuthRequest, AuthResponse, place_of
from asyncauth.abc import AuthFlow

_T = TypeVar("_T")
_LARGEST_ANSWER = 1 << 20
"""Bytes; a token endpoint that sends more is not one."""


def bare_session(connect_timeout: float) -> aiohttp.ClientSession:
    """Return a client session for conversations: no cookies, no middlewares, no connection kept.

    A kept connection may be dead by the next renewal, and a request that was cut on it would be one
    of which nobody knows whether the vendor processed it: costly for one-time refresh tokens.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=connect_timeout),
    )


async def converse(
    flow: AuthFlow[_T],
    client: aiohttp.ClientSession,
    clock: Clock,
    timeout: float,
    *,
    before_send: Callable[[], None] = lambda: None,
) -> _T:
    """Hold a conversation with a vendor to its end.

    Args:
        flow: The scheme's generator.
        client: A session that adds nothing of its own.
        clock: Bounds the conversation.
        timeout: Seconds for the whole of it.
        before_send: Called right before each request; what it raises ends the conversation.

    Returns:
        What the generator returns.

    Raises:
        VendorUnreachableError: Nothing was sent.
        AnswerLostError: The answer, or a later one of several, did not arrive.
        AuthError: What the scheme raises.

    Cancellation may leave a request processed whose answer nobody reads.
    """
    response: AuthResponse | None = None
    try:
        async with clock.timeout(timeout):
            while True:
                try:
                    request = next(flow) if response is None else flow.send(response)
                except StopIteration as stop:
                    result: _T = stop.value
                    return result
                before_send()
                response = await _exchange(client, request, clock)
    except VendorUnreachableError as error:
        if response is not None:  # an earlier step of the same conversation was processed
            raise AnswerLostError(str(error)) from error
        raise
    except TimeoutError:
        raise AnswerLostError(f"the vendor did not answer within {timeout:g} s") from None
    finally:
        flow.close()


async def _exchange(client: aiohttp.ClientSession, request: AuthRequest, clock: Clock) -> AuthResponse:
    place = place_of(request.url)
    try:
        async with client.request(
            request.method,
            request.url,
            headers=request.headers,
            data=request.body or None,
            allow_redirects=False,
            middlewares=(),
        ) as response:
            body = await _read_bounded(response, place)
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise VendorUnreachableError(f"no connection to {place}: {_cause(error)}") from None
    except (aiohttp.ClientError, OSError) as error:
        raise AnswerLostError(f"the connection to {place} was cut: {_cause(error)}") from None
    return AuthResponse(
        status=response.status,
        headers=response.headers,
        body=body,
        url=request.url,
        received_at=clock.wall(),
    )


async def _read_bounded(response: aiohttp.ClientResponse, place: str) -> bytes:
    body = await response.content.read(_LARGEST_ANSWER)
    while body and len(body) < _LARGEST_ANSWER and (more := await response.content.read(_LARGEST_ANSWER)):
        body += more
    if len(body) >= _LARGEST_ANSWER:
        raise UnreadableAnswerError(f"the answer of {place} is longer than {_LARGEST_ANSWER} bytes")
    return body


def _cause(error: BaseException) -> str:
    # Only the class and the system's words: other texts may quote the URL with its query.
    reason = getattr(error, "strerror", None)
    os_error = getattr(error, "os_error", None)
    with suppress(AttributeError):
        reason = reason or os_error.strerror  # type: ignore[union-attr]
    return f"{type(error).__name__}" + (f" ({reason})" if reason else "")
