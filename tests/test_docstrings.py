"""The examples in docstrings are run: nothing is shown that does not work."""

import doctest
import importlib
import pkgutil

import pytest

import asyncauth
from asyncauth import schemes

CORE = [f"asyncauth.{found.name}" for found in pkgutil.iter_modules(asyncauth.__path__) if not found.ispkg]
SCHEMES = [f"asyncauth.schemes.{found.name}" for found in pkgutil.iter_modules(schemes.__path__)]
GUIDES = [name for name in SCHEMES if not name.startswith("asyncauth.schemes._")]


@pytest.mark.parametrize("name", [*CORE, *SCHEMES])
def test_examples_in_docstrings_hold(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.FAIL_FAST)
    assert results.failed == 0


@pytest.mark.parametrize("name", GUIDES)
def test_every_guide_has_examples(name: str) -> None:
    module = importlib.import_module(name)
    assert doctest.script_from_examples(module.__doc__ or "").count("# Expected:") >= 3
