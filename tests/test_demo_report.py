"""The demo's figures and verdict, from made-up counts; no process, no server."""

import io
import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from asyncauth.cli._demo_report import Kill, Report, Score
from asyncauth.cli._demo_schemes import TITLES
from asyncauth.cli._demo_traffic import is_at_edge
from asyncauth.cli._demo_view import table
from asyncauth.cli._demo_words import document, figures, progress, summary, verdict
from asyncauth.cli._latency import Latencies

KILL = Kill(worker=3, system="itcare", at=6.2, heir=1, after=0.4)
CALLS = {"oauth2": 3, "itcare": 4, "simplicite": 3, "carecloud": 3}


def score(*, kill: Kill | None = KILL) -> Score:
    """Three stored tokens and a hundred good requests per system."""
    made = Score(kill=kill)
    for tally in made.tallies.values():
        tally.entries.update({"a", "b", "c"})
        for _ in range(100):
            tally.every.add(0.002)
    made.tallies["oauth2"].put = 1
    return made


def report(made: Score, calls: dict[str, int] | None = None) -> Report:
    return made.report(CALLS | (calls or {}), {})


def test_one_call_per_stored_token_and_no_failure_is_ok() -> None:
    good = report(score())
    assert good.ok
    assert verdict(good) == ["OK: one renewal per expiry, and no request failed."]


def test_the_killed_workers_call_is_named_and_does_not_count() -> None:
    good = report(score())
    line = good.lines[1]
    assert (line.token_calls, line.extra, line.entries, line.per_expiry) == (4, 1, 3, 1.0)
    assert "1 extra: worker 3 was killed while ITCare answered it" in " ".join(summary(good))
    assert "It was not killed between sending a one-time refresh token" in " ".join(summary(good))


def test_a_first_authorization_is_one_more_token_that_expires() -> None:
    lines = {line.name: line for line in report(score()).lines}
    assert lines["oauth2"].expiries == 3
    assert lines["carecloud"].expiries == 2


@pytest.mark.parametrize(("calls", "shown"), [(4, "1.33"), (2, "0.67")])
def test_more_or_fewer_calls_than_stored_tokens_are_wrong(calls: int, shown: str) -> None:
    wrong = report(score(), {"carecloud": calls})
    assert not wrong.ok
    assert wrong.problems == (
        f"CareCloud: {calls} token calls for 3 stored tokens ({shown} renewals per expiry)",
    )


def test_a_ratio_that_would_be_rounded_to_one_is_wrong_all_the_same() -> None:
    made = score()
    made.tallies["simplicite"].entries.update(map(str, range(400)))
    wrong = report(made, {"simplicite": 404})
    assert not wrong.ok
    assert "1.0025 renewals per expiry" in "\n".join(figures(wrong))


def test_a_second_call_of_the_killed_worker_is_not_excused() -> None:
    assert not report(score(), {"itcare": 5}).ok


def test_a_failed_request_is_wrong_and_says_what_it_met() -> None:
    made = score()
    made.tallies["oauth2"].failures.update({"RenewalFailedError": 2})
    assert report(made).problems == ("OAuth 2 rotating: 2 of 100 requests failed: 2 x RenewalFailedError",)


def test_a_demo_without_a_kill_or_an_heir_has_not_shown_it() -> None:
    alone = Kill(worker=3, system="itcare", at=6.2)
    assert report(score(kill=None), {"itcare": 3}).problems == (
        "no worker was killed in the middle of a renewal, so that was not shown",
    )
    assert report(score(kill=alone)).problems == ("after worker 3 was killed nobody renewed instead",)


def test_a_system_whose_token_never_expired_has_shown_nothing() -> None:
    made = score()
    made.tallies["carecloud"].entries = {"a"}
    assert report(made, {"carecloud": 1}).problems == ("CareCloud: no token expired, so nothing was shown",)


def test_other_problems_are_part_of_the_verdict() -> None:
    made = score()
    made.problems.append("worker 2 ended by itself, status 1: boom")
    assert verdict(report(made)) == ["NOT OK: worker 2 ended by itself, status 1: boom."]


def test_a_call_that_is_being_answered_does_not_count_yet() -> None:
    running = score().report(CALLS | {"carecloud": 4}, Counter({"carecloud": 1}))
    assert running.ok
    assert running.lines[3].per_expiry == 1.0


def test_notes_are_kept_once_and_not_without_end() -> None:
    made = Score()
    for number in range(100):
        made.note(f"note {number // 2}")
    assert len(made.notes) == 20 == len(set(made.notes))


def test_nothing_counted_yet_can_be_shown() -> None:
    empty = Score().report(dict.fromkeys(TITLES, 0), {})
    assert "- renewals per expiry (expiries so far: 0), 0 requests" in progress(empty, 0.0)
    assert not empty.ok


def test_the_table_fits_into_a_hundred_columns() -> None:
    made = score()
    for tally in made.tallies.values():
        # As many as an hour brings, and all as slow as a caller is patient.
        tally.every.merge([(242, 432_000)])
        tally.edge.merge([(242, 100_000)])
    stream = io.StringIO()
    Console(file=stream, width=100).print(table(report(made)))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    assert "…" not in stream.getvalue()
    assert any("ITCare" in line and "3 + 1" in line and "1.00" in line for line in lines)


def test_the_document_is_json_with_every_figure() -> None:
    text = json.dumps(document(report(score()), store="redis://cache:6379", workers=4, seconds=12))
    read = json.loads(text)
    assert read["ok"] is True
    assert read["problems"] == []
    assert read["killed"]["worker"] == 3
    assert read["killed"]["extra_token_calls"] == 1
    assert read["policy"]["lease"] > read["policy"]["heartbeat"]
    assert read["systems"]["itcare"]["renewals_per_expiry"] == 1.0
    assert read["systems"]["itcare"]["renewals_per_expiry_with_extra"] == 1.3333
    assert read["systems"]["itcare"]["latency_ms"]["median"] == pytest.approx(2.0, rel=0.05)
    assert read["systems"]["itcare"]["latency_ms_at_expiry"] == {"requests": 0, "median": None, "p99": None}


@pytest.mark.parametrize(
    ("started", "seconds", "at_edge"),
    [(9.8, 0.001, False), (9.9, 0.001, True), (10.1, 0.001, True), (10.2, 0.001, False), (8.0, 2.1, True)],
)
def test_a_request_near_a_change_of_token_or_across_it_is_at_the_edge(
    started: float, seconds: float, *, at_edge: bool
) -> None:
    assert is_at_edge(started, seconds, [3.0, 10.0]) is at_edge


@given(st.lists(st.floats(0.0001, 30.0), min_size=1), st.floats(0.01, 1.0))
def test_a_quantile_is_at_most_five_percent_above_the_exact_one(seconds: list[float], share: float) -> None:
    latencies = Latencies()
    for one in seconds:
        latencies.add(one)
    wanted = share * len(seconds)
    exact = next(one for rank, one in enumerate(sorted(seconds), 1) if rank >= wanted)
    found = latencies.quantile(share)
    assert found is not None
    assert exact * 0.999 <= found <= exact * 1.051


def test_latencies_of_two_processes_add_up() -> None:
    one, other = Latencies(), Latencies()
    one.add(0.001)
    other.add(0.1)
    one.merge(json.loads(json.dumps(other.pairs())))
    assert one.total == 2
    assert one.quantile(1.0) == pytest.approx(0.1, rel=0.05)
