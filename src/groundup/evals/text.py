"""Bits per byte and perplexity of any text under any Scorer.

    bits_per_byte = -sum(log2 p(unit | what came before)) / bytes of the text in UTF-8
    perplexity    = exp(nats / units), per whatever the model predicts: token, character, word, byte

Bits per byte compares models with different vocabularies, and with a compressor; perplexity only models that share one. A
text longer than the model's context is scored in windows, each with the text before it as context, so that every unit is
counted once. Windows end after a line where there is one, because a tokenizer seldom joins across that. The sum over windows
is a code length that a decoder could undo, so it never flatters the model. Left out: other ways to window (one token at a
time is exact and slower by the length of the context).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import DataError, ModelError, RequestError
from ..core.protocols import Scorer
from ..core.types import ScoreRequest, TokenLogprobs
from ..data.files import FoundFile, read_bytes

MAX_TEXT_BYTES = 1 << 30
# Share of a window that is spent on context. A quarter costs a third more work than none.
CONTEXT_SHARE = 0.25
# Tokens per character differ along a text; a window that does not fit all the same is cut in two.
_FILL = 0.8
_WINDOWS_PER_CALL = 16
# For a scorer without a limit to speak of (n-grams): as long as is pleasant to hold.
_MAX_WINDOW_CHARACTERS = 1 << 16


@dataclass(frozen=True, kw_only=True)
class TextScore:
    """What one text, or several together, costs under a model."""

    nats: float
    """Sum of -ln p; infinite where the model holds some unit to be impossible."""
    tokens: int
    """Number of units scored."""
    bytes: int
    unit: str = "token"
    impossible: int = 0
    """Units with probability zero."""

    @property
    def bits_per_byte(self) -> float:
        return self.nats / math.log(2) / self.bytes

    @property
    def perplexity(self) -> float:
        try:
            return math.exp(self.nats / self.tokens)
        except OverflowError:
            return math.inf

    def plain(self) -> dict[str, Any]:
        """For JSON; null stands for infinite."""
        return {
            "bits_per_byte": _finite(self.bits_per_byte),
            "perplexity": _finite(self.perplexity),
            "unit": self.unit,
            "bytes": self.bytes,
            "tokens": self.tokens,
            "nats": _finite(self.nats),
            "impossible": self.impossible,
        }


def text_score(
    scorer: Scorer,
    text: str,
    *,
    context_share: float = CONTEXT_SHARE,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """{"bits_per_byte", "perplexity", "unit", "bytes", "tokens", "nats", "impossible"} of `text`; the perplexity is per
    `unit`. on_progress(n) is told of n more characters done. Raises DataError for empty text.
    """
    return score_texts(scorer, [text], context_share=context_share, on_progress=on_progress)[0].plain()


def score_texts(
    scorer: Scorer,
    texts: Sequence[str],
    *,
    context_share: float = CONTEXT_SHARE,
    on_progress: Callable[[int], None] | None = None,
) -> list[TextScore]:
    """One score per text; no text is context for another. 0 <= context_share < 1 is the part of each window that is
    spent on the text before it.
    """
    if not 0 <= context_share < 1:
        raise ValueError(f"context_share must be at least 0 and below 1, not {context_share}")
    sizes = []
    for number, text in enumerate(texts):
        if not text:
            raise DataError(f"text {number} is empty, so it has no bits per byte", hint="leave empty files out")
        try:
            sizes.append(len(text.encode("utf-8")))
        except UnicodeEncodeError as error:
            raise DataError(f"text {number} is not valid Unicode: {error.reason} at {error.start}") from None
    if not texts:
        return []
    longest = _window_characters(scorer, max(texts, key=len))
    windows = [
        (number, window) for number, text in enumerate(texts) for window in _windows(text, longest, context_share)
    ]
    totals: list[list[TokenLogprobs]] = [[] for _ in texts]
    for first in range(0, len(windows), _WINDOWS_PER_CALL):
        group = windows[first : first + _WINDOWS_PER_CALL]
        for (number, window), results in zip(group, _score(scorer, [w for _, w in group])):
            totals[number].extend(results)
            if on_progress:
                on_progress(len(window.continuation))
    return [_total(results, size) for results, size in zip(totals, sizes)]


def combined(scores: Sequence[TextScore]) -> TextScore:
    """The score of all texts together. Raises ValueError when they are not of one unit."""
    units = {score.unit for score in scores}
    if len(units) != 1:
        raise ValueError(f"scores of one unit are needed, not of {sorted(units) or 'nothing'}")
    return TextScore(
        nats=math.fsum(s.nats for s in scores),
        tokens=sum(s.tokens for s in scores),
        bytes=sum(s.bytes for s in scores),
        unit=units.pop(),
        impossible=sum(s.impossible for s in scores),
    )


def read_text_file(path: Path | str, *, limit_bytes: int = MAX_TEXT_BYTES) -> str:
    """The text of a UTF-8 file, plain or .gz, .xz, .bz2, byte for byte (line ends are kept). DataError when it cannot
    be read, is not UTF-8, or is empty.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise DataError(f"{path} is a folder; one text file is needed", hint="--text folder/file.txt")
    data = read_bytes(FoundFile(path.name, path), limit_bytes=limit_bytes)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not UTF-8: byte {data[error.start]:#04x} at {error.start:,} ({error.reason})",
            hint=f"if you know its encoding: iconv -f LATIN1 -t UTF-8 {path} > utf8.txt",
        ) from None
    if not text:
        raise DataError(f"{path} is empty, so it has no bits per byte")
    return text


def _window_characters(scorer: Scorer, text: str) -> int:
    """How many characters of text like this fill the scorer's context."""
    limit = scorer.capabilities.max_context_tokens
    if limit <= 0:
        return _MAX_WINDOW_CHARACTERS
    # A character is at most four UTF-8 bytes, and so four tokens of a byte-level vocabulary: this much always fits.
    probe = text[: min(max(1, limit // 4), _MAX_WINDOW_CHARACTERS)]
    tokens = sum(len(r.logprobs) for group in _score(scorer, [ScoreRequest(continuation=probe)]) for r in group)
    per_character = max(tokens, 1) / len(probe)
    return max(1, min(int(_FILL * limit / per_character), _MAX_WINDOW_CHARACTERS))


def _windows(text: str, characters: int, context_share: float) -> Iterator[ScoreRequest]:
    context = int(characters * context_share)
    start = 0
    while start < len(text):
        room = characters if start == 0 else max(1, characters - context)
        end = _cut(text, start, start + room)
        before = max(0, start - context)
        yield ScoreRequest(context=text[before:start], continuation=text[start:end])
        start = end


def _cut(text: str, start: int, end: int) -> int:
    """A good place to cut at or before `end`: after a line, before a space, or anywhere."""
    if end >= len(text):
        return len(text)
    middle = start + (end - start) // 2
    line = text.rfind("\n", middle, end)
    if line >= start:
        return line + 1
    space = text.rfind(" ", middle, end)
    return space if space > start else end


def _score(scorer: Scorer, windows: Sequence[ScoreRequest]) -> list[list[TokenLogprobs]]:
    """The results of each window; one that the scorer refuses is cut in two, until it is a single character."""
    try:
        return [[result] for result in _checked(scorer.logprobs(windows), windows)]
    except RequestError:
        if len(windows) > 1:
            return [_score(scorer, [window])[0] for window in windows]
        text, context = str(windows[0].continuation), str(windows[0].context)
        if len(text) <= 1:
            if not context:
                raise
            return _score(scorer, [ScoreRequest(continuation=text)])
        middle = _cut(text, 0, max(1, len(text) // 2))
        halves = [
            ScoreRequest(context=context[len(context) // 2 :], continuation=text[:middle]),
            ScoreRequest(context=text[middle // 2 : middle], continuation=text[middle:]),
        ]
        return [[result for half in halves for result in _score(scorer, [half])[0]]]


def _checked(results: list[TokenLogprobs], windows: Sequence[ScoreRequest]) -> list[TokenLogprobs]:
    if len(results) != len(windows):
        raise ModelError(f"the scorer gave {len(results)} results for {len(windows)} requests")
    for result, window in zip(results, windows):
        if len(result.logprobs) != len(result.token_ids):
            raise ModelError(
                f"the scorer gave {len(result.logprobs)} log-probabilities for {len(result.token_ids)} {result.unit}s"
            )
        if not result.logprobs:
            raise ModelError(f"the scorer gave nothing for {str(window.continuation)[:40]!r}")
        if any(math.isnan(value) or value > 1e-4 for value in result.logprobs):
            raise ModelError(
                "the scorer gave a log-probability that is not a number or above zero",
                hint="the weights hold NaN or the model is damaged: groundup info MODEL checks it",
            )
    return results


def _total(results: Sequence[TokenLogprobs], size: int) -> TextScore:
    units = {result.unit for result in results}
    if len(units) != 1:
        raise ModelError(f"the scorer changed its unit within one text: {sorted(units)}")
    return TextScore(
        nats=-math.fsum(value for result in results for value in result.logprobs) + 0.0,
        tokens=sum(len(result.logprobs) for result in results),
        bytes=size,
        unit=units.pop(),
        impossible=sum(value == -math.inf for result in results for value in result.logprobs),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
