"""Cut UTF-8 bytes into pieces by a pre-tokenization rule, in blocks of offsets that the compiled loops take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from .patterns import SCANNERS, compile_pattern, split_text

_BLOCK_PIECES = 16384
"""Offsets per block: 128 KB, which stays in the cache between the scanner and the loop that consumes it."""
_WINDOW_BYTES = 1 << 16
_LETTERS = np.zeros(256, bool)
_LETTERS[[*b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"]] = True
_SPACES = np.zeros(256, bool)
_SPACES[[*b" \n\r\t"]] = True


def as_bytes(text: str) -> np.ndarray:
    """UTF-8 of `text`, uint8 [n], read-only. A surrogate without its partner, which no encoding of text has, becomes U+FFFD."""
    try:
        raw = text.encode("utf-8")
    except UnicodeEncodeError:
        raw = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode("utf-8")
    return np.frombuffer(raw, dtype=np.uint8)


class Splitter:
    """A rule ready to run; see `patterns` for what a rule is.

    compiled: whether a scanner runs it; if not, `regex` does, which is some 20 times slower and holds the interpreter's lock.
    """

    def __init__(self, rule: tuple[str, ...]) -> None:
        self.rule = rule
        self.compiled = rule in SCANNERS
        self._scan: Any = None
        for pattern in rule:
            compile_pattern(pattern)

    def blocks(
        self, data: np.ndarray, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[int, np.ndarray, int]]:
        """Yield (byte offset of the first piece, int64 [room] byte offset after each piece, number of pieces).

        The array is reused: consume a block before asking for the next. Nothing before `start` or after `stop` is looked at.
        """
        stop = len(data) if stop is None else stop
        if start >= stop:
            return
        if not self.compiled:
            pieces = split_text(self.rule, data[start:stop].tobytes().decode("utf-8"))
            sizes = np.fromiter((len(piece.encode("utf-8")) for piece in pieces), dtype=np.int64, count=len(pieces))
            yield start, start + np.cumsum(sizes), len(sizes)
            return
        if self._scan is None:
            from .scanners import SCANNER_FUNCTIONS
            from .unicode_table import category_table

            name, first, second = SCANNERS[self.rule]
            self._scan = SCANNER_FUNCTIONS[name], category_table(), first, second
        scan, table, first, second = self._scan
        ends = np.empty(min(_BLOCK_PIECES, stop - start), dtype=np.int64)
        while start < stop:
            count, reached = scan(data, start, stop, table, first, second, ends)
            yield start, ends, count
            start = reached

    def cuts(self, data: np.ndarray, every_bytes: int) -> list[int]:
        """Offsets where `data` may be cut without changing any piece, about `every_bytes` apart; both ends included.

        In every rule with a scanner, white space after an ASCII letter begins a piece and nothing looks back beyond it. A rule
        without one, or a text without such a place, is not cut.
        """
        cuts = [0]
        size = len(data)
        if self.compiled:
            while cuts[-1] + 2 * every_bytes <= size:
                at = self._next_cut(data, cuts[-1] + every_bytes)
                if at >= size:
                    break
                cuts.append(at)
        cuts.append(size)
        return cuts

    def _next_cut(self, data: np.ndarray, at: int) -> int:
        while at < len(data):
            before = data[at - 1 : at - 1 + _WINDOW_BYTES]
            after = data[at : at + _WINDOW_BYTES]
            found = np.flatnonzero(_LETTERS[before[: len(after)]] & _SPACES[after])
            if len(found):
                return at + int(found[0])
            at += _WINDOW_BYTES
        return len(data)

    def last_cut(self, data: np.ndarray) -> int:
        """The last offset at which `data` may be cut, 0 when there is none."""
        if not self.compiled:
            return 0
        end = len(data)
        while end > 1:
            start = max(1, end - _WINDOW_BYTES)
            found = np.flatnonzero(_LETTERS[data[start - 1 : end - 1]] & _SPACES[data[start:end]])
            if len(found):
                return start + int(found[-1])
            end = start
        return 0
