"""What tests of asyncauth's users need: a manual clock, the store conformance suite, faults, emulators.

How to find out what your own service does when something breaks, from the vendor to the store:

| what breaks | with |
|---|---|
| time: an hour goes by | `ManualClock`, `emulators.MovableClock` |
| the vendor: errors, lost answers, rotating and reused refresh tokens | `asyncauth.testing.emulators` |
| the store: refusals, lost answers, a fail-over that drops writes | `FaultyTokenStore` |
| the network to Redis: delays, cuts, a server that hangs | `FaultProxy` |
| your process: killed or stalled in the middle of a renewal | `KillPoint` |
| a store of your own | `check_token_store` |

**The vendor.** `OAuth2Emulator` is a real server on loopback. Its refresh tokens are for one use, and one
that is used again ends the authorization, as at many providers; `rotate`, `reuse_window`,
`reuse_replaces` and `reuse_revokes` make it another kind of provider. Here the answer to a refresh is lost.
Within its reuse window the provider answers the second try; without one, somebody has to authorize again:

>>> import asyncio
>>> from asyncauth import AuthorizationRequiredError, RefreshPolicy, TokenManager
>>> from asyncauth.schemes import RefreshToken
>>> from asyncauth.testing import FaultProxy, FaultyTokenStore, KillPoint, Moment, StoreRefusal
>>> from asyncauth.testing.emulators import Cut, OAuth2Emulator
>>> from asyncauth_stores.memory import MemoryTokenStore
>>> def person_of(vendor):
...     return RefreshToken(
...         vendor.token_url, client_id="app", client_secret="app-secret", subject="ada"
...     )
>>> async def lose_an_answer(reuse_window):
...     async with OAuth2Emulator(reuse_window=reuse_window) as vendor, MemoryTokenStore() as store:
...         manager = TokenManager(store, policy=RefreshPolicy(quiet=0.05))
...         vendor.access_lifetime = 0.1
...         await manager.put(person_of(vendor), vendor.authorize("ada"))
...         await asyncio.sleep(0.1)
...         vendor.access_lifetime = 3600
...         vendor.faults.add(Cut(when="after"), on="token")
...         try:
...             await manager.token(person_of(vendor))
...         except AuthorizationRequiredError:
...             return "authorize again"
...         return vendor.stats.token_calls, vendor.stats.families_revoked
>>> asyncio.run(lose_an_answer(reuse_window=60))
(2, 0)
>>> asyncio.run(lose_an_answer(reuse_window=0))
'authorize again'

**The store.** `FaultyTokenStore` wraps the store that your service opens; faults are values, as the
emulators' are. A token at hand goes on serving while its store is away:

>>> async def serve_through_an_outage():
...     async with OAuth2Emulator() as vendor, FaultyTokenStore(MemoryTokenStore()) as store:
...         manager, person = TokenManager(store), person_of(vendor)
...         await manager.put(person, vendor.authorize("ada"))
...         store.faults.add(StoreRefusal(), times=None)
...         return (await manager.token(person)).token_type
>>> asyncio.run(serve_through_an_outage())
'Bearer'

**The network.** A `FaultProxy` stands in front of Redis, or of any other server; give your service
`redis://{proxy.address}/0`. `cut_answer` and `drop_answer` hit the moment that is worst: the command has
taken effect, and nobody hears of it.

**Your process.** A `KillPoint` ends or stops it at a moment of a renewal, or has whatever you like happen
there. In the program under test, made from the environment variable `ASYNCAUTH_KILL_POINT`, it does
nothing as long as that is not set; your test starts the program with `kill before commit`, or with `stop
request sent` and a later SIGCONT, and looks at what the other workers do:

>>> async def disturbed(point):
...     async with OAuth2Emulator(access_lifetime=60) as vendor, point.client() as client:
...         async with point.store(MemoryTokenStore()) as store:
...             manager, person = TokenManager(store, client=client), person_of(vendor)
...             await manager.put(person, person.token(refresh_token=vendor.authorize("ada").refresh_token))
...             return (await manager.token(person)).expires_in
>>> for moment in (Moment.LEASE_GRANTED, Moment.COMMITTED):
...     asyncio.run(disturbed(KillPoint(moment, lambda: print("your test does something here"))))
your test does something here
60.0
your test does something here
60.0

What the fleet promises for each of these faults is section 9 of the protocol, and asyncauth's own tests
(`tests/test_kills.py`, `tests/test_chaos_services.py`) are written with the same tools.
"""

from asyncauth.testing._clock import ManualClock as ManualClock
from asyncauth.testing._clock import settle as settle
from asyncauth.testing._conformance import STORE_CHECKS as STORE_CHECKS
from asyncauth.testing._conformance import check_token_store as check_token_store
from asyncauth.testing._faulty_store import FaultyTokenStore as FaultyTokenStore
from asyncauth.testing._kill_points import KillPoint as KillPoint
from asyncauth.testing._kill_points import Moment as Moment
from asyncauth.testing._kill_points import kill_process as kill_process
from asyncauth.testing._kill_points import stop_process as stop_process
from asyncauth.testing._promise import StoreCheck as StoreCheck
from asyncauth.testing._promise import StoreFactory as StoreFactory
from asyncauth.testing._proxy import FaultProxy as FaultProxy
from asyncauth.testing._proxy import ProxyStatistics as ProxyStatistics
from asyncauth.testing._store_faults import StoreAnswerLost as StoreAnswerLost
from asyncauth.testing._store_faults import StoreCall as StoreCall
from asyncauth.testing._store_faults import StoreChangeMissed as StoreChangeMissed
from asyncauth.testing._store_faults import StoreDelay as StoreDelay
from asyncauth.testing._store_faults import StoreFault as StoreFault
from asyncauth.testing._store_faults import StoreFaults as StoreFaults
from asyncauth.testing._store_faults import StoreFreeze as StoreFreeze
from asyncauth.testing._store_faults import StoreOperation as StoreOperation
from asyncauth.testing._store_faults import StoreRefusal as StoreRefusal
from asyncauth.testing._store_faults import StoreReplicaMissing as StoreReplicaMissing

__all__ = [
    "STORE_CHECKS",
    "FaultProxy",
    "FaultyTokenStore",
    "KillPoint",
    "ManualClock",
    "Moment",
    "ProxyStatistics",
    "StoreAnswerLost",
    "StoreCall",
    "StoreChangeMissed",
    "StoreCheck",
    "StoreDelay",
    "StoreFactory",
    "StoreFault",
    "StoreFaults",
    "StoreFreeze",
    "StoreOperation",
    "StoreRefusal",
    "StoreReplicaMissing",
    "check_token_store",
    "kill_process",
    "settle",
    "stop_process",
]
