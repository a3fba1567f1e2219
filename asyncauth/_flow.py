"""Drives a scheme's sans-I/O conversation over a bare aiohttp session."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

import aiohttp

from asyncauth._clock import Clock
from asyncauth._errors import AnswerLostError, UnreadableAnswerError, VendorError, VendorUnreachableError
from asyncauth._exchange import AuthRequest, AuthResponse
from asyncauth.abc import AuthFlow

_T = TypeVar("_T")
_LARGEST_ANSWER = 1 << 20
"""Bytes; a token endpoint that sends more is not one."""
_UNSENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ServerFingerprintMismatch,
    aiohttp.ClientHttpProxyError,
)
"""Errors of aiohttp from before the request itself was written."""


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
        UnreadableAnswerError: The answer is too long.
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
    place = request.place
    if client.closed:
        raise VendorUnreachableError(f"no connection to {place}: the client session for logins was closed")
    try:
        async with client.request(
            request.method,
            request.url,
            headers=request.headers,
            data=request.body or None,
            allow_redirects=False,
            raise_for_status=False,
            middlewares=(partial(_send_once, place=place),),
        ) as response:
            body = await _read_bounded(response, place)
            return AuthResponse(
                status=response.status,
                headers=response.headers,
                body=body,
                url=request.url,
                received_at=clock.wall(),
                place=place,
            )
    except (aiohttp.ClientError, OSError) as error:
        failure = _failure(error, place)
    raise failure  # out of the handler, as in `_send_once`


async def _send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType, *, place: str
) -> aiohttp.ClientResponse:
    """End an exchange whose connection was cut: aiohttp would send a GET again by itself.

    An error that is not aiohttp's own keeps it from that. The middlewares of the client session do
    not run, because this one stands in their place.
    """
    try:
        return await handler(request)
    except (aiohttp.ClientError, OSError) as error:
        failure = _failure(error, place)
    # Out of the handler: aiohttp's error has the request's headers and query, and would be our context.
    raise failure


async def _read_bounded(response: aiohttp.ClientResponse, place: str) -> bytes:
    body = await response.content.read(_LARGEST_ANSWER)
    while body and len(body) < _LARGEST_ANSWER and (more := await response.content.read(_LARGEST_ANSWER)):
        body += more
    if len(body) >= _LARGEST_ANSWER:
        raise UnreadableAnswerError(f"the answer of {place} is longer than {_LARGEST_ANSWER} bytes")
    return body


def _failure(error: Exception, place: str) -> VendorError:
    if isinstance(error, _UNSENT):
        return VendorUnreachableError(f"no connection to {place}: {_cause(error)}")
    return AnswerLostError(f"the connection to {place} was cut: {_cause(error)}")


def _cause(error: Exception) -> str:
    # Only the class and the system's words: other texts may quote the URL with its query.
    certificate = getattr(error, "certificate_error", None)
    reason = getattr(error, "strerror", None) or getattr(certificate, "verify_message", None)
    return type(error).__name__ + (f" ({reason})" if reason else "")
