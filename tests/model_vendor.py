"""The vendor in the protocol's model: what it issues, spends and revokes (PROTOCOL.md, section 1)."""

import enum
from functools import lru_cache

import attrs

from asyncauth._record import Entry
from asyncauth._token import Token

TICK = 1000
LIFE = 1000 * TICK
WINDOW = 30 * TICK


class Reuse(enum.Enum):
    """What a vendor does when a spent refresh token comes again."""

    REVOKE = "the whole family is revoked"
    REFUSE = "it is only refused"
    WINDOW = "it works for a while, and is a reason to revoke after that"


@attrs.frozen
class Kind:
    """One row of PROTOCOL.md, section 1."""

    name: str
    can_login: bool = False
    one_time: bool = True
    destructive: bool = False
    repeatable: bool = False
    reuse: Reuse = Reuse.REVOKE

    @property
    def refreshable(self) -> bool:
        """Tell whether its tokens have refresh tokens."""
        return self.one_time or self.repeatable


N = Kind("N", can_login=True, one_time=False)
N1 = Kind("N1", can_login=True, one_time=False, destructive=True)
N1S = Kind("N1s", can_login=True, one_time=False, destructive=True, repeatable=True)
"""State on a session, such as a person's login: a refresh revives it, and a login loses it."""
R = Kind("R")
R0 = Kind("R0", reuse=Reuse.REFUSE)
RG = Kind("Rg", reuse=Reuse.WINDOW)
RL = Kind("RL", can_login=True)
KINDS = (N, N1, N1S, R, R0, RG, RL)


@attrs.define
class Vendor:
    """Tokens are numbers, in the order of their issue; all fields are immutable, so copies are cheap.

    Attributes:
        kind: How it behaves.
        families: The family of each token: the number of its first token.
        living: The refresh tokens that work.
        spent: The refresh tokens that were used, and when.
        ended: The access tokens that work no more although their time has not come.
        contacts: Requests that reached it since the last expiry.
        revoked: The refresh tokens that the last request's reuse detection killed.
    """

    kind: Kind
    families: tuple[int, ...] = ()
    living: frozenset[int] = frozenset()
    spent: tuple[tuple[int, int], ...] = ()
    ended: frozenset[int] = frozenset()
    contacts: int = 0
    revoked: frozenset[int] = frozenset()

    def login(self) -> int:
        """Begin a new session, or a new family."""
        if self.kind.destructive:
            self.ended |= self._all()
        return self._issue(len(self.families) + 1)

    def refresh(self, number: int, now: int) -> int | None:
        """Spend a refresh token; none means `invalid_grant`."""
        family = self.families[number - 1]
        if self.kind.repeatable:
            return None if number in self.ended else self._issue(family)
        if number in self.living:
            self.living -= {number}
            self.spent = (*self.spent, (number, now))
            return self._issue(family)
        if self.kind.reuse is Reuse.WINDOW and self.in_window(number, now):
            return self._issue(family)
        if self.kind.reuse is not Reuse.REFUSE:
            self._revoke(family)
        return None

    def in_window(self, number: int, now: int) -> bool:
        """Tell whether a spent token still works."""
        revoked = not any(self.families[n - 1] == self.families[number - 1] for n in self.living)
        return not revoked and any(n == number and now <= at + WINDOW for n, at in self.spent)

    def honours(self, entry: Entry, now: int) -> bool:
        """Tell whether an access token works."""
        return not entry.has_expired(now) and number_of(entry) not in self.ended

    def _issue(self, family: int) -> int:
        self.families = (*self.families, family)
        number = len(self.families)
        if self.kind.one_time:
            self.living |= {number}
        return number

    def _revoke(self, family: int) -> None:
        members = frozenset(n for n in self._all() if self.families[n - 1] == family)
        self.revoked = self.living & members
        self.living -= members
        self.ended |= members

    def _all(self) -> frozenset[int]:
        return frozenset(range(1, len(self.families) + 1))


@lru_cache
def token_of(number: int, *, refreshable: bool) -> Token:
    """Return the token with a number."""
    return Token(
        access_token=str(number),
        refresh_token=f"refresh-{number}" if refreshable else None,
        expires_in=LIFE / 1000,
    )


def number_of(entry: Entry) -> int:
    """Return the number of an entry's token."""
    assert entry.token.access_token is not None
    return int(entry.token.access_token.reveal())
