"""One decode step of a whole decoder, compiled by Numba: what PyTorch would do in some thirty small calls a layer.

At one token a row the arithmetic is matrix times a few vectors, bound by reading the weights once; in PyTorch each call costs
several microseconds before it does anything, and its bfloat16 product reads at half the speed that memory allows
(benchmarks/generate.py prints both). Here a layer is five parallel regions. Weights stay where the module has them and are
reached by address, so nothing is copied or packed. Activations are float32 throughout; bfloat16 weights, keys and values are
widened as they are read (a shift) and rounded to nearest even when they are stored.

The module itself is the readable reference; tests/identities/test_engine_compiled.py holds the two equal.

Letters: M rows of the batch, D hidden, H heads, K kv heads, N head size, F intermediate, V vocabulary, L layers.
"""

# mypy: disable-error-code="call-arg, attr-defined, var-annotated"
# Numba's intrinsics are called without their typing context, which no type checker can know.

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from numba import carray, njit, prange, types
from numba.extending import intrinsic

from ..nn.float_kernels import exp as _exp
from ..nn.float_kernels import narrow as _narrow
from ..nn.float_kernels import wide as _wide

# Columns of the integer table, one row a layer: addresses (0: the layer has none), then shapes and choices.
(
    Q, K_, V_, O, QB, KB, VB, OB, QN, KN, GATE, UP, DOWN, GB, UB, DB,
    PRE1, PRE1B, POST1, POST1B, PRE2, PRE2B, POST2, POST2B, COS, SIN, KEYS, VALUES,
    HEADS, KV_HEADS, HEAD_DIM, ROTATED, QK_NORM, WINDOW, CAPACITY, INTERMEDIATE, ACTIVATION, NORM_KIND,
    LAYER_COLUMNS,
) = range(39)  # fmt: skip
# Columns of the float table.
SCALE, SOFTCAP, QK_EPS, NORM_EPS, LAYER_FLOATS = range(5)
# Columns of the model's own integer and float rows.
EMBED, POSITIONS, FINAL, FINAL_B, HEAD, HIDDEN, VOCAB, FINAL_KIND, MODEL_COLUMNS = range(9)
EMBED_SCALE, LOGIT_CAP, FINAL_EPS, MODEL_FLOATS = range(4)

PROJECT, ATTEND, OUTPUT, WIDEN, NARROW, PREDICT = range(6)

NORM_NONE, NORM_RMS, NORM_RMS_OFFSET, NORM_LAYER = range(4)
QK_NONE, QK_HEAD, QK_FULL = range(3)
ACT_RELU, ACT_RELU2, ACT_GELU, ACT_GELU_TANH, ACT_SILU = range(5)


@intrinsic
def _pointer(typing_context: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        from llvmlite import ir

        return builder.inttoptr(arguments[0], ir.IntType(8).as_pointer())

    return types.voidptr(types.int64), generate


@njit(fastmath=True, nogil=True, error_model="numpy")
def _product(x, w, y, low, high):  # type: ignore[no-untyped-def]
    """y[:, low:high] = x w[low:high]^T; x [M, D], w [out, D]. Four weight rows by four batch rows at once: sixteen sums stay in
    registers and each weight is widened once for four rows.
    """
    rows, width = x.shape
    n = low
    while n < high:
        if n + 4 <= high:
            w0, w1, w2, w3 = w[n], w[n + 1], w[n + 2], w[n + 3]
            m = 0
            while m + 4 <= rows:
                x0, x1, x2, x3 = x[m], x[m + 1], x[m + 2], x[m + 3]
                a00 = a01 = a02 = a03 = np.float32(0)
                a10 = a11 = a12 = a13 = np.float32(0)
                a20 = a21 = a22 = a23 = np.float32(0)
                a30 = a31 = a32 = a33 = np.float32(0)
                for k in range(width):
                    v0, v1, v2, v3 = _wide(w0[k]), _wide(w1[k]), _wide(w2[k]), _wide(w3[k])
                    u = x0[k]
                    a00 += u * v0
                    a01 += u * v1
                    a02 += u * v2
                    a03 += u * v3
                    u = x1[k]
                    a10 += u * v0
                    a11 += u * v1
                    a12 += u * v2
                    a13 += u * v3
                    u = x2[k]
                    a20 += u * v0
                    a21 += u * v1
                    a22 += u * v2
                    a23 += u * v3
                    u = x3[k]
                    a30 += u * v0
                    a31 += u * v1
                    a32 += u * v2
                    a33 += u * v3
                y[m, n], y[m, n + 1], y[m, n + 2], y[m, n + 3] = a00, a01, a02, a03
                y[m + 1, n], y[m + 1, n + 1], y[m + 1, n + 2], y[m + 1, n + 3] = a10, a11, a12, a13
                y[m + 2, n], y[m + 2, n + 1], y[m + 2, n + 2], y[m + 2, n + 3] = a20, a21, a22, a23
                y[m + 3, n], y[m + 3, n + 1], y[m + 3, n + 2], y[m + 3, n + 3] = a30, a31, a32, a33
                m += 4
            while m < rows:
                x0 = x[m]
                a00 = a01 = a02 = a03 = np.float32(0)
                for k in range(width):
                    u = x0[k]
                    a00 += u * _wide(w0[k])
                    a01 += u * _wide(w1[k])
                    a02 += u * _wide(w2[k])
                    a03 += u * _wide(w3[k])
                y[m, n], y[m, n + 1], y[m, n + 2], y[m, n + 3] = a00, a01, a02, a03
                m += 1
            n += 4
        else:
            for m in range(rows):
                a = np.float32(0)
                for k in range(width):
                    a += x[m, k] * _wide(w[n, k])
                y[m, n] = a
            n += 1


@njit(fastmath=True, nogil=True, error_model="numpy")
def _add_bias(y, address, low, high, like):  # type: ignore[no-untyped-def]
    if address != 0:
        bias = carray(_pointer(address), (high,), like)
        for m in range(y.shape[0]):
            for n in range(low, high):
                y[m, n] += _wide(bias[n])


@njit(fastmath=True, nogil=True, error_model="numpy")
def _norm(x, out, kind, weight_address, bias_address, eps, like):  # type: ignore[no-untyped-def]
    """out[m] = norm(x[m]), [M, D] both; they may be the same array."""
    rows, width = x.shape
    if kind == NORM_NONE:
        for m in range(rows):
            for d in range(width):
                out[m, d] = x[m, d]
        return
    weight = carray(_pointer(weight_address), (width,), like)
    for m in range(rows):
        mean = np.float32(0)
        if kind == NORM_LAYER:
            for d in range(width):
                mean += x[m, d]
            mean /= np.float32(width)
        square = np.float32(0)
        for d in range(width):
            square += (x[m, d] - mean) * (x[m, d] - mean)
        factor = np.float32(1.0 / math.sqrt(square / np.float32(width) + eps))
        if kind == NORM_RMS_OFFSET:
            for d in range(width):
                out[m, d] = x[m, d] * factor * (np.float32(1) + _wide(weight[d]))
        else:
            for d in range(width):
                out[m, d] = (x[m, d] - mean) * factor * _wide(weight[d])
    _add_bias(out, bias_address, 0, width, like)


@njit(fastmath=True, nogil=True, error_model="numpy")
def _activate(x, low, high, kind):  # type: ignore[no-untyped-def]
    for m in range(x.shape[0]):
        row = x[m]
        if kind == ACT_SILU:
            for n in range(low, high):
                row[n] = row[n] / (np.float32(1) + _exp(-row[n]))
        elif kind == ACT_GELU_TANH:
            for n in range(low, high):
                u = row[n]
                # tanh(z) = 1 - 2 / (e^2z + 1)
                z = np.float32(0.7978845608028654) * (u + np.float32(0.044715) * u * u * u)
                tanh = np.float32(1) - np.float32(2) / (_exp(np.float32(2) * z) + np.float32(1))
                row[n] = np.float32(0.5) * u * (np.float32(1) + tanh)
        elif kind == ACT_GELU:
            for n in range(low, high):
                row[n] = np.float32(0.5) * row[n] * (np.float32(1) + math.erf(row[n] * np.float32(0.7071067811865476)))
        else:
            for n in range(low, high):
                u = max(row[n], np.float32(0))
                row[n] = u * u if kind == ACT_RELU2 else u


@njit(fastmath=True, nogil=True, error_model="numpy")
def _head_norm(x, weight_address, eps, like):  # type: ignore[no-untyped-def]
    """RMSNorm of one vector in place."""
    weight = carray(_pointer(weight_address), (x.shape[0],), like)
    square = np.float32(0)
    for d in range(x.shape[0]):
        square += x[d] * x[d]
    factor = np.float32(1.0 / math.sqrt(square / np.float32(x.shape[0]) + eps))
    for d in range(x.shape[0]):
        x[d] = x[d] * factor * _wide(weight[d])


@njit(fastmath=True, nogil=True, error_model="numpy")
def _rotate(x, cos, sin, rotated):  # type: ignore[no-untyped-def]
    """Turn pairs (i, i + rotated / 2) of one head in place; cos, sin [rotated / 2]."""
    half = rotated // 2
    for i in range(half):
        a, b = x[i], x[i + half]
        x[i] = a * cos[i] - b * sin[i]
        x[i + half] = b * cos[i] + a * sin[i]


@njit(fastmath=True, nogil=True, error_model="numpy")
def _score(query, keys, scores, low, high, cap, highest):  # type: ignore[no-untyped-def]
    """scores[low:high] of one query [N] against keys [S, N]; returns the highest so far."""
    for s in range(low, high):
        past = keys[s]
        score = np.float32(0)
        for d in range(query.shape[0]):
            score += query[d] * _wide(past[d])
        if cap > 0:
            score = cap * np.float32(math.tanh(score / cap))
        scores[s] = score
        highest = max(highest, score)
    return highest


@njit(fastmath=True, nogil=True, error_model="numpy")
def _mix(mixed, values, scores, low, high):  # type: ignore[no-untyped-def]
    for s in range(low, high):
        past, weight = values[s], scores[s]
        for d in range(mixed.shape[0]):
            mixed[d] += weight * _wide(past[d])


@njit(fastmath=True, nogil=True, error_model="numpy")
def _attend(layer, floats, q, k, v, out, scores, m, group, row, length, stem, shared, like, stored):  # type: ignore[no-untyped-def]
    """Attention of one row's query heads that share kv head `group`: norm, rotate, remember, weigh.

    The first `shared` tokens are read from row `stem`, which holds the same: rows of one prompt then read it from the cache.
    """
    heads, kv_heads, size = layer[HEADS], layer[KV_HEADS], layer[HEAD_DIM]
    share = heads // kv_heads
    pool = (max(row, stem) + 1, kv_heads, layer[CAPACITY], size)
    all_keys, all_values = carray(_pointer(layer[KEYS]), pool, stored), carray(_pointer(layer[VALUES]), pool, stored)
    keys, values = all_keys[row, group], all_values[row, group]
    stem_keys, stem_values = all_keys[stem, group], all_values[stem, group]
    key, value = k[m][group * size : (group + 1) * size], v[m][group * size : (group + 1) * size]
    if layer[QK_NORM] == QK_HEAD:
        _head_norm(key, layer[KN], floats[QK_EPS], like)
    rotated = layer[ROTATED]
    cos = carray(_pointer(layer[COS]), (length + 1, rotated // 2), np.float32)
    sin = carray(_pointer(layer[SIN]), (length + 1, rotated // 2), np.float32)
    if rotated > 0:
        _rotate(key, cos[length], sin[length], rotated)
    for d in range(size):
        keys[length, d] = _narrow(key[d], keys[length, d])
        values[length, d] = _narrow(value[d], values[length, d])
    begin = 0
    if layer[WINDOW] > 0:
        begin = max(0, length + 1 - layer[WINDOW])
    border = max(begin, shared)
    scale, cap = floats[SCALE], floats[SOFTCAP]
    for h in range(group * share, (group + 1) * share):
        query = q[m][h * size : (h + 1) * size]
        if layer[QK_NORM] == QK_HEAD:
            _head_norm(query, layer[QN], floats[QK_EPS], like)
        if rotated > 0:
            _rotate(query, cos[length], sin[length], rotated)
        for d in range(size):
            query[d] *= scale
        highest = _score(query, stem_keys, scores, begin, border, cap, np.float32(-np.inf))
        highest = _score(query, keys, scores, border, length + 1, cap, highest)
        total = np.float32(0)
        for s in range(begin, length + 1):
            weight = _exp(scores[s] - highest)
            scores[s] = weight
            total += weight
        mixed = out[m][h * size : (h + 1) * size]
        for d in range(size):
            mixed[d] = np.float32(0)
        _mix(mixed, stem_values, scores, begin, border)
        _mix(mixed, values, scores, border, length + 1)
        for d in range(size):
            mixed[d] /= total


@njit(fastmath=True, nogil=True, error_model="numpy")
def _matrix(y, x, address, bias, part, parts, like):  # type: ignore[no-untyped-def]
    """One thread's share of y = x W^T + bias."""
    outputs = y.shape[1]
    low, high = outputs * part // parts, outputs * (part + 1) // parts
    _product(x, carray(_pointer(address), (outputs, x.shape[1]), like), y, low, high)
    _add_bias(y, bias, low, high, like)


@njit(fastmath=True, nogil=True, error_model="numpy")
def _embed_rows(model, model_floats, ids, lengths, x, like):  # type: ignore[no-untyped-def]
    width = model[HIDDEN]
    table = carray(_pointer(model[EMBED]), (model[VOCAB], width), like)
    for m in range(ids.shape[0]):
        for d in range(width):
            x[m, d] = _wide(table[ids[m], d]) * model_floats[EMBED_SCALE]
        if model[POSITIONS] != 0:
            learned = carray(_pointer(model[POSITIONS]), (lengths[m] + 1, width), like)
            for d in range(width):
                x[m, d] += _wide(learned[lengths[m], d])


@njit(fastmath=True, nogil=True, error_model="numpy")
def _layer_norm_of(layer, numbers, x, out, weight, bias, like):  # type: ignore[no-untyped-def]
    _norm(
        x,
        out,
        layer[NORM_KIND] if layer[weight] != 0 else NORM_NONE,
        layer[weight],
        layer[bias],
        numbers[NORM_EPS],
        like,
    )


@njit(fastmath=True, nogil=True, error_model="numpy")
def _add_to_stream(layer, numbers, x, h, weight, bias, like):  # type: ignore[no-untyped-def]
    """x += norm(h)"""
    if layer[weight] != 0:
        _norm(h, h, layer[NORM_KIND], layer[weight], layer[bias], numbers[NORM_EPS], like)
    for m in range(x.shape[0]):
        for d in range(x.shape[1]):
            x[m, d] += h[m, d]


@njit(fastmath=True, nogil=True, error_model="numpy")
def _norm_whole_projections(layer, numbers, q, k, like):  # type: ignore[no-untyped-def]
    if layer[QK_NORM] == QK_FULL:
        for m in range(q.shape[0]):
            _head_norm(q[m], layer[QN], numbers[QK_EPS], like)
            _head_norm(k[m], layer[KN], numbers[QK_EPS], like)


@njit(fastmath=True, nogil=True, error_model="numpy")
def _share(stage, layer, numbers, cap, head, buffers, scores, first_row, lengths, part, parts, like, stored):  # type: ignore[no-untyped-def]
    """One thread's share of a stage. One call site for all products: LLVM copies what it inlines, and takes as long."""
    h, q, k, v, mixed, gate, up, logits = buffers
    if stage == ATTEND:
        kv_heads = layer[KV_HEADS]
        tasks = q.shape[0] * kv_heads
        for task in range(tasks * part // parts, tasks * (part + 1) // parts):
            m = task // kv_heads
            group = task - m * kv_heads
            row = first_row + m
            _attend(layer, numbers, q, k, v, mixed, scores[part], m, group, row, lengths[m], row, 0, like, stored)
        return
    products = 1
    if stage == PROJECT:
        products = 3
    elif stage == WIDEN and layer[GATE] != 0:
        products = 2
    for product in range(products):
        weight, bias = head, np.int64(0)
        source, target = h, logits
        if stage == PROJECT:
            weight, bias = layer[Q + product], layer[QB + product]
            target = q if product == 0 else (k if product == 1 else v)
        elif stage == OUTPUT:
            weight, bias, source, target = layer[O], layer[OB], mixed, h
        elif stage == WIDEN:
            weight, bias, target = layer[UP - product], layer[UB - product], up if product == 0 else gate
        elif stage == NARROW:
            weight, bias, source, target = layer[DOWN], layer[DB], up, h
        _matrix(target, source, weight, bias, part, parts, like)
    if stage == WIDEN:
        low, high = up.shape[1] * part // parts, up.shape[1] * (part + 1) // parts
        if layer[GATE] == 0:
            _activate(up, low, high, layer[ACTIVATION])
        else:
            _activate(gate, low, high, layer[ACTIVATION])
            for m in range(up.shape[0]):
                for n in range(low, high):
                    up[m, n] *= gate[m, n]
    elif stage == PREDICT and cap > 0:
        low, high = logits.shape[1] * part // parts, logits.shape[1] * (part + 1) // parts
        for m in range(logits.shape[0]):
            for n in range(low, high):
                logits[m, n] = cap * np.float32(math.tanh(logits[m, n] / cap))


@njit(nogil=True, parallel=True, error_model="numpy", cache=True)
def _stage(stage, layer, numbers, cap, head, buffers, scores, first_row, lengths, parts, like, stored):  # type: ignore[no-untyped-def]
    for part in prange(parts):
        _share(
            stage, layer, numbers, cap, head, buffers, scores, first_row, lengths, part, parts, like.dtype, stored.dtype
        )


@njit(nogil=True, error_model="numpy", cache=True)
def decode_step(  # type: ignore[no-untyped-def]
    table, floats, model, model_floats, ids, lengths, first_row, threads, like, stored, x, buffers, scores
):
    """Logits [M, V] of one new token `ids` [M] behind `lengths` [M] tokens of the rows from `first_row` on.

    table [L, LAYER_COLUMNS] int64, floats [L, LAYER_FLOATS] float32; model, model_floats: the model's rows of the same kind.
    like, stored: empty arrays of the type of weights and of keys and values (uint16 stands for bfloat16). x [M, D]; buffers:
    h [M, D], q [M, H N], k and v [M, K N], mixed [M, H N], gate and up [M, F], logits [M, V]; scores [threads, positions].
    Keys and values are stored in the layers' memories.
    """
    kind = like.dtype
    h, q, k = buffers[0], buffers[1], buffers[2]
    cap, head = model_floats[LOGIT_CAP], model[HEAD]
    _embed_rows(model, model_floats, ids, lengths, x, kind)
    for number in range(table.shape[0]):
        layer, numbers = table[number], floats[number]
        _layer_norm_of(layer, numbers, x, h, PRE1, PRE1B, kind)
        for stage in range(PROJECT, PREDICT):
            _stage(stage, layer, numbers, cap, head, buffers, scores, first_row, lengths, threads, like, stored)
            if stage == PROJECT:
                _norm_whole_projections(layer, numbers, q, k, kind)
            elif stage == OUTPUT:
                _add_to_stream(layer, numbers, x, h, POST1, POST1B, kind)
                _layer_norm_of(layer, numbers, x, h, PRE2, PRE2B, kind)
            elif stage == NARROW:
                _add_to_stream(layer, numbers, x, h, POST2, POST2B, kind)
    _norm(x, h, model[FINAL_KIND], model[FINAL], model[FINAL_B], model_floats[FINAL_EPS], kind)
    _stage(PREDICT, table[0], floats[0], cap, head, buffers, scores, first_row, lengths, threads, like, stored)


def set_threads(count: int) -> int:
    """How many of Numba's threads the calling thread's regions use; returns the number that was possible."""
    possible = min(count, numba.config.NUMBA_NUM_THREADS)
    numba.set_num_threads(possible)
    return int(possible)
