"""`asyncauth keys`: what it does to a key file and to stores, alone and while workers run."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner, Result

from asyncauth.cli._app import app
from asyncauth.testing._promise import create
from asyncauth.testing.emulators import OAuth2Emulator
from asyncauth_stores import sealed
from asyncauth_stores._key_file import change_key_file
from asyncauth_stores.file import FileTokenStore
from asyncauth_stores.sealed import KeyRing
from key_worker import NAMES

_WORKER = Path(__file__).with_name("key_worker.py")


def run(*arguments: object) -> Result:
    """Run the command in this process; it must show no key, and no traceback."""
    result = CliRunner().invoke(app, ["keys", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def ring_of(path: Path) -> KeyRing:
    """Return the ring in a file, which must be as private as ever."""
    assert path.stat().st_mode & 0o777 == 0o600
    return KeyRing.from_file(path)


def shows_nothing(result: Result, ring: KeyRing) -> bool:
    secrets = [pair.partition(":")[2] for pair in ring.dump().split(",")]
    return not any(secret in result.output for secret in secrets)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "config" / "key"
    assert run("new", path).exit_code == 0
    return path


def url_of(folder: Path) -> str:
    return f"file://{folder}/tokens"


def fill(folder: Path, key: Path, *names: str) -> None:
    async def write() -> None:
        async with FileTokenStore(folder / "tokens", key_file=key) as store:
            for name in names:
                await create(store, name, b"value")

    asyncio.run(write())


def test_a_new_ring_is_private_and_never_shown(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "key"
    result = run("new", path)
    ring = ring_of(path)
    assert result.output == f"{ring.ids[0]}  seals\n"
    assert shows_nothing(result, ring)


def test_a_ring_that_is_there_is_never_written_over(key: Path) -> None:
    before = ring_of(key)
    result = run("new", key)
    assert result.exit_code == 1
    assert "is there already" in result.output
    assert ring_of(key) == before


def test_the_steps_of_a_rotation(key: Path) -> None:
    old = ring_of(key)
    assert run("add", key).exit_code == 0
    added = ring_of(key)
    assert added.ids[0] == old.ids[0]
    result = run("promote", key, added.ids[1])
    assert result.output == f"{added.ids[1]}  seals\n{old.ids[0]}  opens\n"
    result = run("drop", key, old.ids[0])
    assert result.output == f"{added.ids[1]}  seals\n"
    assert (ring_of(key).ids, ring_of(key).names) == (added.ids[1:], old.names)
    assert shows_nothing(result, added)


def test_rotating_does_the_first_two_of_them(key: Path) -> None:
    old = ring_of(key)
    result = run("rotate", key, "--wait", 0)
    ring = ring_of(key)
    assert ring.ids[1:] == old.ids
    assert result.output.endswith(f"{ring.ids[0]}  seals\n{old.ids[0]}  opens\n")
    assert shows_nothing(result, ring)


def test_the_key_that_seals_is_not_dropped(key: Path) -> None:
    ring = ring_of(key).add()
    result = run("drop", key, ring.ids[0])
    assert result.exit_code == 1
    assert "is the key that seals: rotate first" in result.output


@pytest.mark.parametrize("command", ["promote", "drop"])
def test_an_unknown_key_is_named(key: Path, command: str) -> None:
    result = run(command, key, "nobody")
    assert result.exit_code == 1
    assert f"no key 'nobody'; it has {ring_of(key).ids[0]}" in result.output


def test_a_key_that_records_need_is_not_dropped(key: Path, tmp_path: Path) -> None:
    old = ring_of(key).ids[0]
    fill(tmp_path, key, *NAMES)
    run("rotate", key, "--wait", 0)
    new, url = ring_of(key).ids[0], url_of(tmp_path)
    assert run("show", key, "--store", url).output == f"{new}  seals  0 records\n{old}  opens  4 records\n"
    result = run("drop", key, old, "--store", url)
    assert result.exit_code == 1
    assert f"4 records there are sealed with {old}: reseal first" in result.output
    result = run("reseal", url, "--key-file", key)
    assert result.output == f"sealed with {new}: 4 just now, 0 already\n"
    assert run("drop", key, old, "--store", url).exit_code == 0
    assert run("reseal", url, "--key-file", key).output == f"sealed with {new}: 0 just now, 4 already\n"


def test_records_without_their_key_are_told_of_and_left(key: Path, tmp_path: Path) -> None:
    old = ring_of(key).ids[0]
    fill(tmp_path, key, NAMES[0])
    run("rotate", key, "--wait", 0)
    run("drop", key, old)
    new, url = ring_of(key).ids[0], url_of(tmp_path)
    assert f"{old}  is not on the ring  1 records" in run("show", key, "--store", url).output
    result = run("reseal", url, "--key-file", key)
    assert result.exit_code == 1
    assert (
        result.output
        == f"sealed with {new}: 0 just now, 0 already\n1 cannot be opened, and were left as they are\n"
    )


def test_a_store_of_another_ring_is_refused(key: Path, tmp_path: Path) -> None:
    fill(tmp_path, key, NAMES[0])
    other = tmp_path / "other"
    run("new", other)
    result = run("reseal", url_of(tmp_path), "--key-file", other)
    assert result.exit_code == 1
    assert "begun with another key ring" in result.output


@pytest.mark.parametrize("command", [["add"], ["show"], ["rotate"], ["promote"], ["drop"]])
def test_a_file_that_is_not_there_or_no_ring_is_an_error_in_one_line(
    tmp_path: Path, command: list[str]
) -> None:
    path, more = tmp_path / "key", ["id"] if command[0] in {"promote", "drop"} else []
    assert "there is no key file" in run(*command, path, *more).output
    path.write_text("names:topsecret")
    path.chmod(0o600)
    result = run(*command, path, *more)
    assert result.exit_code == 1
    assert "entry 1 of the key ring" in result.output
    assert "topsecret" not in result.output
    assert path.read_text() == "names:topsecret"
    path.chmod(0o644)
    assert "chmod 600" in run(*command, path, *more).output


def test_a_store_that_is_not_sealed_is_refused(tmp_path: Path) -> None:
    assert "are not sealed" in run("reseal", "memory://").output
    assert "are not sealed" in run("reseal", f"{url_of(tmp_path)}?sealed=0").output


def test_the_file_behind_a_link_is_changed(key: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(key)
    run("add", tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert len(ring_of(key).ids) == 2


def test_of_many_who_change_a_file_at_once_none_undoes_what_another_did(key: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        rings = list(threads.map(lambda _: change_key_file(key, KeyRing.add), range(8)))
    assert len({ring.ids[-1] for ring in rings}) == 8
    assert len(ring_of(key).ids) == 9


def test_whoever_reads_a_file_while_it_is_changed_finds_a_whole_ring(key: Path) -> None:
    def change() -> None:
        for _ in range(30):
            change_key_file(key, lambda ring: ring.rotate().drop(ring.ids[0]))

    with ThreadPoolExecutor(1) as threads:
        changing = threads.submit(change)
        while not changing.done():
            assert len(KeyRing.from_file(key).ids) == 1
        changing.result()
    assert sorted(path.name for path in key.parent.iterdir()) == [".key.lock", "key"]


def test_the_guide_s_commands_do_what_it_says(key: Path, tmp_path: Path) -> None:
    old = ring_of(key).ids[0]
    fill(tmp_path, key, *NAMES)
    places = {"/etc/app/key": str(key), "redis://cache": url_of(tmp_path), "OLD-ID": old}
    lines = [
        line.split("#")[0] for line in (sealed.__doc__ or "").splitlines() if "    asyncauth keys" in line
    ]
    assert len(lines) == 3
    for line in lines:
        words = [places.get(word, word) for word in line.split()[2:]]
        result = run(*words, *(["--wait", "0"] if words[0] == "rotate" else []))
        assert result.exit_code == 0, result.output
    ring = ring_of(key)
    assert old not in ring.ids
    assert run("show", key, "--store", url_of(tmp_path)).output == f"{ring.ids[0]}  seals  4 records\n"


@attrs.frozen
class RunningFleet:
    """Workers that run until they are told to end."""

    processes: list[asyncio.subprocess.Process]

    async def end(self) -> list[dict[str, object]]:
        ended = [process.communicate(b"") for process in self.processes]
        return [json.loads(out) for out, _ in await asyncio.wait_for(asyncio.gather(*ended), 30)]


@asynccontextmanager
async def a_running_fleet(count: int, *arguments: object) -> AsyncIterator[RunningFleet]:
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, str(_WORKER), *map(str, arguments)]
    processes = [
        await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe) for _ in range(count)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert await asyncio.wait_for(process.stdout.readline(), 30) == b"working\n"
        yield RunningFleet(processes)
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def command(*arguments: object) -> str:
    """Run the command as an operator does, as a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "asyncauth.cli", "keys", *map(str, arguments), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, output
    return output.decode()


@pytest.mark.processes
async def test_keys_are_rotated_while_processes_renew_and_nobody_meets_an_unreadable_record(
    key: Path, tmp_path: Path
) -> None:
    url, folder, resting = url_of(tmp_path), tmp_path / "tokens", "ff" * 32
    await asyncio.to_thread(fill, tmp_path, key, resting)
    async with (
        OAuth2Emulator(access_lifetime=1) as vendor,
        a_running_fleet(3, folder, key, vendor.token_url, vendor.api_url) as fleet,
    ):
        (old,) = (await asyncio.to_thread(ring_of, key)).ids
        await command("rotate", key, "--wait", 0.8)
        assert "cannot be opened" not in await command("reseal", url, "--key-file", key)
        await command("drop", key, old, "--store", url)
        await asyncio.sleep(1)  # they renew with what is left
        told = await fleet.end()
    assert [worker["troubles"] for worker in told] == [{}, {}, {}]
    assert all(isinstance(worker["tokens"], int) and worker["tokens"] >= 3 for worker in told)
    (new,) = (await asyncio.to_thread(ring_of, key)).ids
    async with FileTokenStore(folder, key_file=key) as store:
        assert set(await store.key_ids()) == {new}
        assert (await store.read(resting)).value == b"value"
        values = [int((await store.read(name)).value or 0) for name in NAMES]
    assert sum(values) == sum(int(str(worker["counted"])) for worker in told)
