"""``python -m pygostop demo``: the small programs of examples/, one after the other."""

from __future__ import annotations

import pathlib
import runpy

import pygostop

PROGRAMS = ("leak", "stop_by_close", "stop_by_done", "stop_by_context", "no_kill")


def _examples() -> pathlib.Path:
    for place in pygostop.__path__:
        examples = pathlib.Path(place) / "examples"
        if examples.is_dir():
            return examples
    raise FileNotFoundError(f"no examples in any of {list(pygostop.__path__)}: install pygostop again")


def demo() -> int:
    """Runs them; the exit status, 130 where Ctrl-C ended it."""
    examples = _examples()
    try:
        for program in PROGRAMS:
            print(f"\n== {program}.py", flush=True)
            runpy.run_path(str(examples / f"{program}.py"), run_name="__main__")
    except KeyboardInterrupt:
        print("interrupted")
        return 130
    return 0
