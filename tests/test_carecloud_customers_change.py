"""Who is logged in on CareCloud's device token: one customer's calls never count as another's."""

from contextlib import suppress

import pytest
from yarl import URL

from asyncauth import (
    AnswerLostError,
    AuthorizationNeeded,
    AuthorizationRequiredError,
    AuthSession,
    CredentialRefusedError,
)
from asyncauth._errors import GrantRefusedError, UnreadableAnswerError
from asyncauth._exchange import AuthResponse
from asyncauth.abc import Verdict
from asyncauth.schemes import CareCloudCustomer, CustomerLogin
from asyncauth.testing.emulators import Answer, CareCloudPerson, Cut
from carecloud_fleet import CareFleet, a_care_fleet, ask
from carecloud_samples import CUSTOMER_BASE, CUSTOMER_ID, JOHN, LANGUAGES, TOKEN_ID, device, installation
from flow_driver import Head, drive, reply
from worlds import text_of

JANE = CustomerLogin("card", "4711", password="another-password")
WRONG = CustomerLogin("email", "user@example.com", password="wrong")
LOGGED_IN = reply({"data": {"customer_id": CUSTOMER_ID}})


def kiosk(fleet: CareFleet, there: list[CustomerLogin]) -> CareCloudCustomer:
    """Return an installation whose customer is the one who came last."""
    return fleet.installation(customer=lambda: there[-1] if there else None)


@pytest.mark.parametrize("without_customer", [401, 403])
async def test_a_customer_who_comes_later_is_logged_in_when_a_call_wants_him(without_customer: int) -> None:
    async with a_care_fleet(without_customer=without_customer) as fleet:
        there: list[CustomerLogin] = []
        scheme, worker = kiosk(fleet, there), fleet.worker()
        assert await ask(scheme, worker, "/stores") == 200
        there.append(JOHN)
        fleet.clock.step(60)
        assert await ask(scheme, worker) == 200
        assert (fleet.vendor.customer_logins, fleet.vendor.device_tokens_created) == (1, 1)


@pytest.mark.parametrize("without_customer", [401, 403])
async def test_after_a_customers_logout_the_schemes_customer_is_logged_in_again(
    without_customer: int,
) -> None:
    async with a_care_fleet(without_customer=without_customer) as fleet:
        scheme, worker = fleet.installation(customer=JOHN), fleet.worker()
        assert await ask(scheme, worker) == 200
        await worker.amend(scheme, scheme.customer_logout())
        fleet.clock.step(60)
        assert await ask(scheme, worker) == 200
        assert (fleet.vendor.customer_logins, fleet.vendor.device_tokens_created) == (2, 1)


async def test_a_resource_of_the_other_interface_logs_the_customer_in_once_at_most() -> None:
    async with a_care_fleet() as fleet:
        scheme, worker = fleet.installation(customer=JOHN), fleet.worker()
        await worker.token(fleet.installation())
        for _ in range(4):
            fleet.clock.step(60)
            assert await ask(scheme, worker, "/users") == 403
        assert (fleet.vendor.customer_logins, fleet.vendor.device_tokens_created) == (1, 1)


async def calls_of_the_next_one(session: AuthSession) -> None:
    with pytest.raises(AuthorizationRequiredError, match="another customer is logged in"):
        await session.get("/customers")


async def test_what_came_back_under_the_former_customers_login_is_not_shown_to_the_next_one() -> None:
    async with a_care_fleet() as fleet:
        there = [JOHN]
        scheme, worker = kiosk(fleet, there), fleet.worker()
        async with AuthSession(scheme, worker) as session:
            async with session.get("/customers") as response:
                assert response.status == 200
            there.append(JANE)
            for _ in range(3):
                await calls_of_the_next_one(session)
            assert fleet.told(AuthorizationNeeded) == 1
            there.append(JOHN)
            async with session.get("/customers") as response:
                assert response.status == 200
        assert (fleet.vendor.customer_logins, fleet.vendor.device_tokens_created) == (1, 1)


@pytest.mark.parametrize(
    ("path", "status", "verdict"),
    [
        ("customers", 200, Verdict.FINE),
        ("customers", 403, Verdict.REFUSED),
        ("customers", 429, Verdict.BACK_OFF),
        (f"tokens/{TOKEN_ID}/actions/login", 403, Verdict.FORBIDDEN),
    ],
)
def test_a_403_with_nobody_on_the_token_may_be_for_want_of_the_customer(
    path: str, status: int, verdict: Verdict
) -> None:
    head = Head(status=status, url=URL(f"{CUSTOMER_BASE}/{path}"))
    assert installation(customer=JOHN).classify(head, device()) is verdict
    nobody = installation(customer=lambda: None)
    expected = Verdict.FORBIDDEN if status == 403 else verdict
    assert nobody.classify(head, device()) is installation().classify(head, device()) is expected


def test_whose_login_is_on_the_token_is_asked_after_each_call_of_a_function() -> None:
    head = Head(status=200, url=URL(f"{CUSTOMER_BASE}/tokens/{TOKEN_ID}"))
    of_john = drive(installation(customer=JOHN).refresh(device()), LOGGED_IN).result
    assert installation(customer=lambda: JANE).classify(head, of_john) is Verdict.NEEDS_USER
    assert installation(customer=lambda: JOHN).classify(head, of_john) is Verdict.FINE
    assert installation(customer=lambda: None).classify(head, of_john) is Verdict.FINE
    assert TOKEN_ID not in installation(customer=JANE).missing(head, of_john)


async def refusal(fleet: CareFleet, scheme: CareCloudCustomer) -> str:
    with pytest.raises(CredentialRefusedError) as caught:
        await fleet.patiently(fleet.worker().token(scheme))
    return str(caught.value)


@pytest.mark.parametrize("probe", [302, 404, 405, 429, 500, 503])
async def test_a_wrong_customer_password_is_sent_once_where_the_probe_tells_nothing(probe: int) -> None:
    async with a_care_fleet() as fleet:
        fleet.vendor.faults.add(Answer(probe), on="api", times=None)
        scheme = fleet.installation(customer=WRONG)
        for _ in range(4):
            message = await refusal(fleet, scheme)
            assert "check its kind, value and password" in message
            assert f"as far as one can tell: the answer {probe} of" in message
        logins = [request for request in fleet.vendor.requests if request.path.endswith("/actions/login")]
        assert (len(logins), fleet.vendor.device_tokens_created) == (1, 1)


@pytest.mark.parametrize("answer", [204, 200, 400, 403, 404])
def test_a_token_is_dead_only_if_its_own_setup_is_not_taken_either(answer: int) -> None:
    flow = installation(accept_language=LANGUAGES).refresh(device())
    next(flow)
    request = flow.send(reply(status=401))
    assert (request.method, str(request.url)) == ("PUT", f"{CUSTOMER_BASE}/tokens/{TOKEN_ID}")
    assert repr(request) == f"AuthRequest(PUT {CUSTOMER_BASE}/tokens/{{token_id}})"
    assert dict(request.headers) == {
        "Accept-Language": LANGUAGES,
        "Authorization": f"Bearer {TOKEN_ID}",
        "Content-Type": "application/json",
    }
    assert request.body == (
        b'{"setup": {"language_id": "en", "allowed_gps": true, "allowed_notifications": false}}'
    )
    expected = StopIteration if answer in (200, 204) else GrantRefusedError
    with pytest.raises(expected):
        flow.send(reply(status=answer))


@pytest.mark.parametrize("customer", [None, WRONG])
async def test_a_probe_that_wants_a_customer_costs_no_device_tokens(customer: CustomerLogin | None) -> None:
    async with a_care_fleet() as fleet:
        fleet.vendor.faults.add(Answer(401), on="api", times=None)
        scheme, worker = fleet.installation(customer=customer), fleet.worker()
        for _ in range(20):
            with suppress(CredentialRefusedError):
                assert await fleet.patiently(ask(scheme, worker)) == 401
            fleet.clock.step(30)
        assert fleet.vendor.device_tokens_created == 1


PAGE = [reply("<html>who are you?", 200), reply(b"", 200, {"Content-Type": "text/html"})]


@pytest.mark.parametrize("page", PAGE)
def test_a_portals_page_confirms_no_customers_logout(page: AuthResponse) -> None:
    token = device(subject=CUSTOMER_ID)
    for flow in (installation().logout(token), installation().customer_logout()(token)):
        with pytest.raises(UnreadableAnswerError, match="does not confirm the logout"):
            drive(flow, page)


@pytest.mark.parametrize("customer", [JOHN, None])
async def test_after_a_lost_answer_to_a_login_nobody_works_under_a_name_that_is_not_known(
    customer: CustomerLogin | None,
) -> None:
    async with a_care_fleet() as fleet:
        fleet.vendor.people["jane"] = CareCloudPerson(password="another-password", card="4711")
        scheme = fleet.installation(customer=customer)
        one, other = fleet.worker(), fleet.worker()
        for worker in (one, other):
            assert await ask(scheme, worker, "/stores") == 200
        used = text_of(await one.token(scheme))
        fleet.vendor.faults.add(Cut(when="after"), on="other")
        with pytest.raises(AnswerLostError):
            await one.amend(scheme, scheme.customer_login(JANE))
        assert fleet.vendor.customer_on(used) == "jane"
        fleet.clock.step(60)
        for worker in (one, other):
            assert await ask(scheme, worker, "/stores") == 200
            assert fleet.vendor.customer_on(used) == (None if customer is None else CUSTOMER_ID)
        assert fleet.vendor.device_tokens_created == 1
