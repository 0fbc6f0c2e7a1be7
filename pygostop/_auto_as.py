"""Puts the checkpoints into loops that gcc leaves out: those that do nothing at all, ``for (;;);``.

gcc runs each of its programs through this one (``-wrapper``). Where it is the assembler's turn, a
jump that can only come back to itself gets its call to the checkpoint; all else is started as it is.
Such a loop has nothing that the call could spoil, but the stack has to be aligned.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import NamedTuple

_LABEL = re.compile(r"([.\w$]+):")
_NOTHING = re.compile(r"\s*(?:\.(?:loc|p2align|align|cfi_\w+)\b.*|nop|endbr64|#.*|)$")
_JUMP = re.compile(r"\s*(jmp|b)\s+(\.L\w+)$")

_CALL_ATT = "\tandq\t$-16, %rsp\n\tcall\t__sanitizer_cov_trace_pc"
_CALL_INTEL = "\tand\trsp, -16\n\tcall\t__sanitizer_cov_trace_pc"
_CALL_ARM = "\tbl\t__sanitizer_cov_trace_pc"


class _Empty(NamedTuple):
    """A block of code that is nothing but a jump."""

    line: int
    labels: frozenset[str]
    jump: str
    target: str


def _empty_blocks(lines: list[str]) -> list[_Empty]:
    found = []
    here: set[str] = set()  # labels of this very place
    for number, line in enumerate(lines):
        label, jump = _LABEL.match(line), _JUMP.match(line)
        if label:
            here.add(label[1])
        elif jump and here:
            found.append(_Empty(number, frozenset(here), jump[1], jump[2]))
            here.clear()
        elif not _NOTHING.match(line):
            here.clear()
    return found


def mend(text: str) -> str:
    """The assembler's text, with a checkpoint in each loop of empty blocks."""
    lines = text.split("\n")
    blocks = _empty_blocks(lines)
    block_at = {label: block for block in blocks for label in block.labels}
    for block in blocks:
        seen = {block.line}
        at = block_at.get(block.target)
        while at and at.line not in seen:
            seen.add(at.line)
            at = block_at.get(at.target)
        if at and at.line == block.line:
            call = (
                _CALL_ARM
                if block.jump == "b"
                else _CALL_INTEL
                if ".intel_syntax" in text
                else _CALL_ATT
            )
            lines[block.line] = f"{call}\n{lines[block.line]}"
    return "\n".join(lines)


def main(command: list[str]) -> int:
    if os.path.basename(command[0]).split("-")[-1] != "as":
        os.execvp(command[0], command)
    files = [word for word in command[1:] if word.endswith(".s")]
    # surrogateescape: a string of the source may be no UTF-8.
    if files:
        with open(files[-1], encoding="utf-8", errors="surrogateescape", newline="") as file:
            text = file.read()
    else:
        text = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
    words = [word for word in command if word not in ("-", *files[-1:])]
    mended = mend(text).encode("utf-8", "surrogateescape")
    return subprocess.run([*words, "-"], input=mended).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
