"""What a Redis URL says: one server, Sentinels, or a Cluster; and how to connect."""

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, final
from urllib.parse import SplitResult, parse_qsl, urlencode

import attrs
from redis.asyncio.connection import SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from asyncauth._errors import ConfigurationError
from asyncauth._open import shown_options, split_url
from asyncauth_stores._redis_connection import Certificates, TLSConnection

Address = tuple[str, int]
"""A host and a port."""

URL_OPTIONS: Final = frozenset(
    {
        "db",
        "username",
        "password",
        "client_name",
        "protocol",
        "sentinel_username",
        "sentinel_password",
        "ssl_ca_certs",
        "ssl_ca_path",
        "ssl_certfile",
        "ssl_keyfile",
        "ssl_check_hostname",
        "ssl_cert_reqs",
    }
)
"""What may stand in a Redis URL's query besides a store's own options; most of them redis-py documents."""

_PORTS = {"": 6379, "cluster": 6379, "sentinel": 26379}
_FORMS = (
    "this is no Redis URL: redis://host:6379/0, rediss://host:6379/0, unix:///path/to/socket,"
    " redis+sentinel://host:26379,host:26379/service/0 or redis+cluster://host:6379,host:6379"
)


@final
@attrs.frozen
class Target:
    """Where a store's servers are.

    Attributes:
        kind: `sentinel`, `cluster`, or nothing for one server.
        addresses: Of the server, the Sentinels, or some of the Cluster; of a socket none.
        service: What the Sentinels call the primary.
        settings: What redis-py's connections to servers are made with.
        sentinel: The same for connections to Sentinels.
        shown: The URL without user, password and options.
    """

    kind: str
    addresses: tuple[Address, ...]
    service: str
    settings: Mapping[str, Any] = attrs.field(repr=False)
    sentinel: Mapping[str, Any] = attrs.field(repr=False)
    shown: str


def target_of(url: str) -> Target:
    """Read a Redis URL. Nothing is connected.

    Raises:
        ConfigurationError: It is none, or has unknown options. The message shows no part of it but
            the options' names.
    """
    parts = split_url(url)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    base, _, kind = parts.scheme.partition("+")
    known = URL_OPTIONS if kind == "sentinel" else {name for name in URL_OPTIONS if "sentinel" not in name}
    if query.keys() - known:
        shown = shown_options(query, known)
        raise ConfigurationError(
            f"unknown options in the Redis URL{shown}; known: {', '.join(sorted(known))}"
        )
    # What redis-py and Python say may quote the URL: their errors are not even context.
    with suppress(ValueError):
        return _read(parts, base, kind, query)
    raise ConfigurationError(_FORMS)


def _read(parts: SplitResult, base: str, kind: str, query: dict[str, str]) -> Target:
    if kind not in _PORTS or (kind and base not in {"redis", "rediss"}):
        raise ValueError("another scheme")
    if base == "unix" and parts.netloc and not parts.netloc.endswith("@"):
        raise ValueError("a socket has no host")
    sentinel = {
        name.removeprefix("sentinel_"): query.pop(name)
        for name in ("sentinel_username", "sentinel_password")
        if name in query
    }
    user, at, hosts = parts.netloc.rpartition("@")
    service, path = _service_and_database(parts.path) if kind == "sentinel" else ("", parts.path)
    if base != "unix" and not re.fullmatch(r"/?0?" if kind == "cluster" else r"/?[0-9]*", path):
        # redis-py takes database 0 for a name, and 12 for "1/2".
        raise ValueError("no number")
    facts = dict(parse_url(f"{base}://{user}{at}{'' if base == 'unix' else 'host'}{path}?{urlencode(query)}"))
    facts.pop("host", None)
    if facts.get("protocol", 2) not in {2, 3}:
        raise ValueError("no protocol")
    tls = {name: value for name, value in facts.items() if name.startswith(("ssl_", "connection_class"))}
    addresses = () if base == "unix" else tuple(_address(host, _PORTS[kind]) for host in hosts.split(","))
    return Target(
        kind=kind,
        addresses=addresses,
        service=service,
        settings=connection_settings(facts),
        sentinel=connection_settings(tls | sentinel),
        shown=f"{parts.scheme}://{','.join(map(named, addresses))}{parts.path}",
    )


def _service_and_database(path: str) -> tuple[str, str]:
    service, _, database = path.removeprefix("/").partition("/")
    if not service:
        raise ValueError("no service")
    return service, f"/{database}"


def _address(text: str, port: int) -> Address:
    parts = split_url(f"//{text}")
    return parts.hostname or "localhost", parts.port or port


def connection_settings(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what redis-py's connections are made with, besides what was asked for."""
    # The system's probes find a peer that has gone.
    probes = {} if "path" in facts else {"socket_keepalive": True}
    certificates = {"certificates": Certificates()} if facts.get("connection_class") is SSLConnection else {}
    if certificates:
        facts = {**facts, "connection_class": TLSConnection}
    return {
        # Nothing here needs the newer one, which proxies and old servers do not speak.
        "protocol": 2,
        **probes,
        **facts,
        **certificates,
        # A cancelled command of a client with a time-out of its own may swallow the cancellation.
        "socket_timeout": None,
        "socket_connect_timeout": None,
        # A write that was sent twice would conflict with itself; who renews, tries again.
        "retry": Retry(NoBackoff(), 0),
        # To tell the server its version, redis-py would search the disk for it in the event loop.
        "driver_info": None,
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


def named(address: Address) -> str:
    """Return an address as people write it."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
