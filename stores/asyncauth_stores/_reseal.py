"""Sealing all records of a store again, under the key ring's first key."""

from typing import final

import attrs

from asyncauth._errors import (
    NotReplicatedError,
    StoreUnavailableError,
    UnreadableRecordError,
    WriteConflictError,
)
from asyncauth.abc import Snapshot, TokenStore
from asyncauth_stores._envelope import Content, Sealer, key_id_of
from asyncauth_stores._newest import Newest

_ROUNDS = 30
# A writer counts from the snapshot that it starts from, which may be an hour old.
_SLACK = 86_400.0


@final
@attrs.frozen
class Resealed:
    """What a resealing did.

    Attributes:
        key_id: The key that seals now.
        resealed: Records that were sealed with it just now.
        current: Records that were sealed with it already.
        unreadable: Records that cannot be opened; they were left as they are.
        unconfirmed: Records that were sealed with it just now, but are not on as many replicas as the
            store was set up with: a fail-over may bring the earlier ones back.
    """

    key_id: str
    resealed: int = 0
    current: int = 0
    unreadable: int = 0
    unconfirmed: int = 0

    @property
    def complete(self) -> bool:
        """Whether every record opens with this key, so that the others may be dropped."""
        return not self.unreadable and not self.unconfirmed


@final
@attrs.frozen
class Resealer:
    """Seals one record after the other again.

    Attributes:
        inner: Where they are.
        sealer: Its ring's first key is the one to seal with.
        newest: What the store object has seen of its records.
    """

    inner: TokenStore
    sealer: Sealer
    newest: Newest

    async def outcome(self, name: str) -> str:
        """Reseal a record, whoever else writes it meanwhile.

        Returns:
            Which count of `Resealed` it adds to, or "gone".

        Raises:
            StoreUnavailableError: The inner store cannot be reached, or others are always faster.
        """
        try:
            return await self._resealed(name)
        except UnreadableRecordError:
            return "unreadable"
        except NotReplicatedError:
            return "unconfirmed"

    async def _resealed(self, name: str) -> str:
        place = self.sealer.place(name)
        found = await self.inner.read(place)
        for _ in range(_ROUNDS):
            if key_id_of(found) == self.sealer.ring.ids[0]:
                return "current"
            content = self.sealer.open(name, found)
            if content is None:
                return "gone"
            try:
                return await self._replace(name, found, content)
            except WriteConflictError as conflict:
                found = conflict.snapshot
        raise StoreUnavailableError(f"{_ROUNDS} other writers were faster, one after the other")

    async def _replace(self, name: str, found: Snapshot, content: Content) -> str:
        again = attrs.evolve(content, written=self.newest.after(name, found))
        written = await self.inner.write(
            self.sealer.place(name),
            self.sealer.seal(name, again),
            found,
            keep=_left(content, found.now),
            wake=False,
            replicated=True,
        )
        self.newest.see(name, written, again)
        return "resealed"


def drop_at(now: int, keep: float | None) -> int:
    """Return when a record that is written now may be dropped, as `Content` has it."""
    return 0 if keep is None else now + max(int(keep * 1000), 1)


def _left(content: Content, now: int) -> float | None:
    """Return for how long a record is still to be kept: no shorter than its last writer wanted."""
    return max(content.drop_at - now, 0) / 1000 + _SLACK if content.drop_at else None
