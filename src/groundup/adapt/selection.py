"""Which adapter each row of a batch goes through: the state of one model, shared by its adapted parts.

It belongs to the model and to one thread at a time, as a memory pool does. A backward pass that recomputes activations must run
under the selection of its forward pass.

Letters: B rows of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ..core.errors import ModelError

Names: TypeAlias = str | Sequence[str | None] | None


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one batch that differ in their adapters."""

    names: tuple[str | None, ...]
    groups: tuple[tuple[str, Tensor], ...]
    """Name, and the int64 numbers of its rows; rows without an adapter are in no group."""


@dataclass(slots=True)
class Selection:
    """`chosen`: one adapter for every row, Rows, or None for the base model."""

    chosen: str | Rows | None = None
    virtual: dict[str, list[tuple[Tensor, Tensor]]] = field(default_factory=dict)
    """Name -> keys and values [K, P, N] per layer of virtual tokens, as the last forward pass made them."""
    made_from: dict[str, Any] = field(default_factory=dict)
    """Name -> what `virtual` was made from; it is made again when this has changed."""

    def __deepcopy__(self, memo: dict[int, Any]) -> Selection:
        # What the last call made is part of its graph; the copy makes its own.
        return Selection(self.chosen)

    def check_rows(self, batch: int) -> None:
        if isinstance(self.chosen, Rows) and len(self.chosen.names) != batch:
            raise ModelError(
                f"adapters were selected for {len(self.chosen.names)} rows, but the batch has {batch}",
                hint="select one name for all rows, or exactly one name or None per row",
            )

    def virtual_groups(self) -> list[tuple[str, Tensor | None]]:
        """Adapters with virtual tokens that are in use: name and rows (None: all of them)."""
        if self.chosen is None or not self.virtual:
            return []
        if isinstance(self.chosen, str):
            return [(self.chosen, None)] if self.chosen in self.virtual else []
        return [(name, rows) for name, rows in self.chosen.groups if name in self.virtual]

    def num_virtual(self, batch: int) -> Tensor | int:
        """Positions taken before the first real token: one number, or [B, 1]."""
        groups = self.virtual_groups()
        if not groups:
            return 0
        if groups[0][1] is None:
            return _length(self.virtual[groups[0][0]])
        counts = torch.zeros(batch, 1, dtype=torch.long)
        for name, rows in groups:
            assert rows is not None
            counts[rows] = _length(self.virtual[name])
        return counts


def rows_of(names: Names) -> str | Rows | None:
    """The simplest form of `names`."""
    if names is None or isinstance(names, str):
        return names
    names = tuple(names)
    found: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        if name is not None:
            found.setdefault(name, []).append(row)
    if not found:
        return None
    return Rows(names, tuple((name, torch.tensor(rows)) for name, rows in found.items()))


def _length(layers: list[tuple[Tensor, Tensor]]) -> int:
    return layers[0][0].shape[1]
