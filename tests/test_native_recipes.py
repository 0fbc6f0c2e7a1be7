"""Code that was never written to be stopped, and is: examples/native, with the real libraries."""

from __future__ import annotations

import http.server
import pathlib
import re
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

import pygostop as gs
from support import WAIT, compiler, eventually

NATIVE = pathlib.Path(__file__).parent.parent / "examples" / "native"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "


def build(name: str, header: str | None = None, libraries: tuple[str, ...] = ()) -> gs.Library:
    """The tasks of an example; the test is skipped where the library is not there to compile with."""
    cc = compiler()
    if header is not None:
        probe = subprocess.run([cc, "-E", "-"], input=f"#include <{header}>\n", capture_output=True, text=True)
        if probe.returncode != 0:
            pytest.skip(f"there is no {header} here")
    return gs.compile(NATIVE / f"{name}.c", flags=["-Wall", "-Wextra", "-Werror"], libraries=libraries)


def program(name: str) -> list[str]:
    """The lines that a program prints; it ends well and says nothing else."""
    run = subprocess.run(
        [sys.executable, "-P", "-W", "error", str(NATIVE / f"{name}.py")],
        capture_output=True,
        text=True,
        timeout=3 * WAIT,
    )
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout.splitlines()


# ---- SQLite ----


@pytest.fixture(scope="module")
def sqlite() -> gs.Library:
    return build("sqlite_query", "sqlite3.h", ("sqlite3",))


def test_sqlite_program(sqlite: gs.Library) -> None:
    lines = program("sqlite_query")
    assert lines[:3] == ["execute: stopped []", "rows: stopped []", lines[2]]
    assert re.fullmatch(r"the first square of four digits: 1024 <Task 'rows' #\d+ cancelled>", lines[2])
    assert lines[3:] == ["changed: 0", "task 'execute' failed with code 1: no such column: missing"]


def test_sqlite_query_gives_its_rows(sqlite: gs.Library, tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "numbers.db")
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE t (s TEXT)")
        database.executemany("INSERT INTO t VALUES (?)", [(f"é{i}",) for i in range(1000)])
    database.close()
    out = gs.Chan(16, str)
    query = gs.go(sqlite.rows, path, "SELECT s FROM t ORDER BY rowid", out)
    assert list(out) == [f"é{i}" for i in range(1000)]
    assert query.result(WAIT) == 1000
    assert query.progress == (1000, 0)
    assert sqlite.execute(path, "UPDATE t SET s = NULL WHERE rowid <= 10") == 10


@pytest.mark.parametrize("task", ["rows", "execute"])
def test_sqlite_query_that_never_ends_is_stopped(sqlite: gs.Library, task: str, tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "table.db")
    sqlite.execute(path, "CREATE TABLE t (i)")
    out = [gs.Chan(0, str)] if task == "rows" else []
    for sql in (ENDLESS + "SELECT count(*) FROM n", "INSERT INTO t " + ENDLESS + "SELECT i FROM n"):
        running = gs.go(sqlite[task], path, sql, *out)
        assert eventually(lambda: running.state == "running")
        time.sleep(0.02)
        assert running.cancel("enough")
        assert running.wait(WAIT) and running.cancelled()
    # It has unwound: nothing is locked, and what it had begun to write is not there.
    assert sqlite.execute(path, "DELETE FROM t") == 0


def test_sqlite_queries_are_stopped_over_and_over(sqlite: gs.Library) -> None:
    for _ in range(50):
        tasks = [gs.go(sqlite.execute, ":memory:", ENDLESS + "SELECT count(*) FROM n") for _ in range(4)]
        time.sleep(0.001)
        for task in tasks:
            task.cancel()
        for task in tasks:
            assert task.wait(WAIT) and task.cancelled()


# ---- libcurl ----


class Server(http.server.BaseHTTPRequestHandler):
    """Sends half of it, and the rest where the path is not /slow or once the test lets go."""

    go_on = threading.Event()

    def do_GET(self) -> None:
        body = b"x" * 100_000
        self.send_response(404 if self.path == "/none" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:50_000])
        if self.path == "/slow":
            self.go_on.wait(WAIT)
        try:
            self.wfile.write(body[50_000:])
        except OSError:
            pass  # nobody listens any more

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        Server.go_on.set()
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def curl() -> gs.Library:
    return build("curl_get", "curl/curl.h", ("curl",))


def test_curl_program(curl: gs.Library) -> None:
    lines = []
    for name in ("get", "get_at_once"):
        lines += [
            f"{name} b'half of it all'",
            "so far: Progress(done=7, total=14)",
            "cancelled",
            f"task '{name}' failed with code 22: HTTP response code said error",
        ]
    assert program("curl_get") == lines


@pytest.mark.parametrize("task", ["get", "get_at_once"])
def test_curl_download(curl: gs.Library, task: str, url: str) -> None:
    assert curl[task](url + "/quick") == b"x" * 100_000
    with pytest.raises(gs.TaskFailed, match="error"):
        curl[task](url + "/none")


@pytest.mark.parametrize("task", ["get", "get_at_once"])
def test_curl_download_that_does_not_go_on_is_stopped(curl: gs.Library, task: str, url: str) -> None:
    downloads = [gs.go(curl[task], url + "/slow") for _ in range(10)]
    for download in downloads:
        assert next(p for p in download.watch() if p.done) == (50_000, 100_000)
    begin = time.monotonic()
    for download in downloads:
        download.cancel()
    for download in downloads:
        assert download.wait(WAIT) and download.cancelled()
    # libcurl's own look is once a second; the descriptor is there at once.
    assert time.monotonic() - begin < (10 if task == "get" else 0.9)


# ---- sockets ----


@pytest.fixture(scope="module")
def readers() -> gs.Library:
    return build("read_socket")


def test_socket_program(readers: gs.Library) -> None:
    lines = []
    for name in ("read_parked", "read_polled", "read_shut_down"):
        lines += [f"{name} b'some bytes'", "cancelled"]
    assert program("read_socket") == lines


@pytest.mark.parametrize("task", ["read_parked", "read_polled", "read_shut_down"])
def test_socket_reader_reads_to_the_end(readers: gs.Library, task: str) -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        out = gs.Chan(4, bytes)
        reader = gs.go(readers[task], theirs.fileno(), out)
        with ours:
            ours.sendall(b"0123456789" * 10_000)
        assert b"".join(out) == b"0123456789" * 10_000
        assert reader.result(WAIT) is None


@pytest.mark.parametrize("task", ["read_parked", "read_polled", "read_shut_down"])
def test_socket_readers_that_wait_are_stopped(readers: gs.Library, task: str) -> None:
    pairs = [socket.socketpair() for _ in range(20)]
    out = gs.Chan(0, bytes)
    tasks = [gs.go(readers[task], theirs.fileno(), out) for _, theirs in pairs]
    for ours, _ in pairs:
        ours.sendall(b"x")
        assert out.recv(WAIT) == b"x"
    for reader in tasks:
        reader.cancel()
    for reader in tasks:
        assert reader.wait(WAIT) and reader.cancelled()
    for pair in pairs:
        for end in pair:
            end.close()


def test_socket_readers_that_park_take_no_thread_each(readers: gs.Library) -> None:
    pairs = [socket.socketpair() for _ in range(200)]
    out = gs.Chan(0, bytes)
    tasks = [gs.go(readers.read_parked, theirs.fileno(), out) for _, theirs in pairs]
    for reader in tasks:
        assert eventually(lambda: reader.state == "parked")
        assert reader.waiting_on is not None and reader.waiting_on.startswith("descriptor ")
    assert len(list(pathlib.Path("/proc/self/task").iterdir())) < 100
    for reader in tasks:
        reader.cancel()
    for reader in tasks:
        assert reader.wait(WAIT) and reader.cancelled()
    for pair in pairs:
        for end in pair:
            end.close()
