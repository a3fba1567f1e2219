"""Connections of redis-py's: one taken from a pool, and TLS whose certificates are read once."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, final

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection, RedisSSLContext, SSLConnection


@asynccontextmanager
async def taken_from(pool: ConnectionPool, patience: float) -> AsyncIterator[AbstractConnection]:
    """Take a connection from a pool for a while; it comes about within so many seconds."""
    get: Any = pool.get_connection  # redis-py gives it no types
    async with asyncio.timeout(patience):
        connection: AbstractConnection = await get()
        if _was_reset(connection):
            connect: Any = connection.connect
            await connection.disconnect(nowait=True)
            await connect()
    try:
        yield connection
    finally:
        await pool.release(connection)


def _was_reset(connection: AbstractConnection) -> bool:
    # Before redis-py hands a connection out again, it looks only for an orderly end.
    reader = connection._reader  # noqa: SLF001 - nothing public tells it
    return reader is not None and reader.exception() is not None


@final
class Certificates:
    """What all connections with the same settings share. For any number of event loops."""

    def __init__(self) -> None:
        self._context: ssl.SSLContext | None = None

    async def read(self, form: RedisSSLContext) -> ssl.SSLContext:
        """Return the context that a connection's settings describe."""
        context = self._context
        if context is None:
            context = self._context = await asyncio.to_thread(form.get)
        return context


@final
class TLSConnection(SSLConnection):
    """A connection of redis-py's, which would read the system's certificates each time, in the event loop."""

    def __init__(self, *, certificates: Certificates, **settings: Any) -> None:
        super().__init__(**settings)
        self._certificates = certificates

    async def _connect(self) -> None:
        self.ssl_context.context = await self._certificates.read(self.ssl_context)
        connect: Any = super()._connect  # redis-py gives it no types
        await connect()
