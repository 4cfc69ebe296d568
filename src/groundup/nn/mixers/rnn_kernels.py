"""What stands between the matrix products of a recurrent layer, one step of time at a call, compiled by Numba for one thread.

A step's products are small, so that PyTorch's call for each of the eight functions of a gate would take as long as they do. Everything
that is remembered is float32; `wide` and `narrow` turn what the products read and write from and to bfloat16 (rnn.py's `reference`
is the readable form, and tests/parity/test_nn_rnn.py holds the two equal).

`projected` is the input's part of the gates, `recurrent` that of the state before. The loops run over one row of one gate at a
time: short enough for the nearest cache, and with few enough arrays that the compiler can see that they do not overlap.

Letters: T steps, B batch, H hidden, G gates (LSTM i f g o; GRU r z n).
"""

# mypy: disable-error-code="call-arg, var-annotated"
# Numba's intrinsics are called without their typing context, which no type checker can know.

from __future__ import annotations

import numpy as np
from numba import njit

from ..float_kernels import narrow, sigmoid, tanh, wide

_ONE = np.float32(1.0)


@njit(fastmath=True, error_model="numpy")
def _sigmoids(a, b, out):  # type: ignore[no-untyped-def]
    for j in range(out.shape[0]):
        out[j] = sigmoid(wide(a[j]) + wide(b[j]))


@njit(fastmath=True, error_model="numpy")
def _tanhs(a, b, out):  # type: ignore[no-untyped-def]
    for j in range(out.shape[0]):
        out[j] = tanh(wide(a[j]) + wide(b[j]))


@njit(fastmath=True, error_model="numpy")
def _cells(i, f, g, before, after):  # type: ignore[no-untyped-def]
    for j in range(after.shape[0]):
        after[j] = f[j] * before[j] + i[j] * g[j]


@njit(fastmath=True, error_model="numpy")
def _outputs(o, c, out):  # type: ignore[no-untyped-def]
    for j in range(out.shape[0]):
        out[j] = narrow(o[j] * tanh(c[j]), out[j])


@njit(fastmath=True, nogil=True, error_model="numpy", cache=True)
def lstm_forward(t, projected, recurrent, gates, remembered, hidden):  # type: ignore[no-untyped-def]
    """projected [T, B, 4H], recurrent [B, 4H] -> gates[t] [B, 4H] float32, remembered[t + 1] (c) [B, H] float32, hidden[t + 1] [B, H]."""
    size = hidden.shape[2]
    for b in range(hidden.shape[1]):
        a, r, out = projected[t, b], recurrent[b], gates[t, b]
        _sigmoids(a[: 2 * size], r[: 2 * size], out[: 2 * size])
        _tanhs(a[2 * size : 3 * size], r[2 * size : 3 * size], out[2 * size : 3 * size])
        _sigmoids(a[3 * size :], r[3 * size :], out[3 * size :])
        c = remembered[t + 1, b]
        _cells(out[:size], out[size : 2 * size], out[2 * size : 3 * size], remembered[t, b], c)
        _outputs(out[3 * size :], c, hidden[t + 1, b])


@njit(fastmath=True, error_model="numpy")
def _into_cell(o, c, above, later, dc, d_o):  # type: ignore[no-untyped-def]
    """dc += dh o (1 - tanh(c)^2), and the gradient of the output gate's sum."""
    for j in range(dc.shape[0]):
        dh = wide(above[j]) + wide(later[j])
        y = tanh(c[j])
        dc[j] += dh * o[j] * (_ONE - y * y)
        d_o[j] = narrow(dh * y * o[j] * (_ONE - o[j]), d_o[j])


@njit(fastmath=True, error_model="numpy")
def _into_gate(dc, other, gate, d):  # type: ignore[no-untyped-def]
    for j in range(d.shape[0]):
        d[j] = narrow(dc[j] * other[j] * gate[j] * (_ONE - gate[j]), d[j])


@njit(fastmath=True, error_model="numpy")
def _into_candidate(dc, i, g, d):  # type: ignore[no-untyped-def]
    for j in range(d.shape[0]):
        d[j] = narrow(dc[j] * i[j] * (_ONE - g[j] * g[j]), d[j])


@njit(fastmath=True, error_model="numpy")
def _through(dc, f):  # type: ignore[no-untyped-def]
    for j in range(dc.shape[0]):
        dc[j] *= f[j]


@njit(fastmath=True, nogil=True, error_model="numpy", cache=True)
def lstm_backward(t, gates, remembered, hidden, above, later, carry, d_sums, d_recurrent):  # type: ignore[no-untyped-def]
    """above[t], later [B, H]: gradients of the output of step t, from above and from step t + 1. carry [B, H]: that of c, taken one
    step back. Writes the gradient of the gates' sums, d_sums[t] [B, 4H]."""
    size = hidden.shape[2]
    for b in range(hidden.shape[1]):
        g, dc, d = gates[t, b], carry[b], d_sums[t, b]
        i, f, candidate, o = g[:size], g[size : 2 * size], g[2 * size : 3 * size], g[3 * size :]
        _into_cell(o, remembered[t + 1, b], above[t, b], later[b], dc, d[3 * size :])
        _into_gate(dc, candidate, i, d[:size])
        _into_gate(dc, remembered[t, b], f, d[size : 2 * size])
        _into_candidate(dc, i, candidate, d[2 * size : 3 * size])
        _through(dc, f)


@njit(fastmath=True, error_model="numpy")
def _candidates(projected, r, q, out):  # type: ignore[no-untyped-def]
    for j in range(out.shape[0]):
        out[j] = tanh(wide(projected[j]) + r[j] * q[j])


@njit(fastmath=True, error_model="numpy")
def _plus(a, bias, out):  # type: ignore[no-untyped-def]
    for j in range(out.shape[0]):
        out[j] = wide(a[j]) + bias[j]


@njit(fastmath=True, error_model="numpy")
def _mix(z, n, before, after, out):  # type: ignore[no-untyped-def]
    for j in range(after.shape[0]):
        after[j] = n[j] + z[j] * (before[j] - n[j])
        out[j] = narrow(after[j], out[j])


@njit(fastmath=True, nogil=True, error_model="numpy", cache=True)
def gru_forward(t, projected, recurrent, bias, gates, remembered, hidden):  # type: ignore[no-untyped-def]
    """projected [T, B, 3H], recurrent [B, 3H], bias [H] -> gates[t] [B, 4H] (r, z, n and the recurrent part of n, q), remembered
    [t + 1] (h in float32), hidden[t + 1]."""
    size = hidden.shape[2]
    for b in range(hidden.shape[1]):
        a, s, out = projected[t, b], recurrent[b], gates[t, b]
        r, z, n, q = out[:size], out[size : 2 * size], out[2 * size : 3 * size], out[3 * size :]
        _sigmoids(a[: 2 * size], s[: 2 * size], out[: 2 * size])
        _plus(s[2 * size :], bias, q)
        _candidates(a[2 * size :], r, q, n)
        _mix(z, n, remembered[t, b], remembered[t + 1, b], hidden[t + 1, b])


@njit(fastmath=True, error_model="numpy")
def _into_update(dh, before, n, z, d):  # type: ignore[no-untyped-def]
    for j in range(d.shape[0]):
        d[j] = narrow(dh[j] * (before[j] - n[j]) * z[j] * (_ONE - z[j]), d[j])


@njit(fastmath=True, error_model="numpy")
def _into_new(dh, z, n, d):  # type: ignore[no-untyped-def]
    for j in range(d.shape[0]):
        d[j] = narrow(dh[j] * (_ONE - z[j]) * (_ONE - n[j] * n[j]), d[j])


@njit(fastmath=True, error_model="numpy")
def _into_reset(d_new, q, r, d, d_q):  # type: ignore[no-untyped-def]
    for j in range(d.shape[0]):
        dn = wide(d_new[j])
        d[j] = narrow(dn * q[j] * r[j] * (_ONE - r[j]), d[j])
        d_q[j] = narrow(dn * r[j], d_q[j])


@njit(fastmath=True, error_model="numpy")
def _sum(dh, above, later):  # type: ignore[no-untyped-def]
    for j in range(dh.shape[0]):
        dh[j] += wide(above[j]) + wide(later[j])


@njit(fastmath=True, error_model="numpy")
def _copy(source, target):  # type: ignore[no-untyped-def]
    for j in range(target.shape[0]):
        target[j] = source[j]


@njit(fastmath=True, nogil=True, error_model="numpy", cache=True)
def gru_backward(t, gates, remembered, hidden, above, later, carry, d_sums, d_recurrent):  # type: ignore[no-untyped-def]
    """As `lstm_backward`; carry is the part of h's gradient that goes past the gates. d_sums[t] [B, 3H] is the gradient of the
    projected part, d_recurrent[t] of the recurrent part."""
    size = hidden.shape[2]
    for b in range(hidden.shape[1]):
        g, dh, d, e = gates[t, b], carry[b], d_sums[t, b], d_recurrent[t, b]
        r, z, n, q = g[:size], g[size : 2 * size], g[2 * size : 3 * size], g[3 * size :]
        _sum(dh, above[t, b], later[b])
        _into_update(dh, remembered[t, b], n, z, d[size : 2 * size])
        _into_new(dh, z, n, d[2 * size :])
        _into_reset(d[2 * size :], q, r, d[:size], e[2 * size :])
        _copy(d[: 2 * size], e[: 2 * size])
        _through(dh, z)


@njit(fastmath=True, error_model="numpy")
def _narrowed(source, target):  # type: ignore[no-untyped-def]
    for j in range(target.shape[0]):
        target[j] = narrow(source[j], target[j])


@njit(fastmath=True, nogil=True, error_model="numpy", cache=True)
def rnn_forward(t, projected, recurrent, gates, remembered, hidden):  # type: ignore[no-untyped-def]
    """projected [T, B, H], recurrent [B, H] -> remembered[t + 1] (h in float32), hidden[t + 1]."""
    for b in range(hidden.shape[1]):
        _tanhs(projected[t, b], recurrent[b], remembered[t + 1, b])
        _narrowed(remembered[t + 1, b], hidden[t + 1, b])


@njit(fastmath=True, error_model="numpy")
def _into_sum(above, later, h, d):  # type: ignore[no-untyped-def]
    for j in range(d.shape[0]):
        d[j] = narrow((wide(above[j]) + wide(later[j])) * (_ONE - h[j] * h[j]), d[j])


@njit(fastmath=True, nogil=True, error_model="numpy", cache=True)
def rnn_backward(t, gates, remembered, hidden, above, later, carry, d_sums, d_recurrent):  # type: ignore[no-untyped-def]
    """As `lstm_backward`, with nothing that is carried."""
    for b in range(hidden.shape[1]):
        _into_sum(above[t, b], later[b], remembered[t + 1, b], d_sums[t, b])
