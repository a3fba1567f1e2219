"""What Redis URLs say, and which are refused; nothing is connected."""

from typing import Any

import pytest
from redis.asyncio import Redis, RedisCluster

from asyncauth._errors import ConfigurationError
from asyncauth._open import open_store
from asyncauth_stores._redis_connection import TLSConnection
from asyncauth_stores._redis_url import target_of
from asyncauth_stores.redis import PlainRedisStore, RedisTokenStore
from asyncauth_stores.sealed import KeyRing


def test_sentinels_have_addresses_a_service_and_a_database() -> None:
    target = target_of("redis+sentinel://user:p%40ss@h1:1,h2,[::1]:3/main/2?sentinel_password=other")
    assert (target.kind, target.service) == ("sentinel", "main")
    assert target.addresses == (("h1", 1), ("h2", 26379), ("::1", 3))
    assert _part(target.settings, "username", "password", "db") == ("user", "p@ss", 2)
    assert _part(target.sentinel, "username", "password", "db") == (None, "other", None)
    assert target.shown == "redis+sentinel://h1:1,h2:26379,[::1]:3/main/2"


def test_sentinels_need_no_database() -> None:
    assert target_of("redis+sentinel://h1/main").settings.get("db", 0) == 0


def test_a_cluster_has_addresses() -> None:
    target = target_of("redis+cluster://:secret@h1:7000,h2")
    assert (target.kind, target.addresses) == ("cluster", (("h1", 7000), ("h2", 6379)))
    assert target.settings["password"] == "secret"


@pytest.mark.parametrize("scheme", ["rediss", "rediss+sentinel", "rediss+cluster"])
def test_tls_is_for_everybody(scheme: str) -> None:
    target = target_of(f"{scheme}://host{'/main' if 'sentinel' in scheme else ''}?ssl_ca_certs=/ca.pem")
    for settings in (target.settings, target.sentinel):
        assert _part(settings, "connection_class", "ssl_ca_certs") == (TLSConnection, "/ca.pem")


@pytest.mark.parametrize("protocol", [2, 3])
def test_the_protocol_can_be_chosen(protocol: int) -> None:
    assert target_of(f"redis://host?protocol={protocol}").settings["protocol"] == protocol
    assert target_of("redis://host").settings["protocol"] == 2


def test_redis_py_sends_nothing_again_and_has_no_time_outs_of_its_own() -> None:
    settings = target_of("redis+cluster://host").settings
    assert _part(settings, "socket_timeout", "socket_connect_timeout") == (None, None)
    assert settings["retry"].get_retries() == 0


def _part(settings: Any, *names: str) -> tuple[Any, ...]:
    return tuple(settings.get(name) for name in names)


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://h1:26379",
        "redis+sentinel://h1:26379/main/topsecret",
        "redis+sentinel://h1:topsecret/main",
        "redis+cluster://h1:1/1",
        "redis+other://topsecret",
        "unix+cluster:///topsecret",
        "redis://h1?protocol=4",
        "redis://h1?protocol=topsecret",
        "redis+cluster://h1:1?sentinel_password=topsecret",
    ],
)
def test_what_cannot_be_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="no Redis URL|unknown options") as caught:
        PlainRedisStore(url)
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://h:1/main",
        "rediss+sentinel://h:1/main",
        "redis+cluster://h:1",
        "rediss+cluster://h:1",
    ],
)
def test_open_store_knows_every_form(url: str) -> None:
    store = open_store(url, key=KeyRing.generate())
    assert isinstance(store, RedisTokenStore)
    assert repr(store) == f"RedisTokenStore('{url}', namespace='asyncauth')"


def test_a_store_shows_no_secret_of_its_url() -> None:
    for url in ("redis://user:topsecret@h", "redis+sentinel://:topsecret@h/main?sentinel_password=topsecret"):
        store = PlainRedisStore(url)
        assert "topsecret" not in repr(store)
        assert "topsecret" not in repr(vars(store)["_server"])


def test_a_client_that_decodes_is_refused() -> None:
    for client in (
        Redis(decode_responses=True, driver_info=None),
        RedisCluster(host="127.0.0.1", decode_responses=True, driver_info=None),
    ):
        with pytest.raises(ConfigurationError, match="decode_responses=False"):
            PlainRedisStore(client)
