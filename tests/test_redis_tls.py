"""TLS to Redis: whom to trust, and what is said when it fails."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from asyncauth._errors import StoreUnavailableError
from asyncauth.testing._promise import create
from asyncauth_stores.redis import PlainRedisStore
from redis_servers import RedisServer
from tls_places import Authority, tls_in_front_of

pytestmark = pytest.mark.servers

_NAME = "0a" * 32


async def test_a_server_of_the_named_authority_is_trusted(redis_server: RedisServer, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with tls_in_front_of(redis_server.port, authority.context_for("localhost")) as port:
        url = f"rediss://localhost:{port}?ssl_ca_certs={authority.file}"
        async with PlainRedisStore(url) as store:
            wait = asyncio.create_task(store.changed(_NAME, "", 30))
            await create(store, _NAME, b"secret")
            await asyncio.wait_for(wait, 5)


async def test_another_authoritys_server_is_refused(redis_server: RedisServer, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    authority, other = Authority(tmp_path), Authority(tmp_path / "other")
    async with tls_in_front_of(redis_server.port, other.context_for("localhost")) as port:
        for query in ("", f"?ssl_ca_certs={authority.file}"):
            async with PlainRedisStore(f"rediss://:topsecret@localhost:{port}{query}") as store:
                with pytest.raises(
                    StoreUnavailableError, match=r"TLS: .*certificate.*; ssl_ca_certs in the URL names"
                ) as caught:
                    await store.read(_NAME)
                assert "topsecret" not in repr(caught.value)
    assert "evalsha" not in redis_server.calls()


async def test_another_hosts_certificate_is_refused(redis_server: RedisServer, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with tls_in_front_of(redis_server.port, authority.context_for("elsewhere.example")) as port:
        url = f"rediss://localhost:{port}?ssl_ca_certs={authority.file}"
        async with PlainRedisStore(url) as store:
            with pytest.raises(StoreUnavailableError, match=r"TLS: Hostname mismatch.*'localhost'"):
                await store.read(_NAME)
        async with PlainRedisStore(f"{url}&ssl_check_hostname=0") as store:
            assert (await store.read(_NAME)).value is None


async def test_certificates_are_read_also_when_all_threads_of_the_loop_are_busy(
    redis_server: RedisServer, tmp_path: Path
) -> None:
    authority, free = Authority(tmp_path), threading.Event()
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    async with tls_in_front_of(redis_server.port, authority.context_for("127.0.0.1")) as port:
        busy = asyncio.create_task(asyncio.to_thread(free.wait, 10))
        await asyncio.sleep(0)
        url = f"rediss://127.0.0.1:{port}?ssl_ca_certs={authority.file}"
        async with PlainRedisStore(url) as store, asyncio.timeout(2):
            assert (await store.read(_NAME)).value is None
        free.set()
        await busy


async def test_an_authority_that_is_not_there_is_named_as_missing(redis_server: RedisServer) -> None:
    url = f"rediss://localhost:{redis_server.port}?ssl_ca_certs=/nowhere/authority.pem"
    async with PlainRedisStore(url) as store:
        with pytest.raises(StoreUnavailableError, match=r"No such file or directory"):
            await store.read(_NAME)
