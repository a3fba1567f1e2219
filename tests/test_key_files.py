"""Key files that are no files, and those that somebody else could exchange."""

import asyncio
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from asyncauth._errors import ConfigurationError, InsecureStoreError, StoreUnavailableError
from asyncauth_stores import _private
from asyncauth_stores._key_file import change_key_file, new_key_file
from asyncauth_stores._private import read_private
from asyncauth_stores.sealed import KeyRing, WrappedKeyFile

_STRANGER = 12_345
_Use = Callable[[Path], object]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")


def _make(path: Path) -> KeyRing:
    return KeyRing.from_file(path, create=True)


def _change(path: Path) -> KeyRing:
    return change_key_file(path, KeyRing.add)


# What is no file


@pytest.mark.parametrize("use", [KeyRing.from_file, _make, _change, read_private])
async def test_a_pipe_in_the_place_of_a_key_file_is_refused_at_once(tmp_path: Path, use: _Use) -> None:
    path = tmp_path / "key"
    os.mkfifo(path, mode=0o600)
    async with asyncio.timeout(5):
        with pytest.raises(ConfigurationError, match=r"key is a folder, a pipe or a device.*ASYNCAUTH_KEY"):
            await asyncio.to_thread(use, path)


async def test_a_pipe_in_the_place_of_a_wrapped_key_file_is_refused_at_once(tmp_path: Path) -> None:
    async def unwrap(wrapped: bytes) -> bytes:
        return wrapped

    os.mkfifo(tmp_path / "wrapped")
    async with asyncio.timeout(5):
        with pytest.raises(ConfigurationError, match="wrapped is a folder, a pipe or a device"):
            await WrappedKeyFile(tmp_path / "wrapped", unwrap).load()


@pytest.mark.parametrize("place", ["/dev/null", "/dev/zero", "/"])
def test_devices_and_folders_hold_no_keys(place: str) -> None:
    with pytest.raises(ConfigurationError, match="is a folder, a pipe or a device"):
        KeyRing.from_file(place)


def test_no_file_stays_open_and_no_child_inherits_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _make(tmp_path / "key")
    inherited = list[bool]()

    def check(path: Path, handle: int) -> None:
        del path
        inherited.append(os.get_inheritable(handle))

    monkeypatch.setattr(_private, "check_file", check)
    before = _open_files()
    read_private(tmp_path / "key")
    with pytest.raises(ConfigurationError):
        read_private(tmp_path)
    assert _open_files() == before
    assert inherited == [False]


def _open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


# Who could exchange it


@pytest.mark.parametrize("use", [KeyRing.from_file, _make, _change, new_key_file])
def test_a_key_file_in_a_folder_where_every_user_may_rename_is_refused(tmp_path: Path, use: _Use) -> None:
    folder = tmp_path / "open to all"
    folder.mkdir()
    path = folder / "key"
    if use is not new_key_file:
        _make(path)
    folder.chmod(0o777)
    with pytest.raises(InsecureStoreError, match=r"chmod \+t .*open to all'`") as caught:
        use(path)
    assert "(mode 0777)" in str(caught.value)
    folder.chmod(0o1777)
    use(path)


def test_no_key_is_made_where_it_would_be_refused(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(InsecureStoreError):
        _make(folder / "deep" / "key")
    assert list(folder.iterdir()) == []


@needs_root
@pytest.mark.parametrize("use", [KeyRing.from_file, _make, _change])
@pytest.mark.parametrize("where", ["the file", "its folder"])
def test_a_key_file_behind_a_strangers_link_is_refused(tmp_path: Path, use: _Use, where: str) -> None:
    path, link = tmp_path / "real" / "key", tmp_path / "link"
    _make(path)
    link.symlink_to(path if where == "the file" else path.parent)
    named = link if where == "the file" else link / "key"
    use(named)
    os.chown(link, _STRANGER, -1, follow_symlinks=False)
    with pytest.raises(InsecureStoreError, match=f"link is a symbolic link of user {_STRANGER}"):
        use(named)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("use", [KeyRing.from_file, _make, _change])
def test_links_that_lead_in_a_circle_are_an_error(tmp_path: Path, use: _Use) -> None:
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    with pytest.raises(StoreUnavailableError, match="symbolic links"):
        use(tmp_path / "one")
