"""Key rings: their text, their files, and what a wrong one says."""

import errno
import os
import subprocess
import sys
from base64 import urlsafe_b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncauth._errors import ConfigurationError, InsecureStoreError, StoreUnavailableError
from asyncauth_stores._keys import KeyFile, find_keys
from asyncauth_stores.sealed import KeyRing

_KEY = st.binary(min_size=32, max_size=32)
_ID = st.from_regex(r"[A-Za-z0-9_.-]{1,32}", fullmatch=True).filter(lambda name: name != "names")


def _bare(key: bytes = bytes(range(32))) -> str:
    return urlsafe_b64encode(key).decode("ascii")


@given(names=_KEY, keys=st.dictionaries(_ID, _KEY, min_size=1, max_size=4))
def test_a_ring_survives_its_text(names: bytes, keys: dict[str, bytes]) -> None:
    ring = KeyRing(tuple(keys.items()), names)
    text = ring.dump()
    assert "\n" not in text
    assert KeyRing.parse(f" {text}\n") == ring
    assert KeyRing.parse(text).ids == tuple(keys)


@given(text=st.text() | st.lists(st.sampled_from(["names:", "k1:", ",", "A" * 43, "="])).map("".join))
def test_any_text_is_a_ring_or_a_configuration_error(text: str) -> None:
    try:
        ring = KeyRing.parse(text)
    except ConfigurationError:
        return
    assert KeyRing.parse(ring.dump()) == ring


def test_generated_rings_differ() -> None:
    assert KeyRing.generate() != KeyRing.generate()


def test_a_bare_key_is_a_ring_that_is_always_the_same() -> None:
    ring = KeyRing.parse(_bare())
    assert ring == KeyRing.parse(_bare().rstrip("="))
    assert ring.get(ring.ids[0]) == bytes(range(32))
    assert ring.names != bytes(range(32))
    assert ring != KeyRing.parse(_bare(bytes(32)))


def test_rotating_puts_a_new_key_first_and_keeps_the_names_key() -> None:
    old = KeyRing.parse(_bare())
    new = KeyRing.parse(old.rotate().dump())
    assert new.ids[1:] == old.ids
    assert new.ids[0] not in old.ids
    assert new.names == old.names
    assert new.get(old.ids[0]) == old.get(old.ids[0])


def test_adding_puts_a_new_key_last_and_promoting_puts_one_first() -> None:
    old = KeyRing.generate()
    added = old.add()
    assert added.ids[:-1] == old.ids
    promoted = added.promote(added.ids[-1])
    assert promoted.ids == (added.ids[-1], *old.ids)
    assert promoted.names == old.names
    assert promoted.promote(old.ids[0]).ids == (*old.ids, added.ids[-1])
    with pytest.raises(ConfigurationError, match="no key 'other'; it has"):
        added.promote("other")


def test_dropping_takes_one_key_out() -> None:
    old = KeyRing.generate()
    assert old.rotate().drop(old.ids[0]).get(old.ids[0]) is None


def test_dropping_an_unknown_or_the_only_key_is_refused() -> None:
    ring = KeyRing.generate()
    with pytest.raises(ConfigurationError, match=f"no key 'other'; it has {ring.ids[0]}"):
        ring.drop("other")
    with pytest.raises(ConfigurationError, match="rotate first"):
        ring.drop(ring.ids[0])


def test_a_ring_shows_ids_only() -> None:
    ring = KeyRing.generate().rotate()
    assert repr(ring) == f"KeyRing({ring.ids[0]}, {ring.ids[1]})"
    assert str(ring) == f"{ring}" == repr(ring)


_GOOD = _bare().rstrip("=")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "entry 1"),
        ("topsecret", "entry 1"),
        (_GOOD + "A", "entry 1"),
        (f"k1:{_GOOD}", "no 'names' entry"),
        (f"k2:{_GOOD},k1:{_GOOD}", "no 'names' entry"),
        (f"names:{_GOOD}", "no key besides"),
        (f"names:{_GOOD},k1:topsecret", "entry 2"),
        (f"names:{_GOOD},{_GOOD}", "entry 2"),
        (f"names:{_GOOD},k 1:{_GOOD}", "entry 2"),
        (f"names:{_GOOD},{'k' * 33}:{_GOOD}", "entry 2"),
        (f"names:{_GOOD},k1:{_GOOD},k1:{_GOOD}", "entry 3 of the key ring repeats"),
        (f"names:{_GOOD},k1:{_GOOD},", "entry 3"),
        (f"names:{_GOOD},k1:{_GOOD[:-1]}+", "entry 2"),
    ],
)
def test_bad_text_is_refused_without_showing_it(text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        KeyRing.parse(text)
    assert "topsecret" not in str(caught.value)
    assert _GOOD[:8] not in str(caught.value)


def test_a_ring_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCAUTH_KEY", _bare())
    assert KeyRing.from_env() == KeyRing.parse(_bare())
    with pytest.raises(ConfigurationError, match="OTHER_KEY is not set"):
        KeyRing.from_env("OTHER_KEY")


def test_a_ring_comes_from_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key"
    made = KeyRing.from_file(path, create=True)
    assert KeyRing.from_file(path) == made
    assert KeyRing.from_file(path, create=True) == made
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_a_missing_file_names_the_ways_to_have_a_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"key=.*key_file=.*ASYNCAUTH_KEY.*create_key=True"):
        KeyRing.from_file(tmp_path / "key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_file_that_others_may_open_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    KeyRing.from_file(path, create=True)
    path.chmod(mode)
    with pytest.raises(InsecureStoreError, match=f"mode 0{mode:o}.*chmod 600"):
        KeyRing.from_file(path)


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "key"
    KeyRing.from_file(path, create=True)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(InsecureStoreError, match="belongs to another user: chown"):
        KeyRing.from_file(path)


def test_a_file_that_cannot_be_read_is_an_unavailable_store(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailableError, match="cannot be read: Not a directory"):
        KeyRing.from_file(tmp_path / "file" / "key")


def test_a_file_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "key", tmp_path / "file" / "deep" / "key"):
        with pytest.raises(StoreUnavailableError, match="cannot be made: a part of its path is no folder"):
            KeyRing.from_file(place, create=True)


def test_a_link_to_nothing_is_not_taken_for_a_file_to_be_made(tmp_path: Path) -> None:
    (tmp_path / "key").symlink_to(tmp_path / "gone")
    with pytest.raises(ConfigurationError, match="key is a link to a file that is not there"):
        KeyRing.from_file(tmp_path / "key", create=True)


def test_a_folder_that_may_not_be_looked_at_is_an_unavailable_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(StoreUnavailableError, match="Permission denied"):
        KeyRing.from_file(tmp_path / "key", create=True)


def test_a_key_file_on_a_disk_that_refuses_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StoreUnavailableError, match="key cannot be made: Read-only file system"):
        KeyRing.from_file(tmp_path / "key", create=True)


def test_a_file_with_something_else_shows_none_of_it(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"\xfftopsecret")
    path.chmod(0o600)
    with pytest.raises(ConfigurationError) as caught:
        KeyRing.from_file(path)
    assert "topsecret" not in str(caught.value)


@pytest.mark.processes
def test_processes_that_start_at_once_share_one_new_ring(tmp_path: Path) -> None:
    code = (
        "import sys; from asyncauth_stores.sealed import KeyRing; print('ready', flush=True);"
        "sys.stdin.readline(); print(KeyRing.from_file(sys.argv[1], create=True).dump())"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "new" / "key")]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(6)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        rings = {process.communicate(timeout=20)[0] for process in processes}
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert len(rings) == 1
    assert KeyRing.from_file(tmp_path / "new" / "key") == KeyRing.parse(rings.pop())
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "key"]


def test_an_argument_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ring = KeyRing.generate()
    monkeypatch.setenv("ASYNCAUTH_KEY", _bare())
    assert find_keys(ring) is ring
    assert find_keys(ring.dump()) == ring
    assert find_keys(key_file=tmp_path / "key") == KeyFile(tmp_path / "key")
    assert find_keys() == KeyRing.parse(_bare())


def test_without_anything_the_key_is_in_the_configuration_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("ASYNCAUTH_KEY", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    found = find_keys(create_key=True)
    assert isinstance(found, KeyFile)
    assert found.create
    assert found.path.parts[-2:] == ("asyncauth", "key")


def test_two_places_for_one_key_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="not both"):
        find_keys(KeyRing.generate(), "key")


async def test_a_key_file_is_read_off_the_loop(tmp_path: Path) -> None:
    ring = await KeyFile(tmp_path / "key", create=True).load()
    assert await KeyFile(tmp_path / "key").load() == ring
