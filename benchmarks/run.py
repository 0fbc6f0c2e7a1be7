"""The benchmark: every row of all suites, one table.

python benchmarks/run.py [--quick] [--json FILE] [--chart FILE.svg] [--rows ROW ...] [--suites SUITE ...]

Builds and installs what it measures and what it compares with under build/, runs all of them in turn, and
prints the medians with their spread, pygostop's in parts of each other's, and whether the target is reached.
Where a side cannot run, the line below the table says why. The exit status is 1 where a row of pygostop
could not run.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import time

from chart import chart
from common import BUSY, OURS, CannotRun, Result, Suite, load, machine, say_progress
from suite_core import CoreSuite
from suite_programs import ProgramsSuite
from suite_python import PythonSuite
from table import HEAD, cells, print_reasons, print_table

SUITES: tuple[type[Suite], ...] = (CoreSuite, PythonSuite, ProgramsSuite)


def chosen(suite: type[Suite], names: list[str]) -> list:
    return [row for row in suite.rows
            if not names or row.name in names or f"{suite.name}:{row.name}" in names]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true",
                        help="less work and fewer rounds: two minutes, a first look")
    parser.add_argument("--json", metavar="FILE", type=pathlib.Path, help="write every sample there")
    parser.add_argument("--chart", metavar="FILE.svg", type=pathlib.Path, help="draw the ratios there")
    parser.add_argument("--suites", metavar="SUITE", nargs="+", choices=[suite.name for suite in SUITES],
                        help="only these: " + ", ".join(suite.name for suite in SUITES))
    parser.add_argument("--rows", metavar="ROW", nargs="+", default=[],
                        help="only these, by name, or as SUITE:NAME: " + ", ".join(
                            f"{suite.name}:{name}" for suite in SUITES
                            for name in dict.fromkeys(row.name for row in suite.rows)))
    options = parser.parse_args()
    known = {name for suite in SUITES for row in suite.rows for name in (row.name, f"{suite.name}:{row.name}")}
    if unknown := sorted(set(options.rows) - known):
        parser.error(f"there is no row {', '.join(unknown)}")
    for file in (options.json, options.chart):
        if file and not file.absolute().parent.is_dir():
            parser.error(f"{file.parent} is no directory to write {file.name} to")
    return options


def measure(suite: Suite, rows: list) -> list[Result]:
    results: list[Result] = []
    for group in suite.groups(rows):
        say_progress(f"{suite.name}: {group[0].title} ({len(results) + 1} of {len(rows)})")
        try:
            results += suite.measure(group)
        except (CannotRun, OSError) as reason:  # nobody's program: the machine's
            results += [Result(suite.name, row, {}, {OURS: str(reason)}) for row in group]
    return results


def main() -> int:
    options = parse()
    begun = time.monotonic()
    here = machine()
    suites = [(suite(options.quick), rows) for suite in SUITES
              if (not options.suites or suite.name in options.suites) and (rows := chosen(suite, options.rows))]
    versions: dict[str, str] = {}
    results: list[Result] = []
    for suite, _ in suites:
        suite.prepare()
        versions |= suite.versions()
    built = time.monotonic()
    for suite, rows in suites:
        results += measure(suite, rows)
    say_progress("")
    here |= {"versions": versions, "load_at_end": load(), "seconds": round(time.monotonic() - built)}

    print(f"{here['processor']}, {here['cores']} cores, Linux {here['kernel']}, {here['libc']}, "
          f"{here['compiler']}, Python {here['python']}; "
          + ", ".join(f"{name} {version}" for name, version in versions.items()))
    print_table([HEAD, *map(cells, results)])
    for result in results:
        if result.row.note:
            print(f"{result.name}: {result.row.note}")
    print_reasons(results)
    if here["load"] > BUSY:
        print(f"something else kept this machine busy (load {here['load']}): the figures are rough")
    print(f"{built - begun:.0f} s to build and install, {here['seconds']} s to measure")
    found = {"machine": here, "quick": options.quick, "rows": [result.to_json() for result in results]}
    if options.json:
        options.json.write_text(to_text(found), encoding="utf-8")
    if options.chart:
        options.chart.write_text(chart(results), encoding="utf-8")
    return 1 if any(OURS in result.reasons for result in results) else 0


def to_text(found: dict) -> str:
    """JSON with a row of samples on a line, for those who compare two files."""
    lines = ["{", f'"machine": {json.dumps(found["machine"], ensure_ascii=False)},',
             f'"quick": {json.dumps(found["quick"])},', '"rows": [']
    for i, row in enumerate(found["rows"]):
        samples = ",\n    ".join(f"{json.dumps(side)}: {json.dumps(values)}"
                                 for side, values in row["samples"].items())
        rest = json.dumps({key: value for key, value in row.items() if key != "samples"}, ensure_ascii=False)
        lines.append(f'  {rest[:-1]}, "samples": {{\n    {samples}}}}}' + "," * (i + 1 < len(found["rows"])))
    return "\n".join([*lines, "]}"]) + "\n"


if __name__ == "__main__":
    sys.exit(main())
