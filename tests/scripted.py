"""A scheme that a test writes the lines of, and a store's handle that goes wrong as a test says."""

import asyncio
from collections.abc import Callable, Mapping

import attrs
from yarl import URL

from asyncauth import AuthScheme, StoreError, Token, TokenKey
from asyncauth._errors import NotReplicatedError
from asyncauth._exchange import AuthRequest, Placement
from asyncauth.abc import AuthFlow, Pace, ResponseHead, Snapshot, Verdict
from asyncauth.testing import ManualClock
from asyncauth_stores.memory import MemoryTokenStore
from worlds import Handle

BASE = URL("https://api.example.com")


def issued(number: int) -> Token:
    """Return t1, t2, ..., each for an hour."""
    return Token(access_token=f"t{number}", expires_in=3600)


def idling(number: int) -> Token:
    """Return t1, t2, ..., each until it was not used for ten minutes."""
    return Token(access_token=f"t{number}", idle_timeout=600)


def bearer(text: str) -> Placement:
    """Put a token where most vendors want it."""
    return Placement(headers={"Authorization": f"Bearer {text}"})


@attrs.define(eq=False, kw_only=True)
class Scripted(AuthScheme):
    """Knows no vendor: what a login or a refresh gives is a function of how many there were.

    Attributes:
        answer: Returns the token of a call, or raises.
        renewal: Returns the token of a refresh, or raises; by default a refresh is a login.
        refreshed: How many refreshes there were, if they are no logins.
        verdicts: What statuses mean; any other one is judged as usual.
        place: What a token's text puts on requests.
        fixed: The token, if it is made of the credential alone.
        limit: How often the vendor may be asked.
        person_url: Where people authorize.
        calls: How many logins and refreshes there were.
        probes: Whether each probe finds the token alive; the last one again and again.
        probed: How many probes there were.
        probe_url: Where a probe sends a request to, if it sends one.
        judged: How many responses were judged.
        told: The access tokens whose end the vendor was told of.
    """

    answer: Callable[[int], Token] = issued
    credential: str = "right"
    account: str = "svc"
    base: URL | None = BASE
    can_login: bool = True
    login_is_destructive: bool = False
    refresh_rotates: bool | None = None
    renews_early: bool = True
    revives: bool = False
    keep_alive: bool = False
    renewal: Callable[[Token], Token] | None = None
    refreshed: int = 0
    verdicts: Mapping[int, Verdict] = {403: Verdict.SUSPECT}
    place: Callable[[str], Placement] = bearer
    fixed: Token | None = None
    limit: Pace | None = None
    person_url: URL | None = None
    calls: int = 0
    probes: Callable[[], bool] = lambda: True
    probed: int = 0
    probe_url: URL | None = None
    judged: int = 0
    told: list[str] = attrs.field(factory=list)

    @property
    def key(self) -> TokenKey:
        return TokenKey(scheme="scripted", issuer="https://id.example.com", client=self.account)

    @property
    def fingerprint(self) -> str:
        return self.credential

    @property
    def base_url(self) -> URL | None:
        return self.base

    @property
    def constant(self) -> Token | None:
        return self.fixed

    @property
    def pace(self) -> Pace | None:
        return self.limit

    @property
    def authorize_url(self) -> URL | None:
        return self.person_url

    def login(self) -> AuthFlow[Token]:
        yield from ()
        self.calls += 1
        return self.answer(self.calls)

    def refresh(self, token: Token) -> AuthFlow[Token]:
        if self.renewal is None:
            return (yield from self.login())
        self.refreshed += 1
        return self.renewal(token)

    def logout(self, token: Token) -> AuthFlow[None]:
        yield from ()
        assert token.access_token is not None
        self.told.append(token.access_token.reveal())

    def probe(self, token: Token) -> AuthFlow[bool]:
        if self.probe_url is not None:
            yield AuthRequest(method="GET", url=self.probe_url)
        self.probed += 1
        return self.probes()

    def apply(self, token: Token) -> Placement:
        assert token.access_token is not None
        return self.place(token.access_token.reveal())

    def classify(self, response: ResponseHead, token: Token) -> Verdict:
        self.judged += 1
        return self.verdicts.get(response.status) or super().classify(response, token)


class Troubled(Handle):
    """A handle on a place that goes wrong.

    Attributes:
        errors: What the next reads raise.
        alone: Whether no replica takes what is written.
        read_gate: Holds the next read's answer back.
        write_gate: Holds the next write's answer back.
        after_write: Called after the next write.
    """

    def __init__(self, place: MemoryTokenStore, clock: ManualClock) -> None:
        super().__init__(place, clock)
        self.errors: list[StoreError] = []
        self.alone = False
        self.read_gate: Gate | None = None
        self.write_gate: Gate | None = None
        self.after_write: Callable[[], None] | None = None

    async def read(self, name: str) -> Snapshot:
        if self.errors:
            raise self.errors.pop(0)
        snapshot = await super().read(name)
        gate, self.read_gate = self.read_gate, None
        if gate is not None:
            await gate.wait()
        return snapshot

    async def write(
        self,
        name: str,
        value: bytes | None,
        expected: Snapshot,
        *,
        keep: float | None = None,
        wake: bool = True,
        replicated: bool = False,
    ) -> Snapshot:
        snapshot = await super().write(name, value, expected, keep=keep, wake=wake, replicated=replicated)
        gate, self.write_gate = self.write_gate, None
        if gate is not None:
            await gate.wait()
        after, self.after_write = self.after_write, None
        if after is not None:
            after()
        if replicated and self.alone:
            raise NotReplicatedError("0 of 1 replicas", snapshot)
        return snapshot


class Gate:
    """Where one task waits until a test lets it go on.

    Attributes:
        arrived: Set when it waits.
        opened: Set to let it go on.
    """

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.opened = asyncio.Event()

    async def wait(self) -> None:
        self.arrived.set()
        await self.opened.wait()
