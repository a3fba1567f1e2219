"""When to renew early, how long to wait, how to stand back."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncauth._errors import ConfigurationError
from asyncauth._policy import RefreshPolicy, fraction

POLICY = RefreshPolicy()
LIVES = (2.0, 60.0, 3600.0, 86_400.0)
DURATIONS = [
    "request_timeout",
    "quiet",
    "lease",
    "heartbeat",
    "grace",
    "quarantine",
    "wait",
    "store_timeout",
    "audit",
    "margin",
    "margin_share",
    "early_share",
    "early_min",
    "early_max",
    "early_pause",
    "backoff_first",
    "backoff_max",
    "retry_after_max",
    "unreachable_share",
    "loop_guard",
    "probe_first",
    "probe_max",
    "keep",
]
lives = st.floats(min_value=0.001, max_value=1e9)
counts = st.integers(min_value=1, max_value=10**6)


def test_the_defaults_satisfy_every_relation() -> None:
    assert RefreshPolicy() == POLICY


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heartbeat": 2.5}, "lease is 6 s; it must be >= 3 x heartbeat = 7.5 s"),
        ({"store_timeout": 4}, "lease is 6 s; it must be > heartbeat + store_timeout = 6 s"),
        ({"grace": 19}, "grace is 19 s; it must be >= request_timeout + quiet = 20 s"),
        ({"quarantine": 25}, "quarantine is 25 s; it must be >= lease + request_timeout + quiet = 26 s"),
        ({"wait": 36}, "wait is 36 s; it must be > lease + grace + request_timeout = 36 s"),
        ({"probe_first": 9}, "probe_first is 9 s; it must be >= quiet = 10 s"),
        ({"probe_max": 59}, "probe_max is 59 s; it must be >= probe_first = 60 s"),
        ({"backoff_max": 0.5}, "backoff_max is 0.5 s; it must be >= backoff_first = 1 s"),
        ({"early_max": 29}, "early_max is 29 s; it must be >= early_min = 30 s"),
    ],
)
def test_a_broken_relation_is_refused_with_its_numbers(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(message)):
        RefreshPolicy(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"heartbeat": 2, "lease": 6},
        {"grace": 20},
        {"quarantine": 26},
        {"wait": 36.5},
        {"probe_first": 10},
        {"probe_max": 60},
        {"backoff_max": 1},
        {"early_max": 30},
    ],
)
def test_a_relation_that_just_holds_is_accepted(changes: dict[str, Any]) -> None:
    policy = RefreshPolicy(**changes)
    assert [getattr(policy, name) for name in changes] == list(changes.values())


@pytest.mark.parametrize("name", DURATIONS)
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), None, "abc", True])
def test_a_duration_is_a_number_above_nothing(name: str, value: object) -> None:
    changes: dict[str, Any] = {name: value}
    with pytest.raises(ConfigurationError, match=f"{name} must be a "):
        RefreshPolicy(**changes)


def test_retries_may_be_none_but_not_fewer() -> None:
    assert RefreshPolicy(retries=0).retries == 0
    wrong: list[Any] = [-1, 1.5, None, True]
    for retries in wrong:
        with pytest.raises(ConfigurationError, match="retries must be a whole number"):
            RefreshPolicy(retries=retries)


@pytest.mark.parametrize("name", ["margin_share", "early_share"])
def test_a_share_is_at_most_a_half(name: str) -> None:
    changes: dict[str, Any] = {name: 0.51}
    with pytest.raises(ConfigurationError, match=f"{name} must be a share above 0, at most 0.5"):
        RefreshPolicy(**changes)


def test_what_guards_a_one_time_token_is_not_dropped_before_it_has_done_so() -> None:
    with pytest.raises(ConfigurationError, match="keep is 1 s; it must be >= quarantine"):
        RefreshPolicy(keep=1)


@pytest.mark.parametrize(("life", "margin"), [(2, 0.1), (60, 3), (200, 10), (3600, 10), (None, 0)])
def test_the_margin_is_a_share_of_short_lives_and_at_most_ten_seconds(
    life: float | None, margin: float
) -> None:
    assert POLICY.margin_for(life) == pytest.approx(margin)


@given(lives)
def test_the_margin_leaves_most_of_a_life(life: float) -> None:
    assert 0 < POLICY.margin_for(life) <= 0.05 * life


@pytest.mark.parametrize(("life", "longest"), [(2, 1), (60, 30), (100, 30), (3600, 720), (86_400, 900)])
def test_early_renewal_starts_within_its_bounds(life: float, longest: float) -> None:
    starts = [POLICY.early_for(life, f"entry {n}", f"worker {n % 20}") for n in range(1000)]
    assert 0.7 * longest / 2 <= min(starts) < 0.4 * longest
    assert 0.95 * longest < max(starts) <= longest


@given(lives, st.text(), st.text())
def test_early_renewal_leaves_half_of_a_life(life: float, entry_id: str, worker_id: str) -> None:
    assert 0 < POLICY.early_for(life, entry_id, worker_id) <= min(life / 2, POLICY.early_max)


@given(lives, st.text(), st.text())
def test_early_renewal_starts_before_the_token_is_unusable(
    life: float, entry_id: str, worker_id: str
) -> None:
    assert POLICY.early_for(life, entry_id, worker_id) > POLICY.margin_for(life)


@pytest.mark.parametrize("life", LIVES)
def test_workers_come_one_after_the_other_soon_after_the_same_start(life: float) -> None:
    def starts(entry_id: str) -> list[float]:
        return [POLICY.early_for(life, entry_id, f"worker {n}") for n in range(1000)]

    assert 0.7 * max(starts("entry")) <= min(starts("entry")) < 0.72 * max(starts("entry"))
    assert max(starts("entry")) != pytest.approx(max(starts("another entry")), rel=0.01)
    assert starts("entry") == starts("entry")


@pytest.mark.parametrize(("count", "pause"), [(1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (1000, 60)])
def test_the_back_off_doubles_up_to_a_minute(count: int, pause: float) -> None:
    pauses = [POLICY.backoff_for(count, f"draw {n}") for n in range(100)]
    assert 0.75 * pause <= min(pauses) < max(pauses) <= pause


@given(counts, st.text())
def test_the_back_off_stays_within_its_bounds(count: int, draw: str) -> None:
    assert 0.75 * POLICY.backoff_first <= POLICY.backoff_for(count, draw) <= POLICY.backoff_max


@pytest.mark.parametrize(("count", "pause"), [(1, 60), (2, 240), (3, 960), (6, 61_440), (7, 86_400)])
def test_the_probe_grows_fourfold_up_to_a_day(count: int, pause: float) -> None:
    assert POLICY.probe_for(count) == pause


@given(counts)
def test_the_probe_never_gets_more_frequent(count: int) -> None:
    assert POLICY.quiet <= POLICY.probe_for(count) <= POLICY.probe_for(count + 1) <= POLICY.probe_max


@given(st.text())
def test_a_fraction_is_from_zero_to_one_and_depends_on_the_seed_only(seed: str) -> None:
    assert 0 <= fraction(seed) < 1
    assert fraction(seed) == fraction(seed)
