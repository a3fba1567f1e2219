"""The demo's figures and verdict, from made-up counts; no process, no server."""

import io
import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from asyncauth.cli._demo_report import Device, Kill, Line, Report, Score
from asyncauth.cli._demo_schemes import SYSTEMS
from asyncauth.cli._demo_traffic import is_at_edge
from asyncauth.cli._demo_view import table
from asyncauth.cli._demo_words import document, figures, progress, summary, verdict
from asyncauth.cli._latency import Latencies

DEVICE = Device(tokens=1, logins=1)
KILL = Kill(worker=3, system="itcare", at=6.2, heir=1, after=0.4)
CALLS = dict.fromkeys(SYSTEMS, 3) | {"itcare": 4, "cronofy_application": 0, "carecloud_customer": 1}


def score(*, kill: Kill | None = KILL) -> Score:
    """Three stored tokens per system where tokens end, and a hundred good requests."""
    made = Score(kill=kill)
    for name, tally in made.tallies.items():
        if SYSTEMS[name].tokens != "stay":
            tally.entries.update({"a", "b", "c"})
        for _ in range(100):
            tally.every.add(0.002)
    made.tallies["clicrdv"].ended = 2
    made.take("carecloud_customer", "a", "login")
    made.take("carecloud_customer", "b", "refresh")
    return made


def report(made: Score, calls: dict[str, int] | None = None, device: Device = DEVICE) -> Report:
    return made.report(CALLS | (calls or {}), {}, device)


def line_of(made: Report, name: str) -> Line:
    return next(line for line in made.lines if line.name == name)


def words(made: Report) -> str:
    return " ".join(summary(made))


def test_one_call_per_stored_token_and_no_failure_is_ok() -> None:
    good = report(score())
    assert good.ok
    assert verdict(good) == ["OK: one renewal per expiry, and no request failed."]


def test_the_killed_workers_call_is_named_and_does_not_count() -> None:
    good = report(score())
    line = line_of(good, "itcare")
    assert (line.token_calls, line.extra, line.entries, line.per_expiry) == (4, 1, 3, 1.0)
    assert "1 extra: worker 3 was killed while ITCare answered it" in words(good)
    assert "It was not killed between sending a one-time refresh token" in words(good)


@pytest.mark.parametrize("name", ["oauth2", "cronofy_user"])
def test_a_first_authorization_is_one_more_token_that_expires(name: str) -> None:
    made = report(score())
    assert line_of(made, name).expiries == 3
    assert line_of(made, "carecloud_enterprise").expiries == 2


@pytest.mark.parametrize(("calls", "shown"), [(4, "1.33"), (2, "0.67")])
def test_more_or_fewer_calls_than_stored_tokens_are_wrong(calls: int, shown: str) -> None:
    wrong = report(score(), {"carecloud_enterprise": calls})
    assert not wrong.ok
    assert wrong.problems == (
        f"CareCloud Enterprise: {calls} token calls and 3 stored tokens where 3 were due",
    )
    assert f"CareCloud Enterprise: 100 requests, 0 failed, 2 expiries, {calls} token calls, {shown} ren" in (
        "\n".join(figures(wrong))
    )


def test_each_session_that_the_vendor_ended_is_an_expiry_and_costs_one_login() -> None:
    good = report(score())
    line = line_of(good, "clicrdv")
    assert (line.expiries, line.settled, line.per_expiry) == (2, 3, 1.0)
    assert "ClicRDV ended its session 2 times without a 401" in words(good)
    assert "the fleet logged in again 2 times" in words(good)


def test_a_login_for_a_session_that_was_not_ended_is_wrong() -> None:
    made = score()
    made.tallies["clicrdv"].ended = 1
    wrong = report(made)
    assert wrong.problems == ("ClicRDV: 3 token calls and 3 stored tokens where 2 were due",)
    assert line_of(wrong, "clicrdv").per_expiry == 1.5
    made.tallies["clicrdv"].ended = 0
    assert report(made).problems == ("ClicRDV: no token expired, so nothing was shown",)


def test_tokens_without_an_end_have_no_expiry_and_no_ratio() -> None:
    good = report(score())
    customer, application = line_of(good, "carecloud_customer"), line_of(good, "cronofy_application")
    assert (customer.expiries, customer.settled, customer.entries, customer.per_expiry) == (0, 1, 1, None)
    assert (application.expiries, application.settled, application.per_expiry) == (0, 0, None)
    assert "CareCloud Customer: 100 requests, 0 failed, 0 expiries, 1 token call, median" in (
        "\n".join(figures(good))
    )
    assert "made 1 device token, which has no end, with 1 customer login on it" in words(good)
    assert "the client secret is the token, so 0 token calls" in words(good)


@pytest.mark.parametrize(
    ("name", "calls", "due"), [("carecloud_customer", 2, 1), ("cronofy_application", 1, 0)]
)
def test_token_calls_where_tokens_have_no_end_are_wrong(name: str, calls: int, due: int) -> None:
    [problem] = report(score(), {name: calls}).problems
    assert problem.endswith(f": {calls} token calls and {due} stored tokens where {due} were due")


@pytest.mark.parametrize("device", [Device(2, 1), Device(1, 2), Device(1, 0)])
def test_one_device_token_and_one_customer_login_are_due(device: Device) -> None:
    [problem] = report(score(), device=device).problems
    assert problem == (
        f"CareCloud Customer: {device.tokens} device tokens and {device.logins} customer logins,"
        " where one of each was due"
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
    made.tallies["itcare"].entries = {"a"}
    assert report(made, {"itcare": 2}).problems == ("ITCare: no token expired, so nothing was shown",)


def test_other_problems_are_part_of_the_verdict() -> None:
    made = score()
    made.problems.append("worker 2 ended by itself, status 1: boom")
    assert verdict(report(made)) == ["NOT OK: worker 2 ended by itself, status 1: boom."]


def test_a_call_that_is_being_answered_does_not_count_yet() -> None:
    calls, under_way = CALLS | {"simplicite": 4}, Counter({"simplicite": 1})
    running = score().report(calls, under_way, DEVICE)
    assert running.ok
    assert line_of(running, "simplicite").per_expiry == 1.0


def test_notes_are_kept_once_and_not_without_end() -> None:
    made = Score()
    for number in range(100):
        made.note(f"note {number // 2}")
    assert len(made.notes) == 20 == len(set(made.notes))


def test_nothing_counted_yet_can_be_shown() -> None:
    empty = Score().report(dict.fromkeys(SYSTEMS, 0), {}, Device())
    assert "- renewals per expiry (expiries so far: 0), 0 requests" in progress(empty, 0.0)
    assert not empty.ok


def test_the_table_fits_into_a_hundred_columns() -> None:
    made = score()
    for tally in made.tallies.values():
        # As many as an hour brings, and all as slow as a caller is patient.
        tally.every.merge([(242, 216_000)])
        tally.edge.merge([(242, 50_000)])
    stream = io.StringIO()
    Console(file=stream, width=100).print(table(report(made)))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    assert "…" not in stream.getvalue()
    assert any("ITCare" in line and "3 + 1" in line and "1.00" in line for line in lines)
    for about in SYSTEMS.values():
        [line] = [line for line in lines if about.title in line]
        assert ("1.00" in line) is (about.tokens != "stay")
        assert (" - " in line) is (about.tokens == "stay")


def test_the_document_is_json_with_every_figure() -> None:
    text = json.dumps(document(report(score()), store="redis://cache:6379", workers=4, seconds=12))
    read = json.loads(text)
    assert read["ok"] is True
    assert read["problems"] == []
    assert read["killed"]["worker"] == 3
    assert read["killed"]["extra_token_calls"] == 1
    assert read["policy"]["lease"] > read["policy"]["heartbeat"]
    assert list(read["systems"]) == list(SYSTEMS)
    assert read["systems"]["carecloud_customer"]["renewals_per_expiry"] is None
    assert read["systems"]["carecloud_customer"]["token_calls"] == 1
    assert (read["device_tokens"], read["customer_logins"]) == (1, 1)
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
