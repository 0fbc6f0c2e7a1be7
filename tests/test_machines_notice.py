"""The state machines notice what differs from their models: each of these breaks one of the two."""

from __future__ import annotations

from typing import Any

import pytest

import pygostop as gs
import test_machines_channels as channels
import test_machines_contexts as contexts
import test_machines_tasks as tasks
from machines import SETTINGS, hypothesis
from hypothesis.stateful import run_state_machine_as_test


def _notices(machine: Any) -> None:
    settings = hypothesis.settings(
        SETTINGS, phases=[hypothesis.Phase.generate], report_multiple_bugs=False
    )
    with pytest.raises(AssertionError):
        run_state_machine_as_test(machine, settings=settings)


def test_the_channels_machine_notices_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """select takes none but real channels, so it is the model that gives the newest value first."""
    recv = channels.Channel.recv

    def newest_first(self: channels.Channel) -> Any:
        self.buffer.rotate(1)
        return recv(self)

    monkeypatch.setattr(channels.Channel, "recv", newest_first)
    _notices(channels.Channels)


def test_the_semaphores_machine_notices_a_place_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    semaphore = gs.Semaphore
    monkeypatch.setattr(gs, "Semaphore", lambda value: semaphore(value + 1))
    _notices(tasks.Semaphores)


def test_the_contexts_machine_notices_a_cancel_that_comes_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gs, "without_cancel", lambda ctx: gs.with_cancel(ctx)[0])
    _notices(contexts.Contexts)


def test_the_scopes_machine_notices_a_shield_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gs, "shield", lambda: gs.move_on_after(None))
    _notices(contexts.Scopes)
