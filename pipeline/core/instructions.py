"""Single machine instructions that compiled code can use and Python has no word for.

Words are little-endian, as on every machine that numba runs on.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, types

from pipeline.core.compiled import Bytes, Int

_intrinsic: Any = extending.intrinsic


def _load_word(_typing: Any, array: Any, _index: Any) -> Any:
    signature = types.uint64(array, types.int64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(64).as_pointer())
        word = builder.load(place)
        word.align = 1
        return word

    return signature, codegen


def _store_word(_typing: Any, array: Any, _index: Any, _word: Any) -> Any:
    signature = types.void(array, types.int64, types.uint64)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        place = builder.bitcast(builder.gep(data, [args[1]]), ir.IntType(64).as_pointer())
        stored = builder.store(args[2], place)
        stored.align = 1
        return context.get_dummy_value()

    return signature, codegen


def _trailing_zeros(_typing: Any, _word: Any) -> Any:
    signature = types.uint64(types.uint64)

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return signature, codegen


def _leading_zeros(_typing: Any, _word: Any) -> Any:
    signature = types.uint64(types.uint64)

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.ctlz(args[0], ir.Constant(ir.IntType(1), 1))

    return signature, codegen


def _multiply_high(_typing: Any, _a: Any, _b: Any) -> Any:
    signature = types.uint64(types.uint64, types.uint64)

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), ir.IntType(64))

    return signature, codegen


def _double_of_bits(_typing: Any, _bits: Any) -> Any:
    signature = types.float64(types.uint64)

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return signature, codegen


def _bits_of_double(_typing: Any, _value: Any) -> Any:
    signature = types.uint64(types.float64)

    def codegen(_context: Any, builder: Any, _signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.IntType(64))

    return signature, codegen


load_word: Callable[[Bytes, Int], np.uint64] = _intrinsic(_load_word)
"""Read the eight bytes of an array from an index on, which must not be less than eight before its end."""

store_word: Callable[[Bytes, Int, np.uint64], None] = _intrinsic(_store_word)
"""Write eight bytes to an array from an index on, which must not be less than eight before its end."""

trailing_zeros: Callable[[np.uint64], np.uint64] = _intrinsic(_trailing_zeros)
"""Count the trailing zero bits of a word that is not 0."""

leading_zeros: Callable[[np.uint64], np.uint64] = _intrinsic(_leading_zeros)
"""Count the leading zero bits of a word that is not 0."""

multiply_high: Callable[[np.uint64, np.uint64], np.uint64] = _intrinsic(_multiply_high)
"""Return the upper 64 bits of the product of two words."""

double_of_bits: Callable[[np.uint64], float] = _intrinsic(_double_of_bits)
"""Read 64 bits as a double."""

bits_of_double: Callable[[float], np.uint64] = _intrinsic(_bits_of_double)
"""Read a double as its 64 bits."""
