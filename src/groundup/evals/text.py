"""Bits per byte and perplexity of any text under any Scorer.

    bits_per_byte = -sum(log2 p(unit | what came before)) / bytes of the text in UTF-8
    perplexity    = exp(nats / units), per whatever the model predicts: token, character, word, byte

Bits per byte compares models with different vocabularies, and with a compressor; perplexity only models that share one. A
text is sent in long pieces, each with the text before it as context; what a scorer refuses as too long is sent in shorter
ones, so that every unit is counted exactly once under any model. (The engine takes any length and slides its own window.)
Pieces end after a line where there is one, because a tokenizer seldom joins across that. The sum over pieces is a code
length that a decoder could undo, so it never flatters the model. A model without a beginning-of-text token is given one
character to stand on, so that the first unit counts too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ..core.errors import BusyError, DataError, ModelError, RequestError
from ..core.protocols import Scorer
from ..core.types import ScoreRequest, TokenLogprobs
from ..data.files import FoundFile, read_bytes

MAX_TEXT_BYTES = 1 << 30
# Context per character asked for. It costs work only in a scorer that cannot slide a window itself.
CONTEXT_SHARE = 1 / 3
_PIECE_CHARACTERS = 1 << 18
_PIECES_PER_CALL = 16
# A piece of long context is cut to this many characters per token of the model's limit: more would not be looked at.
_CHARACTERS_PER_TOKEN = 8


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
    """One score per text; no text is context for another. Where a scorer refuses long requests, each piece is sent with
    context_share characters of context per character of its own.
    """
    if not context_share >= 0:
        raise ValueError(f"context_share must be at least 0, not {context_share}")
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
    pieces = _Pieces(texts, context_share, scorer.capabilities.max_context_tokens, _beginning(scorer, texts))
    totals: list[list[TokenLogprobs]] = [[] for _ in texts]
    while group := list(islice(pieces.ahead(), _PIECES_PER_CALL)):
        for piece, result in _scored(scorer, group):
            if result is None:
                pieces.shrink(piece)
                break
            totals[piece.text].append(_checked(result, piece.request))
            pieces.done(piece)
            if on_progress:
                on_progress(piece.end - piece.start)
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


@dataclass(frozen=True)
class _Piece:
    text: int
    start: int
    end: int
    request: ScoreRequest


class _Pieces:
    """Where reading has come to in a row of texts, and how long the next pieces are."""

    def __init__(self, texts: Sequence[str], context_share: float, limit_tokens: int, beginning: str) -> None:
        self._texts, self._share, self._beginning = texts, context_share, beginning
        self._size = _PIECE_CHARACTERS
        self._most_context = _CHARACTERS_PER_TOKEN * limit_tokens if limit_tokens > 0 else _PIECE_CHARACTERS
        self._at = (0, 0)

    def ahead(self) -> Iterator[_Piece]:
        """The pieces from here to the end, at the present size."""
        first, start = self._at
        context = min(int(self._size * self._share), self._most_context)
        for number in range(first, len(self._texts)):
            text = self._texts[number]
            while start < len(text):
                end = _cut(text, start, start + self._size)
                before = text[max(0, start - context) : start] or self._beginning
                yield _Piece(number, start, end, ScoreRequest(context=before, continuation=text[start:end]))
                start = end
            start = 0

    def done(self, piece: _Piece) -> None:
        self._at = (piece.text, piece.end)

    def shrink(self, refused: _Piece) -> None:
        self._size = max(1, (refused.end - refused.start) // 2)


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


def _beginning(scorer: Scorer, texts: Sequence[str]) -> str:
    """ "" for a scorer that can tell the probability of a first unit; else a character for it to come after, one that the
    texts have, because not every vocabulary has every character.
    """
    sample = "".join(text[:1000] for text in texts[:100])
    # One ASCII character is one unit in any vocabulary of characters, bytes or tokens.
    probe = next((char for char in ("\n", " ", *sample) if char.isascii() and char in sample), sample[0])
    first = scorer.logprobs([ScoreRequest(continuation=probe)])
    return "" if first[0].logprobs else probe


def _scored(scorer: Scorer, group: Sequence[_Piece]) -> Iterator[tuple[_Piece, TokenLogprobs | None]]:
    """Each piece with its result, up to the first that is refused, whose result is None. A refusal that is not for
    length ends as one: with a single character that is refused.
    """
    try:
        results = scorer.logprobs([piece.request for piece in group])
        if len(results) != len(group):
            raise ModelError(f"the scorer gave {len(results)} results for {len(group)} requests")
        yield from zip(group, results)
        return
    except BusyError:
        raise
    except RequestError:
        if len(group) == 1:
            if group[0].end - group[0].start == 1 and len(str(group[0].request.context)) <= 1:
                raise
            yield group[0], None
            return
    for piece in group:
        for found in _scored(scorer, [piece]):
            yield found
            if found[1] is None:
                return


def _checked(result: TokenLogprobs, request: ScoreRequest) -> TokenLogprobs:
    if len(result.logprobs) != len(result.token_ids):
        raise ModelError(
            f"the scorer gave {len(result.logprobs)} log-probabilities for {len(result.token_ids)} {result.unit}s"
        )
    if not result.logprobs and not str(request.continuation).isspace():  # white space is nothing to a model of words
        raise ModelError(f"the scorer gave nothing for {str(request.continuation)[:40]!r}")
    if any(math.isnan(value) or value > 1e-4 for value in result.logprobs):
        raise ModelError(
            "the scorer gave a log-probability that is not a number, or above zero",
            hint="the weights hold NaN or the model is damaged: groundup info MODEL checks it",
        )
    return result


def _total(results: Sequence[TokenLogprobs], size: int) -> TextScore:
    units = {result.unit for result in results}
    if len(units) != 1:
        raise ModelError(f"the scorer changed its unit within one text: {sorted(units)}")
    if not any(result.logprobs for result in results):
        raise DataError(f"the text has no {results[0].unit}, so there is nothing to score")
    return TextScore(
        nats=-math.fsum(value for result in results for value in result.logprobs) + 0.0,
        tokens=sum(len(result.logprobs) for result in results),
        bytes=size,
        unit=units.pop(),
        impossible=sum(value == -math.inf for result in results for value in result.logprobs),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
