"""One cell of PROTOCOL.md, section 9, in one process: a vendor, two workers, and faults around them.

Each worker has a store, connections, a `FaultProxy` and a manager of its own. What a fault may have left
behind is looked at by `settled` and `lost`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, final

import attrs
import pytest

from asyncauth import (
    AuthError,
    AuthSession,
    GrantRefusedError,
    RefreshPolicy,
    StoreUnavailableError,
    TokenManager,
    open_store,
)
from asyncauth._codec import decode
from asyncauth._record import Entry, Record
from asyncauth.abc import AuthScheme, Snapshot, TokenStore
from asyncauth.testing import FaultProxy
from asyncauth_stores.sealed import KeyRing
from fault_kinds import HOUR, ROWS, Row, Vendor
from fault_table import LOST, WORKERS, WORST
from kill_fleet import Place

POLICY: Final = RefreshPolicy(
    heartbeat=0.3,
    lease=1.0,
    store_timeout=0.5,
    request_timeout=1.0,
    quiet=0.5,
    grace=1.5,
    quarantine=2.5,
    wait=12,
    retries=1,
    early_share=0.001,
    early_min=0.001,
    loop_guard=0.001,
    backoff_first=0.2,
    backoff_max=2,
    probe_first=60,
)
KEY: Final = KeyRing.generate().dump()
LONGEST: Final = 25.0
"""Seconds for a cell: a cell that hangs has failed."""

Answer = int | type[AuthError]
"""What a caller got: a status of the API, or an error."""


@final
@attrs.frozen(eq=False)
class Mate:
    """One worker."""

    proxy: FaultProxy
    store: TokenStore
    manager: TokenManager
    session: AuthSession
    scheme: AuthScheme
    errors: list[AuthError] = attrs.field(factory=list)

    async def call(self) -> Answer:
        """Be a caller: send one request to the API."""
        try:
            async with self.session.get("things") as response:
                return response.status
        except AuthError as error:
            self.errors.append(error)
            return type(error)

    async def record(self) -> Record:
        """Return what is stored."""
        value = (await self.store.read(self.store.name(self.scheme.key))).value
        assert value is not None, "nothing is stored"
        return decode(value)

    def cut_next_write(self) -> None:
        """Have the server carry out the next write, and cut the connection before its answer arrives."""
        write = self.store.write

        async def cut(*args: Any, **options: Any) -> Snapshot:
            self.proxy.cut_answer()
            setattr(self.store, "write", write)  # noqa: B010 - a method, as type checkers see it
            return await write(*args, **options)

        setattr(self.store, "write", cut)  # noqa: B010 - the same

    @property
    def entry_id(self) -> str | None:
        """Which entry it uses."""
        entry = self.manager.worker.slot(self.scheme).entry
        return None if entry is None else entry.id


@final
@attrs.define(eq=False)
class Cell:
    """One kind of credential, about to meet one fault: its token has just expired everywhere.

    Attributes:
        row: The kind.
        vendor: Its vendor, whose clock all workers share.
        place: The store.
        policy: The workers' durations.
        stack: Ends everything.
        mates: The workers.
        asked_before: How often the vendor was asked for a token before this expiry.
    """

    row: Row
    vendor: Vendor
    place: Place
    policy: RefreshPolicy
    stack: AsyncExitStack
    mates: list[Mate] = attrs.field(factory=list)
    asked_before: int = 0

    @property
    def contacts(self) -> int:
        """How often the fleet has asked the vendor since the expiry."""
        return self.vendor.stats.token_calls - self.asked_before

    async def hire(self) -> Mate:
        """Return one more worker."""
        scheme, _, where = self.place.url.partition("://")
        host, _, rest = where.partition("/")
        proxy = await self.stack.enter_async_context(FaultProxy(host))
        store = open_store(f"{scheme}://{proxy.address}/{rest}", key=self.place.key)
        await self.stack.enter_async_context(store)
        clock = self.vendor.clock
        manager = await self.stack.enter_async_context(TokenManager(store, policy=self.policy, clock=clock))
        credential = self.row.scheme(self.vendor)
        session = await self.stack.enter_async_context(AuthSession(credential, manager))
        mate = Mate(proxy, store, manager, session, credential)
        self.mates.append(mate)
        return mate

    async def begin(self) -> None:
        """Have a token that all workers use, and let it expire."""
        await self.row.authorize(self.vendor, self.place, self.policy)
        for _ in range(WORKERS):
            await self._take_up(await self.hire())
        await self.expire()

    async def _take_up(self, mate: Mate) -> None:
        """Have a worker use the token; a machine that stands still for a moment is not the cell's fault."""
        async with asyncio.timeout(LONGEST):
            while (answer := await mate.call()) is StoreUnavailableError:
                await asyncio.sleep(self.policy.store_timeout)
        assert answer == 200, f"before the fault: {answer}, {mate.errors}"

    async def expire(self) -> None:
        """Let an hour go by for the vendor and all workers, while none of them waits for the store."""
        heard = -1
        while heard != (hearing := sum(mate.proxy.stats.answers for mate in self.mates)):
            heard = hearing
            await asyncio.sleep(0.05)
        self.vendor.clock.advance(HOUR)
        self.asked_before = self.vendor.stats.token_calls

    async def calls(self, callers: int = 3) -> set[Answer]:
        """Have several callers of each worker send a request at once; return what they got."""
        asked = (mate.call() for mate in self.mates for _ in range(callers))
        return set(await asyncio.gather(*asked))

    async def authorize(self) -> None:
        """Have the person authorize again."""
        await self.row.authorize(self.vendor, self.place, self.policy)

    async def settled(self, worst: int) -> None:
        """Check that the fleet is as it was before, with a new token.

        Whoever joins, and whoever was there, works with the one that is stored, at no more than the allowed
        cost; and that it is a living one shows at the next expiry, which costs one contact.

        Args:
            worst: How often the vendor may have been asked, with everything that the fault led to.
        """
        entry = await self.agreed(worst)
        await self.expire()
        await self._expect({200}, 1)
        renewed = (await self.mates[0].record()).entry
        assert renewed is not None
        assert entry.id in renewed.ancestors
        assert self.vendor.stats.families_revoked == 0, "a family was revoked"

    async def agreed(self, worst: int) -> Entry:
        """Check that whoever was there, and whoever joins, works with what is stored, and return that.

        Args:
            worst: See `settled`.
        """
        await self.hire()
        await self._expect({200}, worst)
        record = await self.mates[0].record()
        assert record.entry is not None
        assert record.dead is None
        assert {mate.entry_id for mate in self.mates} == {record.entry.id}, "not all use what is stored"
        assert self.vendor.stats.families_revoked == 0, "a family was revoked"
        return record.entry

    async def lost(self, worst: int) -> None:
        """Check that everybody is told of a token that nobody can save, and that a person can mend it.

        Args:
            worst: See `settled`.
        """
        await self._expect({GrantRefusedError}, worst)
        fresh = await self.hire()
        # By the store's clock, which no test can move, the old token has life left: it wants more.
        with pytest.raises(GrantRefusedError):
            await fresh.manager.token(fresh.scheme, min_ttl=HOUR)
        await self.authorize()
        await self.adopted()
        await self._expect({200}, worst)

    async def _expect(self, expected: set[Answer], contacts: int) -> None:
        got = await self.calls()
        assert got == expected, (got, [mate.errors[-1:] for mate in self.mates])
        assert self.contacts <= contacts, f"{self.contacts} contacts, and {contacts} are allowed"

    async def adopted(self) -> None:
        """Wait until all have heard of a new authorization."""
        stored = (await self.mates[0].record()).entry
        assert stored is not None
        while {mate.entry_id for mate in self.mates} != {stored.id}:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def a_cell(row: Row, url: str, policy: RefreshPolicy = POLICY) -> AsyncIterator[Cell]:
    """Open a cell whose token has just expired. All of it, and its end, is bounded."""
    async with asyncio.timeout(LONGEST), AsyncExitStack() as stack:
        vendor = row.vendor()
        await stack.enter_async_context(vendor)
        cell = Cell(row, vendor, Place(url, KEY), policy, stack)
        await cell.begin()
        yield cell


Play = Callable[[Cell], Awaitable[set[Answer]]]
"""Has a fault happen; returns what the callers got meanwhile."""


async def hold_all(
    fault: str,
    play: Play,
    url: str,
    *,
    documented: Iterable[type[AuthError]] = (),
    policy: RefreshPolicy = POLICY,
) -> None:
    """Run all cells of a column side by side, because they wait more than they work.

    Args:
        fault: The column.
        play: Has the fault happen.
        url: The server.
        documented: What callers may be told while it happens.
        policy: The durations.

    Raises:
        ExceptionGroup: Cells do not hold; each error names its cell in a note.
    """
    allowed: set[Answer] = {200, *documented}

    async def hold(row: Row) -> None:
        is_lost = (row.name, fault) in LOST
        async with a_cell(row, url, policy) as cell:
            got = await play(cell)
            assert got <= ({*allowed, GrantRefusedError} if is_lost else allowed)
            worst = WORST[row.name, fault]
            await (cell.lost(worst) if is_lost else cell.settled(worst))

    await side_by_side({f"{row.name} x {fault}": hold(row) for row in ROWS})


async def side_by_side(cells: dict[str, Awaitable[None]]) -> None:
    """Await all; raise what failed together, each with a note that names it."""
    ends = await asyncio.gather(*cells.values(), return_exceptions=True)
    failed: list[Exception] = []
    for name, end in zip(cells, ends, strict=True):
        if isinstance(end, Exception):
            end.add_note(f"in the cell {name}")
            failed.append(end)
    if failed:
        raise ExceptionGroup("cells that do not hold", failed)
