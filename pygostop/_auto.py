"""Automatic checkpoints: the options that make a C compiler put one on every edge of a source.

pygostop_auto.h says what they become, docs/auto-checkpoints.md what they are safe for.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pygostop._errors import CompileError

# Each has its __wrap_ function in pygostop_auto.h.
ALLOCATOR = (
    *("malloc", "calloc", "realloc", "reallocarray", "free"),
    *("posix_memalign", "aligned_alloc", "memalign", "valloc"),
    *("strdup", "strndup", "wcsdup", "realpath", "getcwd"),
    *("asprintf", "vasprintf", "__asprintf_chk", "__vasprintf_chk"),
    *("getline", "getdelim", "__getdelim"),
)


def _wrapper() -> str:
    """What gcc is to start its assembler through: see _auto_as.py."""
    words = [sys.executable or "python3", "-IS", str(Path(__file__).with_name("_auto_as.py"))]
    for word in words:
        if "," in word:
            raise CompileError(
                f"gcc cannot make automatic checkpoints with a comma in the path {word!r}"
            )
    return ",".join(words)


def auto_flags(macros: str, include: str) -> list[str]:
    """The options for compiling and linking sources with automatic checkpoints.

    ``macros`` is what the compiler, gcc or clang, defines by itself (``-dM -E``), ``include`` the
    directory of pygostop.h. CompileError where there is no way for that compiler.
    """
    if "#define __clang__ " in macros:
        # All blocks: it leaves out those that others imply, and with them loops that have no end.
        how = ["-fsanitize-coverage=trace-pc,bb,no-prune"]
    elif "#define __GNUC__ " in macros:
        how = ["-fsanitize-coverage=trace-pc", "-wrapper", _wrapper()]
    else:
        raise CompileError(
            "automatic checkpoints need gcc or clang, and this C compiler is neither"
        )
    header = ["-I", include, "-include", str(Path(include, "pygostop_auto.h"))]
    return [*how, *header, *(f"-Wl,--wrap={name}" for name in ALLOCATOR)]
