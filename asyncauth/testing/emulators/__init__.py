"""Emulators of the vendors: real aiohttp servers on loopback that speak their documented protocols.

```python
async with ITCareEmulator(access_lifetime=2) as vendor:
    vendor.faults.add(Cut(when="after"), on="token")
    ...                                   # talk to vendor.token_url and vendor.api_url
    vendor.clock.advance(1200)
    assert vendor.stats.token_calls == 1
```

To see an expiry without waiting for it, move the vendor's clock, and give the session or manager
`RefreshPolicy(loop_guard=0.001)`: by default a token that is refused in the first ten seconds of its life
is not renewed, which looks like a vendor that refuses everything.

Whatever a vendor does not document is a knob; its docstring says so.
"""

from asyncauth.testing.emulators._base import Emulator as Emulator
from asyncauth.testing.emulators._base import MovableClock as MovableClock
from asyncauth.testing.emulators._base import Route as Route
from asyncauth.testing.emulators._base import Statistics as Statistics
from asyncauth.testing.emulators._carecloud import CareCloudEmulator as CareCloudEmulator
from asyncauth.testing.emulators._carecloud_customer import CareCloudPerson as CareCloudPerson
from asyncauth.testing.emulators._carecloud_enterprise import CareCloudUser as CareCloudUser
from asyncauth.testing.emulators._clicrdv import ClicRDVEmulator as ClicRDVEmulator
from asyncauth.testing.emulators._clicrdv_sessions import ClicRDVKey as ClicRDVKey
from asyncauth.testing.emulators._clicrdv_sessions import ClicRDVPerson as ClicRDVPerson
from asyncauth.testing.emulators._cronofy import CronofyEmulator as CronofyEmulator
from asyncauth.testing.emulators._faults import GATEWAY_504_HTML as GATEWAY_504_HTML
from asyncauth.testing.emulators._faults import Answer as Answer
from asyncauth.testing.emulators._faults import Connection as Connection
from asyncauth.testing.emulators._faults import Cut as Cut
from asyncauth.testing.emulators._faults import Fault as Fault
from asyncauth.testing.emulators._faults import Faults as Faults
from asyncauth.testing.emulators._faults import Hold as Hold
from asyncauth.testing.emulators._faults import Latency as Latency
from asyncauth.testing.emulators._faults import html_page as html_page
from asyncauth.testing.emulators._itcare import ITCareEmulator as ITCareEmulator
from asyncauth.testing.emulators._keycloak import KeycloakClient as KeycloakClient
from asyncauth.testing.emulators._messages import ReceivedRequest as ReceivedRequest
from asyncauth.testing.emulators._messages import RefusalError as RefusalError
from asyncauth.testing.emulators._messages import Reply as Reply
from asyncauth.testing.emulators._oauth2 import OAuth2Emulator as OAuth2Emulator
from asyncauth.testing.emulators._simplicite import SimpliciteEmulator as SimpliciteEmulator

__all__ = [
    "GATEWAY_504_HTML",
    "Answer",
    "CareCloudEmulator",
    "CareCloudPerson",
    "CareCloudUser",
    "ClicRDVEmulator",
    "ClicRDVKey",
    "ClicRDVPerson",
    "Connection",
    "CronofyEmulator",
    "Cut",
    "Emulator",
    "Fault",
    "Faults",
    "Hold",
    "ITCareEmulator",
    "KeycloakClient",
    "Latency",
    "MovableClock",
    "OAuth2Emulator",
    "ReceivedRequest",
    "RefusalError",
    "Reply",
    "Route",
    "SimpliciteEmulator",
    "Statistics",
    "html_page",
]
