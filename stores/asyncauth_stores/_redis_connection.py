"""Connections of redis-py's: one taken from a pool, and TLS whose certificates are read once."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, final

from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection, RedisSSLContext, SSLConnection

from asyncauth_stores._threads import apart


@asynccontextmanager
async def taken_from(pool: ConnectionPool, patience: float) -> AsyncIterator[AbstractConnection]:
    """Take a connection from a pool for a while; it comes about within so many seconds."""
    try:
        async with asyncio.timeout(patience):
            connection = await _connected(pool)
    except BaseException:
        await _drop_idle(pool)
        raise
    try:
        yield connection
    finally:
        await pool.release(connection)


async def _connected(pool: ConnectionPool) -> AbstractConnection:
    get: Any = pool.get_connection  # redis-py gives it no types
    connection: AbstractConnection = await get()
    if _was_reset(connection):
        connect: Any = connection.connect
        try:
            await connection.disconnect(nowait=True)
            await connect()
        except BaseException:
            await pool.release(connection)
            raise
    return connection


async def _drop_idle(pool: ConnectionPool) -> None:
    """End the connections that nobody uses, after one that did not come about.

    It is among them: redis-py keeps one that was cut off while it waited for its credentials, and would
    hand it out as it is, not let in and with another database. The pool's own `disconnect` waits for
    a goodbye, which a frozen peer does not say.
    """
    for connection in pool._available_connections:  # noqa: SLF001 - nothing public tells them
        await connection.disconnect(nowait=True)


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
            context = self._context = await apart(form.get)
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
