"""Automatic checkpoints in a real single-file library, Debian's libstb-dev: it does the same work as without
them, and is stopped anywhere in it, over and over, without a trace."""

from __future__ import annotations

import ctypes
import random
import shutil
import subprocess
import time
from typing import Any

import pytest

import pygostop as gs
from support import WAIT

SOURCE = r"""
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_WRITE_IMPLEMENTATION
#include <stb/stb_image.h>
#include <stb/stb_image_write.h>

#include <pygostop.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 96, HEIGHT = 64, CHANNELS = 3, SIZE = WIDTH * HEIGHT * CHANNELS };

typedef struct file {
    unsigned char data[1 << 20];
    int size;
} file;

static void append(void *to, void *data, int size)
{
    file *f = to;
    memcpy(f->data + f->size, data, (size_t)size);
    f->size += size;
}

/* A picture to PNG and to JPEG, and back. NULL where what comes back is another one. */
static file *round_trip(void)
{
    file *f = calloc(1, sizeof *f);
    unsigned char *picture = malloc(SIZE), *back;
    int width, height, channels, same, png;
    for (unsigned i = 0, noise = 1; i < SIZE; i++) {
        noise = noise * 1103515245u + 12345u;
        picture[i] = (unsigned char)(i / CHANNELS % WIDTH + i / (WIDTH * CHANNELS) + (noise >> 28));
    }
    stbi_write_png_to_func(append, f, WIDTH, HEIGHT, CHANNELS, picture, WIDTH * CHANNELS);
    png = f->size;
    stbi_write_jpg_to_func(append, f, WIDTH, HEIGHT, CHANNELS, picture, 90);
    back = stbi_load_from_memory(f->data, png, &width, &height, &channels, 0);
    same = back && width == WIDTH && height == HEIGHT && memcmp(back, picture, SIZE) == 0;
    stbi_image_free(back);
    back = stbi_load_from_memory(f->data + png, f->size - png, &width, &height, &channels, 0);
    same = same && back && width == WIDTH && height == HEIGHT;
    stbi_image_free(back);
    free(picture);
    if (same)
        return f;
    free(f);
    return NULL;
}

GS_TASK(once)
{
    file *f = round_trip();
    int code = f ? gs_return_bytes(call, f->data, (size_t)f->size) : gs_fail(call, 1, "another picture");
    free(f);
    return code;
}

GS_TASK(forever)
{
    for (int64_t n = 1;; n++) {
        free(round_trip());
        gs_progress(call, n, 0);
    }
}

GS_EXPORT(once, forever);
"""


class Mallinfo(ctypes.Structure):
    """struct mallinfo2 of glibc."""

    _fields_ = [(f"field{i}", ctypes.c_size_t) for i in range(10)]


def allocated() -> int:
    """The bytes that glibc's malloc has given out; 0 where it does not say, or is not the allocator."""
    mallinfo = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if mallinfo is None:
        return 0
    mallinfo.restype = Mallinfo
    info = mallinfo()
    return int(info.field4 + info.field7)  # hblkhd and uordblks


@pytest.fixture(scope="module", params=["gcc", "clang"])
def libraries(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[gs.Library, gs.Library]:
    """With automatic checkpoints, and without."""
    cc = shutil.which(request.param)
    if not cc:
        pytest.skip(f"there is no {request.param} here")
    include = "#include <stb/stb_image.h>\n#include <stb/stb_image_write.h>\n"
    if subprocess.run([cc, "-E", "-"], input=include, capture_output=True, text=True).returncode:
        pytest.skip("there is no stb here")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", cc)
        patch.setenv("PYGOSTOP_CACHE", str(tmp_path_factory.mktemp("stb") / "cache"))
        how: dict[str, Any] = {"name": "stb.c", "flags": ["-w"], "libraries": ["m"], "timeout": None}
        return gs.compile(SOURCE, checkpoints="auto", **how), gs.compile(SOURCE, **how)


def test_stb_does_the_same_work_as_without(libraries: tuple[gs.Library, gs.Library]) -> None:
    auto, plain = libraries
    made = auto.once()
    assert len(made) > 10_000
    assert made == plain.once()


def test_stb_is_stopped_anywhere_and_leaves_nothing(libraries: tuple[gs.Library, gs.Library]) -> None:
    auto, _ = libraries
    expected = auto.once()
    chance = random.Random(1)
    before = 0
    for turn in range(330):
        tasks = [gs.go(auto.forever) for _ in range(2)]
        time.sleep(chance.uniform(0, 0.003))  # begun or not, anywhere in the work
        for task in tasks:
            task.cancel()
        for task in tasks:
            assert task.wait(WAIT) and task.cancelled()
        if turn == 30:  # by then each thread has the memory that it keeps
            before = allocated()
    # A task that is stopped holds more than a megabyte.
    assert allocated() - before < 16 << 20
    assert auto.once() == expected
