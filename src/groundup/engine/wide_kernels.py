"""What stands between the matrix products of a decode step, compiled by Numba for one thread.

With many rows the products belong to PyTorch and its threads; everything else is a few passes over small arrays, which
PyTorch would do in some twenty calls a layer, and an attention whose keys and values are the larger part of what a step reads
from memory. These kernels use no threads of their own, so that nothing competes with the team of a training loop.

Letters as in step_kernels.py.
"""

from __future__ import annotations

from numba import njit

from .step_kernels import (
    ACTIVATION,
    FINAL,
    FINAL_B,
    FINAL_EPS,
    FINAL_KIND,
    KV_HEADS,
    POST1,
    POST1B,
    POST2,
    POST2B,
    PRE1,
    PRE1B,
    PRE2,
    PRE2B,
    _activate,
    _add_to_stream,
    _attend,
    _embed_rows,
    _layer_norm_of,
    _norm,
    _norm_whole_projections,
)


@njit(nogil=True, error_model="numpy", cache=True)
def begin(layer, numbers, model, model_floats, ids, lengths, x, h, like):  # type: ignore[no-untyped-def]
    """x [M, D] = embeddings; h = what the first layer's projections read."""
    _embed_rows(model, model_floats, ids, lengths, x, like.dtype)
    _layer_norm_of(layer, numbers, x, h, PRE1, PRE1B, like.dtype)


@njit(nogil=True, error_model="numpy", cache=True)
def mix(layer, numbers, q, k, v, out, scores, first_row, lengths, stems, shared, like, stored):  # type: ignore[no-untyped-def]
    """out [M, H N] = attention of one new token a row; stems, shared [M] int64: see `_attend`."""
    _norm_whole_projections(layer, numbers, q, k, like.dtype)
    # The rows of a prompt stand next to each other: kv head by kv head, its keys stay in the cache for all of them.
    for m in range(q.shape[0]):
        for group in range(layer[KV_HEADS]):
            _attend(
                layer, numbers, q, k, v, out, scores, m, group, first_row + m, lengths[m], stems[m], shared[m],
                like.dtype, stored.dtype,
            )  # fmt: skip


@njit(nogil=True, error_model="numpy", cache=True)
def after_mixer(layer, numbers, x, y, h, like):  # type: ignore[no-untyped-def]
    """x += norm(y); h = norm(x), what the feed-forward network reads."""
    _add_to_stream(layer, numbers, x, y, POST1, POST1B, like.dtype)
    _layer_norm_of(layer, numbers, x, h, PRE2, PRE2B, like.dtype)


@njit(nogil=True, error_model="numpy", cache=True)
def activate(layer, up):  # type: ignore[no-untyped-def]
    """up [M, F] = activation(up)"""
    _activate(up, 0, up.shape[1], layer[ACTIVATION])


@njit(nogil=True, error_model="numpy", cache=True)
def activate_gated(layer, up, gate):  # type: ignore[no-untyped-def]
    """up [M, F] = activation(gate) * up"""
    _activate(gate, 0, gate.shape[1], layer[ACTIVATION])
    for m in range(up.shape[0]):
        for n in range(up.shape[1]):
            up[m, n] *= gate[m, n]


@njit(nogil=True, error_model="numpy", cache=True)
def after_ffn(layer, numbers, following, following_numbers, x, y, h, like):  # type: ignore[no-untyped-def]
    """x += norm(y); h = what the next layer's projections read."""
    _add_to_stream(layer, numbers, x, y, POST2, POST2B, like.dtype)
    _layer_norm_of(following, following_numbers, x, h, PRE1, PRE1B, like.dtype)


@njit(nogil=True, error_model="numpy", cache=True)
def finish(layer, numbers, model, model_floats, x, y, h, like):  # type: ignore[no-untyped-def]
    """x += norm(y); h = what the head reads."""
    _add_to_stream(layer, numbers, x, y, POST2, POST2B, like.dtype)
    _norm(x, h, model[FINAL_KIND], model[FINAL], model[FINAL_B], model_floats[FINAL_EPS], like.dtype)
