"""A C task renders into a NumPy array, with a bar, and is stopped half way: the picture so far is kept.

    python examples/mandelbrot.py [--width 900] [--height 600] [--stop-at 50] [mandelbrot.png]

Ctrl-C stops it too, and keeps the picture. Needs NumPy, tqdm and a C compiler.
"""

import argparse
import pathlib
import struct
import zlib
from concurrent.futures import CancelledError

import numpy as np

import pygostop as gs

mandelbrot = gs.compile(
    r"""
    #include <pygostop.h>

    static int escape(double x, double y, int most)
    {
        double a = 0, b = 0;
        int n = 0;
        for (; n < most && a * a + b * b < 4; n++) {
            double t = a * a - b * b + x;
            b = 2 * a * b + y;
            a = t;
        }
        return n;
    }

    /* Fills a picture of height x width bytes, a row at a time. */
    GS_TASK(render)
    {
        size_t count;
        uint8_t *pixel = gs_arg_array(call, 0, GS_UINT8, &count);
        int64_t most = gs_arg_int(call, 1);
        const gs_view *picture = gs_arg_view(call, 0);
        if (picture->ndim != 2)
            return gs_fail(call, 1, "the picture must have 2 dimensions, not %d", picture->ndim);
        ptrdiff_t height = picture->shape[0], width = picture->shape[1];
        for (ptrdiff_t row = 0; row < height; row++) {
            for (ptrdiff_t column = 0; column < width; column++) {
                double x = 3.0 * (double)column / (double)width - 2.25;
                double y = 2.0 * (double)row / (double)height - 1.0;
                int n = escape(x, y, (int)most);
                *pixel++ = n == most ? 1 : (uint8_t)(40 + 215 * n / (n + 20));
                GS_CHECKPOINT(call);
            }
            gs_progress(call, row + 1, height);
        }
        return GS_OK;
    }

    GS_EXPORT(GS_SIG(render, "picture: buffer, most: int"));
    """
)


def save_png(path: pathlib.Path, picture: np.ndarray) -> None:
    """An array of height x width bytes as a PNG in shades of gray."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = picture.shape
    rows = np.zeros((height, width + 1), np.uint8)  # each begins with its filter, 0 for none
    rows[:, 1:] = picture
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = zlib.compress(rows.tobytes())
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def stop_at(task: gs.Task, row: int) -> None:
    for progress in task.watch(interval=0.01):
        if progress.done >= row:
            task.cancel(f"row {row} was reached")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--width", type=int, default=900)
    parser.add_argument("--height", type=int, default=600)
    parser.add_argument("--iterations", type=int, default=5000)
    parser.add_argument("--stop-at", type=int, default=50, help="per cent; 100 renders it all")
    parser.add_argument("path", type=pathlib.Path, nargs="?", default=pathlib.Path("mandelbrot.png"))
    options = parser.parse_args()

    picture = np.zeros((options.height, options.width), np.uint8)
    task = gs.go(mandelbrot.render, picture, options.iterations)
    if options.stop_at < 100:
        gs.go(stop_at, task, options.height * options.stop_at // 100)
    try:
        gs.progress_bar(task, unit="row")
    except CancelledError:
        pass
    except KeyboardInterrupt:
        task.cancel("Ctrl-C")
        task.wait()
    save_png(options.path, picture)
    rows = task.progress.done if task.progress else 0
    print(f"{task.state}: {rows} of {options.height} rows in {options.path}")


if __name__ == "__main__":
    main()
