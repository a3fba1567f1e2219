"""CareCloud's token ids are a part of URLs: no error, log or traceback of a fleet shows one."""

import logging
import traceback

import aiohttp
import pytest
from yarl import URL

from asyncauth import AuthError, VendorError
from asyncauth._clock import SYSTEM_CLOCK
from asyncauth._exchange import AuthRequest, AuthResponse
from asyncauth._flow import bare_session, converse
from asyncauth.abc import AuthFlow
from asyncauth.testing.emulators import Answer, Cut, Fault
from bad_lines import a_port
from carecloud_fleet import a_care_fleet, ask
from carecloud_samples import JOHN
from worlds import text_of

HIDDEN = "4d8121dea8ae3c7b"
PLACE = "http://127.0.0.1/tokens/{token_id}"


def asking(url: URL) -> AuthFlow[AuthResponse]:
    return (yield AuthRequest(method="POST", url=url / HIDDEN, place=PLACE))


def told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)) + repr(error)


def test_a_place_is_origin_and_path_unless_the_scheme_names_another() -> None:
    url = URL("https://crm.example/tokens/4d8121dea8ae3c7b?password=x#y")
    assert repr(AuthRequest(method="GET", url=url)) == f"AuthRequest(GET {url.origin()}/tokens/{HIDDEN})"
    assert repr(AuthRequest(method="GET", url=url, place=PLACE)) == f"AuthRequest(GET {PLACE})"
    assert str(AuthResponse(status=401, url=url)) == f"the answer 401 of {url.origin()}/tokens/{HIDDEN}"
    assert str(AuthResponse(status=401, url=url, place=PLACE)) == f"the answer 401 of {PLACE}"


async def test_an_answer_is_shown_as_from_the_place_that_its_request_names() -> None:
    async with a_care_fleet() as fleet, bare_session(5) as client:
        response = await converse(asking(fleet.vendor.customer_url), client, SYSTEM_CLOCK, 5)
        assert HIDDEN not in f"{response} {response!r}"
        assert response.url.name == HIDDEN


async def failure(client: aiohttp.ClientSession, port: int) -> VendorError:
    with pytest.raises(VendorError) as caught:
        await converse(asking(URL(f"http://127.0.0.1:{port}")), client, SYSTEM_CLOCK, 5)
    return caught.value


@pytest.mark.parametrize(
    "words", [b"", b"this is not HTTP\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1"]
)
async def test_a_cut_or_unreadable_connection_is_named_by_its_place(words: bytes) -> None:
    async with a_port(words) as port, bare_session(5) as client:
        error = await failure(client, port)
    assert PLACE in str(error)
    assert HIDDEN not in told(error)


async def test_a_closed_port_and_a_closed_client_are_named_by_their_place(unused_tcp_port: int) -> None:
    client = bare_session(5)
    async with client:
        refused = await failure(client, unused_tcp_port)
    closed = await failure(client, unused_tcp_port)
    for error in (refused, closed):
        assert PLACE in str(error)
        assert HIDDEN not in told(error)


TROUBLE = [Answer(400), Answer(401), Answer(404), Answer(429), Answer(500), Answer(200), Answer(302), Cut()]


@pytest.mark.parametrize("fault", TROUBLE, ids=repr)
async def test_a_whole_life_shows_no_token_id_password_or_address(
    fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    errors: list[AuthError] = []
    async with a_care_fleet(without_customer=401) as fleet:
        scheme, worker = fleet.installation(customer=JOHN), fleet.worker()
        token_id = text_of(await worker.token(scheme))
        fleet.vendor.log_out_customer(token_id)
        fleet.vendor.faults.add(fault, on="other", times=None)
        fleet.clock.step(60)
        for talk in (fleet.patiently(ask(scheme, worker)), worker.amend(scheme, scheme.customer_login(JOHN))):
            try:
                await talk
            except AuthError as error:
                errors.append(error)
        try:
            await worker.logout(scheme)
        except AuthError as error:
            errors.append(error)
        shown = caplog.text + repr(fleet.events) + "".join(map(told, errors))
    assert errors
    assert fleet.events
    for secret in (token_id, "password_example", "user@example.com"):
        assert secret not in shown
