"""Where the loop's examples come from (groundup.nn.protocols.ExampleSource). Both sources are pure functions of the step:
they keep nothing, so a resumed run sees the same examples and any step can be asked for again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ..core.errors import DataError


class Windows(Protocol):
    """Anything that has an example for every number from 0 on."""

    def example(self, index: int) -> Any: ...


class WindowSource:
    """Example `step * count + j` of an endless series of windows."""

    def __init__(self, windows: Windows, *, offset: int = 0) -> None:
        self.windows = windows
        self.offset = offset
        """First example's number: sources with different offsets read different parts of one series."""

    def take(self, step: int, count: int) -> Sequence[Any]:
        first = self.offset + step * count
        return [self.windows.example(first + j) for j in range(count)]

    def figures(self) -> Mapping[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...


class ChatSource:
    """Examples in an order drawn afresh for every epoch from (seed, epoch); each is seen once an epoch."""

    def __init__(self, examples: Sequence[Any], seed: int) -> None:
        if not len(examples):
            raise DataError("no examples to train on", hint="look at the reasons: groundup data --dropped")
        self.examples = examples
        self.seed = seed
        self._order: tuple[int, np.ndarray] | None = None

    def take(self, step: int, count: int) -> Sequence[Any]:
        return [self.example(step * count + j) for j in range(count)]

    def example(self, index: int) -> Any:
        epoch, place = divmod(index, len(self.examples))
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng([self.seed, epoch]).permutation(len(self.examples)))
        return self.examples[int(self._order[1][place])]

    def figures(self) -> Mapping[str, float]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None: ...
