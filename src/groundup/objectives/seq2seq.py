"""Sequence to sequence: each target token from the source and the target tokens before it (teacher forcing).

An example is a bucket: pairs of about one length, as many as make `bucket_tokens` target positions, so that a step costs the same
whatever the lengths are and little of it is padding. Left out: scheduled sampling, training on what the model itself wrote.

Letters: B pairs, S source positions, T target positions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ..core.errors import ConfigError, DataError
from ..nn.protocols import IGNORE, Batch, LossOutput
from .cross_entropy import chunked_cross_entropy

SOURCE, LENGTHS = "source_ids", "source_lengths"
_POOL_BUCKETS = 8
"""Buckets that are sorted together: about a tenth of the positions is padding then."""


@dataclass(frozen=True, kw_only=True)
class Seq2SeqObjectiveConfig:
    type: Literal["seq2seq"] = "seq2seq"
    label_smoothing: float = 0.1
    """Share of the target's probability spread over the vocabulary (Szegedy et al. 2016)."""
    bucket_tokens: int = 2048
    """Target positions of a bucket, padding included; a step's batch_size counts buckets."""

    def __post_init__(self) -> None:
        if self.bucket_tokens < 1:
            raise ConfigError(f"must be at least 1, not {self.bucket_tokens}", path="bucket_tokens")
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"must be in [0, 1), not {self.label_smoothing}", path="label_smoothing")


@dataclass(frozen=True, slots=True)
class EncodedPair:
    source: np.ndarray
    """[S] int32, with what ends it."""
    target: np.ndarray
    """[T + 1] int32: what begins a target, its tokens, what ends it."""


Bucket = Sequence[EncodedPair]


class Seq2SeqObjective:
    """groundup.nn.protocols.Objective over buckets."""

    def __init__(self, config: Seq2SeqObjectiveConfig = Seq2SeqObjectiveConfig()) -> None:
        self.config = config

    def collate(self, examples: Sequence[Bucket]) -> Batch:
        pairs = [pair for bucket in examples for pair in bucket]
        sources, lengths = padded([pair.source for pair in pairs], 0)
        inputs, _ = padded([pair.target[:-1] for pair in pairs], 0)
        targets, _ = padded([pair.target[1:] for pair in pairs], IGNORE)
        return Batch(inputs, targets, extras={SOURCE: sources, LENGTHS: lengths})

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        """Metrics: loss (nats per target token, without smoothing), accuracy, tokens."""
        output = model(batch.extras[SOURCE], batch.extras[LENGTHS], batch.input_ids)
        loss, figures = chunked_cross_entropy(
            output.hidden, output.head, batch.targets, label_smoothing=self.config.label_smoothing
        )
        metrics: dict[str, float | Tensor] = {"loss": figures["cross_entropy"], "accuracy": figures["accuracy"]}
        metrics["tokens"] = (batch.targets != IGNORE).sum()
        return LossOutput(loss, metrics)


def padded(rows: Sequence[Sequence[int] | np.ndarray], pad: int) -> tuple[Tensor, Tensor]:
    """[B, longest] int64, `pad` behind each row's end; and the lengths [B] int64"""
    lengths = [len(row) for row in rows]
    table = np.full((len(rows), max(lengths)), pad, np.int64)
    for i, row in enumerate(rows):
        table[i, : len(row)] = row
    return torch.from_numpy(table), torch.tensor(lengths)


class BucketSource:
    """groundup.nn.protocols.ExampleSource: every pair once an epoch, in buckets of near lengths drawn afresh from (seed, epoch)."""

    def __init__(self, pairs: Sequence[EncodedPair], bucket_tokens: int, seed: int) -> None:
        if not pairs:
            raise DataError("no pairs to train on", hint="groundup data <stage directory> shows what was read")
        self.pairs, self.seed = pairs, seed
        self._sizes = np.array([[len(p.target), len(p.source)] for p in pairs])
        self.num_buckets = max(1, round(int(self._sizes[:, 0].sum()) / bucket_tokens))
        self._epoch = -1
        self._buckets: list[np.ndarray] = []

    def take(self, step: int, count: int) -> Sequence[Bucket]:
        return [self.bucket(step * count + j) for j in range(count)]

    def bucket(self, index: int) -> Bucket:
        epoch, place = divmod(index, self.num_buckets)
        if epoch != self._epoch:
            self._buckets, self._epoch = self._cut(epoch), epoch
        return [self.pairs[int(i)] for i in self._buckets[place]]

    def _cut(self, epoch: int) -> list[np.ndarray]:
        """Pairs by length within pools of some buckets, cut where a bucket's share of the tokens is full. Not over all pairs: every pair of
        a bucket would then end at one place, and the model would learn where instead of when."""
        rng = np.random.default_rng([self.seed, epoch])
        pools = np.array_split(rng.permutation(len(self.pairs)), max(1, round(self.num_buckets / _POOL_BUCKETS)))
        sorted_pools = [pool[np.lexsort((self._sizes[pool, 1], self._sizes[pool, 0]))] for pool in pools]
        # Every other one back to front, so that a bucket over a border holds like lengths too.
        order = np.concatenate([pool[:: 1 if n % 2 == 0 else -1] for n, pool in enumerate(sorted_pools)])
        running = np.cumsum(self._sizes[order, 0])
        ends = np.searchsorted(running, running[-1] * np.arange(1, self.num_buckets) / self.num_buckets)
        buckets = [part for part in np.split(order, ends) if len(part)]
        while len(buckets) < self.num_buckets:  # fewer pairs than buckets: some come twice
            buckets.append(buckets[len(buckets) % len(self.pairs)])
        return [buckets[int(i)] for i in rng.permutation(self.num_buckets)]

    def figures(self) -> Mapping[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...
