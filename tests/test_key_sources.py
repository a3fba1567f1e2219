"""Keys from a passphrase, the system's keyring and a key management service."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import keyring
import pytest
from aiohttp import web
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.fernet import Fernet
from keyring.backend import KeyringBackend
from keyring.backends.fail import Keyring as NoKeyring
from keyring.errors import KeyringLocked

from asyncauth import TokenManager
from asyncauth._errors import ConfigurationError, StoreUnavailableError, UnknownKeyError
from asyncauth.schemes import ClientCredentials, RefreshToken
from asyncauth.testing import ManualClock
from asyncauth.testing._promise import create
from asyncauth.testing.emulators import OAuth2Emulator
from asyncauth_stores import _passphrase
from asyncauth_stores._keys import find_keys
from asyncauth_stores._live_ring import FRESH
from asyncauth_stores.memory import MemoryTokenStore
from asyncauth_stores.sealed import (
    KeyRing,
    KeySource,
    OSKeyring,
    Passphrase,
    SealedTokenStore,
    WrappedKeyFile,
)

_NAME = "0a" * 32
_WORDS = "correct horse battery staple"
_SALT = "our-service.production"


# A passphrase


async def test_a_passphrase_makes_the_same_ring_everywhere() -> None:
    ring = await Passphrase(_WORDS, salt=_SALT).load()
    # Argon2id with RFC 9106's second recommended option: whoever changes it locks every user out.
    assert ring.ids == ("7845d33a",)


@pytest.mark.slow
async def test_another_passphrase_or_salt_makes_another_ring() -> None:
    sources = [
        Passphrase(_WORDS, salt=_SALT),
        Passphrase(_WORDS, salt="elsewhere"),
        Passphrase(_WORDS + "!", salt=_SALT),
    ]
    rings = [await source.load() for source in sources]
    assert len({ring.ids for ring in rings}) == 3
    assert len({ring.names for ring in rings}) == 3


@pytest.mark.slow
async def test_a_passphrase_typed_on_another_system_is_the_same() -> None:
    composed, decomposed = "caf\u00e9 au lait au lit", "cafe\u0301 au lait au lit"
    assert await Passphrase(composed, salt=_SALT).load() == await Passphrase(decomposed, salt=_SALT).load()


@pytest.mark.slow
async def test_a_passphrase_is_derived_once_in_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    words = "derived for this test only"
    derived, real = list[Passphrase](), _passphrase._derived

    def derive(source: Passphrase) -> KeyRing:
        derived.append(source)
        return real(source)

    monkeypatch.setattr(_passphrase, "_derived", derive)
    stores = [
        SealedTokenStore(MemoryTokenStore(), Passphrase(words, salt=_SALT), clock=ManualClock())
        for _ in range(5)
    ]
    await asyncio.gather(*(create(store, _NAME) for store in stores))
    assert len(derived) == 1


async def test_a_wrong_passphrase_is_refused_and_changes_nothing() -> None:
    inner = MemoryTokenStore()
    right = SealedTokenStore(inner, Passphrase(_WORDS, salt=_SALT))
    written = await create(right, _NAME)
    wrong = SealedTokenStore(inner, Passphrase("correct horse battery stable", salt=_SALT))
    for operation in (wrong.read(_NAME), wrong.write(_NAME, b"mine", written), wrong.reseal()):
        with pytest.raises(UnknownKeyError, match="another key ring .or passphrase, or salt") as caught:
            await operation
        assert "horse" not in str(caught.value)
    assert (await right.read(_NAME)).version == written.version


def test_a_short_passphrase_or_salt_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="at least 12 characters") as caught:
        Passphrase("hunter2", salt=_SALT)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="at least 8 bytes"):
        Passphrase(_WORDS, salt="salt")


def test_a_passphrase_is_not_shown() -> None:
    assert "horse" not in repr(Passphrase(_WORDS, salt=_SALT))


async def test_a_passphrase_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ASYNCAUTH_KEY", raising=False)
    monkeypatch.setenv("ASYNCAUTH_PASSPHRASE", _WORDS)
    monkeypatch.delenv("ASYNCAUTH_SALT", raising=False)
    with pytest.raises(ConfigurationError, match="ASYNCAUTH_PASSPHRASE and ASYNCAUTH_SALT are both needed"):
        find_keys()
    monkeypatch.setenv("ASYNCAUTH_SALT", _SALT)
    assert find_keys() == Passphrase(_WORDS, salt=_SALT)
    monkeypatch.setenv("ASYNCAUTH_KEY", KeyRing.generate().dump())
    assert isinstance(find_keys(), KeyRing)


async def test_an_openssl_without_argon2_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise UnsupportedAlgorithm("not in this OpenSSL")

    monkeypatch.setattr(_passphrase, "Argon2id", refuse)
    with pytest.raises(ConfigurationError, match=r"needs OpenSSL 3.2.*wheels"):
        await Passphrase("never derived before this", salt=_SALT).load()


async def test_a_ring_of_a_passphrase_can_become_a_file_that_rotates() -> None:
    inner, source = MemoryTokenStore(), Passphrase(_WORDS, salt=_SALT)
    await create(SealedTokenStore(inner, source), _NAME, b"value")
    ring = KeyRing.parse((await source.load()).dump()).rotate()
    store = SealedTokenStore(inner, ring)
    assert (await store.read(_NAME)).value == b"value"
    assert (await store.reseal()).resealed == 1


@pytest.mark.processes
def test_children_of_a_fork_derive_for_themselves() -> None:
    code = """
import asyncio, os, threading
from asyncauth_stores import _passphrase
from asyncauth_stores.sealed import Passphrase
_passphrase._RINGS._lock.acquire()  # as if another thread derived at the moment of the fork
child = os.fork()
if child == 0:
    asyncio.run(asyncio.wait_for(Passphrase("correct horse battery", salt="our-service").load(), 20))
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "0\n", done.stderr


# The system's keyring


class FileKeyring(KeyringBackend):
    """A keyring of the tests' own, in a file."""

    priority = 1  # pyright: ignore[reportAssignmentType] - keyring's own way

    def __init__(self, path: Path) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._path = path
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise KeyringLocked("topsecret")
        return self._path.read_text() if self._path.exists() else None

    def set_password(self, service: str, username: str, password: str) -> None:
        self._path.write_text(password)


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[FileKeyring]:
    """A keyring, registered through the library's own front."""
    before = keyring.get_keyring()
    backend = FileKeyring(tmp_path / "keyring")
    keyring.set_keyring(backend)
    yield backend
    keyring.set_keyring(before)


async def test_the_systems_keyring_keeps_a_ring(backend: FileKeyring) -> None:
    source, ring = OSKeyring(), KeyRing.generate()
    with pytest.raises(ConfigurationError, match=r"no entry 'key' of 'asyncauth'.*save"):
        await source.load()
    await source.save(ring)
    assert await source.load() == ring
    inner, clock = MemoryTokenStore(), ManualClock()
    store = SealedTokenStore(inner, find_keys(source), clock=clock)
    await create(store, _NAME, b"value")
    await source.save(ring.rotate())
    clock.step(FRESH)
    await store.write("0b" * 32, b"value", await store.read("0b" * 32))
    assert (await store.key_ids())[ring.ids[0]] == 1
    assert (await store.key_ids()).total() == 2


async def test_a_locked_keyring_is_an_unavailable_store(backend: FileKeyring) -> None:
    backend.locked = True
    with pytest.raises(StoreUnavailableError, match="locked or failed .KeyringLocked.: unlock") as caught:
        await OSKeyring().load()
    assert "topsecret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


async def test_a_machine_without_a_keyring_says_what_to_take_instead(backend: FileKeyring) -> None:
    keyring.set_keyring(NoKeyring())  # type: ignore[no-untyped-call]
    with pytest.raises(ConfigurationError, match="no keyring.*key_file="):
        await OSKeyring().load()


async def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'asyncauth\[keyring\]'"):
        await OSKeyring().load()


async def test_rubbish_in_the_keyring_is_not_shown(backend: FileKeyring) -> None:
    await asyncio.to_thread(backend.set_password, "asyncauth", "key", "topsecret")
    with pytest.raises(ConfigurationError, match="entry 1") as caught:
        await OSKeyring().load()
    assert "topsecret" not in str(caught.value)


# A key management service


class FakeKMS:
    """A key management service over HTTP: its key opens what it has wrapped, and never leaves it.

    Attributes:
        calls: How often it was asked.
        up: Whether it does its work.
    """

    def __init__(self) -> None:
        self._key = Fernet(Fernet.generate_key())
        self.calls = 0
        self.up = True
        self.url = ""

    def wrap(self, text: str) -> bytes:
        return self._key.encrypt(text.encode())

    async def unwrap(self, wrapped: bytes) -> bytes:
        """What an application writes for its service, with that service's client."""
        async with (
            aiohttp.ClientSession(raise_for_status=True) as session,
            session.post(self.url, data=wrapped) as answer,
        ):
            return await answer.read()

    async def _decrypt(self, request: web.Request) -> web.Response:
        self.calls += 1
        if not self.up:
            raise web.HTTPServiceUnavailable(text="topsecret")
        return web.Response(body=self._key.decrypt(await request.read()))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["FakeKMS"]:
        app = web.Application()
        app.router.add_post("/decrypt", self._decrypt)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/decrypt"
        try:
            yield self
        finally:
            await runner.cleanup()


async def _store(path: Path, data: bytes) -> None:
    def replace() -> None:
        path.with_suffix(".new").write_bytes(data)
        path.with_suffix(".new").replace(path)

    await asyncio.to_thread(replace)


async def test_a_wrapped_ring_is_opened_by_the_service_once_and_again_when_it_changed(tmp_path: Path) -> None:
    async with FakeKMS().serving() as kms:
        path, ring = tmp_path / "wrapped", KeyRing.generate()
        await _store(path, kms.wrap(ring.dump()))
        inner, clock, source = MemoryTokenStore(), ManualClock(), WrappedKeyFile(path, kms.unwrap)
        store = SealedTokenStore(inner, source, clock=clock)
        await create(store, _NAME)
        for _ in range(3):
            clock.step(FRESH)
            await store.write(_NAME, b"value", await store.read(_NAME))
        assert kms.calls == 1
        await _store(path, kms.wrap(ring.rotate().dump()))
        await store.reseal()
        assert ring.ids[0] not in await store.key_ids()


async def test_an_outage_of_the_service_stops_workers_that_start_and_no_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeKMS().serving() as kms:
        path, ring = tmp_path / "wrapped", KeyRing.generate()
        await _store(path, kms.wrap(ring.dump()))
        inner, clock = MemoryTokenStore(), ManualClock()
        store = SealedTokenStore(inner, WrappedKeyFile(path, kms.unwrap), clock=clock)
        await create(store, _NAME, b"value")
        kms.up = False
        await _store(path, kms.wrap(ring.rotate().dump()))
        clock.step(FRESH)
        await store.write(_NAME, b"goes on", await store.read(_NAME))
        starting = SealedTokenStore(inner, WrappedKeyFile(path, kms.unwrap), clock=clock)
        with pytest.raises(StoreUnavailableError, match="key source failed: ClientResponseError") as caught:
            await starting.read(_NAME)
        assert "topsecret" not in f"{caught.value}{caplog.text}"
        kms.up = True
        clock.step(1)
        assert (await starting.read(_NAME)).value == b"goes on"


async def test_without_the_service_tokens_at_hand_serve_and_logins_that_harm_nobody_go_on(
    tmp_path: Path,
) -> None:
    async with FakeKMS().serving() as kms, OAuth2Emulator() as vendor:
        path, inner, clock = tmp_path / "wrapped", MemoryTokenStore(), ManualClock()
        await _store(path, kms.wrap(KeyRing.generate().dump()))
        token_url, base_url = str(vendor.token_url), str(vendor.api_url)
        scheme = ClientCredentials(
            token_url=token_url, base_url=base_url, client_id="app", client_secret="app-secret"
        )

        def worker() -> TokenManager:
            return TokenManager(SealedTokenStore(inner, WrappedKeyFile(path, kms.unwrap), clock=clock))

        async with worker() as running, worker() as starting:
            token = await running.token(scheme)
            kms.up = False
            assert await running.token(scheme) == token
            assert await starting.token(scheme) != token
        assert vendor.stats.token_calls == 2
        person = RefreshToken(
            token_url=token_url,
            base_url=base_url,
            client_id="app",
            client_secret="app-secret",
            subject="jane",
        )
        async with worker() as starting:
            with pytest.raises(StoreUnavailableError, match="key source failed.*not spent without it"):
                await starting.token(person)


async def test_a_missing_wrapped_file_is_named(tmp_path: Path) -> None:
    async def unwrap(wrapped: bytes) -> bytes:
        return wrapped

    with pytest.raises(ConfigurationError, match="no file .*wrapped"):
        await WrappedKeyFile(tmp_path / "wrapped", unwrap).load()
    with pytest.raises(ConfigurationError, match="is a folder"):
        await WrappedKeyFile(tmp_path, unwrap).load()
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailableError, match="cannot be read"):
        await WrappedKeyFile(tmp_path / "file" / "wrapped", unwrap).load()


async def test_anything_with_a_load_is_a_source_and_nothing_else() -> None:
    class Vault:
        async def load(self) -> KeyRing:
            return KeyRing.generate()

    source = Vault()
    assert find_keys(source) is source
    assert isinstance(source, KeySource)
    with pytest.raises(ConfigurationError, match="not bytes"):
        find_keys(b"no source")  # type: ignore[arg-type]
