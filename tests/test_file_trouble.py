"""The file store on disks that are full, read-only or failing: a clear error, and nothing stored is lost."""

import asyncio
import errno
import os
import resource
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from asyncauth import StoreUnavailableError, TokenManager
from asyncauth.abc import Liveness
from asyncauth.testing import settle
from asyncauth.testing._promise import listed
from asyncauth_stores._files import PlainFileStore
from file_samples import NAME, NOTHING, put, record_of
from worlds import Fleet, text_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@contextmanager
def refusing(call: str, number: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the system refuse a call that concerns the next record."""
    real = getattr(os, call)

    def refuse(place: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(place, int) or "temporary" in Path(place).parts:
            filename = () if isinstance(place, int) else (str(place),)
            raise OSError(number, os.strerror(number), *filename)
        return real(place, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        yield


@pytest.mark.parametrize(
    ("call", "number", "advice"),
    [
        ("write", errno.ENOSPC, "the disk is full: free some space"),
        ("write", errno.EDQUOT, "the quota is used up: free some space"),
        ("write", errno.EFBIG, "ulimit -f"),
        ("fsync", errno.ENOSPC, "the disk is full"),
        ("fsync", errno.EDQUOT, "the quota is used up"),
        ("fsync", errno.EIO, "the disk failed"),
        ("replace", errno.ENOSPC, "the disk is full"),
        ("replace", errno.EDQUOT, "the quota is used up"),
        ("replace", errno.ENXIO, os.strerror(errno.ENXIO)),
        ("open", errno.EROFS, "read-only: mount it writable"),
        (
            "open",
            errno.EACCES,
            "give the folder to the user that runs the service, with mode 0700 .*/temporary/",
        ),
        ("open", errno.ENFILE, "the system has too many files open"),
    ],
)
async def test_a_disk_that_refuses_is_an_error_and_the_old_value_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, advice: str
) -> None:
    async with PlainFileStore(folder) as store:
        stored = await put(store)
        with (
            refusing(call, number, monkeypatch),
            pytest.raises(StoreUnavailableError, match=f"{folder}: .*{advice}") as caught,
        ):
            await store.write(NAME, b"second", stored)
        assert isinstance(caught.value.__cause__, OSError)
        found = await store.read(NAME)
        assert (found.value, found.version) == (b"value", stored.version)
        assert list((folder / "asyncauth" / "temporary").iterdir()) == []
        await store.write(NAME, b"third", stored)


async def test_a_process_with_too_many_files_open_says_so(folder: Path) -> None:
    async with PlainFileStore(folder) as store:
        stored = await put(store)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            with pytest.raises(StoreUnavailableError, match=r"too many files open.*ulimit -n"):
                await store.write(NAME, b"second", stored)
            with pytest.raises(StoreUnavailableError, match=r"too many files open.*ulimit -n"):
                await store.read(NAME)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        await store.write(NAME, b"third", stored)


async def test_a_mark_that_cannot_be_removed_spoils_no_renewal(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    async with PlainFileStore(folder) as store:
        with monkeypatch.context() as patch:
            async with store.hold(NAME, "attempt"):
                patch.setattr(os, "ftruncate", refuse)
                patch.setattr(os, "unlink", refuse)
        assert await store.is_held(NAME, "attempt") is Liveness.DEAD


# Real ones


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=10)


@pytest.fixture
async def disk(tmp_path: Path) -> AsyncIterator[Path]:
    """Return a disk of 128 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        await asyncio.to_thread(run, "mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(place))
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user may not mount")
    yield place
    await asyncio.to_thread(run, "umount", "--lazy", str(place))


def fill(disk: Path) -> Path:
    """Leave no room on a disk; return what takes it."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return ballast


needs_mount = pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk")


@needs_mount
@pytest.mark.processes
async def test_on_a_full_disk_tokens_at_hand_serve_and_what_a_login_replaces_is_renewed(
    disk: Path, fleet: Fleet
) -> None:
    async with PlainFileStore(disk / "tokens", clock=fleet.clock) as store:
        manager, scheme = TokenManager(store, clock=fleet.clock), fleet.service()
        first = await manager.token(scheme)
        (name,) = await listed(store)
        stored = await store.read(name)
        ballast = await asyncio.to_thread(fill, disk)
        with pytest.raises(StoreUnavailableError, match="the disk is full: free some space"):
            await store.write(name, bytes(8192), stored)
        assert await manager.token(scheme) == first

        fleet.clock.step(3600)
        alone = await manager.token(scheme)
        assert text_of(alone) != text_of(first)
        assert (await store.read(name)).version == stored.version

        await asyncio.to_thread(ballast.unlink)
        for _ in range(50):
            await fleet.clock.advance(5)
            await settle()
            if (await store.read(name)).version != stored.version:
                break
        async with PlainFileStore(disk / "tokens", clock=fleet.clock) as another:
            assert await TokenManager(another, clock=fleet.clock).token(scheme) == alone
    assert fleet.vendor.stats.token_calls == 2


@needs_mount
@pytest.mark.processes
async def test_on_a_read_only_disk_everything_can_be_read(disk: Path) -> None:
    folder = disk / "tokens"
    async with PlainFileStore(folder) as store:
        stored = await put(store)
        await store.write("b2" * 32, b"over", NOTHING, keep=0.001)
        for part in ("holds", "temporary"):
            left = folder / "asyncauth" / part / f"{NAME}.left"
            left.write_bytes(b"held")
            os.utime(left, (0, 0))
        record_of(folder).chmod(0o644)
    await asyncio.to_thread(run, "mount", "-o", "remount,ro", str(disk))
    async with PlainFileStore(folder) as store:
        assert (await store.read(NAME)).value == b"value"
        assert await listed(store) == [NAME]
        with pytest.raises(
            StoreUnavailableError, match="read-only: mount it writable, or choose another folder"
        ):
            await store.write(NAME, b"second", stored)
        with pytest.raises(StoreUnavailableError, match="read-only"):
            async with store.hold(NAME, "attempt"):
                pass
        assert (await store.read(NAME)).version == stored.version
