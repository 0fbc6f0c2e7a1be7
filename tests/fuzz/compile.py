"""Fuzz target: what ``compile`` is given, and what automatic checkpoints make of an assembler's text.

What is checked: only the documented exceptions come; the source goes into the workspace, whatever its
name; each loop of nothing has a checkpoint, and nothing else has changed.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pygostop as gs
from fuzz.inputs import Input, value
from pygostop import _auto, _auto_as, _compile
from pygostop._compiler import Compiler

_place = tempfile.mkdtemp(prefix="pygostop-fuzz-")

# ---- loops ----

_LINES = ("\tnop", "\t.loc 1 2 3", "\t.p2align 4", "", "\t# words", "\tendbr64", "\tret", "\tje\t.L1")


def _assembly(source: Input) -> str:
    """Each label once, as an assembler wants it."""
    lines = []
    unused = list(range(8))
    for _ in range(source.below(24)):
        what = source.below(5)
        if what == 0 and unused:
            lines.append(f".L{unused.pop(source.below(len(unused)))}:")
        elif what <= 2:
            lines.append(f"\t{('jmp', 'b')[source.below(8) == 0]}\t.L{source.below(8)}")
        elif what == 3:
            lines.append(_LINES[source.below(len(_LINES))])
        else:
            lines.append("\t" + source.text(8).replace("\n", " ") + " ret")
    return "\n".join(lines)


def _loops_for_nothing(lines: list[str], at: int) -> bool:
    """Whether who comes to the line goes round for ever without doing anything."""
    places = {line[:-1]: place for place, line in enumerate(lines) if line.endswith(":")}
    seen = set()
    while at < len(lines) and at not in seen:
        seen.add(at)
        words = lines[at].split()
        if words[:1] in (["jmp"], ["b"]):
            if len(words) != 2 or words[1] not in places:
                return False
            at = places[words[1]]
        elif not words or lines[at] in _LINES[:6] or lines[at].endswith(":"):
            at += 1
        else:
            return False
    return at < len(lines)


def mend(source: Input) -> None:
    text = _assembly(source)
    lines = _auto_as.mend(text).split("\n")
    calls = (_auto_as._CALL_ATT, _auto_as._CALL_INTEL, _auto_as._CALL_ARM)
    added = {line for call in calls for line in call.split("\n")}
    assert [line for line in lines if line not in added] == text.split("\n")
    for at, line in enumerate(lines):
        if line.endswith(":"):
            assert not _loops_for_nothing(lines, at), (text, line)


def flags(source: Input) -> None:
    macros = source.text() + ("#define __clang__ 1", "#define __GNUC__ 12", "")[source.below(3)]
    try:
        words = _auto.auto_flags(macros, source.text(8))
    except gs.CompileError:
        return
    assert all(isinstance(word, str) for word in words)


# ---- what it is given ----


def _words(source: Input) -> Any:
    return [source.text(8) for _ in range(source.below(4))] if source.below(4) else value(source)


def request(source: Input) -> None:
    text = source.text() if source.below(4) else value(source)
    name = source.text(64) if source.below(4) else value(source)
    timeout = value(source) if source.below(2) else None
    try:
        asked = _compile._check(text, name, _words(source), _words(source), timeout)
    except (TypeError, ValueError, OverflowError, OSError):
        return
    except (ZeroDivisionError, NotImplementedError):  # what the value itself raised
        return
    assert asked.timeout is None or 0 <= asked.timeout < math.inf
    workspace = os.path.join(_place, "workspace")
    shutil.rmtree(workspace, ignore_errors=True)
    os.mkdir(workspace)
    build = _compile.Build(asked, Compiler([sys.executable]), workspace)
    assert os.path.dirname(build.file) == os.path.join(workspace, "source")
    with open(build.file, "rb") as file:
        assert file.read().endswith(asked.text)
    for word in build._command(*build.language, *build.linking):
        assert "\0" not in word and os.fsencode(word)


_WHAT = (mend, flags, request)


def one(data: bytes) -> None:
    source = Input(data)
    _WHAT[source.below(len(_WHAT))](source)


@contextlib.contextmanager
def broken() -> Iterator[None]:
    """A loop that goes through two blocks gets no checkpoint."""
    whole = _auto_as._empty_blocks
    _auto_as._empty_blocks = lambda lines: [b for b in whole(lines) if b.target in b.labels]
    try:
        yield
    finally:
        _auto_as._empty_blocks = whole
