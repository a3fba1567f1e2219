"""CareCloud: one project's server, with its interfaces under their path segments."""

from collections.abc import Mapping
from typing import final

import attrs

from asyncauth.testing.emulators._base import Route
from asyncauth.testing.emulators._carecloud_customer import CustomerInterface
from asyncauth.testing.emulators._carecloud_enterprise import EnterpriseInterface


@final
@attrs.define(kw_only=True, eq=False, repr=False)
class CareCloudEmulator(EnterpriseInterface, CustomerInterface):
    """One CareCloud project, as the vendor's API description tells it.

    Date-times are the project's wall time without offset: the `valid_to` of a login before the
    autumn change may name an hour that comes twice. Knobs are those of the project and of its two
    interfaces. Users' tokens and device tokens are worth nothing in each other's interface.
    """

    def routes(self) -> Mapping[str, Route]:
        """Return the paths of the interfaces."""
        return {**self.enterprise_routes(), **self.customer_routes()}
