"""PROTOCOL.md, section 9, as values: what a fault may cost each kind, what holds, and which test shows it."""

from collections.abc import Mapping, Sequence
from typing import Final, final

import attrs

WORKERS: Final = 2
"""How many workers share a token in the tests."""

FAULTS: Final = (
    "no fault",
    "crash",
    "stall",
    "answer lost",
    "vendor down, once",
    "request delayed",
    "store answer lost",
    "fail-over",
    "store outage",
    "caller cancelled",
)
"""The columns."""

_ONE_TIME: Final = (1, 2, 1, 2, 2, 2, 1, 1, 1, 1)
_ROWS: Final[Mapping[str, Sequence[int]]] = {
    "N": (1, 2, 2, 2, 2, 2, 1, 2, 1 + WORKERS, 1),
    "N1": (1, 3, 3, 2, 2, 3, 1, 3, 1, 1),
    "R": _ONE_TIME,
    "R0": _ONE_TIME,
    "Rg": _ONE_TIME,
    "RL": (1, 2, 2, 2, 2, 2, 1, 1, 1, 1),
}

WORST: Final[Mapping[tuple[str, str], int]] = {
    (kind, fault): contacts
    for kind, row in _ROWS.items()
    for fault, contacts in zip(FAULTS, row, strict=True)
}
"""How often the whole fleet may ask the vendor in one expiry, by kind and fault."""

LOST: Final = {(kind, fault) for kind in ("R", "R0") for fault in ("crash", "answer lost", "request delayed")}
"""Section 9's "not promised": the vendor spends a refresh token without a reuse window, and its only answer
is lost. The fleet says so, to everybody."""


@final
@attrs.frozen
class Shown:
    """Where something is shown.

    Attributes:
        file: A file of this folder, without its ending.
        names: The tests in it; or, in fault_world.py, what is checked after each cell.
    """

    file: str
    names: tuple[str, ...]


COLUMNS: Final[Mapping[str, Shown]] = {
    "no fault": Shown("test_fault_table", ("test_no_fault",)),
    "crash": Shown("test_fault_table_processes", ("test_crash",)),
    "stall": Shown("test_fault_table_processes", ("test_stall",)),
    "answer lost": Shown("test_fault_table", ("test_answer_lost",)),
    "vendor down, once": Shown("test_fault_table", ("test_vendor_down_once",)),
    "request delayed": Shown("test_fault_table", ("test_request_delayed",)),
    "store answer lost": Shown("test_fault_table", ("test_store_answer_lost",)),
    "fail-over": Shown("test_fault_table_failover", ("test_fail_over",)),
    "store outage": Shown("test_fault_table", ("test_store_outage",)),
    "caller cancelled": Shown("test_fault_table", ("test_caller_cancelled",)),
}
"""Which test runs the cells of a column: each of them all rows."""

_PROMISES: Final = "test_fault_table_promises"

PROMISES: Final[Mapping[str, tuple[Shown, ...]]] = {
    "no reuse revokes a family of which the store or a living worker has the living token": (
        Shown("fault_world", ("settled",)),
        Shown("test_fault_table_processes", ("test_stall",)),
        Shown("test_fault_table_failover", ("test_fail_over",)),
    ),
    "a stored entry is never overwritten by an earlier one": (
        Shown("fault_world", ("settled",)),
        Shown(_PROMISES, ("test_a_later_authorization_wins_over_a_renewal_that_is_under_way",)),
    ),
    "a later authorization always wins": (
        Shown(
            _PROMISES,
            (
                "test_a_later_authorization_wins_over_a_renewal_that_is_under_way",
                "test_a_later_authorization_wins_over_an_answer_that_could_not_be_stored",
            ),
        ),
    ),
    "a living token that a living worker received ends up in the store": (
        Shown("fault_world", ("settled",)),
        Shown(_PROMISES, ("test_a_token_received_during_an_outage_ends_up_in_the_store",)),
    ),
    "no dead mark on a living token for longer than until the next probe": (
        Shown(_PROMISES, ("test_a_dead_mark_by_mistake_lasts_until_the_next_probe",)),
    ),
    "no error 'authorize again' while a living worker has a living token": (
        Shown(_PROMISES, ("test_nobody_has_to_authorize_again_while_a_worker_has_the_token",)),
    ),
    "nobody waits for ever": (
        Shown("fault_world", ("a_cell",)),
        Shown(_PROMISES, ("test_nobody_waits_for_ever_for_a_vendor_that_never_answers",)),
    ),
    "nobody contacts the vendor inside the fleet's back-off window": (
        Shown(_PROMISES, ("test_nobody_contacts_the_vendor_inside_the_back_off_window",)),
    ),
    "the fleet says that a one-time token is lost, and sends it once more only after `quiet`": (
        Shown("fault_world", ("lost",)),
        Shown(_PROMISES, ("test_the_old_token_is_sent_once_more_after_the_quiet_time",)),
    ),
    "while the store is down entries in RAM serve to their end": (
        Shown(_PROMISES, ("test_tokens_at_hand_serve_through_an_outage",)),
    ),
    "kind N renews locally, once per process, with back-off, and commits as a sibling": (
        Shown("test_fault_table", ("test_store_outage",)),
        Shown(
            _PROMISES,
            (
                "test_a_process_alone_stands_back_from_a_vendor_that_fails",
                "test_what_was_stored_during_an_outage_wins_over_a_token_renewed_alone",
            ),
        ),
    ),
    "N1 and one-time kinds fail closed, after at most the store timeout": (
        Shown(_PROMISES, ("test_the_others_fail_closed_after_the_store_timeout_at_most",)),
    ),
}
"""Which tests, and which checks after every cell, show a promise."""
