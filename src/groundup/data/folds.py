"""Which fold of a cross-validation each labelled row is in: the same for every stage that asks, whatever it trains.

Stratified: within each label the rows are put in an order that depends on nothing but (seed, id), and dealt to the folds in
turn; the next label begins where the last one ended, so that no fold grows by more than one. Left out: groups of rows that must stay together.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import ConfigError, DataError
from .labelled import read_labelled


def assign_folds(ids: Sequence[str], labels: Sequence[str], num_folds: int, seed: int) -> np.ndarray:
    """[N] fold of each row, 0 .. num_folds - 1. Raises ConfigError unless 2 <= num_folds <= the rows of the rarest label."""
    groups: dict[str, list[int]] = {}
    for i, label in enumerate(labels):
        groups.setdefault(label, []).append(i)
    rarest = min(groups, key=lambda name: (len(groups[name]), name), default=None)
    if rarest is None:
        raise DataError("there are no rows to make folds of")
    if not 2 <= num_folds <= len(groups[rarest]):
        raise ConfigError(
            f"must be from 2 to {len(groups[rarest])}, the rows of the rarest label ({rarest!r}), not {num_folds}",
            path="folds",
        )
    fold = np.empty(len(labels), np.int64)
    dealt = 0
    for label in sorted(groups):
        for i in sorted(groups[label], key=lambda i: (_position(ids[i], seed), i)):
            fold[i] = dealt % num_folds
            dealt += 1
    return fold


def rows_for_folds(directory: Path | str) -> list[dict[str, Any]]:
    """Rows of a `labelled` directory that a cross-validation goes over: train and validation, in order. Test stays held out."""
    return [row for split in ("train", "validation") for row in read_labelled(directory, split)]


def _position(name: str, seed: int) -> bytes:
    return blake2b(f"{seed}:{name}".encode("utf-8", "surrogatepass"), digest_size=8, person=b"folds").digest()
