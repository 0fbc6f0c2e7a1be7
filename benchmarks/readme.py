"""Writes the README's "How fast" from a run's JSON: the table between its two markers, and the chart.

    python benchmarks/run.py --json benchmarks/results.json
    python benchmarks/readme.py benchmarks/results.json
"""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import textwrap
from typing import Any

import table
from chart import chart
from common import BUSY, OURS, ROOT, Result

README = ROOT / "README.md"
CHART = ROOT / "docs" / "speed.svg"
BEGIN, END = "<!-- benchmarks/readme.py writes from here -->", "<!-- to here -->"
HEAD = ("work", "workers", "pygostop", "the other", "ratio", "target")
WIDTH = 110  # of the README's lines
MARKS = {True: "reached", False: "**missed**"}


def cells(result: Result) -> tuple[str, ...]:
    row, rival = result.row, result.rival()
    target = table.wanted(row.target, row.unit)
    if (reached := result.reached()) is not None:
        target += f": {MARKS[reached]}"
    beside = f"{rival[0]} {table.number(rival[1], row.unit)}" if rival else table.NONE
    return (row.title, str(row.workers or table.NONE), table.number(result.median(OURS), row.unit), beside,
            table.ratio(result.ratio()), target)


def introduction(found: dict[str, Any]) -> str:
    here = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in here["versions"].items() if name != OURS)
    words = (f"One run of `python benchmarks/run.py` on {here['date']}: {here['processor']}, {here['cores']} cores, "
             f"Linux {here['kernel']}, {here['compiler']}, Python {here['python']}; {versions}. Medians; the ratio is "
             "pygostop's time in parts of the other's, so below 1 is faster; the other is who the target names, without one the "
             "fastest. All sides, spreads and samples are in [results.json](benchmarks/results.json).")
    if here["load"] > BUSY:
        words += f" Something else kept the machine busy (load {here['load']:.1f}): the figures are rough."
    return textwrap.fill(words, WIDTH, break_long_words=False, break_on_hyphens=False)


def section(found: dict[str, Any]) -> str:
    results = [Result.from_json(row) for row in found["rows"]]
    measured = [result for result in results if result.median(OURS) is not None]
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    lines += ["| " + " | ".join(cells(result)) + " |" for result in measured]
    chart_path = CHART.relative_to(ROOT).as_posix()
    return "\n".join([BEGIN, introduction(found), "", f"![pygostop's time in parts of others']({chart_path})", "",
                      *lines, END])


def rewritten(readme: str, found: dict[str, Any]) -> str:
    begin, end = readme.find(BEGIN), readme.find(END)
    if begin < 0 or end < begin:
        raise ValueError(f"{README.name} has no lines \"{BEGIN}\" and, after it, \"{END}\"")
    return readme[:begin] + section(found) + readme[end + len(END):]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="FILE.json", type=pathlib.Path, help="what run.py --json wrote")
    file = parser.parse_args().file
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        text = rewritten(README.read_text(encoding="utf-8"), found)
    except (OSError, ValueError, KeyError) as error:
        print(f"{file}: {error!r}", file=sys.stderr)
        return 1
    README.write_text(text, encoding="utf-8")
    CHART.write_text(chart([Result.from_json(row) for row in found["rows"]]), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
