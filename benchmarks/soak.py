"""What becomes of a fleet that is killed, stopped and cut off for as long as one likes?

`PYTHONPATH=tests python -m benchmarks.soak`, in the project's folder; a round is a second. Real processes,
a real store, a vendor on loopback whose tokens live for seconds and whose refresh tokens are for one use,
with a reuse window (without one, a worker that is killed between the vendor's answer and the store may take
the only living token with it). Every moment something goes wrong: a worker is killed and another started, a
worker stands still, the Redis server is restarted empty, the vendor answers 503 or is slow. One worker is
left alone, and so is its memory, one hopes. A request counts as failed if its caller got an error.
"""

import asyncio
import random
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any, Final, final

import attrs

from asyncauth import RefreshPolicy, TokenAdopted, TokenEvent, TokenManager, TokenRenewed, open_store
from asyncauth.schemes import RefreshToken
from asyncauth.testing.emulators import Answer, Latency, OAuth2Emulator
from asyncauth_stores.sealed import KeyRing
from benchmarks.report import Report
from fleet_of_processes import ProcessFleet, WorkerProcess, a_fleet_of_processes
from redis_servers import RedisServer, binaries

_WORKERS: Final = 4
_USERS: Final = ("ada", "bob", "eve")
_LIFE: Final = 6.0
_SEED: Final = 1
_WINDOW: Final = 30.0
"""Seconds of the reuse window: two restarts in a row, each with its quarantine, keep a renewal waiting."""
_POLICY: Final = RefreshPolicy(
    request_timeout=1.5,
    quiet=1,
    lease=1.8,
    heartbeat=0.5,
    grace=2.5,
    quarantine=4.5,
    wait=15,
    store_timeout=0.5,
    audit=5,
    backoff_max=2,
    probe_first=2,
)
_PAUSE: Final = 0.1
"""Seconds between a worker's requests."""


@final
@attrs.define
class Tally:
    """What happened.

    Attributes:
        requests: How many requests were sent.
        failures: How many failed, by the error's name.
        faults: How often what went wrong.
        stored: How many tokens the store got after the first ones: the expiries.
    """

    requests: int = 0
    failures: Counter[str] = attrs.field(factory=Counter)
    faults: Counter[str] = attrs.field(factory=Counter)
    stored: int = 0

    def hear(self, event: TokenEvent) -> None:
        """Count what the observer takes over, or renews itself."""
        self.stored += isinstance(event, TokenAdopted | TokenRenewed)


@final
@attrs.frozen(eq=False)
class Soak:
    """One fleet under trouble."""

    fleet: ProcessFleet
    vendor: OAuth2Emulator
    server: RedisServer | None
    tally: Tally
    draw: random.Random
    serving: set["asyncio.Task[None]"] = attrs.field(factory=set)

    async def serve(self, worker: WorkerProcess) -> None:
        """Have a worker send requests until it is killed."""
        with suppress(AssertionError, ConnectionError):
            while worker.process.returncode is None:
                answer = await worker.ask("request", times=1, at=0)
                self.tally.requests += answer["requests"]
                self.tally.failures.update(_names(answer["failures"]))
                await asyncio.sleep(_PAUSE)

    async def employ(self, count: int) -> list[WorkerProcess]:
        """Start workers, and have them serve."""
        workers = await self.fleet.start(count, subjects=_USERS)
        for worker in workers:
            task = asyncio.create_task(self.serve(worker))
            self.serving.add(task)
            task.add_done_callback(self.serving.discard)
        return workers

    async def trouble(self, until: float) -> None:
        """Let one thing after the other go wrong."""
        faults: list[Callable[[], Awaitable[None]]] = [self.kill, self.kill, self.stop, self.fail, self.slow]
        faults += [self.restart] if self.server is not None else []
        loop = asyncio.get_running_loop()
        while loop.time() < until:
            fault = self.draw.choice(faults)
            self.tally.faults[fault.__name__] += 1
            await fault()
            await asyncio.sleep(self.draw.uniform(0.2, 2.0))

    def victim(self) -> WorkerProcess:
        """Return any living worker but the first, which is left alone."""
        return self.draw.choice([w for w in self.fleet.workers[1:] if w.process.returncode is None])

    async def kill(self) -> None:
        """Kill a worker, and start another."""
        await self.victim().kill()
        await self.employ(1)

    async def stop(self) -> None:
        """Let a worker stand still."""
        worker = self.victim()
        worker.process.send_signal(SIGSTOP)
        # Longer than `grace` is not promised.
        await asyncio.sleep(self.draw.uniform(0.2, 2.0))
        worker.process.send_signal(SIGCONT)

    async def restart(self) -> None:
        """Restart the server, which forgets everything."""
        assert self.server is not None
        self.server.kill()
        await asyncio.sleep(self.draw.uniform(0.0, 1.0))
        await asyncio.to_thread(self.server.start)

    async def fail(self) -> None:
        """Have the vendor fail: half of the time, after it acted."""
        self.vendor.faults.add(Answer(503, when=self.draw.choice(("before", "after"))), on="token")

    async def slow(self) -> None:
        """Have the vendor take its time, sometimes more than it is given."""
        self.vendor.faults.add(Latency(self.draw.uniform(0.2, 2.0)), on="token")


def _names(failures: dict[str, int]) -> dict[str, int]:
    names = Counter[str]()
    for text, count in failures.items():
        names[text.partition(":")[0]] += count
    return names


def _size(worker: WorkerProcess) -> dict[str, float]:
    """Return what a process has: megabytes of memory, and open files."""
    place = Path(f"/proc/{worker.process.pid}")
    pages = int((place / "statm").read_text().split()[1])
    return {"memory_mb": round(pages * 4096 / 1e6, 1), "open_files": len(list((place / "fd").iterdir()))}


async def _authorize(vendor: OAuth2Emulator, manager: TokenManager) -> list[RefreshToken]:
    users = [_user(vendor, subject) for subject in _USERS]
    for user in users:
        await manager.put(user, vendor.authorize(user.subject or ""))
    return users


def _user(vendor: OAuth2Emulator, subject: str) -> RefreshToken:
    return RefreshToken(vendor.token_url, client_id="app", client_secret="app-secret", subject=subject)


async def _measure(url: str, server: RedisServer | None, seconds: float) -> dict[str, Any]:
    key, tally, loop = KeyRing.generate().dump(), Tally(), asyncio.get_running_loop()
    async with (
        OAuth2Emulator(access_lifetime=_LIFE, reuse_window=_WINDOW, record=False) as vendor,
        a_fleet_of_processes(vendor, url, key, _POLICY) as fleet,
        open_store(url, key=key) as store,
    ):
        manager = TokenManager(store, policy=_POLICY, listener=tally.hear)
        users = await _authorize(vendor, manager)
        draw = random.Random(_SEED)  # noqa: S311 - to be repeatable
        soak = Soak(fleet, vendor, server, tally, draw)
        [survivor, *_] = await soak.employ(_WORKERS)
        for user in users:
            await manager.token(user)
        await asyncio.sleep(2)
        before, started = _size(survivor), loop.time()
        await soak.trouble(started + seconds)
        troubled = loop.time() - started
        vendor.faults.clear()
        failed = tally.failures.total()
        await asyncio.sleep(2 * _LIFE)  # all is well again: nothing fails any more
        after = _size(survivor)
        for task in soak.serving:
            _ = task.cancel()
        return {
            "seconds": round(troubled),
            "faults": dict(tally.faults),
            "requests": tally.requests,
            "failed_requests": dict(tally.failures),
            "failed_after_the_trouble": tally.failures.total() - failed,
            "expiries": tally.stored,
            "contacts_with_the_vendor": vendor.stats.token_calls,
            "contacts_per_expiry": round(vendor.stats.token_calls / max(tally.stored, 1), 2),
            "families_revoked": vendor.stats.families_revoked,
            "survivor_before": before,
            "survivor_after": after,
        }


def _show(report: Report) -> None:
    names = list(next(iter(report.results.values())))
    rows = [[name, *(str(one[name]) for one in report.results.values())] for name in names]
    report.table("what happened", ["", *report.results], rows)


async def _main() -> None:
    report = Report(__file__, __doc__, rounds=60)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        report.results["file"] = await _measure(f"file://{folder}/tokens", None, report.rounds)
        for kind, binary in list(binaries().items())[:1]:
            server = stack.enter_context(RedisServer(binary))
            report.results[kind] = await _measure(server.url, server, report.rounds)
    _show(report)
    report.write(workers=_WORKERS, users=len(_USERS), token_lives_s=_LIFE, seed=_SEED)


if __name__ == "__main__":
    asyncio.run(_main())
