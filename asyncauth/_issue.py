"""From a vendor's token to an entry, and what may be lost with it."""

import secrets

import attrs

from asyncauth._errors import UnreadableAnswerError
from asyncauth._record import Entry, Mode
from asyncauth._token import Token
from asyncauth.abc import AuthScheme


def new_id() -> str:
    """Return a random id for an entry or an attempt."""
    return secrets.token_hex(16)


def new_entry(
    token: Token, base: Entry | None, mode: Mode, scheme: AuthScheme, *, issued_at: int, era: int
) -> Entry:
    """Return the entry for a token that the vendor has just issued.

    Raises:
        UnreadableAnswerError: It is expired on arrival.
    """
    # A refresh that gives but a refresh token again would go on for ever.
    to_be_renewed = is_bare(token) and mode is Mode.LOGIN
    if token.expires_in is not None and token.expires_in <= 0 and not to_be_renewed:
        raise UnreadableAnswerError("the vendor issued a token that is expired on arrival")
    before = base.token if mode is Mode.REFRESH and base is not None else None
    if before is not None and token.refresh_token is None:
        # RFC 6749, section 6: a refresh token that is not replaced stays valid.
        lifetime = before.refresh_expires_in
        token = attrs.evolve(token, refresh_token=before.refresh_token, refresh_expires_in=lifetime)
    repeated = before is not None and before.refresh_token == token.refresh_token
    learned = token.refresh_token is not None and not repeated
    return Entry(
        id=new_id(),
        era=era,
        token=token,
        ancestors=() if base is None else base.lineage(),
        one_time=learned if scheme.refresh_rotates is None else scheme.refresh_rotates,
        issued_at=issued_at,
        expires_at=_end(token, issued_at),
        last_use=_first_use(token, issued_at),
    )


def first_entry(entry_id: str, token: Token, scheme: AuthScheme, *, issued_at: int) -> Entry:
    """Return the entry for a token that the application stores itself."""
    # A refresh token that was never used counts as one-time, unless the scheme knows better.
    one_time = token.refresh_token is not None and scheme.refresh_rotates is not False
    expires_at = _end(token, issued_at)
    return Entry(
        id=entry_id,
        era=0,
        token=token,
        issued_at=issued_at,
        one_time=one_time,
        expires_at=expires_at,
        last_use=_first_use(token, issued_at),
    )


def amended_entry(token: Token, base: Entry, *, used_at: int) -> Entry:
    """Return the entry for a token whose state at the vendor was changed: it lives as long as before."""
    last_use = _first_use(token, used_at)  # the change was a use
    return attrs.evolve(base, id=new_id(), token=token, ancestors=base.lineage(), last_use=last_use)


def doubtful_entry(base: Entry) -> Entry:
    """Return the entry for a token of which nobody knows what lies on it: it is refreshed before use."""
    bare = Token(refresh_token=base.token.refresh_token, expires_in=0)
    return attrs.evolve(amended_entry(bare, base, used_at=0), expires_at=base.issued_at)


def constant_entry(token: Token) -> Entry:
    """Return an entry that is never stored: nobody was asked for its token."""
    return Entry(id="constant", era=0, token=token, issued_at=0)


def is_bare(token: Token) -> bool:
    """Whether a token is a refresh token alone, which is renewed before its first use."""
    return token.access_token is None and not token.cookies


def _first_use(token: Token, issued_at: int) -> int | None:
    return None if token.idle_timeout is None else issued_at


def _end(token: Token, issued_at: int) -> int | None:
    return None if token.expires_in is None else issued_at + int(token.expires_in * 1000)


def is_expendable(scheme: AuthScheme, entry: Entry | None) -> bool:
    """Whether losing the entry costs no more than a login (kind N of PROTOCOL.md, section 1)."""
    one_time = entry is not None and entry.one_time
    return scheme.can_login and not scheme.login_is_destructive and not one_time


def same_credential(before: Token, after: Token) -> bool:
    """Whether requests would carry the same thing with either token."""
    return before.access_token == after.access_token and before.cookies == after.cookies
