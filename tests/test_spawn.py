"""What travels to another process: stores and schemes to one that is being started, secrets nowhere else."""

import asyncio
import copy
import pickle
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from asyncauth import AuthMiddleware, AuthSession, Token, TokenManager
from asyncauth.schemes import Basic, ClientCredentials, RefreshToken, StaticBearer
from asyncauth.testing.emulators import OAuth2Emulator
from asyncauth_stores.file import FileTokenStore
from asyncauth_stores.memory import MemoryTokenStore
from asyncauth_stores.redis import RedisTokenStore
from asyncauth_stores.sealed import KeyRing, SealedTokenStore
from redis_servers import RedisServer
from scripted import Scripted

_PROGRAM = Path(__file__).with_name("spawn_program.py")
_URL = "https://id.example.com/token"
_SECRET = "hunter2-hunter2"
_RING = KeyRing.generate()

GUARDED: Mapping[str, Callable[[], Any]] = {
    "token": lambda: Token(access_token=_SECRET, cookies={"sid": _SECRET}, extra={"more": [1]}),
    "client credentials": lambda: ClientCredentials(
        _URL, client_id="app", client_secret=_SECRET, params={"audience": "api"}
    ),
    "refresh token": lambda: RefreshToken(_URL, client_id="app", client_secret=_SECRET, subject="ada"),
    "bearer": lambda: StaticBearer(_SECRET, base_url="https://api.example.com"),
    "basic": lambda: Basic("svc", _SECRET, base_url="https://api.example.com"),
    "key ring": lambda: _RING,
}
STAYING: Mapping[str, tuple[Callable[[], Any], str]] = {
    "file store": (lambda: FileTokenStore("/var/lib/tokens", key=_RING), "call open_store there"),
    "Redis store": (
        lambda: RedisTokenStore(f"redis://u:{_SECRET}@cache", key=_RING),
        "call open_store there",
    ),
    "Redis client": (lambda: RedisTokenStore(Redis(), key=_RING), "make the store from a URL"),
    "memory store": (MemoryTokenStore, "open_store('redis://...')"),
    "sealed memory": (lambda: SealedTokenStore(MemoryTokenStore(), _RING), "open_store('redis://...')"),
    "manager": (lambda: TokenManager(MemoryTokenStore()), "make one there"),
    "middleware": (lambda: AuthMiddleware(Scripted(), MemoryTokenStore()), "for its own"),
}


@pytest.mark.parametrize("what", GUARDED)
def test_what_holds_a_secret_is_not_pickled_by_the_way(what: str) -> None:
    thing = GUARDED[what]()
    with pytest.raises(
        TypeError, match="only as an argument of a process that multiprocessing starts"
    ) as raised:
        pickle.dumps(thing)
    assert _SECRET not in str(raised.value)
    assert copy.deepcopy(thing) is copy.copy(thing) is thing


@pytest.mark.parametrize("what", GUARDED)
def test_what_holds_a_secret_arrives_whole_at_a_process_that_is_started(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    thing = GUARDED[what]()
    monkeypatch.setattr("multiprocessing.context.get_spawning_popen", object)
    assert pickle.loads(pickle.dumps(thing)) == thing  # noqa: S301 - our own


@pytest.mark.parametrize("what", STAYING)
def test_what_stays_in_its_process_says_what_to_do(what: str) -> None:
    make, advice = STAYING[what]
    with pytest.raises(TypeError) as raised:
        pickle.dumps(make())
    assert advice in str(raised.value)
    assert _SECRET not in str(raised.value)


@pytest.mark.parametrize("what", ["Redis client", "memory store", "sealed memory"])
def test_what_cannot_travel_does_not_go_to_a_process_that_is_started(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, advice = STAYING[what]
    monkeypatch.setattr("multiprocessing.context.get_spawning_popen", object)
    with pytest.raises(TypeError) as raised:
        pickle.dumps(make())
    assert advice in str(raised.value)


async def test_a_session_is_not_pickled() -> None:
    async with MemoryTokenStore() as store, AuthSession(Scripted(), store) as session:
        with pytest.raises(TypeError, match="an AuthSession stays in its process"):
            pickle.dumps(session)


async def _spawned(method: str, url: str) -> None:
    async with asyncio.timeout(40), OAuth2Emulator() as vendor:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-W", "error", str(_PROGRAM), method, url, _RING.dump(), str(vendor.token_url)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        lines = output.decode().splitlines()
        assert (process.returncode, lines[-1]) == (0, "[0, 0]"), lines
        assert len(lines) == 3
        assert lines[0] == lines[1]
        assert vendor.stats.token_calls == 1


@pytest.mark.processes
@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
async def test_store_and_scheme_are_arguments_of_a_process(method: str, tmp_path: Path) -> None:
    await _spawned(method, f"file://{tmp_path}/tokens")


@pytest.mark.processes
@pytest.mark.servers
async def test_a_redis_store_is_an_argument_of_a_process(any_redis: RedisServer) -> None:
    await _spawned("spawn", any_redis.url)
