"""CareCloud: one project's server, with its interfaces under their path segments."""

from collections.abc import Mapping
from typing import final

import attrs

from asyncauth.testing.emulators._base import Route
from asyncauth.testing.emulators._carecloud_enterprise import EnterpriseInterface
from asyncauth.testing.emulators._messages import ReceivedRequest, Reply

_CUSTOMER = "/webservice/rest-api/customer-interface/v1.0"


@final
@attrs.define(kw_only=True, eq=False, repr=False)
class CareCloudEmulator(EnterpriseInterface):
    """One CareCloud project, as the vendor's API description tells it: the Enterprise interface.

    Date-times are the project's wall time without offset: the `valid_to` of a login before the
    autumn change may name an hour that comes twice. Knobs are those of the project and of the
    Enterprise interface. In the customer segment only users' resources are known, and refused.
    """

    def routes(self) -> Mapping[str, Route]:
        """Return the paths of the interfaces."""
        return {
            **self.enterprise_routes(),
            f"{_CUSTOMER}/tests/connection": self.limited("other", self.test_connection, "GET"),
            f"{_CUSTOMER}/users/*": self.limited("other", self._enterprise_only),
        }

    def _enterprise_only(self, request: ReceivedRequest) -> Reply:
        del request
        raise self.wrong_segment("customer", "users")
