"""Sources of keys that hold a secret: they go to processes that are being started, and nowhere else."""

import copy
import multiprocessing
import pickle
from pathlib import Path

import pytest

from asyncauth_stores.sealed import KeyFile, KeyRing, KeySource, OSKeyring, Passphrase, WrappedKeyFile
from key_travel import WORDS, child, unwrapped, wrapped

_GUARDED = [
    pytest.param(KeyRing.generate(), id="KeyRing"),
    pytest.param(Passphrase(WORDS, salt="our-service"), id="Passphrase"),
    pytest.param(WrappedKeyFile(Path("wrapped"), unwrapped), id="WrappedKeyFile"),
]


@pytest.mark.parametrize("source", _GUARDED)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_what_may_hold_a_secret_is_not_pickled(source: object, protocol: int) -> None:
    with pytest.raises(TypeError, match=f"a {type(source).__name__} may hold secrets, and is pickled only"):
        pickle.dumps(source, protocol)


@pytest.mark.parametrize("source", _GUARDED)
def test_its_copy_is_itself(source: object) -> None:
    assert copy.copy(source) is source
    assert copy.deepcopy(source) is source


@pytest.mark.parametrize("source", [KeyFile("key", create=True), OSKeyring("service", "name")])
def test_what_only_names_a_place_is_pickled(source: KeySource) -> None:
    assert pickle.loads(pickle.dumps(source)) == source  # noqa: S301 - our own


async def test_a_wrapped_ring_that_was_opened_is_not_pickled_either(tmp_path: Path) -> None:
    source = WrappedKeyFile(wrapped(tmp_path), unwrapped)
    await source.load()
    with pytest.raises(TypeError, match="WrappedKeyFile may hold secrets"):
        pickle.dumps(source)


@pytest.mark.processes
def test_they_go_to_a_process_that_is_being_started(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    sources = Passphrase(WORDS, salt="our-service"), WrappedKeyFile(wrapped(tmp_path), unwrapped)
    process = context.Process(target=child, args=(there, sources))
    process.start()
    try:
        assert here.poll(30)
        assert here.recv() == [True, True]
    finally:
        process.join(10)
        process.kill()
