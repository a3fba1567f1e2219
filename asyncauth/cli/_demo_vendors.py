"""The demo's four systems, as their vendors run them: emulators on loopback."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import final

import attrs

from asyncauth.cli._demo_policy import LIFE
from asyncauth.cli._demo_schemes import Settings
from asyncauth.testing.emulators import (
    CareCloudEmulator,
    Emulator,
    ITCareEmulator,
    OAuth2Emulator,
    SimpliciteEmulator,
)

SUBJECT = "user-17"
_ZONE = "Europe/Prague"


@final
@attrs.frozen
class Vendors:
    """The emulators, while they run."""

    oauth2: OAuth2Emulator
    itcare: ITCareEmulator
    simplicite: SimpliciteEmulator
    carecloud: CareCloudEmulator

    def token_calls(self) -> dict[str, int]:
        """Return how many token calls reached each vendor."""
        return {name: emulator.stats.token_calls for name, emulator in self._named().items()}

    def settings(self) -> dict[str, Settings]:
        """Return what the schemes of the workers need to know, by system."""
        [(client, secret)] = self.oauth2.clients.items()
        [(account, credential)] = self.itcare.clients.items()
        [(login, password)] = self.simplicite.users.items()
        [(user, user_record)] = self.carecloud.users.items()
        [application] = self.carecloud.applications
        return {
            "oauth2": {
                "token_url": str(self.oauth2.token_url),
                "base_url": str(self.oauth2.api_url),
                "client_id": client,
                "client_secret": secret,
                "subject": SUBJECT,
            },
            "itcare": {
                "token_url": str(self.itcare.token_url),
                "base_url": str(self.itcare.api_url),
                "client_id": account,
                "client_secret": credential.secret or "",
            },
            "simplicite": {"base_url": str(self.simplicite.api_url), "login": login, "password": password},
            "carecloud": {
                "project_url": str(self.carecloud.url),
                "application_id": application,
                "login": user,
                "password": user_record.password,
                "timezone": _ZONE,
            },
        }

    def _named(self) -> dict[str, Emulator]:
        return attrs.asdict(self, recurse=False)


@asynccontextmanager
async def running_vendors() -> AsyncIterator[Vendors]:
    """Run the four vendors. Nothing of the requests is kept but the counts."""
    async with AsyncExitStack() as stack:
        oauth2 = OAuth2Emulator(access_lifetime=LIFE, record=False)
        itcare = ITCareEmulator(access_lifetime=LIFE, record=False)
        simplicite = SimpliciteEmulator(token_duration=LIFE, record=False)
        # The vendor writes the end in whole seconds, rounded down: half a second more is 2 s on average.
        carecloud = CareCloudEmulator(validity=LIFE + 0.5, project_tz=_ZONE, record=False)
        for emulator in (oauth2, itcare, simplicite, carecloud):
            _ = await stack.enter_async_context(emulator)
        yield Vendors(oauth2, itcare, simplicite, carecloud)
