"""A pipeline of three stages, C, Python, C, in a group. With --fail the one in the middle fails: the others are
stopped, none is left behind, and the failure is raised where the group ends."""

import sys

import pygostop as gs
from pygostop import tasks

library = gs.compile(
    r"""
    #include <pygostop.h>

    GS_TASK(total) /* of what comes until the channel is closed */
    {
        gs_chan *numbers = gs_arg_chan(call, 0, GS_INT64);
        int64_t n, sum = 0;
        int code;
        while ((code = gs_recv(call, numbers, &n)) == GS_OK)
            sum += n;
        return code == GS_ECLOSED ? gs_return_int(call, sum) : code;
    }

    GS_EXPORT(GS_SIG(total, "numbers: RecvChan[int]"));
    """
)


def square(numbers: gs.Chan[int], squares: gs.Chan[int], fail: bool) -> None:
    with squares:  # closed when this ends, however it does
        for n in numbers:
            if fail and n == 500:
                raise ValueError(f"no square of {n} today")
            squares.send(n * n)


def main(fail: bool) -> int:
    numbers, squares = gs.Chan(16, int), gs.Chan(16, int)
    try:
        with gs.Group() as group:
            count = group.go(tasks.count, numbers, 0, 1000)
            group.go(square, numbers, squares, fail)
            total = group.go(library.total, squares)
    except ExceptionGroup as failed:
        print(f"{failed.exceptions[0]}; {count.name}: {count.state}; left: {gs.all_tasks()}")
        return 1
    print("the sum of the squares:", total.result())
    return 0


if __name__ == "__main__":
    sys.exit(main("--fail" in sys.argv[1:]))
