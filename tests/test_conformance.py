"""The conformance suite passes stores that keep their promises, and names the promise that one breaks."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

import shelf_store
from asyncauth.abc import TokenStore
from asyncauth.testing import (
    STORE_CHECKS,
    StoreCheck,
    StoreFactory,
    _promise,
    _promises_waiting,
    check_token_store,
)
from shelf_store import Shelf, ShelfStore
from store_places import FilePlace, MemoryPlace

BROKEN: Sequence[tuple[type[ShelfStore], str]] = (
    (shelf_store.Counted, "every_write_has_its_own_version"),
    (shelf_store.CountedByKey, "every_write_has_its_own_version"),
    (shelf_store.Hashed, "every_write_has_its_own_version"),
    (shelf_store.LastWriterWins, "stale_writes_conflict"),
    (shelf_store.LastWriterWins, "removed_is_nothing"),
    (shelf_store.EchoesTheExpected, "stale_writes_conflict"),
    (shelf_store.ForgetsIncarnation, "another_incarnation_conflicts"),
    (shelf_store.ComparesEarly, "no_update_is_lost"),
    (shelf_store.WritesInTwoSteps, "cancelled_writes_are_whole"),
    (shelf_store.CutsAtNul, "bytes_come_back"),
    (shelf_store.KeepsMilliseconds, "kept_as_long_as_asked"),
    (shelf_store.Deaf, "changes_wake"),
    (shelf_store.Deaf, "own_changes_wake"),
    (shelf_store.Deaf, "silent_writes_hide_no_loud_one"),
    (shelf_store.HearsOnlyItself, "changes_wake"),
    (shelf_store.WaitsBeforeLooking, "no_change_is_missed"),
    (shelf_store.WaitsForEver, "waits_end"),
    (shelf_store.SwallowsCancellation, "cancelled_waits_leave_nothing"),
    (shelf_store.KeepsItsLock, "cancelled_waits_leave_nothing"),
    (shelf_store.Deaf, "changes_ring"),
    (shelf_store.Deaf, "silent_writes_hide_no_later_ring"),
    (shelf_store.HearsOnlyItself, "changes_ring"),
    (shelf_store.FollowsWithoutLooking, "following_misses_no_change"),
    (shelf_store.RingsForEver, "a_following_rings_once"),
    (shelf_store.RingsAfterTheEnd, "a_following_rings_once"),
    (shelf_store.RingsElsewhere, "a_following_rings_once"),
    (shelf_store.KeepsItsLock, "cancelled_followings_leave_nothing"),
    (shelf_store.ListsEverything, "keys_are_listed"),
    (shelf_store.HasNoNamespaces, "namespaces_are_apart"),
    (shelf_store.CountsSeconds, "the_clock_goes_forward"),
    (shelf_store.EverybodyLives, "holders_are_alive"),
    (shelf_store.NobodyLives, "holders_are_alive"),
    (shelf_store.EverybodyLives, "holds_end_with_their_context"),
    (shelf_store.ClosesFirst, "closing_ends_its_users_first"),
    (shelf_store.ForgetsItsUsers, "closing_ends_its_users_first"),
    (shelf_store.TakesItsRecordsAlong, "closing_disturbs_nobody_else"),
    (shelf_store.Hangs, "nothing_is_an_empty_snapshot"),
    (shelf_store.Fails, "nothing_is_an_empty_snapshot"),
)


def name_of(check: StoreCheck) -> str:
    return check.__name__


def open_shelf(kind: type[ShelfStore] = ShelfStore) -> StoreFactory:
    shelf = Shelf()

    def open_handle(namespace: str = "asyncauth") -> AbstractAsyncContextManager[TokenStore]:
        return kind(shelf, namespace)

    return open_handle


PLACES = (
    pytest.param(lambda _: MemoryPlace(), id="memory"),
    pytest.param(lambda folder: FilePlace(folder / "store"), id="file", marks=pytest.mark.slow),
    pytest.param(lambda _: open_shelf(), id="third-party", marks=pytest.mark.slow),
)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("check", STORE_CHECKS, ids=name_of)
async def test_the_stores_keep_every_promise(
    check: StoreCheck, place: Callable[[Path], StoreFactory], tmp_path: Path
) -> None:
    await check(place(tmp_path))


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_promise, "PATIENCE", 1.0)
    monkeypatch.setattr(_promises_waiting, "_PROMPT", 0.2)


@pytest.mark.slow
@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize(("kind", "broken"), BROKEN, ids=lambda part: getattr(part, "__name__", part))
async def test_a_broken_promise_is_named(kind: type[ShelfStore], broken: str) -> None:
    check = next(check for check in STORE_CHECKS if check.__name__ == broken)
    with pytest.raises(AssertionError, match=f"^{broken}: .+ The promise: [`A-Z].+[.:;]"):
        await check(open_shelf(kind))


@pytest.mark.slow
async def test_one_call_checks_a_whole_store() -> None:
    await check_token_store(open_shelf())
    with pytest.raises(AssertionError, match="stale_writes_conflict"):
        await check_token_store(open_shelf(shelf_store.EchoesTheExpected))


@pytest.mark.slow
@pytest.mark.usefixtures("_impatient")
async def test_a_check_that_hangs_says_so() -> None:
    with pytest.raises(AssertionError, match="it hangs for 1 s"):
        await check_token_store(open_shelf(shelf_store.Hangs))


async def test_a_store_that_ignores_the_incarnation_is_told_so() -> None:
    with pytest.raises(AssertionError, match="took effect although it expected another incarnation"):
        await check_token_store(open_shelf(shelf_store.ForgetsIncarnation))


@pytest.mark.slow
async def test_a_store_that_forgets_to_call_the_contracts_init_keeps_the_promises() -> None:
    await check_token_store(open_shelf(shelf_store.ForgetsSuper))


async def test_a_foreign_error_is_a_broken_promise_with_its_cause() -> None:
    with pytest.raises(AssertionError, match="LookupError: no such thing") as caught:
        await check_token_store(open_shelf(shelf_store.Fails))
    assert isinstance(caught.value.__cause__, LookupError)


def test_every_check_states_its_promise_and_has_a_name_of_its_own() -> None:
    assert all(check.__doc__ for check in STORE_CHECKS)
    assert len({check.__name__ for check in STORE_CHECKS}) == len(STORE_CHECKS)
