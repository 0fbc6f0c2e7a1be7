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
    """The address in a cffi function pointer or ``void *``, whichever FFI it is of."""
    ffi = importlib.import_module("_cffi_backend").FFI()
    try:
        kind = ffi.typeof(pointer)
    except TypeError:
        kind = pointer  # an FFI, a type, a library
    else:
        if kind.kind == "function" or kind.kind == "pointer" and kind.item.kind == "void":
            return int(ffi.cast("uintptr_t", pointer))
    raise TypeError(f"CTask() takes a cffi pointer to a function or a void *, not {kind!r}")
