"""Who may use the folder of a file store, and which names can be a part of it."""

import asyncio
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from asyncauth._errors import ConfigurationError, InsecureStoreError
from asyncauth.abc import Liveness
from asyncauth_stores._files import PlainFileStore
from file_samples import NAME, NOTHING, put


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def modes_in(folder: Path) -> tuple[set[int], list[int]]:
    """Return the modes of all folders and of all files."""
    paths = [folder, *folder.rglob("*")]
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in paths}
    return {modes[path] for path in paths if path.is_dir()}, [modes[path] for path in paths if path.is_file()]


@pytest.fixture
def made(folder: Path) -> Path:
    """Return a store's folder that exists."""
    folder.mkdir(mode=0o700)
    return folder


def test_making_a_store_touches_no_disk(folder: Path) -> None:
    PlainFileStore(folder)
    assert not folder.exists()


@pytest.fixture
def _generous_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_generous_umask")
async def test_folders_and_files_are_for_their_owner_only(folder: Path) -> None:
    async with PlainFileStore(folder) as store, store.hold(NAME, "attempt"):
        await put(store)
        assert modes_in(folder) == ({0o700}, [0o600] * 3)


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o720, 0o701, 0o777])
@pytest.mark.parametrize("part", ["", "asyncauth", "asyncauth/records", "asyncauth/locks", "asyncauth/holds"])
async def test_a_folder_that_others_may_use_is_refused(folder: Path, part: str, mode: int) -> None:
    async with PlainFileStore(folder) as store:
        await put(store)
    (folder / part).chmod(mode)
    async with PlainFileStore(folder) as store:
        with pytest.raises(InsecureStoreError, match=f"mode {mode:04o}.* `chmod 700 ") as caught:
            await store.read(NAME)
    assert str(folder / part) in str(caught.value)


async def test_a_folder_that_is_opened_later_takes_no_new_record(folder: Path) -> None:
    async with PlainFileStore(folder) as store:
        stored = await put(store)
        await asyncio.to_thread(folder.chmod, 0o755)
        with pytest.raises(InsecureStoreError):
            await store.write(NAME, b"second", stored)
        assert (await store.read(NAME)).value == b"value"


async def test_a_folder_of_another_user_is_refused(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    async with PlainFileStore(made) as store:
        with pytest.raises(InsecureStoreError, match=r"belongs to user .* runs as user 12345"):
            await store.read(NAME)


async def test_a_symbolic_link_is_followed_once(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    for target in (folder, tmp_path / "other"):
        target.mkdir(mode=0o700)
    link.symlink_to(folder)
    async with PlainFileStore(link) as store, PlainFileStore(folder) as same:
        await put(store)
        link.unlink()
        link.symlink_to(tmp_path / "other")
        await put(store, b"second")
        assert (await same.read(NAME)).value == b"second"


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "a.b", "line\n", "ä", "x" * 129])
async def test_a_name_that_could_be_another_place_is_refused(folder: Path, name: str) -> None:
    async with PlainFileStore(folder) as store:
        with pytest.raises(ConfigurationError):
            await store.read(name)
        with pytest.raises(ConfigurationError):
            await store.write(name, b"", NOTHING)
        with pytest.raises(ConfigurationError):
            await store.changed(name, "", 1)
        with pytest.raises(ConfigurationError):
            await store.is_held(NAME, name)
    with pytest.raises(ConfigurationError):
        PlainFileStore(folder, namespace=name)
    assert not await asyncio.to_thread(folder.exists)


async def test_the_longest_names_work(folder: Path) -> None:
    async with PlainFileStore(folder, namespace="n" * 128) as store:
        name = "x" * 128
        await put(store, name=name)
        async with store.hold(name, "y" * 120):
            assert await store.is_held(name, "y" * 120) is Liveness.ALIVE


def test_a_poll_that_cannot_work_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="poll must be more than 0 s, not 0 s"):
        PlainFileStore(folder, poll=0)
