"""The exceptions of pygostop. The extension module takes them from here."""

from __future__ import annotations


class Error(Exception):
    """The base of the errors of pygostop; also what a cause given as text becomes."""

    __module__ = "pygostop"


class ChannelClosed(Error):
    """A send on a closed channel, or a receive from one that is closed and drained.

    Raised by ``send_many`` it carries ``sent``, the number of values that went before.
    """

    __module__ = "pygostop"


class WouldBlock(Error):
    """A ``_nowait`` call would have had to wait. Nothing was done."""

    __module__ = "pygostop"


class CompileError(Error):
    """The C compiler refused a source; its words are the message.

    ``stderr`` is all that the compiler said, ``command`` the list of words that ran it.
    """

    __module__ = "pygostop"

    def __init__(self, message: str = "", stderr: str = "", command: tuple[str, ...] = ()) -> None:
        super().__init__(message, stderr, command)
        self.stderr = stderr
        self.command = list(command)

    def __str__(self) -> str:
        return str(self.args[0])


class TaskFailed(Error):
    """A C task's own failure: its ``code``, its ``message``, and the name of the ``task``."""

    __module__ = "pygostop"

    def __init__(self, code: int, message: str = "", task: str = "") -> None:
        super().__init__(code, message, task)
        self.code = code
        self.message = message
        self.task = task

    def __str__(self) -> str:
        text = f": {self.message}" if self.message else ""
        return f"task {self.task!r} failed with code {self.code}{text}"


class DeadlineExceeded(Error, TimeoutError):
    """The deadline of a context, or the limit of a ``timeout`` block, has passed."""

    __module__ = "pygostop"


class Cancelled(BaseException):
    """The scope in which a blocking call was made is done; ``__cause__`` says why.

    Not an ``Exception``, so that ``except Exception`` does not swallow it, as
    ``asyncio.CancelledError`` and ``trio.Cancelled`` are not. Raised again by each further blocking
    call in that scope.
    """

    __module__ = "pygostop"


class BlockingWarning(RuntimeWarning):
    """A Python task kept its worker's thread while tasks that had begun there were ready and waited.

    It names the line. ``configure(blocking_warning=seconds)`` says how long is too long (0.25),
    ``math.inf`` turns it off, as does a filter of ``warnings``. A RuntimeWarning, as Python shows no
    ResourceWarning unless asked to, and who needs this one does not know yet.
    """

    __module__ = "pygostop"
