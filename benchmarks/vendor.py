"""A vendor that costs little: a token endpoint and an API in a process of their own, on the real clock.

- `POST /token`: client credentials and the refresh grant, the client by Basic or in the form. A refresh
  token is for one use, and one that is used again ends the authorization with all that came of it;
  or it may be used again and again, as the knob `rotate` says. Answered after `latency`.
- `GET /things`: 200 with a valid bearer token, else 401.
- `POST /grant`: what a person's authorization gives, a first refresh token; not counted.
- `GET /counts`, `POST /knobs`: what has happened, and what shall be different from now on.
- `GET /tenant/.well-known/openid-configuration`: for clients that discover the token endpoint; as behind TLS.

`python -m benchmarks.vendor KNOBS` prints its port, and ends with its standard input. It understands what
the contestants' clients send: no chunked bodies, one request at a time on a connection.
"""

import asyncio
import base64
import json
import re
import secrets
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, final
from urllib.parse import parse_qsl

import aiohttp
import attrs

from benchmarks.contestants import Place

_CLIENT: Final = ("app", "app-secret")
_END: Final = b"\r\n\r\n"
_BEARER: Final = b"\r\nauthorization: bearer "
_BASIC: Final = re.compile(rb"\r\nauthorization: basic ([^\r]*)", re.IGNORECASE)
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STATUS: Final = {200: b"OK", 400: b"Bad Request", 401: b"Unauthorized", 404: b"Not Found"}


@attrs.define
class Knobs:
    """What can be changed while it runs.

    Attributes:
        lifetime: Seconds that an access token lives, also fractions; some clients take whole ones only.
        latency: Seconds that the token endpoint takes more than it needs.
        rotate: Whether refresh tokens are for one use.
    """

    lifetime: float = 3600.0
    latency: float = 0.0
    rotate: bool = True


@attrs.define
class Counts:
    """What has happened since the start.

    Attributes:
        token_calls: Requests to the token endpoint.
        renewals: Those that were answered with a token.
        families_revoked: Authorizations that ended because a refresh token was used again.
        api_calls: Requests to the API.
        refusals: Those that were answered with 401.
        issued_at: When tokens were issued, by `time.time()`.
    """

    token_calls: int = 0
    renewals: int = 0
    families_revoked: int = 0
    api_calls: int = 0
    refusals: int = 0
    issued_at: list[float] = attrs.field(factory=list)


@final
@attrs.frozen
class Vendor:
    """A vendor that runs."""

    url: str

    def place(self, **more: Any) -> Place:
        """Return where a contestant works that has its tokens from here."""
        return Place(token_url=f"{self.url}/token", api_url=f"{self.url}/things", **more)

    async def grant(self) -> str:
        """Return the first refresh token of a new authorization."""
        return str((await self._asked("POST", "/grant"))["refresh_token"])

    async def counts(self) -> Counts:
        """Return what has happened."""
        return Counts(**await self._asked("GET", "/counts"))

    async def turn(self, **knobs: Any) -> None:
        """Change knobs."""
        await self._asked("POST", "/knobs", json=knobs)

    async def _asked(self, method: str, path: str, **options: Any) -> Any:
        async with (
            aiohttp.ClientSession(raise_for_status=True) as client,
            client.request(method, self.url + path, **options) as response,
        ):
            return await response.json()


@asynccontextmanager
async def running_vendor(**knobs: Any) -> AsyncIterator[Vendor]:
    """Run a vendor in another process."""
    pipe = asyncio.subprocess.PIPE
    command = (sys.executable, "-m", "benchmarks.vendor", json.dumps(knobs))
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(10):
            port = int(await process.stdout.readline())
        yield Vendor(f"http://127.0.0.1:{port}")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@final
@attrs.define(eq=False)
class _Family:
    """What came of one authorization."""

    refresh_tokens: set[str] = attrs.field(factory=set)
    access_tokens: set[bytes] = attrs.field(factory=set)
    current: str = ""
    revoked: bool = False


@final
class _Answers:
    """What it knows, and what it answers: status and JSON."""

    def __init__(self, knobs: Knobs) -> None:
        self.knobs = knobs
        self.counts = Counts()
        self._ends: dict[bytes, float] = {}
        self._families: dict[str, _Family] = {}

    def admits(self, token: bytes) -> bool:
        self.counts.api_calls += 1
        if self._ends.get(token, 0.0) > time.monotonic():
            return True
        self.counts.refusals += 1
        return False

    def ask(self, path: bytes, head: bytes, body: bytes) -> tuple[int, Mapping[str, Any]]:
        if path == b"/token":
            return self._token(head, dict(parse_qsl(body.decode())))
        if path == b"/grant":
            return 200, {"refresh_token": self._refresh_token(_Family())}
        if path == b"/counts":
            return 200, attrs.asdict(self.counts)
        if path == b"/knobs":
            self.knobs = attrs.evolve(self.knobs, **json.loads(body))
            return 200, {}
        if path == b"/tenant/.well-known/openid-configuration":
            return 200, _discovery(head)
        return 404, {}

    def _token(self, head: bytes, form: dict[str, str]) -> tuple[int, Mapping[str, Any]]:
        if _client_of(head, form) != _CLIENT:
            return 401, {"error": "invalid_client"}
        if form.get("grant_type") == "client_credentials":
            return 200, self._issued()
        family = self._families.get(form.get("refresh_token", ""))
        if form.get("grant_type") != "refresh_token" or family is None or family.revoked:
            return 400, {"error": "invalid_grant"}
        if not self.knobs.rotate:
            return 200, self._issued(family)
        if form["refresh_token"] != family.current:
            self._revoke(family)
            return 400, {"error": "invalid_grant", "error_description": "used before"}
        return 200, {**self._issued(family), "refresh_token": self._refresh_token(family)}

    def _issued(self, family: _Family | None = None) -> dict[str, Any]:
        token, lifetime = secrets.token_hex(32), self.knobs.lifetime
        self._ends[token.encode()] = time.monotonic() + lifetime
        self.counts.renewals += 1
        self.counts.issued_at.append(time.time())
        if family is not None:
            family.access_tokens.add(token.encode())
        expires_in = int(lifetime) if lifetime == int(lifetime) else lifetime
        return {"access_token": token, "token_type": "Bearer", "expires_in": expires_in}

    def _refresh_token(self, family: _Family) -> str:
        family.current = secrets.token_hex(32)
        self._families[family.current] = family
        return family.current

    def _revoke(self, family: _Family) -> None:
        family.revoked = True
        self.counts.families_revoked += 1
        for token in family.access_tokens:
            self._ends.pop(token, None)


def _client_of(head: bytes, form: Mapping[str, str]) -> tuple[str, str]:
    if found := _BASIC.search(head):
        name, _, secret = base64.b64decode(found[1]).decode().partition(":")
        return name, secret
    return form.get("client_id", ""), form.get("client_secret", "")


def _discovery(head: bytes) -> dict[str, str]:
    """OpenID Connect Discovery 1.0, section 3: what its clients insist on."""
    host = re.findall(rb"\r\nhost: *([^\r]*)", head, re.IGNORECASE)[0].decode()
    return {
        "issuer": f"https://{host}/tenant",
        "authorization_endpoint": f"https://{host}/authorize",
        "token_endpoint": f"https://{host}/token",
    }


def _response(status: int, content: object, *more: bytes) -> bytes:
    body = json.dumps(content).encode()
    first = b"HTTP/1.1 %d %s" % (status, _STATUS[status])
    heads = (b"Content-Type: application/json", b"Content-Length: %d" % len(body), *more)
    return b"\r\n".join((first, *heads)) + _END + body


_FINE: Final = _response(200, {"name": "Ada"})
_REFUSED: Final = _response(401, {}, b'WWW-Authenticate: Bearer error="invalid_token"')


@final
class _Connection(asyncio.Protocol):
    def __init__(self, answers: _Answers) -> None:
        self._answers = answers
        self._begun = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        received = self._begun + data
        while (end := received.find(_END)) >= 0:
            head, after = received[:end], end + len(_END)
            if not head.startswith(b"GET "):
                length = _LENGTH.search(head)
                end, after = after, after + (int(length[1]) if length else 0)
                if len(received) < after:
                    break
            self._take(head, received[end:after])
            received = received[after:]
        self._begun = received

    def _take(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"GET /things"):
            token = head.lower().partition(_BEARER)[2][:64]
            self._write(_FINE if self._answers.admits(token) else _REFUSED)
            return
        path = head.split(b" ", 2)[1]
        if path != b"/token":
            self._write(_response(*self._answers.ask(path, head, body)))
            return
        self._answers.counts.token_calls += 1
        loop, latency = asyncio.get_running_loop(), self._answers.knobs.latency
        loop.call_later(latency, lambda: self._write(_response(*self._answers.ask(path, head, body))))

    def _write(self, answer: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(answer)


async def _main() -> None:
    loop, answers = asyncio.get_running_loop(), _Answers(Knobs(**json.loads(sys.argv[1])))
    server = await loop.create_server(lambda: _Connection(answers), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_main())
