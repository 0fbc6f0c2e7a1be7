"""The command line: ``python -m pygostop``."""

from __future__ import annotations

import argparse
import math
import os
import sys

import pygostop as gs


def _jobs(text: str) -> int:
    jobs = int(text)
    if not 1 <= jobs <= 1000:
        raise argparse.ArgumentTypeError(f"must be from 1 to 1000, not {jobs}")
    return jobs


def _seconds(text: str) -> float:
    seconds = float(text)
    if math.isnan(seconds) or seconds < 0:
        raise argparse.ArgumentTypeError(f"must be a number of seconds, 0 or more, not {text}")
    return seconds


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pygostop", description="C tasks that a Python program starts and stops."
    )
    parser.add_argument(
        "--include", action="store_true", help="print the directory of pygostop.h, for a compiler's -I"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    digest = commands.add_parser(
        "digest",
        help="print the CRC-32 of every file under a directory",
        description="Prints the CRC-32 of every regular file under DIR, a line a file as it comes. "
        "Symbolic links are not followed.",
        epilog="Exit status: 0; 1 some could not be read, which are named on stderr; 2 DIR is no "
        "directory that can be read; 124 timed out; 130 interrupted; 141 nobody reads the output.",
    )
    digest.add_argument("dir", metavar="DIR")
    digest.add_argument(
        "--jobs", metavar="N", type=_jobs, default=len(os.sched_getaffinity(0)) if hasattr(
            os, "sched_getaffinity") else os.cpu_count() or 1,
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
