"""Records as bytes."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncauth import Token
from asyncauth._codec import UnreadableError, decode, encode
from asyncauth._record import Dead, Entry, Failure, Lease, Mode, Reason, Record

TEXT = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20)
TIME = st.integers(0, 2**50)
SECONDS = st.none() | st.floats(0, 1e9)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
TOKENS = st.builds(
    Token,
    access_token=TEXT,
    token_type=st.text(),
    expires_in=SECONDS,
    idle_timeout=st.none() | st.floats(0.001, 1e9),
    refresh_token=st.none() | TEXT,
    refresh_expires_in=SECONDS,
    cookies=st.dictionaries(TEXT, TEXT, max_size=2),
    scope=st.lists(TEXT, max_size=3),
    subject=st.none() | st.text(),
    extra=st.dictionaries(st.text(), JSON, max_size=3),
)
ENTRIES = st.builds(
    Entry,
    id=TEXT,
    era=TIME,
    token=TOKENS,
    issued_at=TIME,
    ancestors=st.lists(TEXT, max_size=3).map(tuple),
    one_time=st.booleans(),
    expires_at=st.none() | TIME,
    last_use=st.none() | TIME,
)
REASONS = st.builds(Reason, st.text(), st.text())
RECORDS = st.builds(
    Record,
    entry=st.none() | ENTRIES,
    era=TIME,
    lease=st.none()
    | st.builds(
        Lease,
        attempt=TEXT,
        mode=st.sampled_from(Mode),
        doubtful=st.booleans(),
        until=TIME,
        takeover_at=TIME,
        incarnation=st.text(),
    ),
    intent=st.none() | TEXT,
    failure=st.none() | st.builds(Failure, reason=REASONS, retry_at=TIME, count=TIME),
    dead=st.none()
    | st.builds(
        Dead, reason=REASONS, probe_at=TIME, count=TIME, refused=st.lists(TEXT).map(tuple), attempt=TEXT
    ),
    checked_at=st.none() | TIME,
    incarnation=st.text(),
    quarantine_until=TIME,
    had_one_time=st.booleans(),
    written_at=TIME,
)


@given(RECORDS)
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    assert decode(encode(record)) == record


@given(RECORDS, st.data())
def test_a_truncated_record_is_unreadable(record: Record, data: st.DataObject) -> None:
    encoded = encode(record)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(UnreadableError, match="truncated"):
        decode(encoded[:cut])


@given(st.binary() | JSON.map(lambda value: json.dumps(value).encode()))
def test_what_is_no_record_is_unreadable_and_nothing_else(data: bytes) -> None:
    with pytest.raises(UnreadableError):
        decode(data)


@pytest.mark.parametrize("change", [{"entry": {"id": "x"}}, {"entry": 3}, {"lease": []}, {"era": "soon"}])
def test_a_record_with_a_wrong_part_is_unreadable_and_shows_nothing(change: dict[str, Any]) -> None:
    fields = {"format": 1, "entry": {"token": "do-not-show"}, **change}
    with pytest.raises(UnreadableError) as refused:
        decode(json.dumps(fields).encode())
    assert "do-not-show" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_record_of_a_newer_format_says_what_to_do() -> None:
    with pytest.raises(UnreadableError, match="upgrade this worker"):
        decode(b'{"format": 2}')


def test_fields_that_a_newer_worker_added_do_not_stop_an_older_one() -> None:
    fields = json.loads(encode(Record(era=3)))

    assert decode(json.dumps({**fields, "later": {"a": 1}}).encode()) == Record(era=3)
