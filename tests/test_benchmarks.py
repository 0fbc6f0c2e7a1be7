"""The benchmarks: the README claims what was recorded, a side that goes wrong costs its own cell, the guard fails."""

from __future__ import annotations

import importlib
import json
import math
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results.json"


@pytest.fixture
def benchmarks(monkeypatch):
    """The modules of benchmarks/, which is no package."""
    monkeypatch.syspath_prepend(str(RESULTS.parent))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(RESULTS.parent) in str(sys.modules[name].__file__):
            del sys.modules[name]


def test_readmes_claims_are_the_recorded_results(benchmarks):
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    again = "run python benchmarks/readme.py benchmarks/results.json"
    assert benchmarks("readme").rewritten(readme, found) == readme, again


def test_readmes_chart_is_of_the_recorded_results(benchmarks):
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    results = [benchmarks("common").Result.from_json(row) for row in found["rows"]]
    assert (ROOT / "docs" / "speed.svg").read_text(encoding="utf-8") == benchmarks("chart").chart(results)


def result_of(benchmarks, ours, go, at_most=0.5):
    common = benchmarks("common")
    row = common.Row(name="row", title="row", target=common.Target(at_most, ("Go",)))
    return common.Result("core", row, {"pygostop": ours, "Go": go} if go else {"pygostop": ours})


def test_a_target_is_reached_by_the_medians(benchmarks):
    assert result_of(benchmarks, [10, 11, 900], [30, 22, 1]).reached() is True
    assert result_of(benchmarks, [10, 12, 900], [30, 22, 1]).reached() is False
    assert result_of(benchmarks, [10, 12, 900], []).reached() is None


def test_results_survive_json(benchmarks):
    common = benchmarks("common")
    result = result_of(benchmarks, [1.0, 2.0], [3.0])
    again = common.Result.from_json(json.loads(json.dumps(result.to_json())))
    assert again == result


PROGRAMS = {
    "crashes": ("import os; os.abort()", "was ended by SIGABRT"),
    "fails": ("raise SystemExit('no such thing')", "no such thing"),
    "says nonsense": ("print('hello')", "printed 'hello' where a key and a number belong"),
    "says nothing": ("", "printed no sample"),
    "hangs": ("import time; time.sleep(600)", "did not end within 1 s"),
}


@pytest.mark.parametrize("how", PROGRAMS)
def test_a_side_that_goes_wrong_costs_its_own_cell(benchmarks, how):
    common = benchmarks("common")
    code, words = PROGRAMS[how]

    def once(side):
        program = code if side == "peer" else "print('value', 1)"
        return common.invoke([sys.executable, "-c", program], 1 if (side, how) == ("peer", "hangs") else 60)

    samples, reasons = common.in_turn(2, 600, ["pygostop", "peer", "Go"], once)
    assert samples == {"pygostop": {"value": [1, 1]}, "Go": {"value": [1, 1]}}
    assert reasons == {"peer": words}


def test_a_program_that_is_ended_takes_its_children_with_it(benchmarks, tmp_path):
    common, left = benchmarks("common"), tmp_path / "left"
    child = f"import time, pathlib; time.sleep(4); pathlib.Path({str(left)!r}).touch()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with pytest.raises(common.Hangs):
        common.invoke([sys.executable, "-c", code], 1)
    benchmarks("time").sleep(5)
    assert not left.exists()


def test_guard_counts_own_functions_alone(benchmarks):
    profile = """events: Ir
ob=(1) /lib/libc.so
fn=(1) memcpy
12 100
ob=(2) /here/corebench
fn=(2) main
+3 7
cob=(1)
cfn=(1)
calls=1 12
* 100
+1 5
ob=(1)
fn=(1)
12 50
ob=(2)
fn=(3) row
* 30
"""
    guard = benchmarks("guard")
    assert guard.own_instructions(profile, guard.re.compile("corebench$")) == 7 + 5 + 30


@pytest.mark.parametrize("now, fine", [(104, True), (106, False), (50, True)])
def test_guard_fails_above_its_tolerance(benchmarks, now, fine):
    assert benchmarks("guard").judge(now, 100.0)[1] is fine


SHAPES = {
    "linear": lambda n: 5.0,
    "linear, but for a step": lambda n: 5.0 if n < 100_000 else 50.0,
    "SUPERLINEAR": lambda n: 0.01 * n,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_growth_names_what_is_superlinear(benchmarks, shape):
    growth = benchmarks("growth")
    curve = [(float(size), SHAPES[shape](size)) for size in growth.SIZES]
    assert growth.verdict(curve, growth.ROWS[0]) == shape


def test_growth_takes_a_heap_beside_its_logarithm(benchmarks):
    growth = benchmarks("growth")
    timers = next(row for row in growth.ROWS if row.heap)
    curve = [(float(size), math.log2(size)) for size in growth.SIZES]
    assert growth.slope(curve, timers) == pytest.approx(1)
