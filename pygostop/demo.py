"""``python -m pygostop demo``: the small programs of examples/, one after the other."""

from __future__ import annotations

import pathlib
import runpy

import pygostop

PROGRAMS = ("leak", "stop_by_close", "stop_by_done", "stop_by_context", "no_kill")


def _examples() -> pathlib.Path:
    # Installed into the package; beside it in a checkout.
    for place in pygostop.__path__:
        for examples in pathlib.Path(place) / "examples", pathlib.Path(place).parent / "examples":
            if (examples / f"{PROGRAMS[0]}.py").is_file():
                return examples
    raise FileNotFoundError(f"the examples are not in any of {list(pygostop.__path__)}")


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
