"""CareCloud's `valid_to`: wall time of the project's zone, also where the clocks change."""

import logging
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncauth._exchange import AuthResponse
from carecloud_samples import DATA, carecloud
from flow_driver import NOW, drive, reply


def instant(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def answer(valid_to: object, now: str) -> AuthResponse:
    """Return a login answer given at `now` (UTC) by the server's clock; this machine's differs."""
    date = datetime.fromisoformat(now).replace(tzinfo=UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    return reply({"data": {**DATA, "valid_to": valid_to}}, headers={"Date": date})


def life(valid_to: object, now: str, zone: str = "Europe/Prague") -> float | None:
    return drive(carecloud(timezone=zone).login(), answer(valid_to, now)).result.expires_in


def test_without_a_zone_the_validity_counts_from_the_login() -> None:
    scheme = carecloud(validity=3600)
    assert (
        drive(scheme.login(), answer("2023-01-04 10:31:56", "2023-01-04 09:31:56")).result.expires_in == 3600
    )


@pytest.mark.parametrize(
    ("zone", "now", "valid_to", "seconds"),
    [
        ("Europe/Prague", "2023-01-04 02:31:56", "2023-01-04 10:31:56", 7 * 3600),
        ("Europe/Prague", "2023-07-04 01:31:56", "2023-07-04 10:31:56", 7 * 3600),
        ("America/New_York", "2023-01-04 08:31:56", "2023-01-04 10:31:56", 7 * 3600),
        ("America/Los_Angeles", "2023-07-04 23:00:00", "2023-07-04 23:00:00", 7 * 3600),
        ("UTC", "2023-01-04 03:31:56", "2023-01-04 10:31:56", 7 * 3600),
    ],
)
def test_valid_to_is_wall_time_of_the_projects_zone(
    zone: str, now: str, valid_to: str, seconds: float
) -> None:
    assert life(valid_to, now, zone) == seconds


@pytest.mark.parametrize(
    ("now", "valid_to", "seconds"),
    [
        # Prague, 25 October 2026: at 03:00 summer time (01:00 UTC) the clocks go back to 02:00.
        ("2026-10-24 18:00:00", "2026-10-25 01:59:59", 6 * 3600 - 1),
        ("2026-10-24 18:00:00", "2026-10-25 02:00:00", 6 * 3600),
        ("2026-10-24 17:30:00", "2026-10-25 02:30:00", 7 * 3600),
        ("2026-10-24 18:30:00", "2026-10-25 02:30:00", 6 * 3600),
        ("2026-10-24 19:00:00", "2026-10-25 03:00:00", 7 * 3600),
        # In that hour, 02:40 that is over was not meant.
        ("2026-10-25 00:10:00", "2026-10-25 02:40:00", 1800),
        ("2026-10-25 01:10:00", "2026-10-25 02:40:00", 1800),
    ],
)
def test_in_the_hour_that_autumn_repeats_the_earlier_reading_counts(
    now: str, valid_to: str, seconds: float
) -> None:
    assert life(valid_to, now) == seconds


@pytest.mark.parametrize(
    ("now", "valid_to", "seconds"),
    [
        # Prague, 29 March 2026: at 02:00 winter time (01:00 UTC) the clocks go on to 03:00.
        ("2026-03-28 18:00:00", "2026-03-29 01:59:59", 7 * 3600 - 1),
        ("2026-03-28 18:00:00", "2026-03-29 03:00:00", 7 * 3600),
        # No clock shows 02:30 that night. A vendor that adds 7 hours to 19:30 writes it all the same.
        ("2026-03-28 18:30:00", "2026-03-29 02:30:00", 6 * 3600),
        ("2026-03-29 00:55:00", "2026-03-29 02:25:00", 1800),
    ],
)
def test_in_the_hour_that_spring_skips_the_earlier_reading_counts(
    now: str, valid_to: str, seconds: float
) -> None:
    assert life(valid_to, now) == seconds


@given(
    now=st.integers(int(instant("2020-01-01")), int(instant("2030-01-01"))),
    zone=st.sampled_from(["Europe/Prague", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
)
def test_a_life_is_never_read_too_long_and_at_most_an_hour_too_short(now: int, zone: str) -> None:
    end = datetime.fromtimestamp(now + 25_200, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M:%S")
    got = life(end, datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M:%S"), zone)
    assert got is not None
    assert 25_200 - 3600 <= got <= 25_200


@pytest.mark.parametrize(
    "valid_to",
    [
        "2023-01-04 03:31:56",
        "2023-01-03 00:00:00",
        "2023-01-06 03:31:57",
        "9999-12-31 23:59:59",
        "0001-01-01 00:00:00",
    ],
)
def test_a_life_that_cannot_be_true_is_a_wrong_zone_and_the_validity_counts(
    valid_to: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert life(valid_to, "2023-01-04 02:31:56") == 25_200
    assert "is that the project's zone" in caplog.text


@pytest.mark.parametrize("valid_to", [None, "", "abc", -5, 0, True, [], "2023-01-04", "2023-02-30 00:00:00"])
def test_without_a_readable_valid_to_the_validity_counts(
    valid_to: object, caplog: pytest.LogCaptureFixture
) -> None:
    assert life(valid_to, "2023-01-04 02:31:56") == 25_200
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "Europe/Prague" in record.getMessage()


def test_without_a_date_header_this_machines_clock_counts() -> None:
    end = datetime.fromtimestamp(NOW + 60, ZoneInfo("Europe/Prague")).strftime("%Y-%m-%d %H:%M:%S")
    body = reply({"data": {**DATA, "valid_to": end}})
    assert drive(carecloud(timezone="Europe/Prague").login(), body).result.expires_in == 60
