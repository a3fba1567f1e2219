"""The conformance suite's checks of reading, writing, comparing and listing."""

import asyncio
import itertools
import secrets
from contextlib import AsyncExitStack

import attrs

from asyncauth._errors import NotReplicatedError, WriteConflictError
from asyncauth._key import TokenKey
from asyncauth.abc import Snapshot, TokenStore
from asyncauth.testing._promise import (
    StoreCheck,
    StoreFactory,
    conflict,
    create,
    draw_name,
    listed,
    promise,
    require,
    require_stored,
)

_VALUES = (b"", b"\0", bytes(range(256)), b"\r\n\xff" * 1000, bytes(1024 * 1024))
_WRITES = 12
_HANDLES = 2
_TASKS = 10
_DAY = 86_400.0


@promise
async def nothing_is_an_empty_snapshot(factory: StoreFactory) -> None:
    """A read where nothing is stored answers with no value and an empty version; it is no error."""
    async with factory() as store:
        found = await store.read(draw_name())
    require(found.value is None, "the snapshot of nothing has a value")
    require(found.version == "", "the snapshot of nothing has a version")


@promise
async def bytes_come_back(factory: StoreFactory) -> None:
    """Any bytes that were written are what every handle reads, under the version that `write` returned."""
    async with factory() as writer, factory() as reader:
        for value in _VALUES:
            name = draw_name()
            written = await create(writer, name, value)
            require(written.value == value, "the snapshot that `write` returned has another value")
            for store in (writer, reader):
                await require_stored(store, name, written, f"{len(value)} bytes came back changed")


@promise
async def every_write_has_its_own_version(factory: StoreFactory) -> None:
    """A version is unique for every write ever made: drawn, never counted.

    The same value written again, an older value restored and a removed one rewritten each have a version of
    their own, and no two names share one.
    """
    async with factory() as first, factory() as second:
        histories = [await _history(store) for store in (first, second)]
    versions = [version for history in histories for version in history]
    require(all(versions), "a write has an empty version")
    require(len(set(versions)) == len(versions), "two writes have the same version")
    require(not any(map(_is_count, histories)), "versions are counted: a restored store gives them again")


async def _history(store: TokenStore) -> list[str]:
    name, versions = draw_name(), list[str]()
    for value in itertools.islice(itertools.cycle((b"a", b"a", b"b", None)), _WRITES):
        written = await store.write(name, value, await store.read(name))
        if value is not None:
            versions.append(written.version)
    return versions


def _is_count(versions: list[str]) -> bool:
    return any(_counts_up(versions, base) for base in (10, 16))


def _counts_up(versions: list[str], base: int) -> bool:
    try:
        numbers = [int(version, base) for version in versions]
    except ValueError:
        return False
    # A count may skip one for each removal, and no more than a few for other names.
    return all(0 < after - before <= _WRITES for before, after in itertools.pairwise(numbers))


@promise
async def stale_writes_conflict(factory: StoreFactory) -> None:
    """A write that expects another version takes no effect; its conflict carries what is stored."""
    async with factory() as first, factory() as second:
        name = draw_name()
        empty = await second.read(name)
        old = await create(first, name)
        new = await first.write(name, b"second", old)
        for expected, value in itertools.product((empty, old), (b"stale", None)):
            found = await conflict(second, name, value, expected)
            require(
                (found.value, found.version) == (new.value, new.version), "the conflict's snapshot is old"
            )
            await require_stored(first, name, new, "a write that conflicted took effect")
        third = await second.write(name, b"third", await conflict(second, name, b"stale", old))
        await require_stored(first, name, third, "a conflict's snapshot cannot be written upon")


@promise
async def another_incarnation_conflicts(factory: StoreFactory) -> None:
    """A write that expects another incarnation takes no effect, even if the version is right."""
    async with factory() as store:
        name = draw_name()
        stored = await store.read(name)
        for _ in range(2):
            other = attrs.evolve(stored, incarnation=stored.incarnation + "-another")
            found = await conflict(
                store, name, b"stale", other, "a write took effect although it expected another incarnation"
            )
            require(found.incarnation == stored.incarnation, "the conflict has the expected incarnation")
            await require_stored(store, name, stored, "a write that conflicted took effect")
            stored = await create(store, name)


@promise
async def versions_are_all_that_is_compared(factory: StoreFactory) -> None:
    """A write takes effect if version and incarnation are those expected, whatever else `expected` says."""
    async with factory() as store, factory() as other:
        name = draw_name()
        stored = await create(store, name)
        for value in (b"second", b"third", None):
            stored = await other.write(name, value, attrs.evolve(stored, value=None, now=0))
            await require_stored(store, name, stored, "a write for a snapshot without its value went wrong")


@promise
async def removed_is_nothing(factory: StoreFactory) -> None:
    """Writing no value removes what is stored; writes that expect the removed version conflict."""
    async with factory() as store, factory() as other:
        name = draw_name()
        stored = await create(store, name)
        removed = await store.write(name, None, stored)
        require((removed.value, removed.version) == (None, ""), "`write` returned something for a removal")
        await require_stored(other, name, removed, "a removed value is still read")
        found = await conflict(other, name, b"stale", stored)
        require((found.value, found.version) == (None, ""), "the conflict carries a removed value")
        again = await other.write(name, b"again", found)
        await require_stored(store, name, again, "a value written after a removal is not read")


@promise
async def kept_as_long_as_asked(factory: StoreFactory) -> None:
    """`keep` lets a value be dropped after so many seconds, never before; each write sets it anew."""
    async with factory() as store:
        short, long, longest, renewed = (draw_name() for _ in range(4))
        first = await _keep(store, short, 0.1)
        later = {name: await _keep(store, name, keep) for name, keep in ((long, 60.0), (longest, 90 * _DAY))}
        later[renewed] = await store.write(renewed, b"kept", await _keep(store, renewed, 0.1))
        await asyncio.sleep(0.2)
        for name, written in later.items():
            await require_stored(store, name, written, "a value was dropped before its time")
        await _require_whole_or_gone(store, short, first)


async def _keep(store: TokenStore, name: str, keep: float) -> Snapshot:
    written = await store.write(name, b"kept", await store.read(name), keep=keep)
    require(written.value == b"kept", "`write` returned no value for one with `keep`")
    return written


async def _require_whole_or_gone(store: TokenStore, name: str, written: Snapshot) -> None:
    found = await store.read(name)
    gone, whole = (None, ""), (written.value, written.version)
    require((found.value, found.version) in {gone, whole}, "a value that ran out is neither there nor gone")
    again = await store.write(name, b"again", found)
    await require_stored(store, name, again, "a value cannot be written where one ran out")


@promise
async def replicated_means_nothing_alone(factory: StoreFactory) -> None:
    """`replicated=True` writes as ever, or says "written, not replicated" and carries what it wrote."""
    async with factory() as store:
        name = draw_name()
        try:
            written = await store.write(name, b"value", await store.read(name), replicated=True)
        except NotReplicatedError as error:
            written = error.snapshot
        await require_stored(store, name, written, "a replicated write is not what is stored")


@promise
async def no_update_is_lost(factory: StoreFactory) -> None:
    """Compare-and-set is atomic: of many writers at once, on two handles, every one takes effect once."""
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(factory()) for _ in range(_HANDLES)]
        name = draw_name()
        async with asyncio.TaskGroup() as group:
            for store in stores * _TASKS:
                group.create_task(_increment(store, name))
        count = int((await stores[0].read(name)).value or 0)
    require(count == _HANDLES * _TASKS, f"{_HANDLES * _TASKS} increments made {count}")


async def _increment(store: TokenStore, name: str) -> None:
    snapshot = await store.read(name)
    while True:
        try:
            await store.write(name, b"%d" % (int(snapshot.value or 0) + 1), snapshot)
        except WriteConflictError as error:
            snapshot = error.snapshot
        else:
            return


@promise
async def keys_are_listed(factory: StoreFactory) -> None:
    """`keys` names every stored record of its own namespace once, and nothing else."""
    namespaces = [f"conformance-{secrets.token_hex(8)}" for _ in range(2)]
    async with factory(namespaces[0]) as store, factory(namespaces[1]) as other:
        require(await listed(store) == [], "an unused namespace has keys")
        names = [draw_name() for _ in range(5)]
        for name in names:
            await create(store, name)
        await create(other, draw_name())
        await store.write(names[0], None, await store.read(names[0]))
        found = await listed(store)
    require(sorted(found) == sorted(names[1:]), "`keys` does not name exactly what is stored")


@promise
async def namespaces_are_apart(factory: StoreFactory) -> None:
    """Two namespaces of one place do not see each other's records, whatever their names."""
    async with factory("conformance-a") as store, factory("conformance-b") as other:
        name = draw_name()
        mine = await create(store, name, b"mine")
        require((await other.read(name)).value is None, "a namespace reads another one's record")
        theirs = await create(other, name, b"theirs")
        await other.write(name, None, theirs)
        await require_stored(store, name, mine, "a namespace removed another one's record")


@promise
async def names_tell_nothing(factory: StoreFactory) -> None:
    """A key's name is 64 hexadecimal digits whatever its parts hold, and works as a name."""
    odd = "../:/\n\0 ä\U0001f511*"
    keys = [
        TokenKey(scheme="s", issuer=odd, client="a:b"),
        TokenKey(scheme="s", issuer=odd + ":a", client="b"),
    ]
    async with factory() as store:
        names = [store.name(key) for key in keys]
        require(len(set(names)) == len(names), "two keys have one name")
        for name in names:
            require(len(name) == len(bytes.fromhex(name)) * 2 == 64, "a name is not 64 hexadecimal digits")  # noqa: PLR2004
            written = await create(store, name)
            await require_stored(store, name, written, "a key's name does not work as a name")


VALUE_CHECKS: tuple[StoreCheck, ...] = (
    nothing_is_an_empty_snapshot,
    bytes_come_back,
    every_write_has_its_own_version,
    stale_writes_conflict,
    another_incarnation_conflicts,
    versions_are_all_that_is_compared,
    removed_is_nothing,
    kept_as_long_as_asked,
    replicated_means_nothing_alone,
    no_update_is_lost,
    keys_are_listed,
    namespaces_are_apart,
    names_tell_nothing,
)
