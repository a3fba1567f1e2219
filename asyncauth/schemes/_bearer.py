"""Schemes whose token goes into a header as `Bearer` (RFC 6750, section 2.1)."""

from asyncauth._errors import TokenUnavailableError
from asyncauth._exchange import Placement
from asyncauth._token import Token
from asyncauth.abc import AuthScheme, ResponseHead, Verdict

_VERDICTS = {401: Verdict.REFUSED, 403: Verdict.FORBIDDEN, 429: Verdict.BACK_OFF}
# Members of an enumeration are slow to reach in Python 3.11, and this one is asked for each time.
_FINE = Verdict.FINE


def bearer(token: Token) -> str:
    """Return the header value that carries a token.

    Raises:
        TokenUnavailableError: It is a bare refresh token, which has to be renewed first.
    """
    if token.access_token is None:
        raise TokenUnavailableError("this token holds no access token: it has to be renewed before use")
    return f"Bearer {token.access_token.reveal()}"


class BearerScheme(AuthScheme):
    """A scheme with `Authorization: Bearer`, whose refusals are the statuses that HTTP names.

    401 refuses the token, 403 forbids the resource (RFC 9110, section 15.5), 429 asks for fewer
    requests. The body, which may be empty, is not looked at.
    """

    fine_below = min(_VERDICTS)

    def apply(self, token: Token) -> Placement:
        return Placement(headers={"Authorization": bearer(token)})

    def classify(self, response: ResponseHead, token: Token) -> Verdict:
        del token
        return _VERDICTS.get(response.status, _FINE)
