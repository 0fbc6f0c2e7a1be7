"""The command line: ``python -m pygostop``."""

from __future__ import annotations

import argparse
import math
import os
import pathlib
import sys

import pygostop as gs

_JOBS_MOST = 1000


def _jobs(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _JOBS_MOST:
        raise argparse.ArgumentTypeError(f"must be an int from 1 to {_JOBS_MOST}, not {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(f"must be a number of seconds, 0 or more, not {text!r}")
    return seconds


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pygostop", description="C tasks that a Python program starts and stops."
    )
    parser.add_argument(
        "--include", action="store_true", help="print the directory of pygostop.h, for a compiler's -I"
    )
    parser.add_argument(
        "--cmakedir",
        action="store_true",
        help="print the directory of the CMake package, for cmake -Dpygostop_DIR=",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    digest = commands.add_parser(
        "digest",
        help="print the CRC-32 of every file under a directory",
        description="Prints the CRC-32 of every regular file under DIR, a line a file as it comes. "
        "Symbolic links are not followed.",
        epilog="Exit status: 0; 1 some could not be read, which are named on stderr; 2 DIR is no "
        "directory that can be read, or the output could not be written; 124 timed out; "
        "130 interrupted; 141 nobody reads the output.",
    )
    digest.add_argument("dir", metavar="DIR")
    digest.add_argument(
        "--jobs",
        metavar="N",
        type=_jobs,
        default=min(_cores(), _JOBS_MOST),
        help="files to read at a time (default: as many as cores, %(default)s)",
    )
    digest.add_argument("--timeout", metavar="S", type=_seconds, help="seconds after which to stop")
    digest.add_argument(
        "--strict", action="store_true", help="stop at the first that cannot be read, with status 1"
    )
    commands.add_parser("demo", help="show how tasks are stopped, in five small programs")
    return parser


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.include:
        print(gs.get_include())
    if options.cmakedir:
        print(pathlib.Path(gs.get_include()).parents[1] / "_pygostop_cmake")
    if options.include or options.cmakedir:
        return 0
    if options.command == "digest":
        from pygostop.digest import digest

        return digest(options.dir, jobs=options.jobs, timeout=options.timeout, strict=options.strict)
    if options.command == "demo":
        from pygostop.demo import demo

        return demo()
    parser.print_help(sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
