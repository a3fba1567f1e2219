"""The demo's report in words, and for machines."""

from collections.abc import Iterator
from typing import Any

from asyncauth.cli._demo_policy import LIFE, changed_durations
from asyncauth.cli._demo_report import Kill, Line, Report
from asyncauth.cli._demo_schemes import CUSTOMERS, SESSIONS, SYSTEMS, TITLES
from asyncauth.cli._latency import Latencies


def milliseconds(latencies: Latencies, share: float) -> str:
    """Return a quantile in milliseconds, as people read it."""
    seconds = latencies.quantile(share)
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.1f}" if seconds < 0.1 else f"{seconds * 1000:.0f}"  # noqa: PLR2004


def ratio(line: Line) -> str:
    """Return the renewals per expiry with two digits, and never a rounded 1.00."""
    if line.per_expiry is None:
        return "-"
    text = f"{line.per_expiry:.2f}"
    return f"{line.per_expiry:.4f}" if text == "1.00" and line.settled != line.due else text


def progress(report: Report, elapsed: float) -> str:
    """Return one line on how it goes."""
    total = report.total()
    renewed = f"{ratio(total)} renewals per expiry (expiries so far: {total.expiries})"
    requests = f"{total.every.total} requests, {total.failed} failed"
    return f"{elapsed:4.0f} s  {renewed}, {requests}, {_both(total.every)}"


def figures(report: Report) -> Iterator[str]:
    """Yield the figures of each system in one line."""
    for line in report.lines:
        extra = f" and {line.extra} extra" if line.extra else ""
        stays = SYSTEMS[line.name].tokens == "stay"
        renewals = "" if stays else f" {ratio(line)} renewals per expiry,"
        edge = "" if stays else f"; near an expiry {_both(line.edge)}"
        yield (
            f"{TITLES[line.name]}: {line.every.total} requests, {line.failed} failed,"
            f" {_count(line.expiries, 'expiry', 'expiries')}, {_count(line.settled, 'token call')}{extra},"
            f"{renewals} {_both(line.every)}{edge}"
        )


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _both(latencies: Latencies) -> str:
    return f"median {milliseconds(latencies, 0.5)} ms, p99 {milliseconds(latencies, 0.99)} ms"


def killing(kill: Kill) -> str:
    """Return what happened to the killed worker."""
    title = TITLES[kill.system]
    text = f"Worker {kill.worker} was killed (SIGKILL) at {kill.at:.1f} s, while {title} answered its login."
    if kill.heir is None:
        return text
    return f"{text} Worker {kill.heir} renewed instead, {kill.after:.1f} s later."


def summary(report: Report) -> Iterator[str]:
    """Yield what the demo showed, one paragraph at a time."""
    total = report.total()
    yield (
        f"{ratio(total)} renewals per expiry: {total.settled} token calls for {total.entries} stored tokens"
        f" and {total.expiries} expiries{_extra(report)}."
    )
    yield (
        f"{total.failed} of {total.every.total:,} requests failed. Half were answered within"
        f" {milliseconds(total.every, 0.5)} ms and 99 % within {milliseconds(total.every, 0.99)} ms; near an"
        f" expiry within {milliseconds(total.edge, 0.5)} and {milliseconds(total.edge, 0.99)} ms."
    )
    yield from _without_expiry(report)
    if report.kill is not None:
        yield killing(report.kill)
        yield (
            "It was not killed between sending a one-time refresh token and storing the answer: a token"
            " that only a dead process has received cannot be saved by anybody."
        )


def _without_expiry(report: Report) -> Iterator[str]:
    """Say what is behind the figures of those whose tokens do not end by themselves."""
    lines = {line.name: line for line in report.lines}
    sessions, application = lines[SESSIONS], lines["cronofy_application"]
    logins = _count(max(sessions.settled - 1, 0), "time")
    yield (
        f"{TITLES[SESSIONS]} ended its session {_count(sessions.expiries, 'time')} without a 401: a probe"
        f" told what its 403 meant, and the fleet logged in again {logins}."
    )
    device = report.device
    yield (
        f"{TITLES[CUSTOMERS]}: all workers started cold and made {_count(device.tokens, 'device token')},"
        f" which has no end, with {_count(device.logins, 'customer login')} on it."
        f" {TITLES[application.name]}: the client secret is the token, so"
        f" {_count(application.token_calls, 'token call')}."
    )


def _extra(report: Report) -> str:
    kill = report.kill
    if kill is None:
        return ""
    title = TITLES[kill.system]
    return f", and 1 extra: worker {kill.worker} was killed while {title} answered it"


def verdict(report: Report) -> list[str]:
    """Return the last word: one line if all is well, else one for each thing that is not."""
    if report.ok:
        return ["OK: one renewal per expiry, and no request failed."]
    return [f"NOT OK: {problem}." for problem in report.problems]


def document(report: Report, *, store: str, workers: int, seconds: float) -> dict[str, Any]:
    """Return the report for machines; times are in seconds where the name does not say otherwise."""
    kill = report.kill
    killed = None
    if kill is not None:
        killed = {
            "worker": kill.worker,
            "system": kill.system,
            "at": round(kill.at, 2),
            "extra_token_calls": 1,
            "renewed_by": kill.heir,
            "renewed_after": round(kill.after, 2),
        }
    return {
        "ok": report.ok,
        "problems": list(report.problems),
        "store": store,
        "workers": workers,
        "seconds": seconds,
        "token_life": LIFE,
        "policy": changed_durations(),
        "systems": {line.name: _figures(line) for line in report.lines},
        "device_tokens": report.device.tokens,
        "customer_logins": report.device.logins,
        "killed": killed,
        "notes": list(report.notes),
    }


def _figures(line: Line) -> dict[str, Any]:
    per_expiry = line.token_calls / line.due if line.expiries else None
    return {
        "requests": line.every.total,
        "failed": line.failed,
        "failures": dict(line.failures),
        "expiries": line.expiries,
        "token_calls": line.token_calls,
        "extra_token_calls": line.extra,
        "entries": line.entries,
        "renewals_per_expiry": _rounded(line.per_expiry, 4),
        "renewals_per_expiry_with_extra": _rounded(per_expiry, 4),
        "latency_ms": _latency(line.every),
        "latency_ms_at_expiry": {"requests": line.edge.total, **_latency(line.edge)},
    }


def _latency(latencies: Latencies) -> dict[str, float | None]:
    shares = {"median": 0.5, "p99": 0.99}
    return {name: _in_ms(latencies.quantile(share)) for name, share in shares.items()}


def _in_ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
