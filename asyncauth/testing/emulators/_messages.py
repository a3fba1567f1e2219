"""What an emulator receives and answers, as values: handlers are plain functions between the two."""

import binascii
import json
from base64 import b64decode
from collections.abc import Mapping
from email import message_from_bytes
from email.message import Message
from typing import Any, Self, final
from urllib.parse import parse_qsl

import attrs
from multidict import CIMultiDictProxy, MultiDict, MultiDictProxy
from yarl import URL


@final
@attrs.frozen(kw_only=True, repr=False, eq=False)
class ReceivedRequest:
    """One request as it arrived.

    Attributes:
        method: The HTTP method.
        path_qs: The request target, byte for byte as the client sent it.
        url: The same, parsed; without origin.
        headers: Names without case.
        body: The bytes of the body, at most the first MiB of them.
        size: How many bytes the body had.
    """

    method: str
    path_qs: str
    url: URL
    headers: CIMultiDictProxy[str]
    body: bytes = b""
    size: int = 0

    @property
    def path(self) -> str:
        """The decoded path."""
        return self.url.path

    @property
    def query(self) -> MultiDictProxy[str]:
        """The decoded query."""
        return self.url.query

    def credentials(self, scheme: str, header: str = "Authorization") -> str | None:
        """Return what follows the scheme's name in a header; none if it names another scheme."""
        name, _, rest = self.headers.get(header, "").partition(" ")
        # RFC 9110, section 11.1: the scheme's name has no case.
        return rest.strip() if name.lower() == scheme and rest.strip() else None

    def basic(self, header: str = "Authorization") -> tuple[str, str] | None:
        """Return user and password of Basic credentials, undecoded further; none if there are none."""
        encoded = self.credentials("basic", header)
        if encoded is None:
            return None
        try:
            # RFC 7617, section 2: the user name has no colon, the password may have.
            user, colon, password = b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return (user, password) if colon else None

    def form(self) -> MultiDict[str]:
        """Return the fields of an urlencoded or multipart form; none if the body is no form."""
        kind = self.headers.get("Content-Type", "")
        if kind.startswith("multipart/form-data"):
            return _multipart(kind, self.body)
        if not kind.startswith("application/x-www-form-urlencoded"):
            return MultiDict()
        return MultiDict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))

    def json_object(self) -> dict[str, Any] | None:
        """Return the body as a JSON object; none if it is anything else."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    def __repr__(self) -> str:
        return f"<{self.method} {self.path}>"


def _multipart(kind: str, body: bytes) -> MultiDict[str]:
    # A form is a MIME message without its head (RFC 7578), which the standard library reads.
    message: Message = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    fields = MultiDict[str]()
    for part in message.walk():
        name = part.get_param("name", header="Content-Disposition")
        payload = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(payload, bytes):
            fields.add(name, payload.decode())
    return fields


@final
@attrs.frozen(kw_only=True)
class Reply:
    """What an emulator answers.

    Attributes:
        status: The HTTP status.
        body: The exact bytes.
        headers: What is sent beside `Date`, `Server` and `Content-Length`.
        delay: Seconds on the emulator's clock between acting and answering.
    """

    status: int = 200
    body: bytes = attrs.field(default=b"", repr=False)
    headers: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    delay: float = 0.0

    @classmethod
    def json(cls, value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Self:
        """Return a JSON answer."""
        kind = {"Content-Type": "application/json"}
        return cls(status=status, body=json.dumps(value).encode(), headers={**kind, **(headers or {})})


class RefusalError(Exception):
    """Ends a handler with a refusal, which is counted; it never leaves the emulator.

    Args:
        kind: What the refusal is counted as.
        reply: What is answered.
    """

    def __init__(self, kind: str, reply: Reply) -> None:
        super().__init__(kind)
        self.kind = kind
        self.reply = reply


def oauth_refusal(
    error: str, description: str, *, status: int = 400, headers: Mapping[str, str] | None = None
) -> RefusalError:
    """Return a refusal with the body of RFC 6749, section 5.2, counted by its error code."""
    body = {"error": error, "error_description": description}
    return RefusalError(error, Reply.json(body, status=status, headers=headers))
