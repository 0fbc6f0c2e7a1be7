"""What the state machines share: how much they try, and parked tasks whose steps are known.

Hypothesis makes up sequences of calls; a model in plain Python says what each may do. The short form
tries the same sequences each time. PYGOSTOP_EXAMPLES=1000 tries so many others, a new set in each run.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

import pygostop as gs
from support import WAIT, eventually

hypothesis = pytest.importorskip("hypothesis")

_ASKED = os.environ.get("PYGOSTOP_EXAMPLES")
SETTINGS = hypothesis.settings(
    max_examples=int(_ASKED or 25),
    stateful_step_count=40,
    derandomize=_ASKED is None,
    database=None,
    deadline=None,
    phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
    suppress_health_check=list(hypothesis.HealthCheck),
)


class Outcome:
    """What a call came to: a value, or the class of what it raised."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.value = self.raised = None
        try:
            self.value = call()
        except (Exception, gs.Cancelled) as error:
            self.raised = error

    def __repr__(self) -> str:
        return repr(self.raised if self.raised is not None else self.value)


class Actor:
    """A task that makes one call. Once made, it waits in that call, or has ended."""

    def __init__(self, call: Callable[[], Any], **options: Any) -> None:
        self.outcome: Outcome | None = None
        self.task = gs.go(self._run, call, **options)
        assert eventually(lambda: self.task.done() or self.is_parked()), self.task

    def _run(self, call: Callable[[], Any]) -> None:
        self.outcome = Outcome(call)

    def is_parked(self) -> bool:
        return self.task.state == "parked"

    def ended(self) -> Outcome:
        """Its outcome, which must come now."""
        assert self.task.wait(WAIT), f"{self.task} was to end, and did not"
        assert self.outcome is not None
        return self.outcome
