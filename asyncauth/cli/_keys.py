"""`asyncauth keys`: key rings in files, and the records that they seal. It shows ids, never keys."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import click

from asyncauth._errors import AuthError
from asyncauth._open import open_store
from asyncauth_stores._key_file import change_key_file, new_key_file
from asyncauth_stores._live_ring import STALE
from asyncauth_stores.sealed import KeyRing, Resealed, SealedTokenStore

_FILE = click.argument("file", type=click.Path(path_type=Path))
_KEY_FILE = click.option(
    "--key-file",
    type=click.Path(path_type=Path),
    help="The stores' key ring, if it is not where workers find it by themselves.",
)


@click.group()
def keys() -> None:
    """Make, show and rotate the keys that seal records.

    A key file is replaced at once, with mode 0600: workers that run read the earlier ring or the new one.
    The module asyncauth_stores.sealed is the guide, step by step.
    """


@keys.command()
@_FILE
def new(file: Path) -> None:
    """Make a key ring in FILE, which must not be there yet."""
    with _told():
        ring = new_key_file(file)
    _show(ring)


@keys.command()
@_FILE
@click.option("--store", metavar="URL", help="Count the records there by the key that seals them.")
def show(file: Path, store: str | None) -> None:
    """Show the ids of the keys in FILE; the first one seals, all of them open."""
    with _told():
        ring = KeyRing.from_file(file)
        counts = None if store is None else asyncio.run(_counted(store, file))
    _show(ring, counts)


@keys.command()
@_FILE
def add(file: Path) -> None:
    """Add a new key to FILE, which opens and does not seal yet: the first step of a rotation."""
    _show(_changed(file, KeyRing.add))


@keys.command()
@_FILE
@click.argument("key_id", metavar="ID")
def promote(file: Path, key_id: str) -> None:
    """Have the key ID in FILE seal, once every worker has the file that it was added to."""
    _show(_changed(file, lambda ring: ring.promote(key_id)))


@keys.command()
@_FILE
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=STALE,
    show_default=True,
    help="Seconds in which all workers that read this very file read it again.",
)
def rotate(file: Path, wait: float) -> None:
    """Change the key that seals, in FILE, while workers run.

    It adds a key, waits, has it seal, and waits again: then every worker seals with it, and the old key may
    go once the records at rest are sealed again (reseal, drop). On several hosts, use add and promote.
    """
    added = _changed(file, KeyRing.add)
    key_id = added.ids[-1]
    _wait(wait, f"added {key_id}; it seals in")
    ring = _changed(file, lambda ring: ring.promote(key_id))
    _wait(wait, f"{key_id} seals; every worker has it in")
    _show(ring)


@keys.command()
@_FILE
@click.argument("key_id", metavar="ID")
@click.option("--store", "stores", metavar="URL", multiple=True, help="Refuse while a record there needs it.")
def drop(file: Path, key_id: str, stores: tuple[str, ...]) -> None:
    """Take the key ID out of FILE: what is still sealed with it cannot be opened any more."""
    with _told():
        for store in stores:
            needed = asyncio.run(_counted(store, file))[key_id]
            if needed:
                raise click.ClickException(f"{needed} records there are sealed with {key_id}: reseal first")
    _show(_changed(file, lambda ring: _without(ring, key_id)))


@keys.command()
@click.argument("store", metavar="URL")
@_KEY_FILE
def reseal(store: str, key_file: Path | None) -> None:
    """Seal all records of the store at URL with the first key, while workers run.

    The exit status is 1 if there are records that cannot be opened, or that too few replicas have.
    """
    with _told():
        done = asyncio.run(_resealed(store, key_file))
    now = done.resealed + done.unconfirmed
    click.echo(f"sealed with {done.key_id}: {now} just now, {done.current} already")
    if done.unreadable:
        click.echo(f"{done.unreadable} cannot be opened, and were left as they are", err=True)
    if done.unconfirmed:
        text = (
            f"{done.unconfirmed} of them are not on all replicas: a fail-over may bring the earlier ones back"
        )
        click.echo(f"{text}, so keep the old key", err=True)
    if not done.complete:
        raise SystemExit(1)


async def _resealed(url: str, key_file: Path | None) -> Resealed:
    async with _sealed_store(url, key_file) as store:
        return await store.reseal()


async def _counted(url: str, key_file: Path) -> Counter[str]:
    async with _sealed_store(url, key_file) as store:
        return await store.key_ids()


@asynccontextmanager
async def _sealed_store(url: str, key_file: Path | None) -> AsyncIterator[SealedTokenStore]:
    options = {} if key_file is None else {"key_file": key_file}
    async with open_store(url, **options) as store:
        if not isinstance(store, SealedTokenStore):
            raise click.ClickException("the records of this store are not sealed")
        yield store


@contextmanager
def _told() -> Iterator[None]:
    """Show an error as one line, and end."""
    try:
        yield
    except AuthError as error:
        raise click.ClickException(str(error)) from error


def _changed(file: Path, change: Callable[[KeyRing], KeyRing]) -> KeyRing:
    with _told():
        return change_key_file(file, change)


def _without(ring: KeyRing, key_id: str) -> KeyRing:
    if key_id == ring.ids[0]:
        raise click.ClickException(f"{key_id} is the key that seals: rotate first")
    return ring.drop(key_id)


def _wait(seconds: float, text: str) -> None:
    click.echo(f"{text} {seconds:g} s")
    time.sleep(seconds)


def _show(ring: KeyRing, counts: Counter[str] | None = None) -> None:
    roles = dict.fromkeys(ring.ids, "opens") | {ring.ids[0]: "seals"}
    strangers = [] if counts is None else sorted(counts.keys() - roles.keys())
    for key_id in (*ring.ids, *strangers):
        records = "" if counts is None else f"  {counts[key_id]} records"
        click.echo(f"{key_id}  {roles.get(key_id, 'is not on the ring')}{records}")
