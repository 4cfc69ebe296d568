"""Virtual tokens before the first real one: prefix tuning (Li and Liang 2021) and prompt tuning (Lester et al. 2021).

Both are keys and values per layer that every position sees, and real tokens begin at position P. For a prompt they are made by
running the frozen model on the prompt's embeddings alone: a causal model's prompt does not depend on what follows. So a
prompt costs P positions once for the whole batch, memories and lengths hold real tokens only, and rows of one batch may have
different prefixes, or none.

Prefix keys are used as they are, not turned by position, as PEFT does. Left out: mixers other than softmax attention.

Letters: B rows, T query positions, S key positions, P virtual tokens, H heads, K kv heads, N head size, D hidden, L layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ..core.errors import ModelError
from ..nn.mixers.attention import Attention, attend, causal_mask
from ..nn.state import KeyValues, LayerState, SequenceState
from .configs import PrefixConfig, PromptConfig
from .low_rank import adapter_dtype, together
from .selection import Selection

if TYPE_CHECKING:
    from ..models.decoder import Decoder


class Prefix(nn.Module):
    """prompt_embeddings [P, L 2 K N]: PEFT's order, layer by layer keys then values; or with a projection what makes them."""

    def __init__(self, model: Decoder, config: PrefixConfig) -> None:
        super().__init__()
        self.num_virtual_tokens = config.num_virtual_tokens
        self.shape = (model.config.num_hidden_layers, *key_value_shape(model))
        layers, heads, size = self.shape
        width = layers * 2 * heads * size
        weight = model.embed_tokens.weight
        made: dict[str, Any] = {"dtype": adapter_dtype(weight), "device": weight.device}
        self.transform: nn.Sequential | None = None
        if config.prefix_projection:
            hidden = model.config.hidden_size
            inner = config.encoder_hidden_size or hidden
            self.prompt_embeddings = nn.Parameter(torch.zeros(config.num_virtual_tokens, hidden, **made))
            self.transform = nn.Sequential(
                nn.Linear(hidden, inner, **made), nn.Tanh(), nn.Linear(inner, width, **made)
            )  # fmt: skip
        else:
            self.prompt_embeddings = nn.Parameter(torch.zeros(config.num_virtual_tokens, width, **made))

    def draw(self, generator: torch.Generator) -> None:
        with torch.no_grad():
            self.prompt_embeddings.copy_(torch.randn(self.prompt_embeddings.shape, generator=generator))
            for part in self.transform or ():
                if isinstance(part, nn.Linear):
                    bound = part.in_features**-0.5
                    for tensor in (part.weight, part.bias):
                        tensor.copy_(torch.empty(tensor.shape).uniform_(-bound, bound, generator=generator))

    def flat(self) -> Tensor:
        """[P, L 2 K N]"""
        return self.prompt_embeddings if self.transform is None else self.transform(self.prompt_embeddings)

    def make(self, model: Decoder, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
        """Keys and values [K, P, N] of each layer."""
        layers, heads, size = self.shape
        stacked = self.flat().to(dtype).view(self.num_virtual_tokens, layers, 2, heads, size).permute(1, 2, 3, 0, 4)
        return [(pair[0], pair[1]) for pair in stacked]


class Prompt(nn.Module):
    """prompt_embeddings [P, D], put before the tokens' own embeddings (after their scaling)."""

    def __init__(self, model: Decoder, config: PromptConfig) -> None:
        super().__init__()
        key_value_shape(model)
        weight = model.embed_tokens.weight
        self.num_virtual_tokens = config.num_virtual_tokens
        self.prompt_embeddings = nn.Parameter(
            torch.zeros(config.num_virtual_tokens, weight.shape[1], dtype=adapter_dtype(weight), device=weight.device)
        )

    def draw(self, model: Decoder, config: PromptConfig, generator: torch.Generator) -> None:
        with torch.no_grad():
            table = model.embed_tokens.weight
            if config.prompt_tuning_init == "random":
                self.prompt_embeddings.copy_(torch.randn(self.prompt_embeddings.shape, generator=generator))
            else:
                ids = torch.randint(0, table.shape[0], (config.num_virtual_tokens,), generator=generator)
                self.prompt_embeddings.copy_(table[ids.to(table.device)] * model.config.embedding_scale)

    def make(self, model: Decoder, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
        """Keys and values [K, P, N] of each layer; the selection must be the base model's."""
        count = self.num_virtual_tokens
        lengths = torch.zeros(1, dtype=torch.long, device=self.prompt_embeddings.device)
        state = SequenceState(model.init_memories(1, dtype=dtype), lengths, uniform_length=0)
        state.enter(count)
        x = self.prompt_embeddings[None].to(model.embed_tokens.weight.dtype)
        if model.embed_positions is not None:
            x = x + model.embed_positions(state.positions)
        for layer, block in enumerate(model.blocks):
            x = block(x, state, layer)
        made = []
        for memory in state.memories:
            assert isinstance(memory, KeyValues)
            made.append((memory.keys[0, :, :count], memory.values[0, :, :count]))
        return made


def key_value_shape(model: Decoder) -> tuple[int, int]:
    """(K, N), the same in all layers; ModelError where virtual tokens cannot be kept as keys and values."""
    shapes = set()
    for number, block in enumerate(model.blocks):
        mixer = block.mixer
        if not isinstance(mixer, Attention):
            raise ModelError(
                f"layer {number} has a {type(mixer).__name__} as its mixer; virtual tokens need softmax attention",
                hint="adapt this model with type: lora",
            )
        shapes.add((mixer.num_kv_heads, mixer.head_dim))
    if len(shapes) != 1:
        raise ModelError(f"layers have key-value heads of different shapes {sorted(shapes)}; virtual tokens need one shape",
                         hint="adapt this model with type: lora")  # fmt: skip
    return next(iter(shapes))


class AdaptedAttention(Attention):
    """An `Attention` that shares work between adapted projections and sees virtual tokens. It takes over the parts of the one
    that it replaces, under the same names.
    """

    selection: Selection
    layer_index: int

    def inputs(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = together(x, (self.q_proj, self.k_proj, self.v_proj), self.selection)
        return q, k, v

    def forward(self, x: Tensor, state: LayerState | None = None) -> tuple[Tensor, LayerState | None]:
        """x [B, T, D] -> (y [B, T, D], state)"""
        groups = self.selection.virtual_groups()
        if not groups:
            return super().forward(x, state)
        q, k, v = self.project(x)
        batch, num_queries = x.shape[:2]
        sequence = None if state is None else state.sequence
        own = torch.arange(num_queries, device=x.device)[None] if sequence is None else sequence.positions
        counts = self.selection.num_virtual(batch)
        positions = own + counts
        q, k = self.position(q, k, positions.expand(batch, -1))
        if state is not None and isinstance(state.memory, KeyValues):
            k, v = state.memory.append(k, v, state.sequence)
        keys, values = self._virtual(groups, batch, q.dtype)
        k, v = torch.cat((keys, k.to(q.dtype)), dim=2), torch.cat((values, v.to(q.dtype)), dim=2)
        seen = self._mask(sequence, positions, counts, keys.shape[2], k.shape[2] - keys.shape[2])
        y = attend(q, k, v, mask=seen, scale=self.scale, softcap=self.config.logit_softcap)
        return self.o_proj(y.transpose(1, 2).flatten(2)), state

    def _virtual(
        self, groups: Sequence[tuple[str, Tensor | None]], batch: int, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """[B, K, P, N] each, zero where a row has fewer."""
        made = [(self.selection.virtual[name][self.layer_index], rows) for name, rows in groups]
        (first, _), rows = made[0]
        if rows is None:
            k, v = (t.to(dtype)[None].expand(batch, -1, -1, -1) for t in made[0][0])
            return k, v
        longest = max(k.shape[1] for (k, _), _ in made)
        out = []
        for which in (0, 1):
            full = first.new_zeros(batch, self.num_kv_heads, longest, self.head_dim, dtype=dtype)
            for pair, rows in made:
                assert rows is not None
                piece = nn.functional.pad(pair[which].to(dtype), (0, 0, 0, longest - pair[which].shape[1]))
                full = full.index_copy(0, rows, piece[None].expand(rows.numel(), -1, -1, -1))
            out.append(full)
        return out[0], out[1]

    def _mask(
        self, sequence: SequenceState | None, positions: Tensor, counts: Tensor | int, virtual: int, real: int
    ) -> Tensor:
        """[B or 1, 1, T, P + S] bool. Virtual tokens hold the positions before the real ones, also for a sliding window."""
        num_queries, window = positions.shape[1], self.config.sliding_window
        places = torch.arange(virtual, device=positions.device)
        before = places < counts if isinstance(counts, Tensor) else torch.ones_like(places, dtype=torch.bool)[None]
        before = before[:, None, :].expand(-1, num_queries, -1)
        if window is not None:
            before = before & (positions[:, :, None] - places < window)
        own = sequence.mask(num_queries, real, window) if sequence is not None else None
        if own is None:
            if num_queries == 1:
                own = torch.ones(1, 1, 1, real, dtype=torch.bool, device=positions.device)
            else:
                own = causal_mask(num_queries, window, positions.device)[None, None]
        rows = max(before.shape[0], own.shape[0])
        return torch.cat((before[:, None].expand(rows, -1, -1, -1), own.expand(rows, -1, -1, -1)), dim=-1)


class ShiftedPositions(nn.Module):
    """Learned positions (GPT-2) behind virtual tokens."""

    def __init__(self, table: nn.Embedding, selection: Selection) -> None:
        super().__init__()
        self.weight = table.weight
        self.selection = selection

    def forward(self, positions: Tensor) -> Tensor:
        """positions [B or 1, T] of real tokens -> [B or 1, T, D]"""
        rows = self.selection.chosen
        batch = positions.shape[0] if rows is None or isinstance(rows, str) else len(rows.names)
        shifted = positions + self.selection.num_virtual(batch)
        limit = self.weight.shape[0]
        if int(shifted.max()) >= limit:
            raise ModelError(
                f"{int(shifted.max()) + 1} positions with the adapter's virtual tokens, but this model has learned {limit}",
                hint="shorten the text; learned positions cannot be extended",
            )
        return nn.functional.embedding(shifted, self.weight)

    def plain(self) -> nn.Embedding:
        with torch.device("meta"):
            made = nn.Embedding(*self.weight.shape)
        made.weight = self.weight
        return made


def prepare_virtual(model: Decoder, virtual: Any, selection: Selection) -> int:
    """Make the keys and values of every chosen adapter with virtual tokens, for the forward pass that is to come.

    Returns the largest number of virtual tokens of a row. They are kept between calls while no gradient is wanted.
    """
    chosen = selection.chosen
    names = () if chosen is None else (chosen,) if isinstance(chosen, str) else tuple(n for n, _ in chosen.groups)
    longest = 0
    for name in names:
        if name not in virtual:
            continue
        module = virtual[name]
        kind = model.embed_tokens.weight.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else model.embed_tokens.weight.dtype
        graded = torch.is_grad_enabled() and any(p.requires_grad for p in module.parameters())
        # Tensors made in inference mode have no version; adapters are not made there.
        key = (dtype, torch.is_inference_mode_enabled(), *((id(p), p._version) for p in module.parameters()))
        if graded or selection.made_from.get(name) != key:
            model.prepare_positions(module.num_virtual_tokens)
            selection.chosen = None
            try:
                selection.virtual[name] = module.make(model, dtype)
            finally:
                selection.chosen = chosen
            selection.made_from.pop(name, None)
            if not graded:
                selection.made_from[name] = key
        longest = max(longest, module.num_virtual_tokens)
    return longest
