"""Users that a Redis server does not let in, or not do everything: the error names what to grant."""

import asyncio
import logging

import pytest

from asyncauth._errors import StoreUnavailableError
from asyncauth.testing._promise import create
from asyncauth_stores.redis import PlainRedisStore
from redis_clusters import ClusterSet
from redis_places import grant, granted
from redis_servers import RedisServer, until

pytestmark = pytest.mark.servers

_NAME = "0a" * 32
_SECRET = b"the refresh token"


@pytest.mark.parametrize("protocol", [2, 3])
async def test_the_guides_user_may_do_all_that_is_needed(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture, protocol: int
) -> None:
    url = grant(own_redis, "app").removesuffix("/0") + f"/1?protocol={protocol}"
    async with PlainRedisStore(url, namespace="app", replicas=0) as store:
        wait = asyncio.create_task(store.changed(_NAME, "", 30))
        await until(lambda: own_redis.channels() == 1)
        stored = await create(store, _NAME, _SECRET)
        await asyncio.wait_for(wait, 5)
        assert stored.incarnation
        assert [name async for name in store.keys()] == [_NAME]  # noqa: SIM118 - a store is no mapping
        await store.write(_NAME, None, stored)
    async with PlainRedisStore(url, namespace="other") as store:
        with pytest.raises(StoreUnavailableError, match=r"the keys other:\*.*ACL SETUSER <user> ~other:\*"):
            await store.read(_NAME)
    assert caplog.records == []


async def test_the_guides_user_of_a_cluster_may_do_all_that_is_needed(
    cluster: ClusterSet, caplog: pytest.LogCaptureFixture
) -> None:
    for words in granted("app", cluster=True):
        for server in cluster.servers:
            for word in words[3:]:
                server.command(*words[:3], word)
    url = cluster.url.replace("//", "//app:password@")
    async with PlainRedisStore(url, namespace="app", replicas=1) as store:
        wait = asyncio.create_task(store.changed(_NAME, "", 30))
        await asyncio.sleep(0.2)
        await store.write(_NAME, _SECRET, await store.read(_NAME), replicated=True)
        await asyncio.wait_for(wait, 5)
        assert [name async for name in store.keys()] == [_NAME]  # noqa: SIM118 - a store is no mapping
    assert caplog.records == []


@pytest.mark.parametrize(
    ("rule", "named", "advice"),
    [
        ("-evalsha", "EVALSHA", "+evalsha"),
        ("-eval", "EVAL", "+eval"),
        ("-get", "GET", "+get"),
        ("-set", "SET", "+set"),
        ("-time", "TIME", "+time"),
        ("-publish", "PUBLISH", "+publish"),
        ("resetchannels", "the channels app:*", "&app:*"),
        ("resetkeys", "the keys app:*", "~app:*"),
    ],
)
async def test_a_missing_permission_is_named_and_nothing_is_written(
    own_redis: RedisServer, rule: str, named: str, advice: str
) -> None:
    own_redis.command("ACL", "SETUSER", "weak", "on", ">topsecret", "~*", "&*", "+@all", rule)
    async with (
        PlainRedisStore(own_redis.url.replace("//", "//weak:topsecret@"), namespace="app") as store,
        PlainRedisStore(own_redis.url, namespace="app") as reader,
    ):
        before = await reader.read(_NAME)
        own_redis.command("SCRIPT", "FLUSH")
        with pytest.raises(StoreUnavailableError) as caught:
            await store.write(_NAME, _SECRET, before)
        assert str(caught.value) == (
            f"Redis at 127.0.0.1:{own_redis.port} refuses: the user may not use {named}; grant it with"
            f" ACL SETUSER <user> {advice}"
        )
        assert (await reader.read(_NAME)).value is None


async def test_a_missing_permission_to_wait_or_list_is_named(own_redis: RedisServer) -> None:
    own_redis.command("ACL", "SETUSER", "weak", "on", ">pw", "~*", "&*", "+@all", "-wait", "-scan")
    async with PlainRedisStore(own_redis.url.replace("//", "//weak:pw@"), replicas=1) as store:
        with pytest.raises(StoreUnavailableError, match=r"may not use WAIT; .* \+wait") as caught:
            await store.write(_NAME, _SECRET, await store.read(_NAME), replicated=True)
        # Not that nothing was done: the write was.
        assert type(caught.value) is StoreUnavailableError
        assert (await store.read(_NAME)).value == _SECRET
        with pytest.raises(StoreUnavailableError, match=r"may not use SCAN; .* \+scan"):
            [name async for name in store.keys()]  # noqa: SIM118 - a store is no mapping


@pytest.mark.parametrize("rule", ["-subscribe", "resetchannels"])
async def test_a_missing_permission_to_listen_is_named_once(
    own_redis: RedisServer, rule: str, caplog: pytest.LogCaptureFixture
) -> None:
    own_redis.command("ACL", "SETUSER", "deaf", "on", ">pw", "~*", "&*", "+@all", rule)
    async with PlainRedisStore(own_redis.url.replace("//", "//deaf:pw@"), namespace="app") as store:
        await store.changed(_NAME, "", 0.5)
    (record,) = [record for record in caplog.records if "no wake-up channel" in record.message]
    wanted = "ACL SETUSER <user> +subscribe" if rule == "-subscribe" else "ACL SETUSER <user> &app:*"
    assert record.message.endswith(wanted)


@pytest.mark.parametrize(
    ("user", "reason"),
    [
        ("app:wrong-topsecret", "refuses the user or password of the URL, or the user is switched off"),
        ("off:topsecret", "refuses the user or password of the URL, or the user is switched off"),
        ("", "asks for a password: put one into the URL"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 3])
async def test_who_is_not_let_in_is_told_why(
    own_redis: RedisServer, user: str, reason: str, protocol: int
) -> None:
    own_redis.command("ACL", "SETUSER", "app", "on", ">topsecret", "~*", "&*", "+@all")
    own_redis.command("ACL", "SETUSER", "off", "off", ">topsecret", "~*", "&*", "+@all")
    own_redis.command("ACL", "SETUSER", "default", "off" if not user else "on")
    url = own_redis.url.replace("//", f"//{user}@" if user else "//")
    async with PlainRedisStore(f"{url}?protocol={protocol}") as store:
        with pytest.raises(StoreUnavailableError, match=reason) as caught:
            await store.read(_NAME)
    error: BaseException | None = caught.value
    while error is not None:
        assert "topsecret" not in repr(error)
        error = error.__cause__


async def test_a_password_that_the_server_does_not_have_is_named(own_redis: RedisServer) -> None:
    async with PlainRedisStore(own_redis.url.replace("//", "//:topsecret@")) as store:
        with pytest.raises(
            StoreUnavailableError, match="the URL has a password, and the server none"
        ) as caught:
            await store.read(_NAME)
    assert "topsecret" not in repr(caught.value)


async def test_without_permission_for_info_there_is_one_warning(
    own_redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    own_redis.command("ACL", "SETUSER", "blind", "on", ">pw", "~*", "&*", "+@all", "-info")
    caplog.set_level(logging.WARNING)
    async with PlainRedisStore(own_redis.url.replace("//", "//blind:pw@")) as store:
        stored = await create(store, _NAME, _SECRET)
        assert stored.incarnation == ""
        assert (await store.read(_NAME)).version == stored.version
    assert [record.message for record in caplog.records if "+info" in record.message] == [
        "the Redis user may not call INFO (+info): a fail-over that loses writes is not noticed"
    ]
