"""Automatic checkpoints: the options that make a C compiler put one on every edge of a source.

pygostop_auto.h says what they become, docs/auto-checkpoints.md what they are safe for.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
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
_TELLS_IN = 20.0  # seconds in which a compiler says which one it is


def _is_clang(compiler: Sequence[str]) -> bool:
    command = [*compiler, "-dM", "-E", "-x", "c", "/dev/null"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, timeout=_TELLS_IN, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise CompileError(f"the C compiler {compiler[0]} does not say which one it is: {error}") from None
    return "#define __clang__ " in told.stdout


def _wrapper() -> str:
    """What gcc is to start its assembler through: see _auto_as.py."""
    words = [sys.executable or "python3", "-IS", str(Path(__file__).with_name("_auto_as.py"))]
    for word in words:
        if "," in word:
            raise CompileError(f"gcc cannot make automatic checkpoints with a comma in the path {word!r}")
    return ",".join(words)


def auto_flags(compiler: Sequence[str], include: str) -> list[str]:
    """The options for compiling and linking sources with automatic checkpoints.

    ``compiler`` is the words that start it, ``include`` the directory of pygostop.h. CompileError where it is
    neither gcc nor clang, or cannot be run.
    """
    if _is_clang(compiler):
        # All blocks: it leaves out those that others imply, and with them loops that have no end.
        how = ["-fsanitize-coverage=trace-pc,bb,no-prune"]
    else:
        how = ["-fsanitize-coverage=trace-pc", "-wrapper", _wrapper()]
    header = ["-I", include, "-include", str(Path(include, "pygostop_auto.h"))]
    return [*how, *header, *(f"-Wl,--wrap={name}" for name in ALLOCATOR)]
