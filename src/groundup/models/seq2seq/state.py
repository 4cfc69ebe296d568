"""What passes between the two halves of a sequence-to-sequence network.

Letters: B batch, S source positions, M width of the encoder's states.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the encoder made of a batch of sources."""

    states: Tensor
    """[B, S, M]"""
    mask: Tensor
    """[B, S] bool: true where there is a source token."""
    summary: tuple[Tensor, ...] = ()
    """Each [B, ...]: what a recurrent decoder begins from."""

    def repeated(self, times: int) -> Encoded:
        """Every source `times` times, one after the other: [B * times, ...]."""
        if times == 1:
            return self
        states, mask, *summary = (t.repeat_interleave(times, 0) for t in (self.states, self.mask, *self.summary))
        return Encoded(states, mask, tuple(summary))


@dataclass(frozen=True, slots=True)
class DecodingState:
    """What the decoder remembers of B sequences. Rows of every tensor are the sequences."""

    mask: Tensor
    """[B, S] bool"""
    source: tuple[Tensor, ...]
    """What is read of the source at every step; never changes."""
    past: tuple[Tensor, ...] = field(default=())
    """What was made of the tokens so far."""
    length: int = 0
    """Tokens so far."""

    def reordered(self, rows: Tensor) -> DecodingState:
        """The past of row rows[b] becomes that of b. Both must have one source, whose tensors then stay where they are."""
        return replace(self, past=tuple(t.index_select(0, rows) for t in self.past))

    def kept(self, rows: Tensor) -> DecodingState:
        """Only these rows."""
        picked = [t.index_select(0, rows) for t in (self.mask, *self.source)]
        return replace(self.reordered(rows), mask=picked[0], source=tuple(picked[1:]))


def lengths_mask(lengths: Tensor, size: int) -> Tensor:
    """lengths [B] -> [B, size] bool"""
    return torch.arange(size, device=lengths.device) < lengths[:, None]
