"""``compile``: C source to a ``Library``, by the system's C compiler, or from the cache.

The name of a library in the cache is a digest of all that it was made from: what the preprocessor
made of the source, so with the contents of every header and the compiler's own macros, the command
that compiles, the compiler, the files that the command names, and the environment as far as
compilers heed it. So the preprocessor runs at each call, and the compiler only where the cache has
nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
import re
import signal
import sys
import time
from collections.abc import Iterable
from typing import Literal, NamedTuple

import pygostop
from pygostop import _cache, _core
from pygostop._auto import auto_flags
from pygostop._compiler import Compiler, find_compiler, run, stamp
from pygostop._errors import CompileError
from pygostop._native import Library, make_tasks, open_library, read_file

log = logging.getLogger("pygostop.compile")

_FLAGS = ["-O2", "-g", "-fPIC", "-fvisibility=hidden"]
# On macOS the linker does both by itself.
_ELF = sys.platform != "darwin"
_OWN_NAMES_FIRST = ["-Wl,-Bsymbolic"] if _ELF else []  # so that a task may be called `sleep`
_NO_UNDEFINED = ["-Wl,-z,defs"] if _ELF else []  # so that the linker names the line, not the loader
# Variables of the environment that compilers heed behind the preprocessor.
_HEEDED = (
    *("COMPILER_PATH", "GCC_EXEC_PREFIX", "LIBRARY_PATH", "LD_RUN_PATH", "CCC_OVERRIDE_OPTIONS"),
    *("SOURCE_DATE_EPOCH", "SDKROOT", "MACOSX_DEPLOYMENT_TARGET"),
)


# ---- what is asked for ----


class Request(NamedTuple):
    """The arguments of ``compile``, checked."""

    text: bytes
    name: str
    """What the source is called in messages and debuggers."""
    directory: str
    """Where #include "..." looks first."""
    flags: list[str]
    libraries: list[str]
    timeout: float | None
    """Seconds; None: no limit."""


def _words(values: Iterable[str], what: str) -> list[str]:
    if isinstance(values, (str, bytes)):
        raise TypeError(f"compile() {what} must be several str, as in {what}=[{values!r}], not one")
    words = list(values)
    for word in words:
        if not isinstance(word, str):
            raise TypeError(f"compile() {what} must be str, not {type(word).__name__}")
        if not word or "\0" in word:
            raise ValueError(f"compile() {what} must be words without NUL, not {word!r}")
    return words


def _seconds(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"compile() timeout must be seconds or None, not {type(timeout).__name__}")
    if not timeout >= 0:
        raise ValueError(f"compile() timeout must be 0 or more, not {timeout}")
    return None if timeout == math.inf else timeout


def _check(
    source: str | os.PathLike[str],
    name: str | None,
    flags: Iterable[str],
    libraries: Iterable[str],
    timeout: float | None,
) -> Request:
    if name is not None and not isinstance(name, str):
        raise TypeError(f"compile() name must be a str or None, not {type(name).__name__}")
    if name is not None and (not name or re.search(r"[\0\n\r]", name)):
        raise ValueError(f"compile() name must be one line, not {name!r}")
    flags, libraries = _words(flags, "flags"), _words(libraries, "libraries")
    timeout = _seconds(timeout)
    for library in libraries:
        if library.startswith("-"):
            raise ValueError(
                f"compile() libraries must be names, such as 'm' for -lm, not {library!r}"
            )
    if isinstance(source, str):
        if "\n" not in source and source.endswith(".c"):
            raise ValueError(
                f"compile() takes C text; for a file give it a path: pathlib.Path({source!r})"
            )
        return Request(source.encode(), name or "<source>", os.getcwd(), flags, libraries, timeout)
    if not isinstance(source, os.PathLike):
        raise TypeError(
            f"compile() source must be a str of C or a path object, not {type(source).__name__}"
        )
    path = os.fsdecode(source)
    text, _ = read_file(path)
    directory = os.path.dirname(os.path.abspath(path))
    return Request(text, name or path, directory, flags, libraries, timeout)


# ---- the compiler ----


class Build:
    """The source, in a workspace, and what the compiler makes of it."""

    def __init__(self, request: Request, compiler: Compiler, workspace: str) -> None:
        self.request = request
        self.compiler = compiler
        self.workspace = workspace
        self.deadline = math.inf if request.timeout is None else time.monotonic() + request.timeout
        # Under its own name, where that is one for a file: the linker says no more than that.
        base = os.path.basename(request.name)
        plain = re.fullmatch(r'[^"\\]{1,60}', base) and base not in (".", "..")
        self.file = os.path.join(workspace, "source", base if plain else "source.c")
        self.library = os.path.join(workspace, "library.so")
        self.language = [
            *_FLAGS,
            *("-I", pygostop.get_include()),
            *("-x", "c", self.file, "-x", "none"),
            *request.flags,
        ]
        # A sanitizer's functions are the program's.
        sanitized = any(flag.startswith("-fsanitize=") for flag in request.flags)
        self.linking = [
            "-shared",
            *_OWN_NAMES_FIRST,
            *([] if sanitized else _NO_UNDEFINED),
            *(f"-l{library}" for library in request.libraries),
        ]
        os.mkdir(os.path.dirname(self.file))
        with open(self.file, "wb") as file:
            if "=" in request.name:  # the map below cannot have that; gcc may show no lines then
                quoted = request.name.replace("\\", "\\\\").replace('"', '\\"')
                file.write(os.fsencode(f'#line 1 "{quoted}"\n'))
            file.write(request.text)

    def _command(self, *words: str) -> list[str]:
        place = f"-ffile-prefix-map={self.file}={self.request.name}"
        return [*self.compiler.words, place, "-iquote", self.request.directory, *words]

    def _run(self, command: list[str]) -> tuple[bytes, str]:
        """What it wrote and what it said. CompileError where it did not end well."""
        left = None if self.deadline == math.inf else max(0.0, self.deadline - time.monotonic())
        try:
            status, output, said = run(command, self.workspace, left)
        except OSError as error:
            raise CompileError(
                f"the C compiler cannot be run: {error}", "", tuple(command)
            ) from None
        said = said.replace(self.file, self.request.name)
        said = said.replace(os.path.join(os.getcwd(), self.request.name), self.request.name)
        if status == 0:
            return output, said
        name = self.compiler.words[0]
        if status is None:
            limit = f"{self.request.timeout:g} seconds"
            why = f"the C compiler {name} did not end within {limit} and was stopped: "
            why += "give compile() a timeout=\n"
        elif status < 0:
            ended_by = next(
                (known.name for known in signal.Signals if known == -status), f"signal {-status}"
            )
            why = f"the C compiler {name} was ended by {ended_by}\n"
        elif said.strip():
            why = ""
        else:
            why = f"the C compiler {name} failed with status {status} and said nothing"
        raise CompileError((why + said).strip(), said, tuple(command))

    def instrument(self) -> None:
        """Has the compiler put a checkpoint on every edge of the source."""
        macros, _ = self._run([*self.compiler.words, "-dM", "-E", "-x", "c", os.devnull])
        flags = auto_flags(macros.decode(errors="replace"), pygostop.get_include())
        if "-wrapper" in flags:  # for the assembler; the preprocessor is quicker without
            at = flags.index("-wrapper")
            self.linking += flags[at : at + 2]
            del flags[at : at + 2]
        self.language[:0] = flags
        # Whatever the flags say: the assembler's part would come too early.
        self.linking.append("-fno-lto")

    def preprocess(self) -> bytes:
        """What the compiler will see, and all macros, which tell the compiler and the machine too.

        Without -g the current directory is not in it.
        """
        output, _ = self._run(self._command(*self.language, "-E", "-dD", "-w", "-g0"))
        return output.replace(os.fsencode(self.file), b"")

    def compile(self) -> str:
        """The path of the shared library."""
        command = self._command(*self.language, *self.linking, "-o", self.library)
        _, said = self._run(command)
        if not os.path.isfile(self.library):
            name = self.compiler.words[0]
            raise CompileError(f"the C compiler {name} wrote no library", said, tuple(command))
        if said.strip():
            log.warning("%s", said.strip())
        return self.library

    def files(self) -> list[tuple[str, int, int, int]]:
        """The files that flags and libraries name; the system's aside."""
        request = self.request
        named = []
        for word in (*self.language, *self.linking):
            for name in re.split("[,=]", word):  # -Wl,--version-script=exports.map
                named += [name, name.removeprefix("@"), name[2:]]  # also @options and -Tscript.ld
        places = [flag[2:] for flag in request.flags if flag.startswith("-L")]
        places += filter(None, os.environ.get("LIBRARY_PATH", "").split(os.pathsep))
        named += [
            os.path.join(place, file)
            for place in places
            for library in request.libraries
            for file in (f"lib{library}.so", f"lib{library}.a", library.removeprefix(":"))
        ]
        found = []
        for file in dict.fromkeys(named):
            if file and file != self.file and os.path.isfile(file):
                with contextlib.suppress(OSError):  # it has gone since
                    found.append(stamp(file))
        return found

    def key(self) -> str:
        """Names what comes of it, in the cache."""
        words = [word for word in (*self.language, *self.linking) if word != self.file]
        told = repr(
            (
                *(self.request.name, words, self.files()),
                *(self.compiler.words, self.compiler.identity, os.uname().machine),
                [os.environ.get(name) for name in _HEEDED],
            )
        )
        digest = hashlib.blake2b(told.encode("utf-8", "surrogateescape"), digest_size=32)
        digest.update(self.preprocess())
        return digest.hexdigest()


def compile(
    source: str | os.PathLike[str],
    *,
    name: str | None = None,
    flags: Iterable[str] = (),
    libraries: Iterable[str] = (),
    checkpoints: Literal["auto"] | None = None,
    timeout: float | None = 60.0,
) -> Library:
    """Compile C tasks with the system's C compiler, and load them.

    ``source`` is C text, or the path object of a file of it; it includes ``<pygostop.h>`` and lists
    its tasks with GS_EXPORT. ``name`` is what the compiler's messages and debuggers call it, by
    default the path or ``<source>``. ``flags`` are words for the compiler, behind ``-O2 -g``;
    ``libraries`` are names, ``"m"`` for ``-lm``. Files that it includes are looked for beside the
    file, or in the current directory.

    With ``checkpoints="auto"`` every edge of the source is a checkpoint: C that was never written
    to be stopped stops wherever it is, for good, and what it had allocated is freed.
    docs/auto-checkpoints.md says what is safe.

    The compiler is the environment's CC, else cc, gcc or clang. What it made is kept by its
    contents, in PYGOSTOP_CACHE or else pygostop in XDG_CACHE_HOME or ~/.cache, and found again
    while nothing that it was made from has changed; the directory may be emptied at any time.
    Warnings go to the logger "pygostop.compile".

    CompileError, with the compiler's words and the lines of the source, where it refuses, crashes,
    is not there or does not end within ``timeout`` seconds (None: no limit). OSError where the file
    cannot be read; Error where the library cannot be loaded, lacks GS_EXPORT, or the cache is one
    that others could write to.

    From any thread or task. A checkpoint: a cancel or Ctrl-C stops the compiler. A task that calls
    it parks.
    """
    request = _check(source, name, flags, libraries, timeout)
    if checkpoints not in (None, "auto"):
        raise ValueError(f"compile() checkpoints must be None or 'auto', not {checkpoints!r}")
    _core.checkpoint()
    compiler = find_compiler()
    cache = _cache.directory()
    with _cache.workspace(cache) as workspace:
        build = Build(request, compiler, workspace)
        if checkpoints:
            build.instrument()
        stem = re.sub(r"\W+", "_", os.path.basename(request.name), flags=re.ASCII).strip("_")[:40]
        path = os.path.join(cache, f"{stem}-{build.key()}.so")
        if not _cache.find(path):
            _cache.store(path, build.compile())
    return Library(path, make_tasks(open_library(path, request.name), request.name))


compile.__module__ = "pygostop"
