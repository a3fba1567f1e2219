"""`open_store`: which URL makes which store, and what a wrong one says."""

import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn, Self

import pytest

from asyncauth import _open
from asyncauth._errors import ConfigurationError
from asyncauth._open import open_store, taken_options
from asyncauth_stores.file import FileTokenStore, PlainFileStore
from asyncauth_stores.memory import MemoryTokenStore
from asyncauth_stores.redis import PlainRedisStore, RedisTokenStore
from asyncauth_stores.sealed import KeyRing

_NAME = "0a" * 32


async def test_memory() -> None:
    async with open_store("memory://?namespace=app") as store:
        assert isinstance(store, MemoryTokenStore)
        assert store.namespace == "app"
        await store.write(_NAME, b"value", await store.read(_NAME))
        assert (await store.read(_NAME)).value == b"value"


async def test_a_folder_with_a_key_that_is_made(tmp_path: Path) -> None:
    place = f"file://{tmp_path}/with%20space?namespace=app&key_file={tmp_path}/key&create_key=1"
    async with open_store(place) as store:
        assert isinstance(store, FileTokenStore)
        assert store.namespace == "app"
        await store.write(_NAME, b"value", await store.read(_NAME))
    async with FileTokenStore(tmp_path / "with space", key_file=tmp_path / "key", namespace="app") as again:
        assert (await again.read(_NAME)).value == b"value"


async def test_options_go_before_the_urls(tmp_path: Path) -> None:
    async with open_store(
        f"file://{tmp_path}?namespace=url", key=KeyRing.generate(), namespace="call"
    ) as store:
        assert store.namespace == "call"


@pytest.mark.parametrize(
    "url",
    [
        "redis://host:6379/0",
        "REDIS://user:pass@host",
        "rediss://host:6379/1?ssl_ca_certs=/ca.pem",
        "unix:///run/redis.sock?db=2",
        "redis://host?namespace=app&key_file=/key&create_key=yes&replicas=1&replica_timeout=0.1",
    ],
)
async def test_redis(url: str) -> None:
    async with open_store(url) as store:
        assert isinstance(store, RedisTokenStore)


async def test_a_store_is_plain_only_in_so_many_words(tmp_path: Path) -> None:
    async with open_store("redis://host?sealed=0") as store:
        assert isinstance(store, PlainRedisStore)
    async with open_store(f"file://{tmp_path}?sealed=no") as store:
        assert isinstance(store, PlainFileStore)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (
            "postgres://user:topsecret@host/db",
            "no store for 'postgres' URLs; known schemes: .*file, memory, redis",
        ),
        ("postgres://topsecret", r"redis \(needs 'asyncauth\[redis\]'\), .*unix \(needs"),
        (
            "file:///x?sealed=0&key_file=/topsecret",
            "PlainFileStore takes no key_file; its options: namespace",
        ),
        ("redis://:topsecret@host?sealed=0&create_key=1", "PlainRedisStore takes no create_key"),
        ("topsecret@host:6379", "starts with <scheme>://; known schemes"),
        ("/var/lib/topsecret", "starts with <scheme>://"),
        ("", "starts with <scheme>://"),
        ("memory://?topsecret=1", "unknown options in the store's URL: topsecret; known: namespace"),
        ("redis://:topsecret@host?socket_timeout=1", "socket_timeout"),
        ("redis://:topsecret@host?key=topsecret", "unknown options in the store's URL: key"),
        ("redis://:topsecret@host?replicas=many", "replicas in the store's URL cannot be read"),
        ("redis://:topsecret@host?create_key=perhaps", "create_key in the store's URL cannot be read"),
        ("redis://:topsecret@host?db=1&db=2", "twice"),
        ("redis://:topsecret@host:port", "no Redis URL"),
        ("redis://:topsecret@[host", "URL cannot be read"),
        ("redis://topsecret\u2100@host", "URL cannot be read"),
        ("redis://:topsecret@host?replicas=-1", "replicas=-1"),
        ("file://topsecret.example/var", "absolute path and no host"),
        ("file://", "absolute path"),
    ],
)
def test_a_wrong_url_says_what_is_wrong_and_no_secret(url: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        open_store(url)
    if "topsecret=" not in url:
        assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize("url", ["memory://", "file:///tokens", "redis://host"])
def test_an_option_that_a_store_does_not_have_is_named(url: str) -> None:
    with pytest.raises(ConfigurationError, match="Store takes no bogus; its options: .*namespace"):
        open_store(url, bogus=1)


@pytest.mark.parametrize("url", [None, b"memory://", Path("/tokens")])
def test_what_is_no_text_is_no_url(url: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"a store's URL is text, not {type(url).__name__}"):
        open_store(url)


def test_what_is_no_ring_is_no_key() -> None:
    key: Any = b"topsecret"
    with pytest.raises(ConfigurationError, match="key= is a KeyRing or its text, not bytes") as caught:
        open_store("file:///tokens", key=key)
    assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory://?namespace=app", "MemoryTokenStore(namespace='app')"),
        (
            "file:///var/tokens?namespace=app",
            "FileTokenStore('/var/tokens', namespace='app')",
        ),
        (
            "rediss://user:topsecret@host/1?client_name=topsecret",
            "RedisTokenStore('rediss://host:6379/1', namespace='asyncauth')",
        ),
        (
            "unix://user:topsecret@/run/redis.sock?password=topsecret",
            "RedisTokenStore('unix:///run/redis.sock', namespace='asyncauth')",
        ),
    ],
)
def test_a_store_shows_its_place_and_no_secret(url: str, shown: str) -> None:
    options = {} if url.startswith("memory") else {"key": KeyRing.generate()}
    assert repr(open_store(url, **options)) == shown


class _Plain:
    @classmethod
    def from_url(cls, url: str) -> Self:
        return cls()


def _install(folder: Path, monkeypatch: pytest.MonkeyPatch, place: str, *, extra: str = "") -> None:
    """Install a package that offers a store for `mine` URLs, and one for `redis` URLs that nobody gets."""
    package = folder / "mine_stores-1.0.dist-info"
    package.mkdir()
    extras = f"Provides-Extra: {extra}\n" if extra else ""
    (package / "METADATA").write_text(f"Metadata-Version: 2.1\nName: mine-stores\nVersion: 1.0\n{extras}")
    (package / "entry_points.txt").write_text(f"[asyncauth.stores]\nmine = {place}\nredis = {place}\n")
    monkeypatch.syspath_prepend(folder)


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_redis(place: str) -> NoReturn:
        raise ModuleNotFoundError(f"no redis for {place}", name="redis")

    monkeypatch.setattr(_open, "resolve_name", without_redis)
    with pytest.raises(ConfigurationError, match=r"a rediss store .*: pip install 'asyncauth\[redis\]'$"):
        open_store("rediss://host")


@pytest.mark.parametrize(("extra", "requirement"), [("driver", r"'mine-stores\[driver\]'"), ("", "driver")])
def test_what_another_packages_store_needs_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: str, requirement: str
) -> None:
    _install(tmp_path, monkeypatch, "driver:Store", extra=extra)
    with pytest.raises(ConfigurationError, match=f"needs the package 'driver': pip install {requirement}$"):
        open_store("mine://")
    known = rf"mine \(needs {requirement}\), " if extra else "mine, "
    with pytest.raises(ConfigurationError, match=f"known schemes: file, memory, {known}redis"):
        open_store("another://")


def test_an_entry_point_that_makes_no_store_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileTokenStore, "from_url", _Plain.from_url)
    _install(tmp_path, monkeypatch, "asyncauth_stores.file:FileTokenStore")
    with pytest.raises(
        ConfigurationError, match=r"asyncauth_stores\.file:FileTokenStore makes no TokenStore"
    ):
        open_store("mine://")


def test_another_packages_scheme_is_found_and_takes_no_built_in_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install(tmp_path, monkeypatch, "asyncauth_stores.memory:MemoryTokenStore", extra="memory")
    assert isinstance(open_store("mine://"), MemoryTokenStore)
    assert isinstance(open_store("redis://host"), RedisTokenStore)


def test_what_packages_offer_is_not_read_for_a_built_in_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "importlib.metadata", None)
    assert isinstance(open_store("memory://"), MemoryTokenStore)
    with pytest.raises(ImportError):
        open_store("another://")


def test_options_that_are_left_stay_in_the_url() -> None:
    url, found = taken_options(
        "redis://user:p%40ss@host/1?a=1&b=%2F&c=", {"a": int, "c": str}, left=frozenset({"b"})
    )
    assert url == "redis://user:p%40ss@host/1?b=%2F"
    assert found == {"a": 1, "c": ""}


@pytest.mark.processes
def test_the_core_imports_no_store() -> None:
    code = (
        "import sys, asyncauth._open;"
        "print([name for name in sys.modules if name.startswith(('asyncauth_stores', 'redis'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout == "[]\n"
