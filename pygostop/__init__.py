"""C tasks that a Python program starts, talks to over channels, and stops.

Channels, select and contexts as Go has them; a task is never killed, it is asked to stop, and unwinds by
itself.
"""

from pathlib import Path as _Path

from pygostop import tasks
from pygostop._aio import select_async
from pygostop._blocking import blocking
from pygostop._compile import compile
from pygostop._core import (
    Cancel,
    Chan,
    Context,
    CTask,
    Group,
    Lock,
    RecvChan,
    Scope,
    Semaphore,
    SendChan,
    Stop,
    Task,
    Ticker,
    WaitGroup,
    after,
    after_func,
    all_tasks,
    background,
    cancel_scope,
    checkpoint,
    configure,
    current_task,
    go,
    merge,
    move_on_after,
    select,
    shield,
    sleep,
    timeout,
    with_cancel,
    with_deadline,
    with_timeout,
    with_value,
    without_cancel,
)
from pygostop._errors import (
    BlockingWarning,
    Cancelled,
    ChannelClosed,
    CompileError,
    DeadlineExceeded,
    Error,
    TaskFailed,
    WouldBlock,
)
from pygostop._futures import Executor, TaskFuture
from pygostop._native import Library, load
from pygostop._progress import Progress, Watch, progress_bar
from pygostop._select import Selected
from pygostop._signals import notify_signals

__all__ = [
    "BlockingWarning",
    "CTask",
    "Cancel",
    "Cancelled",
    "Chan",
    "ChannelClosed",
    "CompileError",
    "Context",
    "DeadlineExceeded",
    "Error",
    "Executor",
    "Group",
    "Library",
    "Lock",
    "Progress",
    "RecvChan",
    "Scope",
    "Semaphore",
    "Selected",
    "SendChan",
    "Stop",
    "Task",
    "TaskFailed",
    "TaskFuture",
    "Ticker",
    "WaitGroup",
    "Watch",
    "WouldBlock",
    "after",
    "after_func",
    "all_tasks",
    "background",
    "blocking",
    "cancel_scope",
    "checkpoint",
    "compile",
    "configure",
    "current_task",
    "get_include",
    "go",
    "load",
    "merge",
    "move_on_after",
    "notify_signals",
    "progress_bar",
    "select",
    "select_async",
    "shield",
    "sleep",
    "tasks",
    "timeout",
    "with_cancel",
    "with_deadline",
    "with_timeout",
    "with_value",
    "without_cancel",
]


def get_include() -> str:
    """The directory of pygostop.h, for a compiler's -I."""
    # An editable install has it beside the extension modules, not beside this file.
    for place in __path__:
        include = _Path(place) / "include"
        if (include / "pygostop.h").is_file():
            return str(include)
    raise FileNotFoundError(f"pygostop.h is not in any of {list(__path__)}: install pygostop again")
