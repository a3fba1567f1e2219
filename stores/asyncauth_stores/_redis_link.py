"""A Redis client for one event loop, its errors in our words, and the scripts that it runs."""

import asyncio
import hashlib
import os
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pkgutil import get_data
from typing import Any, Final, Self, final
from urllib.parse import parse_qsl

import attrs
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.maint_notifications import MaintNotificationsConfig

from asyncauth._errors import ConfigurationError, StoreUnavailableError
from asyncauth._open import split_url
from asyncauth_stores._redis_channel import Subscriber

_CONNECTIONS = 8
"""Commands under way at once. More do not help: a server runs one script after the other."""

URL_OPTIONS: Final = frozenset(
    {
        "db",
        "username",
        "password",
        "client_name",
        "ssl_ca_certs",
        "ssl_ca_path",
        "ssl_certfile",
        "ssl_keyfile",
        "ssl_check_hostname",
        "ssl_cert_reqs",
    }
)
"""What may stand in a Redis URL's query besides a store's own options; redis-py documents them."""

# What a server answers first when it refuses, and what to do. The rest of its text is not shown:
# servers that do not know a command quote its arguments, a password among them.
_ADVICE = {
    "NOAUTH": "it asks for a password: put one into the URL",
    "WRONGPASS": "it refuses the user or password of the URL",
    "NOPERM": "the user may not do this: allow +eval +evalsha +get +set +del +time +publish +subscribe +scan,"
    " the namespace's keys and its channels",
    "READONLY": "it is a read-only replica: connect to the primary",
    "OOM": "its memory is full",
    "LOADING": "it is still loading its data",
    "WRONGTYPE": "something else than a record lies under the record's key: remove it",
    "MISCONF": "it cannot save to its disk, and takes no writes until it can",
    "DENIED": "it is in protected mode, for its own machine only: give it a password",
    "DB index": "it has no database of this number: see the end of the URL",
}


@final
@attrs.frozen
class Script:
    """A Lua script that is sent once, and called by its hash from then on."""

    text: str
    sha: str

    @classmethod
    def load(cls, name: str) -> Self:
        """Return a script of this package's `lua` folder."""
        data = get_data("asyncauth_stores", f"lua/{name}")
        assert data is not None  # noqa: S101 - every loader of files has it
        return cls(data.decode("ascii"), hashlib.sha1(data, usedforsecurity=False).hexdigest())


@final
@attrs.define(eq=False)
class Link:
    """What one store has in one event loop.

    Attributes:
        client: Connections belong to the event loop that made them.
        subscriber: Wakes this loop's waiters.
        owned: Whether the client is closed with the link.
        place: How error messages name the server.
    """

    client: Redis
    owned: bool
    place: str
    subscriber: Subscriber = attrs.field(init=False)
    _gate: asyncio.Semaphore = attrs.field(init=False, factory=lambda: asyncio.Semaphore(_CONNECTIONS))

    def __attrs_post_init__(self) -> None:
        self.subscriber = Subscriber(self.client)

    async def call(self, script: Script, key: str, *args: str | bytes) -> Any:
        """Run a script on one key.

        Raises:
            StoreUnavailableError: The server cannot be reached, or refuses.
        """
        async with self._gate:
            with translated(self.place):
                try:
                    return await self.client.evalsha(script.sha, 1, key, *args)
                except NoScriptError:
                    return await self.client.eval(script.text, 1, key, *args)

    async def call_replicated(
        self, replicas: int, timeout_ms: int, script: Script, key: str, *args: str | bytes
    ) -> tuple[Any, int]:
        """Run a script, then wait until replicas have what it wrote.

        Returns:
            The script's result, and how many replicas have it.
        """
        wait = ("WAIT", replicas, timeout_ms)
        async with self._gate:
            with translated(self.place):
                try:
                    answers = await self._together(("EVALSHA", script.sha, 1, key, *args), wait)
                except NoScriptError:
                    answers = await self._together(("EVAL", script.text, 1, key, *args), wait)
        return answers[0], answers[1]

    async def aclose(self) -> None:
        """End the subscriber, and the client if it is this link's own."""
        await self.subscriber.aclose()
        if self.owned:
            with translated(self.place):
                await self.client.aclose()

    async def _together(self, *commands: tuple[Any, ...]) -> list[Any]:
        """Send commands over one connection: WAIT waits for what its own connection wrote."""
        async with self.client.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            # Not raised by redis-py, whose message would quote the command with the value.
            answers = await pipe.execute(raise_on_error=False)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers


def checked_url(url: str) -> str:
    """Return a Redis URL that redis-py can use. Nothing is connected.

    Raises:
        ConfigurationError: It is none, or has unknown options. The message shows no part of it but
            the options' names.
    """
    unknown = {name for name, _ in parse_qsl(split_url(url).query, keep_blank_values=True)} - URL_OPTIONS
    if unknown:
        raise ConfigurationError(f"unknown options in the Redis URL: {', '.join(sorted(unknown))}")
    try:
        parse_url(url)
        _check_database(url)
    except ValueError:
        raise ConfigurationError(
            "this is no Redis URL: redis://host:6379/0, rediss://host:6379/0 or unix:///path/to/socket"
        ) from None
    return url


def _check_database(url: str) -> None:
    # redis-py takes database 0 for a name, and 12 for "1/2".
    parts = split_url(url)
    if parts.scheme != "unix" and not re.fullmatch(r"/?[0-9]*", parts.path):
        raise ValueError("no number")


def shown(url: str) -> str:
    """Return a checked URL without the user, the password and the options."""
    parts = split_url(url)
    if parts.scheme == "unix":
        return f"unix://{parts.path}"
    return f"{parts.scheme}://{parts.hostname or 'localhost'}:{parts.port or 6379}{parts.path}"


def client_for(url: str) -> Redis:
    """Return a client for the running event loop. Nothing is connected yet."""
    # The system's probes find a peer that has gone, also for the subscriber, which only listens.
    probes = {} if split_url(url).scheme == "unix" else {"socket_keepalive": True}
    pool = ConnectionPool.from_url(
        url,
        **probes,
        # A cancelled command of a client with a time-out of its own may swallow the cancellation.
        # Callers bound the operations (`RefreshPolicy.store_timeout`).
        socket_timeout=None,
        socket_connect_timeout=None,
        # A write that was sent twice would conflict with itself; who renews, tries again.
        retry=Retry(NoBackoff(), 0),
        # Nothing here needs the newer one, which proxies and old servers do not speak.
        protocol=2,
        # To tell the server its version, redis-py would search the disk for it in the event loop.
        driver_info=None,
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    return Redis.from_pool(pool)


def place_of(client: Redis) -> str:
    """Return how messages name a client's server: host and port, or the socket's path."""
    facts = client.connection_pool.connection_kwargs
    return str(facts.get("path") or f"{facts.get('host', 'localhost')}:{facts.get('port', 6379)}")


@contextmanager
def translated(place: str) -> Iterator[None]:
    """Turn everything that redis-py raises into `StoreUnavailableError`."""
    try:
        yield
    except (RedisConnectionError, RedisTimeoutError, OSError) as error:
        raise StoreUnavailableError(_message(place, error)) from error
    except RedisError as error:
        # Not chained: the text of an answer may quote what was sent.
        raise StoreUnavailableError(_message(place, error)) from None


def _message(place: str, error: Exception) -> str:
    advice = _ADVICE.get(_code(error))
    if advice is not None:
        return f"Redis at {place} refuses: {advice}"
    if isinstance(error, ResponseError):
        return f"Redis at {place} answers with an error ({_code(error) or type(error).__name__}): see its log"
    return f"Redis at {place} cannot be reached ({_cause(error)}): is it running, and is the URL right?"


def _cause(error: BaseException) -> str:
    """Return the operating system's words for what is behind an error; never the server's, or the URL's."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {cause.reason or type(cause).__name__}"
        if isinstance(cause, socket.gaierror):
            return str(cause.strerror)
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
        cause = cause.__cause__ or cause.__context__
    return type(error).__name__


def _code(error: Exception) -> str:
    code: str | None = getattr(error, "status_code", None)
    text = str(error)
    if "ACL failure in script" in text or "user executing the script can't" in text:
        return "NOPERM"
    # What a script ran into is somewhere in the text.
    return next((known for known in _ADVICE if known in text), "") if code in {None, "ERR"} else str(code)
