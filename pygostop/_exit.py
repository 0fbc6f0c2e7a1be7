"""What threads say when the process leaves: nothing, where all that ended them is that it leaves."""

from __future__ import annotations

import threading

from pygostop._errors import Cancelled


def hush_threads() -> None:
    """Called as the process leaves, before the root is cancelled.

    A daemon thread that waits in a blocking call gets Cancelled then. Elsewhere in Python such a
    thread just disappears, without a traceback on stderr.
    """
    report = threading.excepthook

    def excepthook(args: threading.ExceptHookArgs, /) -> None:
        if not issubclass(args.exc_type, Cancelled):
            report(args)

    threading.excepthook = excepthook
