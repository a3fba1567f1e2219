"""What a vendor issued: `Token`, and `Secret`, the type of every value that must not be shown."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from math import isfinite
from types import MappingProxyType
from typing import Any, final

import attrs

from asyncauth._processes import Guarded
from asyncauth._value import Value

# Fingerprints are for telling values apart in one process' logs. With a key that dies with the
# process nobody can test guesses of a weak password against a log file.
_FINGERPRINT_KEY = secrets.token_bytes(32)
_NOTHING: Mapping[str, Any] = MappingProxyType({})
"""The same for all tokens: most have neither cookies nor extra."""


@final
class Secret(Guarded):
    """A string that never shows itself.

    `repr`, `str` and formatting give a short fingerprint, which is the same for equal values within
    one process and means nothing outside it. Only `reveal` gives the value.

    Args:
        value: The text to guard.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value itself; keep the result out of logs and messages."""
        return self._value

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits that tell secrets of one process apart."""
        digest = hashlib.blake2b(self._value.encode(), key=_FINGERPRINT_KEY, digest_size=4)
        return digest.hexdigest()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return f"<secret {self.fingerprint}>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)


def as_secret(value: str | Secret) -> Secret:
    """Guard a plain string; a `Secret` is returned as it is."""
    return value if isinstance(value, Secret) else Secret(value)


def as_optional_secret(value: str | Secret | None) -> Secret | None:
    """Guard a plain string; `None` and a `Secret` are returned as they are."""
    return None if value is None else as_secret(value)


def _frozen_mapping(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return MappingProxyType(dict(value)) if value else _NOTHING


def _frozen_secrets(value: Mapping[str, str | Secret]) -> Mapping[str, Secret]:
    return MappingProxyType({name: as_secret(text) for name, text in value.items()}) if value else _NOTHING


def _sorted(value: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(value.split() if isinstance(value, str) else value))


def _printable(instance: object, attribute: "attrs.Attribute[Any]", value: Secret | None) -> None:
    # RFC 6749, appendix A.12: access-token = 1*VSCHAR. A line break in it would be a header of its own.
    del instance
    if value is not None and not is_printable(value.reveal()):
        raise ValueError(f"{attribute.name} is empty or has characters that no header may carry")


def _duration(instance: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    del instance
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(f"{attribute.name} has to be a number of seconds")


def _positive(instance: object, attribute: "attrs.Attribute[Any]", value: float | None) -> None:
    del instance
    if value is not None and value <= 0:
        raise ValueError(f"{attribute.name} has to be more than 0 seconds")


def is_printable(text: str) -> bool:
    """Tell whether a text is one or more visible ASCII characters or inner spaces (VSCHAR)."""
    return bool(text) and text.isascii() and text.isprintable() and text.strip() == text


@final
@attrs.frozen(kw_only=True, eq=False, repr=False)
class Token(Guarded, Value):
    """What a vendor issued, as one immutable value.

    Attributes:
        access_token: What is put on requests; none for sessions that are cookies only, and for a bare
            refresh token, which is renewed before its first use and therefore has an `expires_in` of 0.
        token_type: As the vendor wrote it, compared without case (RFC 6749, section 7.1).
        expires_in: Seconds from the issue to the hard end; none when the vendor does not say.
        idle_timeout: Seconds without use after which the vendor ends the session; none when it
            does not. Requests of sessions and middlewares are uses, of all workers together; what an
            application does with the bare token is not known to be one.
        refresh_token: What a refresh spends; none where there is nothing to refresh with.
        refresh_expires_in: Seconds from the issue to the refresh token's end; none when unknown.
        cookies: Cookies of a login session, by name; they belong to requests together with the
            access token, never to a caller's cookie jar.
        scope: The scopes that were granted, sorted; empty when the vendor does not say.
        subject: The account that the token acts for, where the vendor names it.
        extra: What else the vendor said, as JSON values. Shown nowhere: it may hold secrets.
    """

    access_token: Secret | None = attrs.field(
        default=None, converter=as_optional_secret, validator=_printable
    )
    token_type: str = "Bearer"  # noqa: S105 - a type, not a secret
    expires_in: float | None = attrs.field(default=None, validator=_duration)
    idle_timeout: float | None = attrs.field(default=None, validator=[_duration, _positive])
    refresh_token: Secret | None = attrs.field(
        default=None, converter=as_optional_secret, validator=_printable
    )
    refresh_expires_in: float | None = attrs.field(default=None, validator=_duration)
    cookies: Mapping[str, Secret] = attrs.field(factory=dict, converter=_frozen_secrets, hash=False)
    scope: tuple[str, ...] = attrs.field(default=(), converter=_sorted)
    subject: str | None = None
    extra: Mapping[str, Any] = attrs.field(factory=dict, converter=_frozen_mapping, hash=False)

    def __attrs_post_init__(self) -> None:
        if self.access_token is not None or self.cookies:
            return
        if self.refresh_token is None:
            raise ValueError("a token needs an access token, cookies or a refresh token")
        if self.expires_in != 0:
            raise ValueError("a refresh token alone cannot be used as it is: its expires_in has to be 0")

    def __repr__(self) -> str:
        parts = [f"type={self.token_type!r}", f"access={self.access_token!r}"]
        if self.refresh_token is not None:
            parts.append(f"refresh={self.refresh_token!r}")
        if self.cookies:
            parts.append(f"cookies={sorted(self.cookies)}")
        parts.append(f"expires_in={self.expires_in}")
        return f"Token({', '.join(parts)})"
