"""What reads best in Python of tasks: their signatures, addresses from cffi."""

from __future__ import annotations

import importlib
import inspect
from typing import Any


def make_signature(params: list[tuple[str, str, bool]]) -> inspect.Signature:
    """The signature of a CTask; a parameter is its name, its annotation, whether it is optional."""
    return inspect.Signature(
        [
            inspect.Parameter(
                name,
                inspect.Parameter.POSITIONAL_ONLY,
                annotation=annotation,
                default=None if optional else inspect.Parameter.empty,
            )
            for name, annotation, optional in params
        ]
    )


def cffi_address(pointer: Any) -> int:
    """The address in a cffi pointer, whichever FFI it is of."""
    cffi = importlib.import_module("_cffi_backend")
    return int(cffi.FFI().cast("uintptr_t", pointer))
