"""Stop strings: text passes through until one is whole, and no part of one is ever shown.

Text is held back for as long as it may still become a stop string. Half characters never get here
(`groundup.tokenizers.StreamDecoder`).
"""

from __future__ import annotations

from collections.abc import Sequence


class StopText:
    """Passes text through until one of `stops` has appeared, over any borders between pieces."""

    def __init__(self, stops: Sequence[str]) -> None:
        self.stops = tuple(stops)
        self._longest = max(map(len, self.stops), default=0)
        self._held = ""
        self.found: str | None = None

    def push(self, text: str) -> str:
        """What can be shown now. Once a stop string is whole, `found` names it and nothing more is shown."""
        if not self.stops:
            return text
        if self.found is not None:
            return ""
        held = self._held + text
        first = len(held) + 1
        for stop in self.stops:
            at = held.find(stop)
            # The earliest one ends the text; of two at one place, the longer names it.
            if at >= 0 and (at < first or (at == first and len(stop) > len(self.found or ""))):
                first, self.found = at, stop
        if self.found is not None:
            self._held = ""
            return held[:first]
        keep = self._may_begin(held)
        self._held = held[len(held) - keep :]
        return held[: len(held) - keep]

    def _may_begin(self, text: str) -> int:
        """Length of the longest end of `text` that is the beginning of a stop string."""
        for length in range(min(self._longest - 1, len(text)), 0, -1):
            end = text[len(text) - length :]
            if any(stop.startswith(end) for stop in self.stops):
                return length
        return 0

    def finish(self) -> str:
        """What was held back, once no more text can come."""
        held, self._held = self._held, ""
        return held
