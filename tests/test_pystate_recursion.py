"""Recursion in a task ends in RecursionError, never in its stack's guard."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable
from typing import Any

import pytest

import pygostop as gs

# Each is run in a process of its own, as the failure to be shown is a crash. As deep as no stack goes: from
# 3.14 on the limit is the stack's own. But for repr, whose time is as the square of the depth: that fits.
CASES = {
    "repr of a deep list": """
        value = []
        for _ in range(100000):
            value = [value]
        repr(value)
    """,
    "__getattr__": """
        class Deep:
            def __getattr__(self, name):
                return getattr(self, name + "x")
        Deep().a
    """,
    "a sort in a sort's key": """
        def key(n):
            return sorted([n, n + 1], key=key)
        key(1)
    """,
    "pickle": """
        import pickle
        value = []
        for _ in range(1000000):
            value = [value]
        pickle.dumps(value)
    """,
    "pickle in Python": """
        import pickle, io
        class Deep:
            def __reduce__(self):
                return (list, ([Deep()],))
        pickle.dumps(Deep())
    """,
    "json": """
        import json
        json.loads("[" * 1000000)
    """,
    "json encoder": """
        import json
        json.JSONEncoder(default=lambda o: [o], check_circular=False).encode(object())
    """,
    "comparison": """
        a, b = [], []
        for _ in range(1000000):
            a, b = [a], [b]
        a == b
    """,
    "isinstance": """
        nested = int
        for _ in range(1000000):
            nested = (nested,)
        isinstance(1.5, nested)
    """,
    "__del__ and descriptors": """
        class Deep:
            @property
            def value(self):
                return self.value
        Deep().value
    """,
    "map of map": """
        def deep(n):
            return list(map(deep, [n + 1]))
        deep(0)
    """,
}


LEAST = (512 << 10) if sys.version_info >= (3, 12) else (8 << 20)


@pytest.mark.parametrize("size", [None, LEAST, 32 << 20], ids=["as it is", "least", "large"])
@pytest.mark.parametrize("name", CASES)
def test_recursion_error_and_no_crash(name: str, size: int | None, run_python: Callable[..., Any]) -> None:
    body = textwrap.indent(textwrap.dedent(CASES[name]), "    ")
    done = run_python(f"""
import pygostop as gs
gs.configure(python_stack_size={size})

def deep():
{body}

def outer():
    try:
        deep()
    except (RecursionError, ValueError) as error:
        gs.checkpoint()
        return type(error).__name__
    return "no error"

print(gs.go(outer).result(50), gs.go(int, "7").result(10))
""")
    assert done.returncode == 0, done.stderr[-2000:]
    fits = sys.version_info >= (3, 14) and name == "repr of a deep list" and size == 32 << 20
    *error, number = done.stdout.split()
    assert fits or error in (["RecursionError"], ["ValueError"]), done.stdout
    assert number == "7"


def test_a_larger_stack_lets_c_code_recurse_deeper(run_python: Callable[..., Any]) -> None:
    done = run_python("""
        import pygostop as gs

        def depth():
            deepest = 0
            def key(n):
                nonlocal deepest
                deepest = n
                return sorted([n + 1], key=key)
            try:
                key(1)
            except RecursionError:
                return deepest

        default = gs.go(depth).result(50)
        gs.configure(python_stack_size=8 << 20)
        print(gs.go(depth).result(50) / default)
    """)
    assert done.returncode == 0, done.stderr[-2000:]
    ratio = float(done.stdout)
    assert ratio > (2 if sys.version_info >= (3, 12) else 0.9)  # 3.11 counts levels, whatever the stack


@pytest.mark.parametrize("bad", [0, -1, LEAST - 1, 1 << 40, 2**80])
def test_a_stack_size_that_cannot_be_is_refused(bad: int) -> None:
    with pytest.raises(ValueError, match=f"python_stack_size must be from {LEAST} to 67108864 bytes"):
        gs.configure(python_stack_size=bad)
    with pytest.raises(TypeError, match="python_stack_size must be an int or None, not str"):
        gs.configure(python_stack_size="1")  # type: ignore[arg-type]


def test_a_chain_of_objects_of_any_length_is_freed_in_a_task(run_python: Callable[..., Any]) -> None:
    done = run_python("""
        import pygostop as gs

        class Node:
            pass

        def build():
            first = None
            for _ in range(200000):
                node = Node()
                node.next = first
                first = node
            nested = ()
            for _ in range(200000):
                nested = (nested,)
            return "built"

        print(gs.go(build).result(50))
    """)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "built"


def test_the_fattest_frames_fit_at_the_first_level(run_python: Callable[..., Any]) -> None:
    done = run_python("""
        import os, re, select, ssl, pygostop as gs

        def fat():
            r, w = os.pipe()
            os.write(w, b"x")
            ready = select.select([r], [], [], 1)[0]
            ssl.create_default_context()
            re.compile("(a|b)*" * 50)
            compile("(" * 50 + "1" + ")" * 50, "x", "eval")
            os.close(r)
            os.close(w)
            return len(ready)

        print(gs.go(fat).result(50))
    """)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "1"
