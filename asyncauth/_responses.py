"""Responses that are not handed over at once: read, let go, or given up for another sending."""

from contextlib import suppress

import aiohttp

from asyncauth._errors import TokenUnavailableError
from asyncauth._exchange import AuthResponse
from asyncauth.abc import Verdict

_SMALL_BODY = 65_536
"""Bytes of a refused response that are read, so that its connection is free while a token is renewed."""


async def make_way(request: aiohttp.ClientRequest, response: aiohttp.ClientResponse) -> None:
    """Give a response up, so that its request can be sent once more."""
    # A connection that the refused response still holds could be the only one that is allowed.
    response.release()
    # Its upload may still be under way, and would take the body's next bytes from the second one.
    await request.close()
    # The server that refused may never have asked for the body: then it has to be asked anew.
    request.update_expect_continue()


def unrepeated(response: aiohttp.ClientResponse, verdict: Verdict) -> aiohttp.ClientResponse:
    """Return what the caller gets of a request that would have to be sent once more, and cannot be.

    Raises:
        TokenUnavailableError: It would be taken for an answer: nobody was logged in.
    """
    if verdict is not Verdict.SUSPECT:
        return response
    status = response.status
    response.close()
    raise TokenUnavailableError(
        f"the {status} was a dead session's, and the body cannot be sent again: send the request anew",
        retry_in=0.0,
    )


def is_repeatable(request: aiohttp.ClientRequest) -> bool:
    """Return whether a request's body is still there to be sent again."""
    body = request.body
    return not (isinstance(body, aiohttp.Payload) and body.consumed)


async def read_small(response: aiohttp.ClientResponse) -> None:
    """Read a small body, so that the connection is free for others."""
    length = response.content_length
    if length is not None and length <= _SMALL_BODY:
        with suppress(aiohttp.ClientError, OSError):
            await response.read()


async def whole(response: aiohttp.ClientResponse) -> AuthResponse:
    """Read a response, which the caller can read again (but for its stream)."""
    try:
        body = await response.read()
    except BaseException:
        response.close()
        raise
    return AuthResponse(status=response.status, headers=response.headers, body=body, url=response.url)
