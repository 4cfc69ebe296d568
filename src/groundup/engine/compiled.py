"""A decoder of standard parts as one compiled decode step (step_kernels.py), over the module's own weights and memories.

`CompiledStep.of` says no, with the reason, to what the kernel does not know: a learner's own part, a replaced projection,
weights of mixed types, another device. The module then runs itself; nothing but speed changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from ..models.decoder import Block, Decoder
from ..nn.ffn import MLP, Gated
from ..nn.linear import Linear
from ..nn.mixers.attention import Attention
from ..nn.norm import LayerNorm, RMSNorm
from ..nn.position import NoPosition, Rope, rope_frequencies
from ..nn.state import KeyValues, Memory
from .runner import Stems

_ACTIVATIONS = {"relu": 0, "relu2": 1, "gelu": 2, "gelu_tanh": 3, "silu": 4}
_QK_NORMS = {"none": 0, "head": 1, "full": 2}


class Unsupported(Exception):
    """Why a model cannot be compiled."""


class CompiledStep:
    def __init__(self, model: Decoder, rows: int, threads: int) -> None:
        """Raises Unsupported. rows: the largest batch of a step."""
        from . import step_kernels as kernels

        self._kernels = kernels
        self._model = model
        self._rows = rows
        self.threads = kernels.set_threads(threads)
        self._kept: list[Tensor] = []
        self._memories: list[KeyValues] = []
        weight = model.embed_tokens.weight
        self._check(model)
        self._like = _like(weight.dtype)
        first = model.blocks[0].mixer
        inner = model.config.hidden_size if not len(model.blocks) else _up(model.blocks[0]).out_features
        assert isinstance(first, Attention)
        width = model.config.hidden_size
        q_size, kv_size = first.num_heads * first.head_dim, first.num_kv_heads * first.head_dim
        sizes = (width, width, q_size, kv_size, kv_size, q_size, inner, inner)
        self._scratch = [np.empty((rows, size), np.float32) for size in sizes]
        self._scores = np.empty((self.threads, 0), np.float32)
        self._logits = torch.empty(rows, model.config.vocab_size)
        self.refresh()

    @classmethod
    def of(cls, model: nn.Module, rows: int, threads: int) -> Self | str:
        """The compiled step, or why there is none."""
        if type(model) is not Decoder:
            return f"{type(model).__name__} is not a Decoder"
        try:
            return cls(model, rows, threads)
        except Unsupported as reason:
            return str(reason)

    def _check(self, model: Decoder) -> None:
        dtype = model.embed_tokens.weight.dtype
        if dtype not in (torch.float32, torch.bfloat16):
            raise Unsupported(f"weights are {dtype}")
        for name, parameter in model.named_parameters():
            if parameter.dtype != dtype or parameter.device.type != "cpu" or not parameter.is_contiguous():
                raise Unsupported(f"{name} is not a contiguous {dtype} tensor on the CPU")
        known = {
            nn.Linear,
            Linear,
            nn.Embedding,
            nn.Identity,
            nn.ModuleList,
            Block,
            Attention,
            Gated,
            MLP,
            RMSNorm,
            LayerNorm,
        }
        known |= {Rope, NoPosition, Decoder}
        shapes = set()
        for name, module in model.named_modules():
            if type(module) not in known:
                raise Unsupported(f"{name} is a {type(module).__name__}")
            if module._forward_hooks or module._forward_pre_hooks:
                raise Unsupported(f"{name} has hooks")
        for block in model.blocks:
            mixer = block.mixer
            if not isinstance(mixer, Attention) or not isinstance(block.ffn, (Gated, MLP)):
                raise Unsupported(f"{type(mixer).__name__} and {type(block.ffn).__name__} are not attention and ffn")
            shapes.add((mixer.num_heads, mixer.num_kv_heads, mixer.head_dim, _up(block).out_features))
        if len(shapes) != 1:
            raise Unsupported("layers differ in their sizes")

    def _address(self, tensor: Tensor | None) -> int:
        if tensor is None:
            return 0
        tensor = tensor.detach()
        self._kept.append(tensor)  # what the kernel reads by address stays alive as long as it may be read
        return tensor.data_ptr()

    def enter_thread(self) -> None:
        """Numba keeps the number of threads by calling thread."""
        self._kernels.set_threads(self.threads)

    def refresh(self) -> None:
        """Look up where the weights are, again."""
        k, model, config = self._kernels, self._model, self._model.config
        self._kept = []
        self._table = np.zeros((len(model.blocks), k.LAYER_COLUMNS), np.int64)
        self._floats = np.zeros((len(model.blocks), k.LAYER_FLOATS), np.float32)
        for number, block in enumerate(model.blocks):
            self._describe_layer(self._table[number], self._floats[number], block, number)
        self._row = np.zeros(k.MODEL_COLUMNS, np.int64)
        self._row_floats = np.zeros(k.MODEL_FLOATS, np.float32)
        self._row[k.EMBED] = self._address(model.embed_tokens.weight)
        if model.embed_positions is not None:
            self._row[k.POSITIONS] = self._address(model.embed_positions.weight)
        kind, weight, bias, eps = self._norm(model.norm)
        self._row[k.FINAL_KIND], self._row[k.FINAL], self._row[k.FINAL_B] = kind, weight, bias
        self._row[k.HEAD] = self._address(model.lm_head.weight)
        self._row[k.HIDDEN], self._row[k.VOCAB] = config.hidden_size, config.vocab_size
        # Rounded to the weights' type first, as the module does.
        scale = torch.tensor(config.embedding_scale, dtype=model.embed_tokens.weight.dtype)
        self._row_floats[k.EMBED_SCALE] = scale.float().item()
        self._row_floats[k.LOGIT_CAP] = config.logit_softcap or 0.0
        self._row_floats[k.FINAL_EPS] = eps
        self._pools: list[Tensor] = []
        self._turns: list[Tensor] = []

    def _norm(self, norm: nn.Module) -> tuple[int, int, int, float]:
        """Kind, addresses of weight and bias, eps."""
        if isinstance(norm, RMSNorm):
            kind = self._kernels.NORM_RMS_OFFSET if norm.config.unit_offset else self._kernels.NORM_RMS
            return kind, self._address(norm.weight), 0, norm.config.eps
        if isinstance(norm, LayerNorm):
            return self._kernels.NORM_LAYER, self._address(norm.weight), self._address(norm.bias), norm.config.eps
        return self._kernels.NORM_NONE, 0, 0, 0.0

    def _describe_layer(self, row: Any, floats: Any, block: Any, number: int) -> None:
        k, mixer, ffn = self._kernels, block.mixer, block.ffn
        for linear, weight, bias in (
            (mixer.q_proj, k.Q, k.QB), (mixer.k_proj, k.K_, k.KB), (mixer.v_proj, k.V_, k.VB), (mixer.o_proj, k.O, k.OB),
            (ffn.up_proj, k.UP, k.UB), (ffn.down_proj, k.DOWN, k.DB),
        ):  # fmt: skip
            row[weight], row[bias] = self._address(linear.weight), self._address(linear.bias)
        if isinstance(ffn, Gated):
            row[k.GATE], row[k.GB] = self._address(ffn.gate_proj.weight), self._address(ffn.gate_proj.bias)
        for norm, weight, bias in (
            (block.pre_mixer_norm, k.PRE1, k.PRE1B), (block.post_mixer_norm, k.POST1, k.POST1B),
            (block.pre_ffn_norm, k.PRE2, k.PRE2B), (block.post_ffn_norm, k.POST2, k.POST2B),
        ):  # fmt: skip
            kind, row[weight], row[bias], eps = self._norm(norm)
            if kind != k.NORM_NONE:
                row[k.NORM_KIND], floats[k.NORM_EPS] = kind, eps
        config = mixer.config
        if config.qk_norm != "none":
            row[k.QN], row[k.KN] = self._address(mixer.q_norm.weight), self._address(mixer.k_norm.weight)
            floats[k.QK_EPS] = mixer.q_norm.config.eps
        if isinstance(mixer.position, Rope):
            row[k.ROTATED] = mixer.position.rotated
        row[k.HEADS], row[k.KV_HEADS], row[k.HEAD_DIM] = mixer.num_heads, mixer.num_kv_heads, mixer.head_dim
        row[k.QK_NORM] = _QK_NORMS[config.qk_norm]
        row[k.WINDOW] = config.sliding_window or 0
        row[k.INTERMEDIATE] = ffn.up_proj.out_features
        row[k.ACTIVATION] = _ACTIVATIONS[_config_activation(self._model.config.block_of(number).ffn)]
        floats[k.SCALE], floats[k.SOFTCAP] = mixer.scale, config.logit_softcap or 0.0

    def accepts(self, memories: Sequence[Memory]) -> bool:
        """Keys and values of one type that the kernel knows, in every layer?"""
        if not all(type(memory) is KeyValues for memory in memories):
            return False
        dtypes = {memory.keys.dtype for memory in memories if isinstance(memory, KeyValues)}
        return dtypes in ({torch.float32}, {torch.bfloat16})

    def _locate(self, memories: Sequence[Memory], positions: int) -> None:
        """Room for `positions` in all memories, and where they and the rotary tables are."""
        k = self._kernels
        same = len(self._pools) == len(memories) and all(p is m.keys for p, m in zip(self._pools, memories))  # type: ignore[attr-defined]
        if same and self._table[0, k.CAPACITY] >= positions:
            return
        self._pools, self._turns = [], []
        for number, memory in enumerate(memories):
            assert isinstance(memory, KeyValues)
            memory.reserve(positions)
            self._pools.append(memory.keys)
            row = self._table[number]
            row[k.KEYS], row[k.VALUES] = memory.keys.data_ptr(), memory.values.data_ptr()
            row[k.CAPACITY] = memory.keys.shape[2]
        capacity = int(self._table[0, k.CAPACITY])
        turns: dict[Any, tuple[Tensor, Tensor]] = {}
        for number, block in enumerate(self._model.blocks):
            rope = block.mixer.position  # type: ignore[union-attr]
            if isinstance(rope, Rope):
                key = (rope.config, rope.rotated)
                if key not in turns:
                    angles = torch.outer(torch.arange(capacity).double(), rope_frequencies(rope.rotated, rope.config))
                    turns[key] = angles.cos().float(), angles.sin().float()
                cos, sin = turns[key]
                self._turns += [cos, sin]
                self._table[number, k.COS], self._table[number, k.SIN] = cos.data_ptr(), sin.data_ptr()
        if self._scores.shape[1] < capacity:
            self._scores = np.empty((self.threads, capacity), np.float32)

    def __call__(
        self,
        memories: Sequence[Memory],
        ids: Sequence[int],
        lengths: Sequence[int],
        first_row: int,
        stems: Stems | None = None,
    ) -> Tensor:
        """One new id per row -> float32 logits [B, V], valid until the next call. stems are not used."""
        self._locate(memories, max(lengths) + 1)
        count = len(ids)
        scratch = [array[:count] for array in self._scratch]
        logits = self._logits[:count]
        stored = _like(memories[0].keys.dtype)  # type: ignore[attr-defined]
        self._kernels.decode_step(
            self._table, self._floats, self._row, self._row_floats, np.array(ids, np.int64), np.array(lengths, np.int64),
            first_row, self.threads, self._like, stored, scratch[0], (*scratch[1:], logits.numpy()), self._scores,
        )  # fmt: skip
        return logits


def _like(dtype: torch.dtype) -> Any:
    return np.empty(0, np.uint16 if dtype == torch.bfloat16 else np.float32)


def _up(block: Any) -> nn.Linear:
    linear: nn.Linear = block.ffn.up_proj
    return linear


def _config_activation(config: Any) -> str:
    return str(config.activation)
