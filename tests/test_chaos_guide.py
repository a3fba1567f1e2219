"""The chaos kit's guide is run: nothing is shown that does not work."""

import doctest
import inspect
from types import ModuleType

import pytest

from asyncauth import testing
from asyncauth.testing import _kill_points, _proxy


@pytest.mark.parametrize("module", [testing, _proxy, _kill_points], ids=lambda module: module.__name__)
def test_the_examples_hold(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    monkeypatch.delenv("ASYNCAUTH_KILL_POINT", raising=False)
    results = doctest.testmod(module, optionflags=doctest.FAIL_FAST)

    assert results.attempted >= 3
    assert results.failed == 0


def test_every_public_class_and_function_of_the_kit_is_documented() -> None:
    things = [getattr(testing, name) for name in testing.__all__]

    assert testing.__all__ == sorted(testing.__all__, key=lambda name: (not name.isupper(), name))
    assert [
        t for t in things if (inspect.isclass(t) or inspect.isfunction(t)) and not inspect.getdoc(t)
    ] == []
