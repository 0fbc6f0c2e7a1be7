"""Batches: send_many and recv_many, of values and of buffers."""

import array
import ctypes
import itertools
import sys
import threading
import time

import pygostop as gs
import pytest

SOON = 10.0


def in_thread(call):
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    return thread


# ---- send_many ----


@pytest.mark.parametrize(
    "wrap", [list, tuple, iter, lambda values: (v for v in values), dict.fromkeys]
)
@pytest.mark.parametrize("n", [0, 1, 5, 3000])
def test_all_values_go_in_order_and_are_counted(wrap, n):
    ch = gs.Chan(3000, int)
    assert ch.send_many(wrap(range(n))) == n
    ch.close()
    assert list(ch) == list(range(n))


def test_more_values_than_the_buffer_holds_wait_for_receivers():
    ch = gs.Chan(2, int)
    got = []
    receiver = in_thread(lambda: got.extend(ch))
    assert ch.send_many(range(5000)) == 5000
    assert ch.send_many(list(range(5000))) == 5000
    ch.close()
    receiver.join(SOON)
    assert got == [*range(5000)] * 2


@pytest.mark.parametrize("wrap", [list, iter])
def test_a_misfit_half_way_leaves_the_ones_before_it_sent(wrap):
    ch = gs.Chan(10, int)
    with pytest.raises(TypeError) as caught:
        ch.send_many(wrap([1, 2, "three", 4]))
    assert caught.value.sent == 2
    with pytest.raises(OverflowError) as caught:
        ch.send_many(wrap([3, 2**63]))
    assert caught.value.sent == 1
    assert ch.recv_many(10) == [1, 2, 3]


@pytest.mark.parametrize("wrap", [list, iter])
def test_a_timeout_half_way_tells_how_many_went(wrap):
    ch = gs.Chan(3)
    with pytest.raises(TimeoutError) as caught:
        ch.send_many(wrap("abcde"), timeout=0.01)
    assert caught.value.sent == 3
    with pytest.raises(TimeoutError) as caught:
        ch.send_many(wrap("abcde"), timeout=0)
    assert caught.value.sent == 0
    assert ch.recv_many(9) == ["a", "b", "c"]


def test_a_close_half_way_tells_how_many_went():
    ch = gs.Chan(3)
    threading.Timer(0.05, ch.close).start()
    with pytest.raises(gs.ChannelClosed) as caught:
        ch.send_many(list(range(10)))
    assert caught.value.sent == 3
    assert list(ch) == [0, 1, 2]


def test_a_cancel_half_way_tells_how_many_went():
    ch = gs.Chan(3)
    ctx, cancel = gs.with_cancel(gs.background())
    threading.Timer(0.05, cancel).start()
    with ctx, pytest.raises(gs.Cancelled) as caught:
        ch.send_many(itertools.count())
    assert caught.value.sent == 3


def test_an_exception_of_the_iterable_tells_how_many_went():
    def values():
        yield 1
        yield 2
        raise KeyError("mine")

    ch = gs.Chan(5)
    with pytest.raises(KeyError, match="mine") as caught:
        ch.send_many(values())
    assert caught.value.sent == 2
    assert ch.recv_many(5) == [1, 2]


def test_values_of_an_iterator_go_as_they_come():
    ch = gs.Chan()
    arrived = []

    def values():
        for i in range(3):
            yield i
            assert arrived[-1] == i

    def receive():
        for value in ch:
            arrived.append(value)

    receiver = in_thread(receive)

    def slowly():
        for value in values():
            yield value
            deadline = time.monotonic() + SOON
            while value not in arrived and time.monotonic() < deadline:
                time.sleep(0.001)

    assert ch.send_many(slowly()) == 3
    ch.close()
    receiver.join(SOON)
    assert arrived == [0, 1, 2]


def test_a_list_that_shrinks_while_it_is_sent_does_no_harm():
    values = []

    class Shrinks:
        def __index__(self):
            values.clear()
            return 1

    values += [0, Shrinks(), 2, 3]
    ch = gs.Chan(10, int)
    assert ch.send_many(values) == 2
    assert ch.recv_many(10) == [0, 1]


def test_what_is_no_iterable_is_a_type_error():
    with pytest.raises(TypeError) as caught:
        gs.Chan(1).send_many(3)
    assert caught.value.sent == 0


def test_a_buffer_of_the_item_format_goes_as_its_values():
    ch = gs.Chan(100, int)
    assert ch.send_many(array.array("q", [1, -2, 3])) == 3
    assert ch.send_many(memoryview(array.array("q", [4, 5]))) == 2
    assert ch.send_many(array.array("b", [-6])) == 1  # another format: by its values
    assert ch.send_many(b"\x07\x08") == 2
    assert ch.recv_many(100) == [1, -2, 3, 4, 5, -6, 7, 8]
    floats = gs.Chan(10, float)
    assert floats.send_many(array.array("d", [0.5])) == 1
    assert floats.send_many(array.array("q", [2])) == 1
    assert floats.recv_many(10) == [0.5, 2.0]
    with pytest.raises(TypeError):
        ch.send_many(array.array("d", [0.5]))
    ch.send_many((ctypes.c_int64 * 2)(1, 2))
    assert ch.recv_many(5) == [1, 2]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a class gives a buffer from 3.12 on")
def test_what_a_buffers_own_code_raises_passes_unchanged():
    class Exporter:
        def __init__(self, error):
            self.error = error

        def __buffer__(self, flags):
            raise self.error

        def __iter__(self):
            return iter([1, 2])

    ch = gs.Chan(2, int)
    with pytest.raises(KeyboardInterrupt):
        ch.send_many(Exporter(KeyboardInterrupt()))
    assert len(ch) == 0
    assert ch.send_many(Exporter(BufferError("not this one"))) == 2


def test_a_buffer_larger_than_the_channel_waits_and_tells_how_many_went():
    ch = gs.Chan(4, int)
    values = array.array("q", range(10_000))
    got = []
    receiver = in_thread(lambda: got.extend(ch))
    assert ch.send_many(values) == 10_000
    ch.close()
    receiver.join(SOON)
    assert got == list(values)
    full = gs.Chan(4, int)
    with pytest.raises(TimeoutError) as caught:
        full.send_many(values, timeout=0.01)
    assert caught.value.sent == 4


# ---- recv_many ----


def test_it_waits_for_the_first_value_and_takes_what_is_there():
    ch = gs.Chan(10)
    timer = threading.Timer(0.05, ch.send, ("x",))
    timer.start()
    assert ch.recv_many(5) == ["x"]
    ch.send_many(range(8))
    assert ch.recv_many(5) == [0, 1, 2, 3, 4]
    assert ch.recv_many(5) == [5, 6, 7]
    with pytest.raises(TimeoutError):
        ch.recv_many(5, timeout=0.01)
    timer.join()


def test_it_takes_from_the_senders_that_wait():
    ch = gs.Chan()
    senders = [in_thread(lambda i=i: ch.send(i)) for i in range(4)]
    time.sleep(0.1)
    assert sorted(ch.recv_many(10)) == [0, 1, 2, 3]
    for sender in senders:
        sender.join(SOON)


def test_a_large_batch_arrives_whole_and_in_order():
    ch = gs.Chan(100_000, int)
    ch.send_many(range(100_000))
    assert ch.recv_many(10**30) == list(range(100_000))
    words = gs.Chan(5000, str)
    words.send_many([str(i) for i in range(5000)])
    assert words.recv_many(5000) == [str(i) for i in range(5000)]


def test_records_larger_than_a_batch_arrive():
    ch = gs.Chan(3, "1000q")
    values = [tuple(range(i, i + 1000)) for i in range(3)]
    assert ch.send_many(values) == 3
    assert ch.recv_many(3) == values


@pytest.mark.parametrize(
    "n, error",
    [
        (0, ValueError),
        (-1, ValueError),
        (-(10**30), ValueError),
        ("1", TypeError),
        (None, TypeError),
    ],
)
def test_a_number_that_is_none_is_refused(n, error):
    ch = gs.Chan(2)
    ch.send(1)
    with pytest.raises(error, match="n must be"):
        ch.recv_many(n)
    assert len(ch) == 1


@pytest.mark.parametrize(
    "type, code",
    [(int, "q"), (int, "l"), (float, "d"), ("d", "d"), ("q", "q"), ("<q", "q"), ("h", "h")],
)
def test_into_a_buffer_of_the_item_format(type, code):
    ch = gs.Chan(10, type)
    values = [1, 2, 3]
    ch.send_many(values if type in (int, float) else [(v,) for v in values])
    into = array.array(code, [0] * 5)
    assert ch.recv_many(5, into=into) == 3
    assert list(into) == [1, 2, 3, 0, 0]


def test_into_waits_and_times_out_as_without():
    ch = gs.Chan(10, int)
    into = array.array("q", [0] * 4)
    with pytest.raises(TimeoutError):
        ch.recv_many(4, into=into, timeout=0.01)
    timer = threading.Timer(0.05, ch.send, (7,))
    timer.start()
    assert ch.recv_many(4, into=into) == 1
    assert list(into) == [7, 0, 0, 0]
    ch.close()
    with pytest.raises(gs.ChannelClosed):
        ch.recv_many(4, into=into)
    timer.join()


def test_into_a_buffer_of_bools():
    ch = gs.Chan(3, bool)
    ch.send_many([True, False, True])
    into = memoryview(bytearray(3)).cast("?")
    assert ch.recv_many(3, into=into) == 3
    assert into.tolist() == [True, False, True]


def test_into_a_c_array_of_structures():
    class Pair(ctypes.Structure):
        _fields_ = [("a", ctypes.c_int32), ("b", ctypes.c_double)]

    ch = gs.Chan(3, "=i4xd")
    ch.send_many([(1, 0.5), (2, 1.5)])
    into = (Pair * 3)()
    try:
        assert ch.recv_many(3, into=into) == 2
    except TypeError:
        # Before 3.12 ctypes left the padding out of the format that it exports.
        assert memoryview(into).format.find("x") < 0
    else:
        assert [(pair.a, pair.b) for pair in into] == [(1, 0.5), (2, 1.5), (0, 0.0)]


@pytest.mark.parametrize(
    "type, into, error",
    [
        (int, array.array("d", [0] * 4), TypeError),
        (int, array.array("i", [0] * 4), TypeError),
        (int, array.array("Q", [0] * 4), TypeError),
        (int, bytearray(32), TypeError),
        (int, bytes(32), TypeError),
        (int, memoryview(array.array("q", [0] * 8))[::2], TypeError),
        (int, memoryview(array.array("q", [0] * 4)).toreadonly(), TypeError),
        (int, [0, 0, 0, 0], TypeError),
        (int, 3, TypeError),
        (object, array.array("q", [0] * 4), TypeError),
        (str, bytearray(64), TypeError),
        (bytes, bytearray(64), TypeError),
        ("<dd", array.array("d", [0] * 4), TypeError),
        (int, array.array("q", [0] * 3), ValueError),
        (int, array.array("q"), ValueError),
    ],
)
def test_an_into_that_does_not_fit_is_refused_and_nothing_is_taken(type, into, error):
    ch = gs.Chan(4, type)
    ch.send({int: 1, object: 1, str: "1", bytes: b"1"}.get(type, (1, 1)))
    with pytest.raises(error, match="into"):
        ch.recv_many(4, into=into)
    assert len(ch) == 1


def test_numpy_arrays_go_in_and_come_out():
    np = pytest.importorskip("numpy")
    for dtype in ("f8", "f4", "i1", "u2", "i4", "u8", "?", "f2", ">i4", [("a", "i4"), ("b", "f8")]):
        dtype = np.dtype(dtype)
        source = np.zeros(1000, dtype)
        if dtype.names:
            source["a"], source["b"] = np.arange(1000), np.arange(1000) / 2
        else:
            source[:] = np.arange(1000) % 2
        ch = gs.Chan(1000, dtype)
        assert ch.send_many(source) == 1000
        into = np.ones(1000, dtype)
        assert ch.recv_many(1000, into=into) == 1000
        assert (into == source).all()


def test_a_numpy_array_with_strides_goes_by_its_values():
    np = pytest.importorskip("numpy")
    ch = gs.Chan(10, float)
    assert ch.send_many(np.arange(6.0)[::2]) == 3
    assert ch.recv_many(10) == [0.0, 2.0, 4.0]
    ch.send(1.0)
    with pytest.raises(TypeError, match="into"):
        ch.recv_many(3, into=np.zeros(6)[::2])
    with pytest.raises(TypeError, match="into"):
        ch.recv_many(3, into=np.zeros(3, ">f8"))
    with pytest.raises(TypeError):
        ch.send_many(np.zeros((2, 2)))
    assert len(ch) == 1


def test_python_types_into_numpy_arrays():
    np = pytest.importorskip("numpy")
    into = np.zeros(3, "i8")
    ch = gs.Chan(3, int)
    ch.send_many([1, 2, 3])
    assert ch.recv_many(3, into) == 3
    assert into.tolist() == [1, 2, 3]


def test_batches_between_threads_lose_nothing():
    ch = gs.Chan(100, int)
    n, sums = 200_000, []

    def consume():
        total = count = 0
        into = array.array("q", bytes(8 * 300))
        while True:
            try:
                k = ch.recv_many(300, into=into)
            except gs.ChannelClosed:
                break
            total += sum(into[:k])
            count += k
        sums.append((total, count))

    consumers = [in_thread(consume) for _ in range(3)]
    producers = [
        in_thread(lambda i=i: ch.send_many(array.array("q", range(i * n // 2, (i + 1) * n // 2))))
        for i in range(2)
    ]
    for producer in producers:
        producer.join(SOON)
    ch.close()
    for consumer in consumers:
        consumer.join(SOON)
    assert sum(count for _, count in sums) == n
    assert sum(total for total, _ in sums) == n * (n - 1) // 2
