"""Refresh tokens for one use, and a vendor that ends who uses one twice: how many authorizations are lost?

`PYTHONPATH=tests python -m benchmarks.families`, in the project's folder: the servers are those of the tests.
Four processes act for the same four users, with two tasks for each user that send ten requests a second.
Tokens live two seconds by the real clock; the vendor takes 50 ms for a refresh, gives a new refresh token
with it, and ends the user's whole authorization when an old one comes again, at once and without a window.
Each round has new users, and contestants take turns of 4.4 seconds, which are two expiries.

Nobody is killed here (`benchmarks.kills`), no host loses its connection, and nothing is renewed early, so
that all processes want the next token at the same moment. Rivals renew 0.2 s before the end. What each may
do is what its own guide says; clients that keep the refresh token in their process' memory cannot take part.

Aim: no authorization is lost.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import Any, Final, final

import attrs

from benchmarks import contestants
from benchmarks.edges import a_key
from benchmarks.edges_turn import LATENCY, LENGTH, LIFE
from benchmarks.places import shared_stores
from benchmarks.processes import ask_all, running
from benchmarks.report import Report
from benchmarks.vendor import Vendor, running_vendor
from fleet_of_processes import WorkerProcess

_PROCESSES: Final = 4
_USERS: Final = 4
_TASKS: Final = 2
_EVERY: Final = 0.1
_MARGIN: Final = 0.2
_TOGETHER: Final = 0.1
_OURS: Final = "asyncauth_session"
_RIVALS: Final = ("redis_recipe", "authlib_stored")
_DATABASES: Final = 16
_NUMBERS: Final = count()


@final
@attrs.frozen
class Case:
    """A contestant at a store.

    Attributes:
        name: As the table has it.
        contestant: Its module.
        url: The store's.
    """

    name: str
    contestant: str
    url: str

    def store_url(self, key: Path) -> str:
        """Return where the next user's token goes."""
        number = next(_NUMBERS)
        if self.contestant == _OURS:
            return f"{self.url}?key_file={key}&namespace=user{number}"
        return f"{self.url.removesuffix('/0')}/{number % _DATABASES}"


@final
@attrs.frozen
class Turn:
    """What became of some users.

    Attributes:
        revoked: How many lost their authorization.
        calls: Contacts with the vendor.
        expiries: How often a process went over to another token of a user, on the average of processes.
        requests: How many were sent.
        failures: Those that failed, by why.
    """

    revoked: int
    calls: int
    expiries: float
    requests: int
    failures: Counter[str]


def _cases(stores: dict[str, str]) -> list[Case]:
    ours = [Case(f"asyncauth, {store}", _OURS, url) for store, url in stores.items()]
    return ours + [
        Case(contestant.NAME, name, url)
        for name, contestant in contestants.found(_RIVALS)
        for url in stores.values()
        if url.startswith("redis:")
    ]


async def _turn(case: Case, vendor: Vendor, workers: Sequence[WorkerProcess], key: Path) -> Turn:
    early = 0 if case.contestant == _OURS else _MARGIN
    users = [(await vendor.grant(), case.store_url(key)) for _ in range(_USERS)]
    before = await vendor.counts()
    # The first process has everybody's first token before the others come.
    for some, begun in ((workers[:1], False), (workers[1:], True)):
        places = [
            vendor.place(store_url=url, refresh_token=token, early=early, begun=begun) for token, url in users
        ]
        runs = [{"contestant": case.contestant, "place": attrs.asdict(place)} for place in places]
        await ask_all(some, "open", runs=runs, at=time.time())
    start = time.time() + _TOGETHER
    each = await ask_all(workers, "traffic", tasks=_TASKS, every=_EVERY, start=start, end=start + LENGTH)
    after = await vendor.counts()
    await ask_all(workers, "close")
    answers: list[dict[str, Any]] = list(chain.from_iterable(each))
    return Turn(
        revoked=after.families_revoked - before.families_revoked,
        calls=sum(moment > start for moment in after.issued_at),
        expiries=sum(len(answer["switches"]) for answer in answers) / _PROCESSES,
        requests=sum(len(answer["latencies"]) for answer in answers),
        failures=sum((Counter(answer["failures"]) for answer in answers), Counter[str]()),
    )


def _results(turns: Sequence[Turn]) -> dict[str, Any]:
    return {
        "users": _USERS * len(turns),
        "families_revoked": sum(turn.revoked for turn in turns),
        "tokens_issued": sum(turn.calls for turn in turns),
        "expiries": round(sum(turn.expiries for turn in turns), 1),
        "requests": sum(turn.requests for turn in turns),
        "failures": dict(sum((turn.failures for turn in turns), Counter[str]())),
    }


def _show(report: Report) -> None:
    rows = [
        [
            name,
            f"{found['families_revoked']} of {found['users']}",
            f"{found['tokens_issued']} for {found['expiries']:g}",
            f"{sum(found['failures'].values()) / found['requests']:.1%} of {found['requests']}",
            ", ".join(found["failures"]) or "-",
        ]
        for name, found in report.results.items()
    ]
    head = ["", "authorizations lost", "tokens issued, for expiries", "requests that failed", "with"]
    report.table(f"{_PROCESSES} processes, users of all rounds", head, rows)


async def _main() -> None:
    report = Report(__file__, __doc__, rounds=5)
    async with (
        shared_stores() as stores,
        running("benchmarks.edges_worker", _PROCESSES, {}) as workers,
        running_vendor(lifetime=LIFE, latency=LATENCY) as vendor,
    ):
        cases = _cases(stores)
        turns: dict[str, list[Turn]] = {case.name: [] for case in cases}
        with a_key() as key:
            for _ in range(report.rounds):
                for case in cases:
                    turns[case.name].append(await _turn(case, vendor, workers, key))
    report.results |= {name: _results(each) for name, each in turns.items()}
    _show(report)
    for case in cases:
        if case.contestant == _OURS:
            lost = report.results[case.name]["families_revoked"]
            report.aim(f"{case.name}: authorizations lost", lost, 0)
    report.write(processes=_PROCESSES, users=_USERS, token_lifetime=LIFE, vendor_latency=LATENCY)


if __name__ == "__main__":
    asyncio.run(_main())
