"""Errors cross process boundaries whole, and are shared between tasks as twins."""

import pickle
from collections.abc import Iterator
from concurrent.futures.process import _ExceptionWithTraceback  # what a pool sends

import pytest

from asyncauth import AuthError, WaitTimeoutError
from asyncauth._errors import (
    NotReplicatedError,
    RenewalFailedError,
    TokenUnavailableError,
    UnreadableRecordError,
    VendorBusyError,
    VendorFailedError,
    WriteConflictError,
)
from asyncauth.abc import Snapshot

SNAPSHOT = Snapshot(value=b"v", version="7", now=1)


def all_kinds(kind: type[AuthError] = AuthError) -> Iterator[type[AuthError]]:
    yield kind
    for narrower in kind.__subclasses__():
        if narrower.__module__.startswith("asyncauth"):
            yield from all_kinds(narrower)


def an_error(kind: type[AuthError]) -> AuthError:
    """Return an error with every attribute that its kind has."""
    if issubclass(kind, WriteConflictError):
        return kind(SNAPSHOT)
    if issubclass(kind, NotReplicatedError | UnreadableRecordError):
        return kind("what went wrong", SNAPSHOT)
    if issubclass(kind, RenewalFailedError):
        return kind("what went wrong", reason="VendorBusyError", retry_in=3.0)
    if issubclass(kind, TokenUnavailableError):
        return kind("what went wrong", retry_in=3.0)
    if issubclass(kind, VendorBusyError | VendorFailedError):
        return kind("what went wrong", retry_after=5.0)
    return kind("what went wrong")


KINDS = sorted(set(all_kinds()), key=lambda kind: kind.__name__)


def assert_alike(one: AuthError, other: AuthError) -> None:
    assert type(one) is type(other)
    assert one is not other
    assert (str(one), one.args, vars(one)) == (str(other), other.args, vars(other))


def test_the_tree_is_whole() -> None:
    assert len(KINDS) >= 25


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_comes_out_of_a_pickle_as_it_went_in(kind: type[AuthError], protocol: int) -> None:
    error = an_error(kind)
    assert_alike(pickle.loads(pickle.dumps(error, protocol)), error)  # noqa: S301 - our own


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_is_raised_again_on_the_other_side_of_a_process_pool(kind: type[AuthError]) -> None:
    with pytest.raises(kind) as raised:
        raise an_error(kind)
    sent = pickle.dumps(_ExceptionWithTraceback(raised.value, raised.tb))
    arrived = pickle.loads(sent)  # noqa: S301 - our own
    with pytest.raises(kind) as caught:
        raise arrived
    assert str(caught.value) == str(an_error(kind))
    assert caught.value.args == an_error(kind).args


@pytest.mark.parametrize("kind", KINDS)
def test_a_twin_says_and_knows_the_same_without_the_traceback(kind: type[AuthError]) -> None:
    try:
        raise an_error(kind)
    except AuthError as error:
        twin = error.again()
        assert_alike(twin, error)
        assert twin.__traceback__ is None


def test_a_timeout_keeps_its_text_though_it_is_an_oserror_as_well() -> None:
    error = WaitTimeoutError("another holds the lease", retry_in=2.0)
    assert str(error.again()) == "another holds the lease"
    assert isinstance(error.again(), TimeoutError)
