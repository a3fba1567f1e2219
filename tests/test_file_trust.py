"""Whom the file store trusts: links, owners and modes of the folders above it, and of what lies in it."""

import asyncio
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from asyncauth._errors import InsecureStoreError, StoreUnavailableError, UnreadableRecordError
from asyncauth.abc import Liveness
from asyncauth.testing._promise import listed
from asyncauth_stores._file_folder import Folder
from asyncauth_stores._files import PlainFileStore
from asyncauth_stores._private import create_private
from file_samples import NAME, NOTHING, put, record_of

_STRANGER = 12_345

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


@pytest.fixture
def made(folder: Path) -> Path:
    """Return a store's folder that exists."""
    folder.mkdir(mode=0o700)
    return folder


async def refused(folder: Path) -> str:
    """Return why a store's first operation is refused."""
    async with PlainFileStore(folder) as store:
        with pytest.raises(InsecureStoreError) as caught:
            await store.read(NAME)
    return str(caught.value)


# Above the folder


async def test_a_parent_in_which_every_user_may_rename_is_refused(tmp_path: Path) -> None:
    parent = tmp_path / "open to all"
    (parent / "app").mkdir(parents=True)
    parent.chmod(0o777)
    reason = await refused(parent / "app" / "tokens")
    assert f"`chmod +t '{parent}'`" in reason
    assert "(mode 0777)" in reason
    assert not await asyncio.to_thread((parent / "app" / "tokens").exists)


async def test_a_parent_like_the_systems_own_for_temporary_files_is_trusted(tmp_path: Path) -> None:
    parent = tmp_path / "sticky"
    parent.mkdir()
    parent.chmod(0o1777)
    async with PlainFileStore(parent / "tokens") as store:
        await put(store)


@pytest.fixture(params=[0, 0o077, 0o777])
def _any_umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_any_umask")
async def test_everything_made_is_for_its_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    async with PlainFileStore(tmp_path / "above" / "tokens") as store, store.hold(NAME, "attempt"):
        await put(store)
    await asyncio.to_thread(create_private, tmp_path / "above" / "keys" / "key", b"key")
    for path in (tmp_path / "above").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


# Links


@needs_root
@pytest.mark.parametrize("where", ["the folder", "above it", "behind another link"])
async def test_a_link_that_a_stranger_made_is_refused(made: Path, tmp_path: Path, where: str) -> None:
    link, place = tmp_path / "link", tmp_path / "link"
    if where == "above it":
        link.symlink_to(tmp_path)
        place = link / "tokens"
    else:
        link.symlink_to(made)
    os.chown(link, _STRANGER, -1, follow_symlinks=False)
    if where == "behind another link":
        place = tmp_path / "own"
        place.symlink_to(link)
    assert f"{link} is a symbolic link of user {_STRANGER}" in await refused(place)


async def test_a_link_of_somebody_else_is_refused_for_users_too(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    link.symlink_to(made)
    os.chown(link, -1, -1, follow_symlinks=False)
    monkeypatch.setattr(os, "geteuid", lambda: _STRANGER)
    if link.lstat().st_uid == 0:  # root's links are trusted, root's folder is not another user's
        assert "belongs to user 0" in await refused(link)
    else:
        assert "is a symbolic link of user" in await refused(link)


async def test_links_that_lead_in_a_circle_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    async with PlainFileStore(tmp_path / "one") as store:
        with pytest.raises(StoreUnavailableError, match="choose another folder"):
            await store.read(NAME)


@pytest.mark.parametrize("part", ["asyncauth", "asyncauth/records", "asyncauth/temporary"])
async def test_a_link_inside_the_store_is_refused(folder: Path, tmp_path: Path, part: str) -> None:
    async with PlainFileStore(folder) as store:
        await put(store)
    (folder / part).rename(tmp_path / "elsewhere")
    (folder / part).symlink_to(tmp_path / "elsewhere")
    assert (
        f"{folder / part} is a symbolic link: only the path of the whole store may be one"
        in await refused(folder)
    )


def test_a_relative_folder_stays_where_it_was_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = Folder("tokens", "asyncauth")
    monkeypatch.chdir("/")
    assert store.base == tmp_path / "tokens" / "asyncauth"


# Owners


@needs_root
@pytest.mark.parametrize("part", ["", "asyncauth", "asyncauth/records", "asyncauth/locks"])
async def test_a_folder_of_another_user_is_refused_for_root_too(folder: Path, part: str) -> None:
    async with PlainFileStore(folder) as store:
        await put(store)
    os.chown(folder / part, _STRANGER, -1)
    reason = await refused(folder)
    assert (
        f"belongs to user {_STRANGER}, and this process runs as user 0: run it as user {_STRANGER}" in reason
    )
    assert f"`chown -R 0 {folder / part}`" in reason
    assert record_of(folder).exists()


@needs_root
async def test_a_record_of_another_user_is_refused_and_stays(folder: Path) -> None:
    async with PlainFileStore(folder) as store:
        stored = await put(store)
        os.chown(record_of(folder), _STRANGER, -1)
        with pytest.raises(InsecureStoreError, match=f"`chown 0 {record_of(folder)}`"):
            await store.read(NAME)
        with pytest.raises(InsecureStoreError):
            await store.write(NAME, b"second", stored)
        assert await listed(store) == [NAME]
        os.chown(record_of(folder), 0, -1)
        assert (await store.read(NAME)).version == stored.version


# Files


async def test_files_that_became_open_to_others_are_closed_again(folder: Path) -> None:
    async with PlainFileStore(folder) as store:
        await put(store)
        record_of(folder).chmod(0o644)
        assert (await store.read(NAME)).value == b"value"
        assert stat.S_IMODE(record_of(folder).stat().st_mode) == 0o600


def _link(place: Path, secret: Path) -> None:
    place.symlink_to(secret)


def _pipe(place: Path, _: Path) -> None:
    os.mkfifo(place)


@pytest.mark.parametrize("make", [_link, _pipe])
async def test_what_is_no_file_is_no_record_and_is_replaced_by_a_put_only(
    folder: Path, tmp_path: Path, make: Callable[[Path, Path], None]
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    async with PlainFileStore(folder) as store:
        stored = await put(store)
        record_of(folder).unlink()
        make(record_of(folder), secret)
        async with asyncio.timeout(5):
            with pytest.raises(
                UnreadableRecordError, match=r"no file; store a new token with `put`"
            ) as caught:
                await store.read(NAME)
            for expected in (stored, NOTHING):
                with pytest.raises(UnreadableRecordError):
                    await store.write(NAME, b"new", expected)
            assert await listed(store) == [NAME]
            await store.changed(NAME, stored.version, 5)
            await store.write(NAME, b"new", caught.value.snapshot)
            assert (await store.read(NAME)).value == b"new"
    assert secret.read_bytes() == b"secret"


async def test_a_folder_in_the_place_of_a_record_is_an_error_and_does_not_hide_the_others(
    folder: Path,
) -> None:
    async with PlainFileStore(folder) as store:
        await put(store)
        (record_of(folder).parent / "backup").mkdir()
        assert await listed(store) == [NAME]
        with pytest.raises(UnreadableRecordError, match="a folder") as caught:
            await store.read("backup")
        with pytest.raises(StoreUnavailableError, match="a folder lies in the place of a file: remove it"):
            await store.write("backup", b"value", caught.value.snapshot)


async def test_what_lies_where_the_next_record_is_written_is_not_written_through(
    folder: Path, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    async with PlainFileStore(folder) as store:
        stored = await put(store)
        draft = folder / "asyncauth" / "temporary" / NAME
        for lay in (draft.symlink_to, draft.hardlink_to):
            lay(secret)
            stored = await store.write(NAME, b"next", stored)
        # As a file system may leave it that does not rename at once when the power fails.
        draft.hardlink_to(record_of(folder))
        await asyncio.to_thread(os.link, record_of(folder), tmp_path / "copy")
        await store.write(NAME, b"last", stored)
    assert secret.read_bytes() == b"secret"
    assert b"next" in (tmp_path / "copy").read_bytes()


async def test_a_mark_that_is_a_link_says_nothing(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"held")
    async with PlainFileStore(folder) as store:
        await put(store)
        (folder / "asyncauth" / "holds" / f"{NAME}.attempt").symlink_to(tmp_path / "file")
        assert await store.is_held(NAME, "attempt") is Liveness.UNKNOWN


async def test_drafts_of_killed_writers_are_swept_but_not_those_of_living_ones(folder: Path) -> None:
    async with PlainFileStore(folder) as store:
        await put(store)
    temporary = folder / "asyncauth" / "temporary"
    dead, living = temporary / "dead", temporary / "living"
    for draft in (dead, living):
        draft.write_bytes(b"half a rec")
    lock = await asyncio.to_thread(Folder(folder, "asyncauth").lock, "living")
    with lock:
        async with PlainFileStore(folder) as store:
            await store.read(NAME)
    assert list(temporary.iterdir()) == [living]


@pytest.mark.slow
async def test_a_thousand_records_share_the_lock_files_of_a_few(folder: Path) -> None:
    async with PlainFileStore(folder) as store, asyncio.TaskGroup() as group:
        for _ in range(400):
            group.create_task(put(store, name=os.urandom(32).hex()))
    assert len(list((folder / "asyncauth" / "locks").iterdir())) <= 256
