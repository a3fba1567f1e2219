"""`Value`: its classes behave as those with all of attrs' own methods."""

from typing import Any

import attrs
import pytest
from yarl import URL

from asyncauth import RefreshPolicy, TokenEvent, TokenKey, TokenRefused
from asyncauth._answers import Conflict, Done, Newer, Same
from asyncauth._value import Value
from asyncauth.abc import AuthRequest, Pace, Snapshot
from makers import NEW, OLD

KEY = TokenKey(scheme="static", issuer="https://example.com")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Ours(Value):
    shown: object
    _private: int = 0
    hidden: str = attrs.field(default="", repr=False)
    apart: list[int] = attrs.field(factory=list, eq=False)
    unhashed: dict[str, int] = attrs.field(factory=dict, hash=False)


@attrs.frozen(kw_only=True)
class Theirs:
    shown: object
    private: int = 0
    hidden: str = attrs.field(default="", repr=False)
    apart: list[int] = attrs.field(factory=list, eq=False)
    unhashed: dict[str, int] = attrs.field(factory=dict, hash=False)


ARGUMENTS: list[dict[str, Any]] = [
    {"shown": 1},
    {"shown": 1.0, "apart": [1]},
    {"shown": "a"},
    {"shown": 1, "private": 1},
    {"shown": 1, "hidden": "x"},
    {"shown": 1, "unhashed": {"a": 1}},
]


@pytest.mark.parametrize("one", ARGUMENTS)
@pytest.mark.parametrize("other", ARGUMENTS)
def test_values_are_compared_and_hashed_as_attrs_does(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (Ours(**one) == Ours(**other)) is (Theirs(**one) == Theirs(**other))
    assert (len({Ours(**one), Ours(**other)}) == 1) is (Theirs(**one) == Theirs(**other))


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_values_show_their_arguments_and_nothing_hidden(arguments: dict[str, Any]) -> None:
    assert repr(Ours(**arguments)) == repr(Theirs(**arguments)).replace("Theirs", "Ours")


@pytest.mark.parametrize(
    ("one", "other"),
    [(Done(), Same()), (Newer(OLD), Conflict(OLD)), (Newer(OLD), Newer(NEW)), (Done(), "Done()")],
)
def test_what_differs_in_its_class_or_its_fields_is_not_equal(one: object, other: object) -> None:
    assert one != other
    assert type(one).__eq__(one, one) is True


def test_events_are_values() -> None:
    event = TokenRefused(key=KEY, entry_id="e1")

    assert event == TokenRefused(key=KEY, entry_id="e1")
    assert event not in {TokenEvent(key=KEY), TokenRefused(key=KEY, entry_id="e2")}
    assert repr(event) == f"TokenRefused(key={KEY!r}, entry_id='e1')"
    assert hash(event) == hash(TokenRefused(key=KEY, entry_id="e1"))


def test_public_values_keep_their_ways() -> None:
    assert RefreshPolicy() == RefreshPolicy(retries=2) != RefreshPolicy(retries=1)
    assert repr(Pace("app", 2.0)) == "Pace(name='app', per_second=2.0)"
    assert "value" not in repr(Snapshot(value=b"secret", version="v", now=1))
    assert Snapshot(value=b"a", version="v", now=1) != Snapshot(value=b"b", version="v", now=1)
    request = AuthRequest(method="GET", url=URL("https://example.com/x"), headers={"Authorization": "a"})
    assert request == attrs.evolve(request, headers={})
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        request.method = "PUT"  # type: ignore[misc]  # that it is refused is the point
