"""The ledger: snapshot, transition, compare-and-set; races, lost answers, silence, clocks."""

import asyncio
from collections.abc import AsyncIterator, Callable

import attrs
import pytest

from asyncauth import RefreshPolicy, StoreUnavailableError, UnreadableRecordError
from asyncauth._answers import Committed, Done, Same, Step, View
from asyncauth._codec import decode, encode
from asyncauth._ledger import Ledger
from asyncauth._record import Record
from asyncauth._sighting import Sighting
from asyncauth._transitions import put
from asyncauth.abc import Snapshot
from asyncauth.testing import ManualClock, settle
from asyncauth_stores.memory import MemoryTokenStore
from makers import NEW
from worlds import Handle

NAME = "a" * 64
POLICY = RefreshPolicy()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def handle(clock: ManualClock) -> Handle:
    return Handle(MemoryTokenStore(clock=clock), clock)


@pytest.fixture
async def ledger(handle: Handle, clock: ManualClock) -> AsyncIterator[Ledger]:
    yield Ledger(handle, clock, POLICY)
    await handle.aclose()


def writes(era: int) -> Callable[[View], Step]:
    """Return a transition that writes a record of an era."""
    return lambda view: Step(answer=Done(), record=Record(era=era, written_at=view.now))


def counts(view: View) -> Step:
    """Count up, starting from what is stored."""
    era = 0 if view.record is None else view.record.era
    return Step(answer=Done(), record=Record(era=era + 1, written_at=view.now))


async def test_a_step_without_a_record_writes_nothing(ledger: Ledger, handle: Handle) -> None:
    outcome = await ledger.run(NAME, lambda view: Step(answer=Done()))

    assert outcome.answer == Done()
    assert handle.calls == {"read": 1}


async def test_a_write_starts_from_what_was_seen_last(ledger: Ledger, handle: Handle) -> None:
    await ledger.run(NAME, counts)
    await ledger.run(NAME, counts)

    assert handle.calls == {"read": 1, "write": 2}
    assert (await ledger.look(NAME)).record == ledger.last(NAME).record  # type: ignore[union-attr]


async def test_a_lost_race_starts_over_from_the_winners_snapshot(
    ledger: Ledger, handle: Handle, clock: ManualClock
) -> None:
    other = Ledger(handle, clock, POLICY)
    await ledger.look(NAME)
    await other.run(NAME, counts)
    outcome = await ledger.run(NAME, counts)

    assert outcome.sighting.record is not None
    assert outcome.sighting.record.era == 2
    assert handle.calls == {"read": 2, "write": 3}


async def test_what_a_lost_race_shows_is_counted_from_before_it_was_asked_for(
    ledger: Ledger, handle: Handle, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ledger.look(NAME)
    await Ledger(handle, clock, POLICY).run(NAME, writes(7))
    write, began = handle.write, clock.monotonic()

    async def slow(*args: object, **options: object) -> Snapshot:
        clock.step(0.3)
        return await write(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(handle, "write", slow)
    done = await ledger.run(
        NAME, lambda view: writes(1)(view) if view.record is None else Step(answer=Done())
    )
    assert (done.sighting.asked_at - began, done.sighting.seen_at - began) == (0, 0.3)


async def test_many_writers_lose_no_write(handle: Handle, clock: ManualClock) -> None:
    ledgers = [Ledger(handle, clock, POLICY) for _ in range(8)]
    running = asyncio.gather(*(ledger.run(NAME, counts) for ledger in ledgers for _ in range(5)))
    for _ in range(200):
        await clock.advance(0.01)
    await running

    record = (await ledgers[0].look(NAME)).record
    assert record is not None
    assert record.era == 40


async def test_a_transition_run_again_after_a_lost_answer_finds_its_own_write(
    ledger: Ledger, handle: Handle
) -> None:
    handle.loses_answers = 1

    def store(view: View) -> Step:
        return put(view, NEW, POLICY)

    with pytest.raises(StoreUnavailableError):
        await ledger.run(NAME, store)
    assert (await ledger.run(NAME, store, fresh=True)).answer == Same()


async def test_an_unreadable_record_carries_its_snapshot_and_only_replace_overwrites_it(
    ledger: Ledger, handle: Handle
) -> None:
    await handle.write(NAME, b"garbage", await handle.read(NAME))
    with pytest.raises(UnreadableRecordError) as refused:
        await ledger.run(NAME, writes(1), fresh=True)
    assert refused.value.snapshot.version == (await handle.read(NAME)).version
    assert (await handle.read(NAME)).value == b"garbage"

    outcome = await ledger.replace(NAME, lambda view: put(view, NEW, POLICY))
    assert outcome.answer == Committed()
    value = (await handle.read(NAME)).value
    assert value is not None
    assert decode(value).entry is not None


async def test_a_silent_store_is_given_up_and_left_alone_for_a_while(
    ledger: Ledger, handle: Handle, clock: ManualClock
) -> None:
    handle.silent = True
    look = asyncio.create_task(ledger.look(NAME))
    await clock.advance(POLICY.store_timeout)
    with pytest.raises(StoreUnavailableError, match=r"did not answer within 0\.5 s"):
        await look
    handle.silent = False
    with pytest.raises(StoreUnavailableError, match="a moment ago"):
        await ledger.look(NAME)
    await clock.advance(POLICY.store_timeout)
    await ledger.look(NAME)

    assert handle.calls["read"] == 2


async def test_cancelling_whoever_waits_leaves_the_ledger_usable(ledger: Ledger, handle: Handle) -> None:
    handle.silent = True
    look = asyncio.create_task(ledger.look(NAME))
    await settle()
    look.cancel()
    with pytest.raises(asyncio.CancelledError):
        await look
    handle.silent = False
    assert (await ledger.look(NAME)).record is None


def a_sighting(now: int, asked_at: float, seen_at: float) -> Sighting:
    """Return a sighting of nothing, at a time of the store's and two of ours."""
    snapshot = Snapshot(value=None, version="", now=now)
    return Sighting.of(snapshot, None, asked_at=asked_at, seen_at=seen_at)


def test_the_stores_time_is_never_thought_ahead_and_a_local_deadline_never_too_late() -> None:
    """A store whose clock reads 1,000,000 somewhere between our asking (10.0) and seeing (10.4)."""
    sighting = a_sighting(1_000_000, 10.0, 10.4)

    assert sighting.store_time(10.4) == 1_000_000
    assert sighting.store_time(12.4) == 1_002_000
    assert sighting.local_time(1_002_000) == 12.0


async def test_records_of_short_lives_need_not_be_kept(ledger: Ledger, handle: Handle) -> None:
    entry = attrs.evolve(NEW, one_time=False, token=attrs.evolve(NEW.token, refresh_token=None))
    kept: list[float | None] = []
    write = handle._place.write

    async def spy(*args: object, keep: float | None = None, **options: object) -> Snapshot:
        kept.append(keep)
        return await write(*args, keep=keep, **options)  # type: ignore[arg-type]

    handle._place.write = spy  # type: ignore[method-assign]
    now = (await ledger.look(NAME)).snapshot.now
    living = attrs.evolve(entry, expires_at=now + 60_000)
    record = Record(entry=living, written_at=now)
    await ledger.run(NAME, lambda view: Step(answer=Done(), record=record))
    guarding = attrs.evolve(record, had_one_time=True)
    await ledger.run(NAME, lambda view: Step(answer=Done(), record=guarding))

    assert kept == [60 + POLICY.wait, POLICY.keep]
    assert decode(encode(guarding)) == guarding
