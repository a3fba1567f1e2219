"""Every failure of CareCloud's emulator, for every knob: what callers see; nothing stored is lost."""

import json
from typing import Any

import attrs
import pytest

from asyncauth import (
    CredentialRefusedError,
    RenewalFailedError,
    Token,
)
from asyncauth.abc import AuthScheme
from asyncauth.schemes import CustomerLogin
from asyncauth.testing.emulators import Answer, CareCloudUser, Cut, Fault, html_page
from carecloud_fleet import CareFleet, a_care_fleet
from carecloud_samples import JOHN

pytestmark = pytest.mark.slow

CLOSED = Answer(
    403,
    json.dumps({"error": {"type": "interface_not_allowed_exception"}}).encode(),
    {"Content-Type": "application/json"},
)
OUTSIDE = {"fabulous_user": CareCloudUser("password_example", webservice=False)}
SECRETS = ("password_example", "wrong-password", "user@example.com", "old-bearer")

LOGIN_WORDS = {
    400: "400 of .*/users/actions/login: .*check the application id, login and password; password is not_al",
    401: "401 of .*/users/actions/login: login or password may be wrong",
    403: "403 of .*/users/actions/login: login, password or application id may be wrong, .*group webservice",
}
APPLICATION_WORDS = {
    400: "application_id is not_found",
    403: "application id may be wrong, .*or the interface closed",
}


async def refused_once(fleet: CareFleet, scheme: AuthScheme, words: str) -> str:
    """Have four workers ask for a token, one of whom asks the vendor; return what all are told."""
    told = set[str]()
    for worker in [fleet.worker() for _ in range(4)]:
        with pytest.raises(CredentialRefusedError, match=words) as caught:
            await worker.token(scheme)
        told.add(f"{caught.value}")
    (message,) = told
    assert not [secret for secret in SECRETS if secret in message]
    return message


@pytest.mark.parametrize("failure", [400, 401, 403])
@pytest.mark.parametrize("wrong", [{"password": "wrong-password"}, {"login": "nobody"}])
async def test_a_wrong_enterprise_login_is_tried_once_and_said_to_be_one(
    failure: Any, wrong: dict[str, str]
) -> None:
    async with a_care_fleet(login_failure=failure) as fleet:
        await refused_once(fleet, fleet.enterprise(**wrong), LOGIN_WORDS[failure])
        assert fleet.vendor.stats.token_calls == 1
        worker = fleet.worker()
        assert (await worker.token(fleet.enterprise())).subject == "fabulous_user"


@pytest.mark.parametrize("failure", [400, 401, 403])
async def test_an_enterprise_token_that_cannot_be_renewed_stays_stored(failure: Any) -> None:
    async with a_care_fleet(login_failure=failure) as fleet:
        scheme, old = (
            fleet.enterprise(password="wrong-password"),
            Token(access_token="old-bearer", expires_in=60),
        )
        await fleet.worker().put(scheme, old)
        fleet.clock.step(60)
        await refused_once(fleet, scheme, LOGIN_WORDS[failure])
        entry = (await fleet.record(scheme)).entry
        assert entry is not None
        assert entry.token == old


@pytest.mark.parametrize("failure", [400, 403])
@pytest.mark.parametrize("interface", ["enterprise", "customer"])
async def test_an_unknown_application_is_named(failure: Any, interface: str) -> None:
    async with a_care_fleet(unknown_application=failure) as fleet:
        make = fleet.enterprise if interface == "enterprise" else fleet.installation
        await refused_once(fleet, make(application_id="unknown"), APPLICATION_WORDS[failure])
        assert fleet.vendor.stats.token_calls == 1


async def test_a_user_outside_the_group_is_hinted_at() -> None:
    async with a_care_fleet(users=OUTSIDE) as fleet:
        await refused_once(fleet, fleet.enterprise(), "user missing in the group webservice")
        assert fleet.vendor.stats.token_calls == 1


@pytest.mark.parametrize("interface", ["enterprise", "customer"])
async def test_a_closed_interface_is_explained(interface: str) -> None:
    async with a_care_fleet() as fleet:
        fleet.vendor.faults.add(CLOSED, on="token", times=None)
        scheme = fleet.enterprise() if interface == "enterprise" else fleet.installation()
        await refused_once(fleet, scheme, "vendor says that this interface is not allowed")
        assert fleet.vendor.stats.token_calls == 1


@pytest.mark.parametrize("failure", [400, 401])
@pytest.mark.parametrize(
    "login",
    [
        attrs.evolve(JOHN, password="wrong-password"),
        attrs.evolve(JOHN, kind="phone"),
        CustomerLogin("card", "4711", password="password_example"),
    ],
)
async def test_a_wrong_customer_login_is_tried_once_and_leaves_the_device_token_stored(
    failure: Any, login: CustomerLogin
) -> None:
    async with a_care_fleet(customer_login_failure=failure) as fleet:
        scheme = fleet.installation(customer=login)
        told = await refused_once(fleet, scheme, f"{failure} of .*/tokens/{{token_id}}/actions/login: ")
        assert "check its kind, value and password; the device token is kept" in told
        entry = (await fleet.record(scheme)).entry
        assert entry is not None
        assert entry.token.refresh_token is not None
        assert fleet.vendor.customer_on(entry.token.refresh_token) is None
        assert (fleet.vendor.device_tokens_created, fleet.vendor.device_tokens_alive) == (1, 1)
        logins = [each for each in fleet.vendor.requests if each.path.endswith("/actions/login")]
        assert len(logins) == 1


TROUBLE: dict[str, tuple[Fault, str]] = {
    "limiter": (Answer(429), "asks for fewer requests"),
    "failure": (Answer(500), "a failure on the vendor's side"),
    "maintenance": (Answer(503), "a failure on the vendor's side"),
    "wrong URL": (Answer(404), "is the project URL right"),
    "wrong method": (Answer(405), "is the project URL right"),
    "a page": (html_page(200), "HTML page where JSON is documented"),
    "nothing": (Answer(201), "empty body where JSON is documented"),
    "a cut": (Cut(), "the connection to http://.* was cut"),
}


@pytest.mark.parametrize(("fault", "words"), TROUBLE.values(), ids=TROUBLE.keys())
@pytest.mark.parametrize("interface", ["enterprise", "customer"])
async def test_trouble_of_a_login_is_said_and_passes(interface: str, fault: Fault, words: str) -> None:
    async with a_care_fleet() as fleet:
        scheme = fleet.enterprise() if interface == "enterprise" else fleet.installation()
        worker, other = fleet.worker(), fleet.worker()
        fleet.vendor.faults.add(fault, on="token", times=None)
        with pytest.raises(RenewalFailedError, match=words):
            await fleet.patiently(worker.token(scheme))
        calls = fleet.vendor.stats.token_calls
        with pytest.raises(RenewalFailedError, match=words):
            await other.token(scheme)
        assert fleet.vendor.stats.token_calls == calls
        fleet.vendor.faults.clear()
        fleet.clock.step(60)
        assert (await other.token(scheme)).access_token is not None


@pytest.mark.parametrize(("fault", "words"), TROUBLE.values(), ids=TROUBLE.keys())
async def test_trouble_of_a_customers_login_is_said_and_the_device_token_kept(
    fault: Fault, words: str
) -> None:
    async with a_care_fleet() as fleet:
        scheme, worker = fleet.installation(customer=JOHN), fleet.worker()
        fleet.vendor.faults.add(fault, on="other", times=None)
        # A 404 may be the login's or the token's: the probe finds that the token lives.
        kind = CredentialRefusedError if fault == Answer(404) else RenewalFailedError
        with pytest.raises(kind, match="device token is kept" if fault == Answer(404) else words) as caught:
            await fleet.patiently(worker.token(scheme))
        entry = (await fleet.record(scheme)).entry
        assert entry is not None
        assert entry.token.refresh_token is not None
        assert entry.token.refresh_token.reveal() not in f"{caught.value} {caught.value.__cause__!r}"
        fleet.vendor.faults.clear()
        fleet.clock.step(61)
        assert (await worker.token(scheme)).access_token == entry.token.refresh_token
        assert fleet.vendor.device_tokens_created == 1
