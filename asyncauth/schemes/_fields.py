"""What the schemes' constructors share: converters, checks, and the hash of a credential."""

import hashlib
import hmac
import json
from collections.abc import Callable, Iterable
from typing import Any
from unicodedata import category

import attrs
from yarl import URL

from asyncauth._errors import ConfigurationError
from asyncauth._key import TokenKey
from asyncauth._origin import secure_url
from asyncauth._token import Secret

_FINGERPRINT_DOMAIN = b"asyncauth credential fingerprint 1\0"


def required(instance: object, attribute: "attrs.Attribute[Any]", value: str | Secret | None) -> None:
    """Refuse an empty credential, and one that was read from a file together with its line break."""
    text = value.reveal() if isinstance(value, Secret) else value
    if not text or not text.strip():
        raise ConfigurationError(f"{attribute.alias} is empty")
    without_controls(instance, attribute, text)


def without_controls(instance: object, attribute: "attrs.Attribute[Any]", value: str | Secret) -> None:
    """Refuse control characters, which Basic cannot carry (RFC 7617, section 2), and invisible ones."""
    del instance
    text = value.reveal() if isinstance(value, Secret) else value
    # Passwords may have spaces of other kinds, such as a keyboard's no-break space.
    if not all(char.isprintable() or category(char) == "Zs" for char in text):
        raise ConfigurationError(f"{attribute.alias} has a line break or control character in it")


def without_colon(instance: object, attribute: "attrs.Attribute[Any]", value: str) -> None:
    """Refuse a user name that Basic cannot carry (RFC 7617, section 2)."""
    del instance
    if ":" in value:
        raise ConfigurationError(f"{attribute.alias} has a colon in it, which Basic cannot carry")


def one_of(*options: str) -> Callable[[object, "attrs.Attribute[Any]", str], None]:
    """Return a validator that takes these texts only."""

    def check(instance: object, attribute: "attrs.Attribute[Any]", value: str) -> None:
        del instance
        if value not in options:
            raise ConfigurationError(f"{attribute.alias} must be one of {', '.join(options)}")

    return check


def as_scopes(value: str | Iterable[str]) -> tuple[str, ...]:
    """Return scopes in the caller's order, without repetition; a string is split at its spaces."""
    names = value.split() if isinstance(value, str) else value
    return tuple(dict.fromkeys(names))


def as_origins(value: Iterable[str | URL]) -> frozenset[URL]:
    """Return the origins of URLs that a token may be sent to."""
    if isinstance(value, str):
        raise ConfigurationError("origins takes several URLs, such as [https://vendor.example]")
    return frozenset(secure_url(url).origin() for url in value)


def as_optional_url(value: str | URL | None) -> URL | None:
    """Return a URL that a token may be sent to; `None` is returned as it is."""
    return None if value is None else secure_url(value)


def as_base_url(value: str | URL) -> URL:
    """Return a base URL without a slash at its end: with and without one it is the same place."""
    url = secure_url(value)
    return url.with_path(url.raw_path.rstrip("/"), encoded=True)


def credential_fingerprint(key: TokenKey, *credential: str) -> str:
    """Return 16 hexadecimal digits that change when the credential does.

    The fleet remembers with them which credential the vendor refused, so that a wrong password is
    tried once by all workers, and a corrected one at once. Every process computes the same digits.
    They are keyed with the token's identity: equal passwords in two places do not look equal. They
    are kept in sealed records only, for whoever has them can test guesses of a weak password.

    Args:
        key: Whose credential it is.
        credential: What is secret, and the options that decide how it is sent.
    """
    place = bytes.fromhex(key.name("asyncauth"))
    message = _FINGERPRINT_DOMAIN + json.dumps(credential).encode()
    return hmac.new(place, message, hashlib.sha256).hexdigest()[:16]


def shown_as_called(scheme: attrs.AttrsInstance) -> str:
    """Return a scheme's `repr` by its arguments' names: an attribute may not have that of a method."""
    arguments = (
        f"{field.alias}={getattr(scheme, field.name)!r}" for field in attrs.fields(type(scheme)) if field.repr
    )
    return f"{type(scheme).__name__}({', '.join(arguments)})"
