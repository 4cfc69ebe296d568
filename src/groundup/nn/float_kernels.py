"""Single numbers inside compiled loops: bfloat16 read and written, and functions that leave a loop free to use vectors.

Inlined into the loops of rnn_kernels.py and of the engine's decode steps; Numba's own `math.exp` is a call for each number.
"""

# mypy: disable-error-code="call-arg, attr-defined, var-annotated"
# Numba's intrinsics are called without their typing context, which no type checker can know.

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, types
from numba.extending import intrinsic


@intrinsic
def wide(typing_context: Any, value: Any) -> Any:
    """A stored number as float32: bfloat16 is its upper half."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from llvmlite import ir

        if isinstance(signature.args[0], types.Float):
            return arguments[0]
        upper = builder.shl(builder.zext(arguments[0], ir.IntType(32)), ir.Constant(ir.IntType(32), 16))
        return builder.bitcast(upper, ir.FloatType())

    return types.float32(value), generate


@intrinsic
def narrow(typing_context: Any, value: Any, like: Any) -> Any:
    """float32 as the number type of `like`: itself, or bfloat16 rounded to nearest even."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from llvmlite import ir

        if isinstance(signature.args[1], types.Float):
            return arguments[0]
        i32 = ir.IntType(32)
        bits = builder.bitcast(arguments[0], i32)
        odd = builder.and_(builder.lshr(bits, ir.Constant(i32, 16)), ir.Constant(i32, 1))
        rounded = builder.add(bits, builder.add(odd, ir.Constant(i32, 0x7FFF)))
        return builder.trunc(builder.lshr(rounded, ir.Constant(i32, 16)), ir.IntType(16))

    return like(value, like), generate


@intrinsic
def _from_bits(typing_context: Any, value: Any) -> Any:
    """The float32 whose bits are an int32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from llvmlite import ir

        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@njit(inline="always", fastmath=True, error_model="numpy")
def exp(x):  # type: ignore[no-untyped-def]
    """e**x in float32 without a call, so that loops over it use vectors: 2**n by exponent bits times a polynomial of
    degree 6 on half a binade (relative error below 3e-7).
    """
    x = min(max(x, np.float32(-87.0)), np.float32(88.0))
    y = x * np.float32(1.4426950408889634)
    n = np.int32(y + np.float32(0.5) if y >= 0 else y - np.float32(0.5))
    # Cody and Waite: n ln 2 taken away in two parts.
    f = x - np.float32(n) * np.float32(0.693359375) + np.float32(n) * np.float32(2.12194440e-4)
    p = np.float32(1.3981999507e-3) + f * np.float32(1.9875691500e-4)
    p = np.float32(8.3334519073e-3) + f * p
    p = np.float32(4.1665795894e-2) + f * p
    p = np.float32(1.6666665459e-1) + f * p
    p = np.float32(0.5) + f * p
    p = np.float32(1.0) + f + f * f * p
    return p * _from_bits(np.int32((n + np.int32(127)) << np.int32(23)))


@njit(inline="always", fastmath=True, error_model="numpy")
def sigmoid(x):  # type: ignore[no-untyped-def]
    return np.float32(1.0) / (np.float32(1.0) + exp(-x))


@njit(inline="always", fastmath=True, error_model="numpy")
def tanh(x):  # type: ignore[no-untyped-def]
    """Absolute error below 2e-7; near 0 that is no small relative one."""
    return np.float32(2.0) * sigmoid(np.float32(2.0) * x) - np.float32(1.0)
