"""The identity of a token: whose it is, from whom, for what."""

import hashlib
import hmac
from collections.abc import Iterable
from typing import final

import attrs

from asyncauth._value import Value


def _sorted_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    # A string is a list of scopes as RFC 6749, section 3.3, writes it, not one of letters.
    return tuple(sorted(set(scopes.split() if isinstance(scopes, str) else scopes)))


@final
@attrs.frozen(kw_only=True, cache_hash=True, repr=False)
class TokenKey(Value):
    """Two requests share a token exactly when their keys are equal.

    Parts are never joined by a separator, so no value of one part can be mistaken for another part's.

    Attributes:
        scheme: The scheme's own name, such as `oauth2.client_credentials`.
        issuer: The token endpoint or base URL that issues the token.
        client: The client id, login or API account.
        subject: The account that the token acts for, where it is not the client's own.
        scopes: The scopes asked for; order and repetition mean nothing (RFC 6749, section 3.3).
        tenant: What else tells two tokens apart: an audience, a project, an environment.
    """

    scheme: str
    issuer: str
    client: str = ""
    subject: str = ""
    scopes: tuple[str, ...] = attrs.field(default=(), converter=_sorted_scopes)
    tenant: str = ""

    def name(self, namespace: str, name_key: bytes = b"") -> str:
        """Return the name under which a store keeps this key's record.

        Args:
            namespace: The application's part of a shared store.
            name_key: Makes the hash a keyed one, so that who sees the names cannot test guesses of a
                client or an address. It must never change: another key finds none of the records.

        Returns:
            64 hexadecimal digits: HMAC-SHA-256 of the length-prefixed parts.
        """
        parts = (namespace, self.scheme, self.issuer, self.client, self.subject, self.tenant)
        message = b"".join(_prefixed(part) for part in (*parts, *self.scopes))
        return hmac.new(name_key, message, hashlib.sha256).hexdigest()


def _prefixed(part: str) -> bytes:
    data = part.encode()
    return len(data).to_bytes(4, "big") + data
