"""The Redis store wherever Redis runs: the conformance suite over each kind of place."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import RedisCluster
from redis.asyncio.sentinel import Sentinel

from asyncauth import open_store
from asyncauth.testing._conformance import STORE_CHECKS
from asyncauth.testing._promise import StoreCheck, create, draw_name
from asyncauth_stores.redis import PlainRedisStore
from asyncauth_stores.sealed import KeyRing
from redis_clusters import ClusterSet
from redis_places import RedisPlace, another_incarnation, granted
from redis_sentinels import SERVICE, SentinelSet
from redis_servers import RedisServer, require
from tls_places import Authority, tls_in_front_of

pytestmark = pytest.mark.servers

_each = pytest.mark.parametrize("check", STORE_CHECKS, ids=lambda check: check.__name__)
_RING = KeyRing.generate()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RedisServer, Path]]:
    """A server that also listens on a Unix socket, and knows the guide's users of both namespaces."""
    socket = tmp_path_factory.mktemp("redis") / "socket"
    with RedisServer(require("valkey"), "--unixsocket", str(socket)) as server:
        yield server, socket


@_each
async def test_a_unix_socket_keeps_the_promises(check: StoreCheck, place: tuple[RedisServer, Path]) -> None:
    await check(RedisPlace(PlainRedisStore, server=f"unix://{place[1]}"))


@_each
async def test_resp3_keeps_the_promises(check: StoreCheck, place: tuple[RedisServer, Path]) -> None:
    await check(RedisPlace(PlainRedisStore, server=f"{place[0].url}?protocol=3"))


@_each
async def test_the_guides_user_keeps_the_promises(check: StoreCheck, place: tuple[RedisServer, Path]) -> None:
    (words,) = granted("app")
    # The checks' namespaces are their own: the user may have them all.
    place[0].command(*(word.replace("app:*", "*") for word in words))
    url = place[0].url.replace("//", "//app:password@")
    await check(RedisPlace(PlainRedisStore, server=url))


@_each
async def test_tls_keeps_the_promises(
    check: StoreCheck, place: tuple[RedisServer, Path], tmp_path: Path
) -> None:
    authority = Authority(tmp_path)
    async with tls_in_front_of(place[0].port, authority.context_for("127.0.0.1")) as port:
        url = f"rediss://127.0.0.1:{port}?ssl_ca_certs={authority.file}"
        await check(RedisPlace(PlainRedisStore, server=url))


@_each
@pytest.mark.parametrize("shared_sentinels", ["valkey"], indirect=True)
async def test_sentinel_keeps_the_promises(check: StoreCheck, sentinels: SentinelSet) -> None:
    await check(RedisPlace(PlainRedisStore, server=sentinels.url))


@_each
async def test_a_cluster_keeps_the_promises(check: StoreCheck, cluster: ClusterSet) -> None:
    await check(RedisPlace(PlainRedisStore, server=cluster.url))


async def test_open_store_finds_sentinel_and_cluster(sentinels: SentinelSet, cluster: ClusterSet) -> None:
    for url in (sentinels.url, cluster.url):
        async with open_store(url, key=_RING, namespace="app") as store:
            name = draw_name()
            await create(store, name, b"secret")
            assert (await store.read(name)).value == b"secret"
            assert [each async for each in store.keys()] == [name]  # noqa: SIM118 - a store is no mapping


@pytest.mark.parametrize(
    ("shared_sentinels", "protocol"), [("redis", 2), ("valkey", 3)], indirect=["shared_sentinels"]
)
async def test_a_ready_made_client_of_sentinel(sentinels: SentinelSet, protocol: int) -> None:
    ports = [("127.0.0.1", sentinel.port) for sentinel in sentinels.sentinels]
    options: Any = {"socket_timeout": None, "driver_info": None, "protocol": protocol}
    made: Any = Sentinel  # redis-py gives it no types
    async with (
        made(ports, sentinel_kwargs=options) as manager,
        manager.master_for(SERVICE, **options) as client,
        PlainRedisStore(client) as store,
    ):
        assert repr(store) == f"PlainRedisStore('{SERVICE} (found by Sentinels)', namespace='asyncauth')"
        name = draw_name()
        before = await create(store, name)
        await asyncio.to_thread(sentinels.kill_primary)
        after = await another_incarnation(store, name, before)
        await store.write(name, b"after", after)


@pytest.mark.parametrize("protocol", [2, 3])
async def test_a_ready_made_client_of_a_cluster(cluster: ClusterSet, protocol: int) -> None:
    client = RedisCluster(host="127.0.0.1", port=cluster.servers[0].port, protocol=protocol, driver_info=None)
    async with client, PlainRedisStore(client) as store:
        names = [draw_name() for _ in range(10)]
        for name in names:
            await create(store, name, b"secret")
        assert {name async for name in store.keys()} == set(names)  # noqa: SIM118 - a store is no mapping
        assert await client.get("a client that still works") is None
