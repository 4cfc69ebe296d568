"""A decode step for many rows: PyTorch's matrix products over the module's live weights, compiled passes between them.

`CompiledStep` reads each weight once for a few rows and is bound by memory; from some 16 rows on the products are bound by
arithmetic and belong to the libraries that PyTorch calls. Here they are called on the weights where the module has them
(nothing is packed or copied, so a training loop may change them at any time), and all else is done by wide_kernels.py on the
calling thread. Rows of one prompt read it from one place: with 8 samples a prompt most of the memory traffic goes away.

Measured on one core (5 million parameters, 64 rows behind 40 to 90 tokens, float32): benchmarks/grpo.py prints it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.decoder import Decoder
from ..nn.ffn import Gated
from ..nn.linear import product
from ..nn.state import Memory
from .compiled import CompiledStep, _like
from .runner import Stems

_TOGETHER = 8
"""Products are made for a multiple of this many rows: oneDNN compiles a kernel for each shape it meets (0.8 ms), and a batch
that shrinks row by row would meet them all."""


class WideStep(CompiledStep):
    def __init__(self, model: Decoder, rows: int, threads: int) -> None:
        """Raises Unsupported. threads is not used: the products use PyTorch's, the rest one."""
        super().__init__(model, rows + _TOGETHER - 1, 1)
        from . import wide_kernels

        self._between = wide_kernels

    def enter_thread(self) -> None:
        """Nothing here is parallel but PyTorch."""

    def __call__(
        self,
        memories: Sequence[Memory],
        ids: Sequence[int],
        lengths: Sequence[int],
        first_row: int,
        stems: Stems | None = None,
    ) -> Tensor:
        """One new id per row -> float32 logits [B, V].

        stems: for each row, another row of the pool and how many first tokens they have in common.
        """
        self._locate(memories, max(lengths) + 1)
        count, k = len(ids), self._between
        padded = -(-count // _TOGETHER) * _TOGETHER
        x_array, h_array = (array[:count] for array in self._scratch[:2])
        h, mixed = (torch.from_numpy(self._scratch[place][:padded]) for place in (1, 5))
        stored = _like(memories[0].keys.dtype)  # type: ignore[attr-defined]
        tokens, past = np.array(ids, np.int64), np.array(lengths, np.int64)
        if stems is None:
            stems = Stems(np.arange(first_row, first_row + count), np.zeros(count, np.int64))
        table, floats, like = self._table, self._floats, self._like
        k.begin(table[0], floats[0], self._row, self._row_floats, tokens, past, x_array, h_array, like)
        last = len(self._model.blocks) - 1
        with torch.no_grad():
            for number, block in enumerate(self._model.blocks):
                layer, numbers = table[number], floats[number]
                mixer, ffn = block.mixer, block.ffn
                q, key, value = (_product(h, part)[:count] for part in (mixer.q_proj, mixer.k_proj, mixer.v_proj))  # type: ignore[union-attr,arg-type]
                k.mix(
                    layer, numbers, q.numpy(), key.numpy(), value.numpy(), mixed.numpy()[:count], self._scores[0], first_row, past,
                    stems.rows, stems.tokens, like, stored,
                )  # fmt: skip
                y = _product(mixed, mixer.o_proj)[:count]  # type: ignore[union-attr,arg-type]
                k.after_mixer(layer, numbers, x_array, y.numpy(), h_array, like)
                inner = _product(h, ffn.up_proj)  # type: ignore[union-attr,arg-type]
                if isinstance(ffn, Gated):
                    gate = _product(h, ffn.gate_proj)
                    k.activate_gated(layer, inner.numpy(), gate.numpy())
                else:
                    k.activate(layer, inner.numpy())
                y = _product(inner, ffn.down_proj)[:count]  # type: ignore[union-attr,arg-type]
                if number < last:
                    k.after_ffn(
                        layer, numbers, table[number + 1], floats[number + 1], x_array, y.numpy(), h_array, like
                    )
                else:
                    k.finish(layer, numbers, self._row, self._row_floats, x_array, y.numpy(), h_array, like)
            logits = _product(h, self._model.lm_head)[:count]
            cap = self._model.config.logit_softcap
            return logits if cap is None else torch.tanh(logits / cap) * cap


def _product(x: Tensor, linear: nn.Linear) -> Tensor:
    """x [B, D] float32 -> float32, contiguous."""
    weight, bias = linear.weight, linear.bias
    if weight.dtype != torch.float32:
        return F.linear(x.to(weight.dtype), weight, bias).float()
    return product(x, weight, bias)
