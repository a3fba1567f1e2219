"""Holds a scheme's conversation by hand: no client, no network, no clock, no event loop."""

import json
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import attrs
from yarl import URL

from asyncauth._exchange import AuthRequest, AuthResponse
from asyncauth.abc import AuthFlow

T = TypeVar("T")

NOW = 1_750_000_000.0


@attrs.frozen
class Talk(Generic[T]):
    """What a conversation came to."""

    result: T
    requests: list[AuthRequest]

    @property
    def request(self) -> AuthRequest:
        """The only request."""
        (request,) = self.requests
        return request


@attrs.frozen(kw_only=True)
class Head:
    """The head of an API's response, as a scheme judges it."""

    status: int
    headers: Mapping[str, str] = attrs.field(factory=dict)
    url: URL = attrs.field(factory=lambda: URL("https://api.example/v1"))


def drive(flow: AuthFlow[T], *responses: AuthResponse) -> Talk[T]:
    """Answer each request with the next response; all of them have to be asked for."""
    requests: list[AuthRequest] = []
    left = list(responses)
    try:
        requests.append(next(flow))
        while True:
            requests.append(flow.send(left.pop(0)))
    except StopIteration as end:
        assert not left, "the conversation ended before all responses were used"
        return Talk(end.value, requests)


def reply(
    body: bytes | str | dict[str, Any] = b"", status: int = 200, headers: dict[str, str] | None = None
) -> AuthResponse:
    """Return a response; a dict becomes JSON."""
    kind = {"Content-Type": "application/json"} if isinstance(body, dict) else {}
    text = json.dumps(body) if isinstance(body, dict) else body
    data = text.encode() if isinstance(text, str) else text
    return AuthResponse(status=status, headers={**kind, **(headers or {})}, body=data, received_at=NOW)
