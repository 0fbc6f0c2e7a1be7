"""examples/mandelbrot.py, as it stands: the picture so far is what the task had rendered."""

from __future__ import annotations

import pathlib
import re
import signal
import struct
import subprocess
import sys
import zlib
from typing import Any

import pytest

from support import WAIT, compiler

numpy = pytest.importorskip("numpy")
pytest.importorskip("tqdm")
EXAMPLE = pathlib.Path(__file__).parent.parent / "examples" / "mandelbrot.py"


def start(path: pathlib.Path, *options: str) -> subprocess.Popen[str]:
    compiler()
    return subprocess.Popen(
        [sys.executable, "-P", "-W", "error", str(EXAMPLE), *options, str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=3 * WAIT)
    assert process.returncode == 0, err
    return out, err


def read_png(path: pathlib.Path) -> Any:
    """The bytes of a gray PNG without filters; each chunk is checked."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        kind, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", data, at + 8 + size) == (zlib.crc32(kind + body),)
        chunks[kind] = body
        at += 12 + size
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    width, height, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert rest == [8, 0, 0, 0, 0]
    rows = numpy.frombuffer(zlib.decompress(chunks[b"IDAT"]), numpy.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return rows[:, 1:]


def test_mandelbrot_whole_and_half(tmp_path: pathlib.Path) -> None:
    size = ("--width", "120", "--height", "80", "--iterations", "20000")
    whole, half = tmp_path / "whole.png", tmp_path / "half.png"
    out, bar = finish(start(whole, *size, "--stop-at", "100"))
    assert out == f"done: 80 of 80 rows in {whole}\n"
    assert "render: 100%" in bar and "80/80" in bar
    out, bar = finish(start(half, *size, "--stop-at", "50"))
    said = re.fullmatch(r"cancelled: (\d+) of 80 rows in .*\n", out)
    assert said, out
    rows = int(said[1])
    assert 40 <= rows < 80
    assert f"{rows}/80" in bar
    all_of_it, so_far = read_png(whole), read_png(half)
    assert all_of_it.all()  # no pixel is black but those that were not rendered
    assert (so_far[:rows] == all_of_it[:rows]).all()
    assert not so_far[rows + 1 :].any()  # one row may be under way


def test_mandelbrot_that_is_interrupted_keeps_the_picture(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "interrupted.png"
    process = start(path, "--width", "400", "--height", "5000", "--iterations", "100000", "--stop-at", "100")
    assert process.stderr is not None
    bar = ""
    while not re.search(r"\b[1-9]\d*/5000", bar):  # it has begun
        bar += process.stderr.read(1)
    process.send_signal(signal.SIGINT)
    out, _ = finish(process)
    assert re.fullmatch(r"cancelled: [1-9]\d* of 5000 rows in .*\n", out)
    assert read_png(path)[0].all()
