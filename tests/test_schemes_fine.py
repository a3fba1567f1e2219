"""What a scheme calls fine without a look is what it would call fine with one."""

import pytest

from asyncauth._token import Token
from asyncauth.abc import AuthScheme, Verdict
from asyncauth.schemes import Basic, StaticBearer
from carecloud_samples import JOHN, carecloud, device, installation
from cronofy_samples import application, user
from flow_driver import Head
from simplicite_samples import simplicite
from test_schemes_bad_answers import SCHEMES
from test_schemes_clicrdv import clicrdv

_HELD = Token(access_token="held-access-token")
_OTHERS = device(extra={"customer": "somebody else's"})
_PLACE = "https://api.example"
_ALL = [
    *SCHEMES,
    carecloud(),
    user(),
    application(),
    simplicite(),
    installation(),
    installation(customer=JOHN),
    installation(customer=lambda: JOHN),
    Basic(base_url=_PLACE, user="svc", password="password-of-svc"),
    StaticBearer(base_url=_PLACE, token="a-token"),
    clicrdv(auth="basic"),
    clicrdv(),
]


@pytest.mark.parametrize("kind", ["application/json", "text/html", ""])
@pytest.mark.parametrize("token", [_HELD, _OTHERS], ids=["own", "another's"])
@pytest.mark.parametrize("scheme", _ALL, ids=lambda scheme: type(scheme).__name__)
def test_what_is_fine_without_a_look_is_fine_with_one(scheme: AuthScheme, token: Token, kind: str) -> None:
    headers = {"Content-Type": kind, "WWW-Authenticate": 'Bearer error="insufficient_scope"'}
    statuses = range(100, max(scheme.fine_below, 100))
    heads = [Head(status=status, headers=headers) for status in statuses]
    assert {scheme.classify(head, token) for head in heads} <= {Verdict.FINE}


def test_a_scheme_that_may_doubt_a_success_is_asked_each_time() -> None:
    assert installation().fine_below == 0
    session = clicrdv()
    assert session.fine_below == 0
    assert session.base_url is not None
    page = Head(
        status=200, headers={"Content-Type": "text/html"}, url=session.base_url / "api/v1/groups.json"
    )
    assert session.classify(page, _HELD) is Verdict.SUSPECT
