"""As whom Simplicité runs what it is sent: servers from 5.2 on make a call without a good token `public`."""

from collections.abc import Mapping
from typing import Any, final

import attrs

from asyncauth._errors import CredentialRefusedError, TokenRefusedError, UnreadableAnswerError
from asyncauth._exchange import AuthResponse
from asyncauth.schemes._answers import is_success, raise_for_failure, shown

_NOBODY = "public"


@final
@attrs.frozen(repr=False)
class Expected:
    """The user that answers should name.

    Attributes:
        user: The login.
        strict: Whether a login may name no other.
        secrets: What no message may repeat.
    """

    user: str
    strict: bool
    secrets: tuple[str, ...]

    def check_login(self, response: AuthResponse, answer: Mapping[str, Any]) -> None:
        """Refuse a login's answer that carries an error or names another user.

        Raises:
            CredentialRefusedError: It does.
        """
        if answer.get("error") or answer.get("type") == "error":
            words = shown(answer.get("error"), self.secrets) or "check login and password"
            raise CredentialRefusedError(f"{response} carries an error: {words}")
        login = answer.get("login")
        if self.strict and isinstance(login, str) and not self._is(login):
            raise CredentialRefusedError(
                f"{response} is for another user than the one that logs in, {self._shown(login)} "
                "(expect_user=False accepts it)"
            )

    def check_whoami(self, response: AuthResponse) -> None:
        """Refuse a token that does not work as this user.

        Raises:
            TokenRefusedError: It does not work at all.
            CredentialRefusedError: It works as somebody else.
            VendorError: The answer does not tell.
        """
        if response.status == 401:  # noqa: PLR2004
            raise TokenRefusedError(f"{response} refuses the token that the login has just given")
        login = _named_login(response)
        if login is None:
            raise UnreadableAnswerError(f"{response} does not name a user: whoami=True cannot work here")
        if not self._is(login):
            raise CredentialRefusedError(
                f"{response} takes the token for another user's, {self._shown(login)}: "
                "check the header or url_param that it is sent in, and whether a proxy removes it"
            )

    def lives(self, response: AuthResponse) -> bool:
        """Tell whether the token of a call to `/rest` still works.

        Raises:
            VendorError: The answer does not tell.
        """
        if response.status == 401:  # noqa: PLR2004
            return False
        login = _named_login(response)
        return login is None or self._is(login) or not (self.strict or login == _NOBODY)

    def _is(self, login: str) -> bool:
        return login.casefold() == self.user.casefold()

    def _shown(self, login: str) -> str:
        return repr(shown(login, self.secrets))


def _named_login(response: AuthResponse) -> str | None:
    """Return as whom a call ran, if its answer names anybody."""
    raise_for_failure(response)
    if not is_success(response) or response.is_html:
        raise UnreadableAnswerError(f"{response} does not tell whether the token works")
    try:
        answer = response.json_object()
    except UnreadableAnswerError:
        return None
    # The members are not documented: a `login` is looked for on top and one level below.
    places = [answer, *(value for value in answer.values() if isinstance(value, dict))]
    logins = [place.get("login") for place in places]
    return next((login for login in logins if isinstance(login, str) and login), None)
