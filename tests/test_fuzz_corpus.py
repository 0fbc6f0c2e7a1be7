"""The corpora of the fuzz targets in Python, replayed: as they are nothing is found, and where the target
breaks what it checks, something is. The target of the C API is replayed by CTest."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import pytest

from support import HERE

TARGETS = ("convert", "load", "compile")


def _target(name: str) -> Any:
    pytest.importorskip("numpy")
    return importlib.import_module(f"fuzz.{name}")


def _replay(target: Any, name: str) -> int:
    inputs = sorted((HERE / "fuzz" / "corpus" / name).iterdir())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, of what it is given
        for path in inputs:
            target.one(path.read_bytes())
    return len(inputs)


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_found_in_the_corpus_of(name: str) -> None:
    assert _replay(_target(name), name) > 0


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_notices_the_broken_variant_of(name: str) -> None:
    target = _target(name)
    with target.broken(), pytest.raises(AssertionError):
        _replay(target, name)
