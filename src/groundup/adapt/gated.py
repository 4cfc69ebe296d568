"""The gated feed-forward network with adapted projections that share their input."""

from __future__ import annotations

from torch import Tensor

from ..nn.ffn import Gated
from .low_rank import together
from .selection import Selection


class AdaptedGated(Gated):
    """A `Gated` whose gate and up projections share the low-rank work. It takes over the parts of the one it replaces."""

    selection: Selection

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, D] -> [B, T, D]"""
        gate, up = together(x, (self.gate_proj, self.up_proj), self.selection)
        y: Tensor = self.down_proj(self.activation(gate) * up)
        return y
