"""The decoder: a list of blocks, each a list of parts (norm, mixer, ffn), between an embedding and a head.

A family (Llama, Gemma, ...) is a `DecoderConfig`, not a subclass; what differs between layers is a cycle of block configs.
Left out: encoder-decoder attention (models/encoder_decoder).

Letters: B batch, T positions, D hidden, V vocabulary, L layers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..core.config import Use, find_uses, node, to_plain
from ..core.errors import ModelError
from ..nn.build import build_ffn, build_mixer, build_norm
from ..nn.ffn import GatedConfig, MLPConfig
from ..nn.linear import Linear
from ..nn.mixers.attention import Attention, AttentionConfig
from ..nn.norm import LayerNormConfig, RMSNormConfig
from ..nn.position import Rope
from ..nn.protocols import LMOutput
from ..nn.state import Memory, SequenceState


@dataclass(frozen=True, kw_only=True)
class BlockConfig:
    mixer: node(AttentionConfig)  # type: ignore[valid-type]
    ffn: node(GatedConfig, MLPConfig)  # type: ignore[valid-type]
    norm: node(RMSNormConfig, LayerNormConfig) = RMSNormConfig()  # type: ignore[valid-type]
    norm_placement: Literal["pre", "post", "sandwich"] = "pre"
    """pre: x + f(norm(x)); post: x + norm(f(x)) (OLMo-2); sandwich: x + norm(f(norm(x))) (Gemma 2)."""


@dataclass(frozen=True, kw_only=True)
class DecoderConfig:
    type: Literal["decoder"] = "decoder"
    vocab_size: int = 0
    """0 in a recipe: the tokenizer's, rounded up to a multiple of 64."""
    hidden_size: int
    num_hidden_layers: int
    max_position_embeddings: int
    """The context the model is made for, in tokens."""
    block: BlockConfig
    alternate: tuple[BlockConfig, ...] = ()
    """Further blocks that layers cycle through after `block`: layer i is number i modulo (1 + len(alternate))."""
    final_norm: bool = True
    learned_positions: bool = False
    """Add a learned vector per position to the embedding (GPT-2)."""
    tie_word_embeddings: bool = True
    embedding_scale: float = 1.0
    """Embeddings are multiplied by this (Gemma: sqrt of hidden_size)."""
    logit_softcap: float | None = None
    """Logits become cap * tanh(logits / cap) (Gemma 2)."""
    initializer_range: float = 0.02
    """Standard deviation of initial weights; those that write to the residual stream are divided by sqrt(2 L)."""

    def block_of(self, layer: int) -> BlockConfig:
        return (self.block, *self.alternate)[layer % (1 + len(self.alternate))]


class Block(nn.Module):
    def __init__(self, config: BlockConfig, hidden_size: int, layer: int, num_layers: int) -> None:
        super().__init__()
        before = config.norm_placement in ("pre", "sandwich")
        after = config.norm_placement in ("post", "sandwich")

        def norm(wanted: bool) -> nn.Module:
            return build_norm(config.norm, hidden_size) if wanted else nn.Identity()

        self.pre_mixer_norm = norm(before)
        self.mixer = build_mixer(config.mixer, hidden_size, layer_index=layer, num_layers=num_layers)
        self.post_mixer_norm = norm(after)
        self.pre_ffn_norm = norm(before)
        self.ffn = build_ffn(config.ffn, hidden_size, layer_index=layer, num_layers=num_layers)
        self.post_ffn_norm = norm(after)

    def forward(self, x: Tensor, state: SequenceState | None, layer: int) -> Tensor:
        """x [B, T, D] -> [B, T, D]; memory in the state is advanced in place."""
        y: Tensor
        y, _ = self.mixer(self.pre_mixer_norm(x), None if state is None else state.layer(layer))
        x = x + self.post_mixer_norm(y)
        x = x + self.post_ffn_norm(self.ffn(self.pre_ffn_norm(x)))
        return x


class Decoder(nn.Module):
    """A causal language model (groundup.nn.protocols.LanguageModel)."""

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        if config.vocab_size <= 0:
            raise ModelError(f"vocab_size must be more than 0, not {config.vocab_size}")
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.embed_positions = (
            nn.Embedding(config.max_position_embeddings, config.hidden_size) if config.learned_positions else None
        )
        depth = config.num_hidden_layers
        self.blocks = nn.ModuleList(
            Block(config.block_of(layer), config.hidden_size, layer, depth) for layer in range(depth)
        )
        self.norm = build_norm(config.block.norm, config.hidden_size) if config.final_norm else nn.Identity()
        self.lm_head = Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.embed_tokens.weight
        self.checkpoint_activations = False
        """Recompute each block's activations in the backward pass (Chen et al. 2016): less memory, about a third more time."""
        self._share_positions()
        self.prepared_positions = 0

    def _share_positions(self) -> None:
        """Layers with equal rotary settings use one table."""
        shared: dict[tuple[object, int], Rope] = {}
        for module in self.modules():
            if isinstance(module, Attention) and isinstance(module.position, Rope):
                key = (module.position.config, module.head_dim)
                module.position = shared.setdefault(key, module.position)

    def prepare_positions(self, num_positions: int) -> None:
        """Make position tables long enough for `num_positions`; call it before compiling."""
        if num_positions <= self.prepared_positions:
            return
        for module in self.modules():
            if isinstance(module, Rope):
                module.prepare(num_positions)
        self.prepared_positions = num_positions

    def initialise(self, seed: int) -> Decoder:
        """Draw all weights afresh from `seed`; returns self."""
        generator = torch.Generator().manual_seed(seed)
        std = self.config.initializer_range
        residual = std / math.sqrt(2 * self.config.num_hidden_layers)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.dim() >= 2:
                    writes_residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                    parameter.normal_(0.0, residual if writes_residual else std, generator=generator)
                elif name.endswith("bias"):
                    parameter.zero_()
        return self

    def init_state(self, batch_size: int, *, dtype: torch.dtype | None = None) -> SequenceState:
        weight = self.embed_tokens.weight
        lengths = torch.zeros(batch_size, dtype=torch.long, device=weight.device)
        return SequenceState(self.init_memories(batch_size, dtype=dtype), lengths, uniform_length=0)

    def init_memories(self, rows: int, *, dtype: torch.dtype | None = None) -> list[Memory]:
        """One empty memory of `rows` sequences per layer: the pool that an engine moves sequences in and out of.

        dtype None: what decoding is fastest with, at least float32 on the CPU; bfloat16 takes half the memory.
        """
        weight = self.embed_tokens.weight
        if dtype is None:
            # What decoding attends in (`score_dtype`); a memory of that dtype saves turning it at every step.
            on_cpu = weight.device.type == "cpu"
            dtype = torch.promote_types(weight.dtype, torch.float32) if on_cpu else weight.dtype
        made: list[Memory] = [
            block.mixer.init_memory(rows, dtype=dtype, device=weight.device)  # type: ignore[operator,union-attr]
            for block in self.blocks
        ]
        return made

    def forward(self, input_ids: Tensor, state: SequenceState | None = None) -> LMOutput:
        """input_ids [B, T]"""
        num_new = input_ids.shape[1]
        needed = num_new if state is None else state.stored + num_new
        if self.embed_positions is not None and needed > self.config.max_position_embeddings:
            raise ModelError(
                f"{needed} positions, but this model has learned {self.config.max_position_embeddings}",
                hint="shorten the text; learned positions cannot be extended",
            )
        if needed > self.prepared_positions:
            self.prepare_positions(needed)
        if state is not None:
            state.enter(num_new)
        x = self.embed_tokens(input_ids)
        if self.config.embedding_scale != 1.0:
            # Rounded to the activations' dtype first, as the published models were trained.
            x = x * torch.tensor(self.config.embedding_scale, dtype=x.dtype)
        if self.embed_positions is not None:
            if state is not None:
                x = x + self.embed_positions(state.positions)
            elif isinstance(self.embed_positions, nn.Embedding):
                x = x + self.embed_positions.weight[:num_new]
            else:  # positions behind virtual tokens (adapt/virtual.py)
                x = x + self.embed_positions(torch.arange(num_new, device=x.device)[None])
        for layer, block in enumerate(self.blocks):
            if self.checkpoint_activations and self.training:
                x = torch.utils.checkpoint.checkpoint(block, x, state, layer, use_reentrant=False)
            else:
                x = block(x, state, layer)
        advanced = None if state is None else state.advanced(num_new)
        return LMOutput(hidden=self.norm(x), head=self.head, state=advanced)

    def head(self, hidden: Tensor) -> Tensor:
        """[..., D] -> [..., V]"""
        logits: Tensor = self.lm_head(hidden)
        cap = self.config.logit_softcap
        return logits if cap is None else torch.tanh(logits / cap) * cap

    def unique_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Named parameters, tied ones once."""
        yield from self.named_parameters(remove_duplicate=True)

    def num_parameters(self, *, embeddings: bool = True) -> int:
        total = sum(p.numel() for _, p in self.unique_parameters())
        if embeddings:
            return total
        tables = [self.embed_tokens, self.embed_positions]
        return total - sum(t.weight.numel() for t in tables if t is not None)

    def flops_per_token(self, context_tokens: int) -> float:
        """Training floating-point operations per token, forward and backward: 6 per weight that multiplies (the head
        included, the embedding lookup not) plus 12 L H N T / 2 for causal attention scores (PaLM, appendix B, halved
        because the causal half is never needed).
        """
        weights = sum(p.numel() for n, p in self.unique_parameters() if p.dim() == 2 and "embed" not in n)
        if self.config.tie_word_embeddings:
            weights += self.embed_tokens.weight.numel()
        scores = 0.0
        for block in self.blocks:
            if isinstance(block.mixer, Attention):
                seen = min(context_tokens, block.mixer.config.sliding_window or context_tokens)
                scores += 6.0 * block.mixer.num_heads * block.mixer.head_dim * seen
        return 6.0 * weights + scores


def swapped_parts(config: DecoderConfig) -> list[str]:
    """`file.py:Name` of every user part in a config, each once."""
    return sorted(set(find_uses(to_plain(config)).values()))


def with_absolute_parts(config: DecoderConfig, root: Path) -> DecoderConfig:
    """The same config with the file of every user part as an absolute path, looked up from `root` where it is relative."""

    def absolute(value: Any) -> Any:
        if isinstance(value, Use):
            file, _, name = value.use.rpartition(":")
            path = Path(file).expanduser()
            if not path.is_absolute() and not path.exists():
                path = root / path
            return replace(value, use=f"{path.resolve()}:{name}")
        if isinstance(value, tuple):
            return tuple(absolute(inner) for inner in value)
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{f.name: absolute(getattr(value, f.name)) for f in fields(value)})
        return value

    made: DecoderConfig = absolute(config)
    return made
