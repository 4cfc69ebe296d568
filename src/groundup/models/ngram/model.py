"""An n-gram model ready to score and to generate: the trie's arrays with log-probabilities and back-off weights.

Numbers are log10 in float32, as in ARPA files, so that a file written and read again scores the same to the last bit; sums
over a text are float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .counting import NGramTrie
from .smoothing import Estimates

LN10 = math.log(10.0)


@dataclass(frozen=True, eq=False)
class NGramModel:
    vocab_size: int
    offsets: np.ndarray
    """[N + 2] int64; this and the next three as in `counting.NGramTrie`."""
    word: np.ndarray
    suffix: np.ndarray
    first_child: np.ndarray
    logprob: np.ndarray
    """[G] float32 log10 p; -inf where impossible."""
    backoff: np.ndarray
    """[G] float32 log10 of the weight."""
    end_of_line: int | None = None
    """The unit after which a new sentence begins; None: sentences are whole documents."""

    @classmethod
    def of(cls, trie: NGramTrie, found: Estimates, end_of_line: int | None = None) -> NGramModel:
        prob, backoff = found.prob.copy(), found.backoff
        prob[0] = 1.0
        prob[trie.beginning] = 0.0
        with np.errstate(divide="ignore"):
            logs = np.log10(prob).astype(np.float32), np.log10(backoff).astype(np.float32)
        return cls(trie.vocab_size, trie.offsets, trie.word, trie.suffix, trie.first_child, *logs, end_of_line)

    @property
    def order(self) -> int:
        return len(self.offsets) - 2

    @property
    def start(self) -> int:
        """State at the beginning of a sentence."""
        return self.vocab_size + 1 if self.order > 1 else 0

    @property
    def num_ngrams(self) -> list[int]:
        return [int(n) for n in np.diff(self.offsets)[1:]]

    def score(self, ids: Any, state: int | None = None) -> tuple[np.ndarray, int]:
        """(natural log-probability of each unit [T] float64, state after the last). state None: the beginning of a sentence."""
        from .kernels import score

        units = np.ascontiguousarray(ids, np.int32)
        out = np.empty(len(units))
        end = -1 if self.end_of_line is None else self.end_of_line
        after = score(
            units, self.start if state is None else state, self.word, self.suffix, self.first_child, self.logprob,
            self.backoff, int(self.offsets[self.order]), end, self.start, out,
        )  # fmt: skip
        return out * LN10, int(after)

    def distribution(self, state: int) -> np.ndarray:
        """[V] float64: the probability of every unit after `state`."""
        from .kernels import spread

        out = np.empty(self.vocab_size)
        spread(state, self.word, self.suffix, self.first_child, self.logprob, self.backoff, out)
        return out

    def probability(self, unit: int, context: tuple[int, ...]) -> float:
        """p(unit | context) by the definition, in plain Python: what `score` and `distribution` must equal. The context is cut to
        what the order sees; a beginning is the unit V.
        """
        context = context[-(self.order - 1) :] if self.order > 1 else ()
        found = self._node((*context, unit))
        if found is not None:
            return math.pow(10.0, float(self.logprob[found]))
        at = self._node(context)
        weight = 1.0 if at is None else math.pow(10.0, float(self.backoff[at]))
        return weight * self.probability(unit, context[1:]) if weight else 0.0

    def _node(self, units: tuple[int, ...]) -> int | None:
        node = 0
        for unit in units:
            children = range(int(self.first_child[node]), int(self.first_child[node + 1]))
            found = [child for child in children if self.word[child] == unit]
            if not found:
                return None
            node = found[0]
        return node
