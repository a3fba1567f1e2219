"""Bad lines to a vendor, and a conversation that holds a secret in every part."""

import asyncio
import ssl
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from yarl import URL

from asyncauth import VendorError
from asyncauth._clock import SYSTEM_CLOCK
from asyncauth._exchange import AuthRequest, AuthResponse
from asyncauth._flow import converse
from asyncauth.abc import AuthFlow
from http_places import Answering

HIDDEN = "s3cret"


def asking(*urls: URL | str, method: str = "POST") -> AuthFlow[AuthResponse]:
    """Ask at each place, with a secret in every part of the request."""
    response = None
    for url in urls:
        response = yield AuthRequest(
            method=method,
            url=URL(url).update_query(password=HIDDEN),
            headers={"Authorization": f"Basic {HIDDEN}"},
            body=f"refresh_token={HIDDEN}".encode(),
        )
    assert response is not None
    return response


async def failure(client: aiohttp.ClientSession, *urls: URL | str, method: str = "POST") -> VendorError:
    """Return the error of a conversation, which shows no secret."""
    with pytest.raises(VendorError) as caught:
        await converse(asking(*urls, method=method), client, SYSTEM_CLOCK, 5)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert HIDDEN not in shown
    return caught.value


@asynccontextmanager
async def a_port(words: bytes = b"", context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Listen; say the words to the first head that comes, and nothing else."""
    ended = asyncio.Event()

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            await reader.readuntil(b"\r\n\r\n")
        writer.write(words)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]
        if context is None:
            await ended.wait()


def cut(*, after: bytes) -> Answering:
    """Return a handler that says so much and cuts the connection."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        await request.read()
        assert isinstance(request.transport, asyncio.Transport)
        request.transport.write(after)
        await asyncio.sleep(0.01)
        request.transport.abort()
        return web.Response()

    return answer


def a_tls_context(path: Path) -> ssl.SSLContext:
    """Return a server's context whose certificate nobody vouches for; it is kept in the file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(tz=UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(key.private_bytes(*form) + certificate.public_bytes(Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context
