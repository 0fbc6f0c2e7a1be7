"""Interrupting a cell of a Jupyter kernel: what blocks in it stops, once, and the kernel goes on."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support import WAIT

pytest.importorskip("ipykernel")
jupyter_client = pytest.importorskip("jupyter_client")

BEFORE = """
import pygostop as gs
from pygostop import tasks

def interrupt():
    gs.sleep(0.3)  # until the cell blocks
    print("interrupt me", flush=True)
"""


class Kernel:
    """A kernel of this Python, and what its cells say."""

    def __init__(self, directory: Path) -> None:
        self.manager = jupyter_client.KernelManager(
            kernel_name="python3",
            transport="ipc",
            ip=str(directory / "kernel"),
            connection_file=str(directory / "kernel.json"),
        )
        self.manager.start_kernel()
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=3 * WAIT)

    def stop(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)

    def run(self, cell: str) -> tuple[str, list[str]]:
        """Runs a cell, and interrupts it when it says "interrupt me": what it printed, and what it raised."""
        request = self.client.execute(textwrap.dedent(cell))
        printed = ""
        raised: list[str] = []
        while True:
            message = self.client.get_iopub_msg(timeout=3 * WAIT)
            content: dict[str, Any] = message["content"]
            if message["parent_header"].get("msg_id") != request:
                continue
            if message["msg_type"] == "stream":
                printed += content["text"]
                if "interrupt me\n" in printed:
                    printed = printed.replace("interrupt me\n", "")
                    self.manager.interrupt_kernel()
            elif message["msg_type"] == "error":
                raised.append(content["ename"])
            elif content.get("execution_state") == "idle":
                return printed, raised


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name)))
        kernel = Kernel(tmp_path_factory.mktemp("kernel"))
    try:
        assert kernel.run(BEFORE) == ("", [])
        yield kernel
    finally:
        kernel.stop()


@pytest.mark.parametrize(
    "block",
    ["tasks.spin(1000)", "gs.Chan().recv()", "gs.select(gs.Chan(), gs.background())", "list(gs.Chan())"],
)
def test_an_interrupt_ends_what_blocks_once_and_the_kernel_goes_on(kernel: Kernel, block: str) -> None:
    assert kernel.run(f"helper = gs.go(interrupt)\n{block}") == ("", ["KeyboardInterrupt"])
    assert kernel.run("helper.wait(); print(gs.all_tasks(), gs.go(int, '3').result())") == ("[] 3\n", [])


def test_an_interrupt_in_a_group_lets_every_task_clean_up_first(kernel: Kernel) -> None:
    cell = """
    ended, begun = [], gs.Chan()

    def wait(n):
        try:
            begun.send(None)
            gs.sleep(None)
        finally:
            with gs.shield():
                gs.sleep(0.01)
            ended.append(n)

    with gs.Group() as group:
        members = [group.go(tasks.spin, 1000)]
        for n in range(20):
            members.append(group.go(wait, n))
            begun.recv()
        group.go(interrupt)
    """
    assert kernel.run(cell) == ("", ["KeyboardInterrupt"])
    said = kernel.run("print(len(ended), {task.state for task in members}, gs.all_tasks(), group)")
    assert said == ("20 {'cancelled'} [] <Group left>\n", [])


def test_a_task_outlives_the_interrupt_of_a_cell_that_waited_for_it(kernel: Kernel) -> None:
    """Another cell can look at it, and stop it."""
    cell = "spin = gs.go(tasks.spin, 1000); gs.go(interrupt); spin.result()"
    assert kernel.run(cell) == ("", ["KeyboardInterrupt"])
    cell = "print(spin.done(), spin.cancel(), spin.wait(), spin.cancelled())"
    assert kernel.run(cell) == ("False True True True\n", [])


def test_a_task_prints_into_the_cell_that_started_it(kernel: Kernel) -> None:
    cell = "gs.go(print, 'waited for').result(); await gs.go(print, 'awaited')"
    assert kernel.run(cell) == ("waited for\nawaited\n", [])
