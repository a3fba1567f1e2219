"""The values that a scheme's sans-I/O conversation is made of: requests out, responses in."""

import json
from base64 import b64encode
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, final
from urllib.parse import urlencode

import attrs
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from asyncauth._errors import UnreadableAnswerError
from asyncauth._value import Value


def _no_headers() -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict())


def _frozen_headers(value: Mapping[str, str]) -> CIMultiDictProxy[str]:
    return CIMultiDictProxy(CIMultiDict(value))


def _frozen_mapping(value: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(value))


def place_of(url: URL) -> str:
    """Return a URL as far as it may be shown: origin and path, no query."""
    return str(url.with_query(None).with_fragment(None))


def _own_place(exchange: "AuthRequest | AuthResponse") -> str:
    return place_of(exchange.url)


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class AuthRequest(Value):
    """One request of a login, refresh, logout or probe. It never follows redirects.

    Attributes:
        method: The HTTP method.
        url: Absolute; its query is sent as it is written here.
        headers: Names without case.
        body: The exact bytes to send.
        place: What messages show of `url`: origin and path. A scheme that has to send a secret in the
            path names the place without it.
    """

    method: str
    url: URL
    headers: CIMultiDictProxy[str] = attrs.field(factory=_no_headers, converter=_frozen_headers, eq=False)
    body: bytes = b""
    place: str = attrs.field(default=attrs.Factory(_own_place, takes_self=True), eq=False)

    @classmethod
    def form(
        cls, url: URL, fields: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> "AuthRequest":
        """Return a POST of `application/x-www-form-urlencoded` fields (RFC 6749, appendix B)."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode(fields).encode()
        return cls(method="POST", url=url, headers={**(headers or {}), **kind}, body=body)

    @classmethod
    def json(
        cls, url: URL, value: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> "AuthRequest":
        """Return a POST of a JSON object."""
        kind = {"Content-Type": "application/json"}
        body = json.dumps(value).encode()
        return cls(method="POST", url=url, headers={**(headers or {}), **kind}, body=body)

    def __repr__(self) -> str:
        return f"AuthRequest({self.method} {self.place})"


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class AuthResponse(Value):
    """What came back for an `AuthRequest`, read whole.

    Attributes:
        status: The HTTP status.
        headers: Names without case; several of one name are kept (`headers.getall`).
        body: The bytes of the body.
        url: Where the request went.
        received_at: UTC seconds since 1970 when the answer had arrived, by this machine's clock.
        place: What messages show of `url`: as the request says.
    """

    status: int
    headers: CIMultiDictProxy[str] = attrs.field(factory=_no_headers, converter=_frozen_headers, eq=False)
    body: bytes = b""
    url: URL = attrs.field(factory=lambda: URL("http://localhost/"))
    received_at: float = 0.0
    place: str = attrs.field(default=attrs.Factory(_own_place, takes_self=True), eq=False)

    @property
    def content_type(self) -> str:
        """The media type without parameters, in lower case; empty if there is none."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        """The body as UTF-8 text; bytes that are none are replaced."""
        return self.body.decode("utf-8", "replace")

    @property
    def is_html(self) -> bool:
        """Whether the answer is a page for people: by its type, or because it starts like one."""
        start = self.body.lstrip()[:15].lower()
        return "html" in self.content_type or start.startswith((b"<!doctype", b"<html"))

    def json_object(self) -> dict[str, Any]:
        """Return the body as a JSON object.

        Raises:
            UnreadableAnswerError: It is empty, an HTML page, no JSON, or JSON that is no object.
        """
        if not self.body.strip():
            raise UnreadableAnswerError(f"{self} has an empty body where JSON is documented")
        if self.is_html:
            raise UnreadableAnswerError(
                f"{self} is an HTML page where JSON is documented: a proxy or login page answered"
            )
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            # The parser's own message quotes the text, which may be a token.
            raise UnreadableAnswerError(f"{self} is not JSON") from None
        if not isinstance(value, dict):
            raise UnreadableAnswerError(f"{self} is JSON, but not an object")
        return value

    def __repr__(self) -> str:
        return f"the answer {self.status} of {self.place}"

    __str__ = __repr__


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Placement(Value):
    """What a token puts on each request, made once per token.

    Attributes:
        headers: Set on the request, replacing what it has.
        query: Merged into the request's query, replacing parameters of the same name.
        cookies: Sent with the request, beside the caller's own; never kept in a cookie jar.
    """

    headers: Mapping[str, str] = attrs.field(factory=dict, converter=_frozen_mapping)
    query: Mapping[str, str] = attrs.field(factory=dict, converter=_frozen_mapping)
    cookies: Mapping[str, str] = attrs.field(factory=dict, converter=_frozen_mapping)

    def __repr__(self) -> str:
        names = [*self.headers, *self.query, *self.cookies]
        return f"Placement({', '.join(names)})"


def basic_auth(user: str, password: str) -> str:
    """Return the value of a Basic `Authorization` header, in UTF-8 and on one line (RFC 7617)."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode("ascii")
