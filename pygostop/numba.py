"""The calls of pygostop.h for functions that Numba compiles: a ``@cfunc`` as a C task.

    @numba.cfunc("int32(voidptr)")
    def total(call):
        x = gs_arg_array(call, 0, np.float64)
        s = 0.0
        for i in range(len(x)):
            code = gs_checkpoint(call)
            if code != GS_OK:
                return code
            s += x[i]
        return gs_return_float(call, s)

    pygostop.CTask(total)(data)

They work in compiled code only, take ``call`` first, and are what the header says; after a wait the
task may be on another thread. Where an argument is wrong the task ends inside that call, and what
Numba allocated before is not freed. In place of pointers to items there are arrays and values:
``gs_arg_array``, ``gs_send_many``, ``gs_send_int``; a type of items is NumPy's, such as
``np.int64``. What calls functions back (hooks, defers, child tasks) and select are for C.
"""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic, register_jitable

__all__ = [
    "GS_EAGAIN",
    "GS_ECANCELED",
    "GS_ECLOSED",
    "GS_EDEADLK",
    "GS_EINVAL",
    "GS_ENOMEM",
    "GS_ETIMEDOUT",
    "GS_OK",
    "gs_arg_array",
    "gs_arg_chan",
    "gs_arg_ctx",
    "gs_arg_float",
    "gs_arg_int",
    "gs_arg_kind",
    "gs_block_begin",
    "gs_block_end",
    "gs_cancelled",
    "gs_chan_new",
    "gs_checkpoint",
    "gs_close",
    "gs_ctx_current",
    "gs_ctx_done",
    "gs_nargs",
    "gs_progress",
    "gs_recv_float",
    "gs_recv_int",
    "gs_recv_many",
    "gs_return_float",
    "gs_return_int",
    "gs_send_float",
    "gs_send_int",
    "gs_send_many",
    "gs_shield_begin",
    "gs_shield_end",
    "gs_sleep",
    "gs_yield",
]

GS_OK = 0
GS_ECANCELED = -1
GS_ECLOSED = -2
GS_EAGAIN = -3
GS_ETIMEDOUT = -4
GS_EINVAL = -5
GS_ENOMEM = -6
GS_EDEADLK = -7

_int, _long, _double, _size = types.int32, types.int64, types.float64, types.uint64
_pointer, _void, _bool = types.voidptr, types.void, types.boolean

# ---- the table of functions, as struct gs_api and struct gs_call have it ----

# Where a function is, counted in functions from the first, which never changes; what it gives, and
# what it takes after `call`.
_TABLE: dict[str, tuple[int, Any, tuple[Any, ...]]] = {
    "nargs": (0, _int, ()),
    "arg_kind": (1, _int, (_int,)),
    "arg_int": (2, _long, (_int,)),
    "arg_float": (3, _double, (_int,)),
    "arg_array": (7, _pointer, (_int, _size, _pointer)),
    "arg_chan": (9, _pointer, (_int, _size)),
    "arg_ctx": (10, _pointer, (_int,)),
    "return_int": (12, _int, (_long,)),
    "return_float": (13, _int, (_double,)),
    "checkpoint": (17, _int, ()),
    "shield_begin": (23, _void, ()),
    "shield_end": (24, _void, ()),
    "yield": (25, _int, ()),
    "sleep": (26, _int, (_long,)),
    "send": (27, _int, (_pointer, _pointer)),
    "recv": (28, _int, (_pointer, _pointer)),
    "send_many": (31, _long, (_pointer, _pointer, _size)),
    "recv_many": (32, _long, (_pointer, _pointer, _size)),
    "close": (34, _int, (_pointer,)),
    "chan_new": (35, _pointer, (_size, _size)),
    "block_begin": (39, _void, ()),
    "block_end": (40, _void, ()),
    "ctx_current": (45, _pointer, ()),
    "ctx_done": (49, _bool, (_pointer,)),
    "progress": (50, _void, (_long, _long)),
}
_HEAD = 8  # bytes before the first function
_SIGNAL = 8  # bytes of gs_call before its signal


def _llvm(kind: Any) -> Any:
    if kind is _void:
        return ir.VoidType()
    if kind is _pointer:
        return ir.IntType(8).as_pointer()
    if kind is _double:
        return ir.DoubleType()
    return ir.IntType(8 if kind is _bool else kind.bitwidth)


def _word(n: int) -> Any:
    return ir.Constant(ir.IntType(64), n)


def _emit(builder: Any, name: str, call: Any, values: list[Any]) -> Any:
    """Calls the function of that name in the table that ``call`` points to, with LLVM's values."""
    place, returns, takes = _TABLE[name]
    pointer = _llvm(_pointer)
    table = builder.load(builder.bitcast(call, pointer.as_pointer()))
    kind = ir.FunctionType(_llvm(returns), [pointer, *map(_llvm, takes)])
    slot = builder.gep(table, [_word(_HEAD + 8 * place)])
    function = builder.load(builder.bitcast(slot, kind.as_pointer().as_pointer()))
    result = builder.call(function, [call, *values])
    return builder.trunc(result, ir.IntType(1)) if returns is _bool else result


def _cast(context: Any, builder: Any, value: Any, given: Any, wanted: Any) -> Any:
    if wanted is _pointer and isinstance(given, types.Integer):
        return builder.inttoptr(value, _llvm(_pointer))
    return context.cast(builder, value, given, wanted)


def _function(name: str) -> Any:
    """The call of that name, with the arguments that it has in the table."""
    _, returns, takes = _TABLE[name]

    @intrinsic
    def emit(typingctx: Any, call: Any, values: Any) -> Any:
        if len(values) != len(takes):
            raise TypingError(
                f"gs_{name}() takes {1 + len(takes)} arguments ({1 + len(values)} given)"
            )

        def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            items = cgutils.unpack_tuple(builder, given[1]) if takes else []
            result = _emit(
                *(builder, name, given[0]),
                [
                    _cast(context, builder, item, kind, wanted)
                    for item, kind, wanted in zip(items, signature.args[1], takes, strict=True)
                ],
            )
            return context.get_dummy_value() if returns is _void else result

        return returns(_pointer, values), codegen

    @register_jitable
    def function(call, *values):
        return emit(call, values)

    return function


gs_nargs = _function("nargs")
gs_arg_kind = _function("arg_kind")
gs_arg_int = _function("arg_int")
gs_arg_float = _function("arg_float")
gs_arg_ctx = _function("arg_ctx")
gs_return_int = _function("return_int")
gs_return_float = _function("return_float")
gs_shield_begin = _function("shield_begin")
gs_shield_end = _function("shield_end")
gs_yield = _function("yield")
gs_sleep = _function("sleep")
gs_close = _function("close")
gs_block_begin = _function("block_begin")
gs_block_end = _function("block_end")
gs_ctx_current = _function("ctx_current")
gs_ctx_done = _function("ctx_done")
gs_progress = _function("progress")

# ---- stopping: one load, as in C ----


@intrinsic
def _signal(typingctx: Any, call: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        place = builder.gep(given[0], [_word(_SIGNAL)])
        return builder.load_atomic(
            builder.bitcast(place, ir.IntType(32).as_pointer()), "monotonic", 4
        )

    return types.uint32(_pointer), codegen


_checkpoint = _function("checkpoint")


@register_jitable
def gs_checkpoint(call):
    if _signal(call) != 0:
        return _checkpoint(call)
    return numba.int32(0)


@register_jitable
def gs_cancelled(call):
    return (_signal(call) & 1) != 0


# ---- items: NumPy's types and arrays, and values ----


def _item(kind: Any) -> tuple[Any, int]:
    """The type of Numba that a type of NumPy stands for, and its gs_type."""
    item = kind.dtype if isinstance(kind, (types.NumberClass, types.DType)) else kind
    code = None
    if isinstance(item, types.Boolean):
        return item, 1 | 1 << 8
    if isinstance(item, types.Integer):
        code = 2 if item.signed else 3
    elif isinstance(item, types.Float):
        code = 4
    if code is None:
        raise TypingError(
            f"items must be of a plain type of NumPy, such as numpy.int64, not {item}"
        )
    return item, code | item.bitwidth // 8 << 8


@intrinsic
def _arg_array(typingctx: Any, call: Any, i: Any, dtype: Any) -> Any:
    item, code = _item(dtype)

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        count = cgutils.alloca_once(builder, ir.IntType(64))
        index = context.cast(builder, given[1], signature.args[1], _int)
        data = _emit(
            builder,
            "arg_array",
            given[0],
            [index, _word(code), builder.bitcast(count, _llvm(_pointer))],
        )
        data = builder.bitcast(data, context.get_value_type(types.CPointer(item)))
        return context.make_tuple(builder, signature.return_type, (data, builder.load(count)))

    return types.Tuple((types.CPointer(item), types.intp))(_pointer, i, dtype), codegen


@register_jitable
def gs_arg_array(call, i, dtype):
    """The items of a contiguous writable buffer, as an array that shares its memory."""
    data, count = _arg_array(call, i, dtype)
    return numba.carray(data, (count,))


@intrinsic
def gs_arg_chan(typingctx: Any, call: Any, i: Any, dtype: Any) -> Any:
    _, code = _item(dtype)

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        index = context.cast(builder, given[1], signature.args[1], _int)
        return _emit(builder, "arg_chan", given[0], [index, _word(code)])

    return _pointer(_pointer, i, dtype), codegen


@intrinsic
def gs_chan_new(typingctx: Any, call: Any, dtype: Any, capacity: Any) -> Any:
    _, code = _item(dtype)

    def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        size = context.cast(builder, given[2], signature.args[2], _size)
        return _emit(builder, "chan_new", given[0], [_word(code), size])

    return _pointer(_pointer, dtype, capacity), codegen


def _send(item: Any) -> Any:
    """gs_send of a value of that type, on a channel of it."""

    @intrinsic
    def send(typingctx: Any, call: Any, channel: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            place = cgutils.alloca_once(builder, _llvm(item))
            builder.store(context.cast(builder, given[2], signature.args[2], item), place)
            return _emit(
                builder, "send", given[0], [given[1], builder.bitcast(place, _llvm(_pointer))]
            )

        return _int(_pointer, _pointer, value), codegen

    return send


def _recv(item: Any) -> Any:
    """gs_recv from a channel of that type: a pair of its code and the value."""

    @intrinsic
    def recv(typingctx: Any, call: Any, channel: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, given: Any) -> Any:
            place = cgutils.alloca_once(builder, _llvm(item))
            builder.store(ir.Constant(_llvm(item), 0), place)
            code = _emit(
                builder, "recv", given[0], [given[1], builder.bitcast(place, _llvm(_pointer))]
            )
            return context.make_tuple(builder, signature.return_type, (code, builder.load(place)))

        return types.Tuple((_int, item))(_pointer, _pointer), codegen

    return recv


gs_send_int, gs_send_float = _send(_long), _send(_double)
gs_recv_int, gs_recv_float = _recv(_long), _recv(_double)

_send_many, _recv_many = _function("send_many"), _function("recv_many")


@register_jitable
def gs_send_many(call, channel, items):
    """Sends a contiguous array, of the channel's type: how many went, or a code."""
    return _send_many(call, channel, items.ctypes.data, items.size)


@register_jitable
def gs_recv_many(call, channel, into):
    """Fills the front of a contiguous array, of the channel's type: how many came, or a code."""
    return _recv_many(call, channel, into.ctypes.data, into.size)
