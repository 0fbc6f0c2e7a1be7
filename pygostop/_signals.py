"""``notify_signals``: a context that a signal cancels.

The handler of a signal is shared by all contexts that asked for it. What always holds, guarded by the
GIL and by signals being handled between bytecodes of the main thread alone: while ``_waiting[n]``
is not empty our handler is installed for ``n``, and ``_before[n]`` is the one to put back.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from pygostop._core import Cancel, Context, background, with_cancel
from pygostop._errors import Error

_waiting: dict[int, list[Cancel]] = {}
_before: dict[int, Any] = {}


def _on_signal(signum: int, frame: FrameType | None) -> None:
    cause = Error(f"received {signal.Signals(signum).name}")
    for cancel in list(_waiting.get(signum, ())):
        cancel(cause)


def _watch(signum: int, cancel: Cancel) -> None:
    if not _waiting.get(signum):
        _before[signum] = signal.signal(signum, _on_signal)
    _waiting.setdefault(signum, []).append(cancel)


def _unwatch(signum: int, cancel: Cancel) -> None:
    waiting = _waiting[signum]
    waiting.remove(cancel)
    if waiting:
        return
    before = _before.pop(signum)
    if signal.getsignal(signum) is _on_signal:
        # None: installed by C code, which nobody can put back from here.
        signal.signal(signum, signal.SIG_DFL if before is None else before)


def notify_signals(*signums: int) -> tuple[Context, Callable[[], None]]:
    """``(ctx, stop)``: a child of the root that is cancelled when one of the signals comes.

    Its cause names the signal. Until ``stop()`` the signals do nothing else; ``stop()`` cancels
    ``ctx`` and puts the handlers of before back. Both on the main thread, as Python asks for;
    ValueError elsewhere. Go: signal.NotifyContext.
    """
    if not signums:
        raise TypeError("notify_signals() takes at least one signal, such as signal.SIGTERM")
    # Each once, and all of them checked before any is touched.
    wanted = list(dict.fromkeys(signal.Signals(signum) for signum in signums))
    if threading.current_thread() is not threading.main_thread():
        raise ValueError("notify_signals() works on the main thread only, as signal.signal() does")
    ctx, cancel = with_cancel(background())
    watched: list[int] = []

    def stop() -> None:
        if watched and threading.current_thread() is not threading.main_thread():
            raise ValueError("stop() of notify_signals() works on the main thread only")
        cancel()
        while watched:
            _unwatch(watched.pop(), cancel)

    try:
        for signum in wanted:
            _watch(signum, cancel)
            watched.append(signum)
    except BaseException:
        stop()
        raise
    return ctx, stop
