"""What tokenizers make of a text, as a page shows it: pieces with their ids, bytes and places, and the merges of one piece step by step.

Beside the tokenizers of runs there are cuts that need no training: characters, bytes, and the pieces of the published pre-tokenization
patterns, inside which BPE merges. Merges are worked out from a tokenizer's own table by the same rule as `tokenizers/reference.py`
(the pair of lowest rank, the leftmost of equals); a test holds the last step equal to what the tokenizer encodes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from groundup.core.artifact import SEAL, sealed_in
from groundup.core.protocols import Tokenizer
from groundup.core.runs import list_runs
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.patterns import NAMED, split_text
from groundup.tokenizers.vocabulary import BPEVocabulary

MOST_CHARACTERS = 4000
"""Of a text that is cut while it is typed."""
_MARKS = {" ": "·", "\n": "⏎\n", "\r": "␍", "\t": "⇥", "\N{NO-BREAK SPACE}": "⍽", "\N{REPLACEMENT CHARACTER}": "�"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One piece of a text."""

    shown: str
    """For the eye: white space and control characters have marks, a part of a character is its bytes in hexadecimal."""
    data: bytes
    token_id: int | None = None
    """None where pieces have no ids (patterns)."""
    start_byte: int = 0
    whole: bool = True
    """False: its bytes alone are no text."""

    @property
    def note(self) -> str:
        """All that is known of it, in a line."""
        parts = [] if self.token_id is None else [f"id {self.token_id:,}"]
        count = len(self.data)
        parts.append(f"{count} byte{'s' * (count != 1)}: {self.data[:16].hex(' ')}{' …' if count > 16 else ''}")
        parts.append(f"at byte {self.start_byte:,}")
        if not self.whole:
            parts.append("part of a character")
        return " · ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A text in pieces, and how well that compresses it."""

    pieces: Sequence[Piece]
    num_bytes: int
    num_characters: int

    @property
    def bytes_per_token(self) -> float:
        return self.num_bytes / len(self.pieces) if self.pieces else 0.0

    @property
    def characters_per_token(self) -> float:
        return self.num_characters / len(self.pieces) if self.pieces else 0.0


def clean(text: str) -> str:
    """`text` as every tokenizer can take it: half a surrogate pair, which a browser can send, becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def visible(text: str) -> str:
    """Text with marks for what the eye would miss: spaces, line ends, tabs, control and formatting characters."""
    return "".join(
        _MARKS.get(c) or (f"⟨{ord(c):04X}⟩" if unicodedata.category(c) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp") else c)
        for c in text
    )


def piece_of(data: bytes, *, token_id: int | None = None, start_byte: int = 0) -> Piece:
    try:
        shown, whole = visible(data.decode("utf-8")), True
    except UnicodeDecodeError:
        shown, whole = _partly(data), False
    return Piece(shown=shown or "∅", data=data, token_id=token_id, start_byte=start_byte, whole=whole)


def _partly(data: bytes) -> str:
    """What of the bytes is text as text, the rest in hexadecimal."""
    shown, at = [], 0
    while at < len(data):
        for size in (1, 2, 3, 4):
            try:
                shown.append(visible(data[at : at + size].decode("utf-8")))
            except UnicodeDecodeError:
                continue
            at += size
            break
        else:
            shown.append(f"⟨{data[at]:02X}⟩")
            at += 1
    return "".join(shown)


def _in_order(parts: Sequence[tuple[int | None, bytes]]) -> list[Piece]:
    pieces, at = [], 0
    for token_id, data in parts:
        pieces.append(piece_of(data, token_id=token_id, start_byte=at))
        at += len(data)
    return pieces


def cut(tokenizer: Tokenizer, text: str) -> Cut:
    """`text` by a tokenizer. Raises TokenizerError where it has no token for something."""
    parts = [(i, tokenizer.token_bytes(i)) for i in tokenizer.encode(text)]
    return Cut(pieces=_in_order(parts), num_bytes=len(text.encode()), num_characters=len(text))


def _characters(text: str) -> list[tuple[int | None, bytes]]:
    return [(ord(c), c.encode()) for c in text]


def _bytes(text: str) -> list[tuple[int | None, bytes]]:
    return [(byte, bytes([byte])) for byte in text.encode()]


def _by_pattern(name: str) -> Callable[[str], list[tuple[int | None, bytes]]]:
    return lambda text: [(None, piece.encode()) for piece in split_text(NAMED[name], text)]


BUILT_IN: Mapping[str, tuple[str, Callable[[str], list[tuple[int | None, bytes]]]]] = {
    "characters": ("Unicode characters; an id is the code point", _characters),
    "bytes": ("UTF-8 bytes; an id is the byte", _bytes),
    "gpt2 pieces": ("GPT-2's pattern: BPE merges inside a piece, never across", _by_pattern("gpt2")),
    "cl100k pieces": ("The pattern of GPT-3.5 and GPT-4 (cl100k)", _by_pattern("cl100k")),
    "o200k pieces": ("The pattern of GPT-4o (o200k)", _by_pattern("o200k")),
}
"""Name -> what it is, and text -> (id, bytes) of each piece."""


def cut_built_in(name: str, text: str) -> Cut:
    return Cut(pieces=_in_order(BUILT_IN[name][1](text)), num_bytes=len(text.encode()), num_characters=len(text))


def tokenizers_of(runs: Path) -> dict[str, str]:
    """Path -> name, of the tokenizers that runs made, the newest first; of a run that made none, its newest model's."""
    found: list[tuple[int, Path, str]] = []
    for run in list_runs(runs) if runs.is_dir() else ():
        made = sealed_in(run.path)
        own = [path for path, seal in made if seal.kind == "tokenizer"]
        of_models = [path for path, seal in made if seal.kind == "model"][:1]
        for path in own or [path for path in of_models if any(path.glob("*token*.json"))]:
            found.append(((path / SEAL).stat().st_mtime_ns, path, f"{run.path.name} / {path.name}"))
    return {str(path): name for _, path, name in sorted(found, reverse=True)}


# --- merges


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A piece after a merge; the first step is its bytes."""

    ids: tuple[int, ...]
    at: int | None = None
    """Which of `ids` is new; None in the first step."""
    pair: tuple[int, int] | None = None
    """What it was merged from."""
    rank: int | None = None
    """Of the merge; the lower, the earlier it was learned. None where the piece is a token whatever its merges."""


class Merges:
    """The merges of one byte-level BPE vocabulary."""

    def __init__(self, vocabulary: BPEVocabulary) -> None:
        self.vocabulary = vocabulary
        self._id_of = {data: i for i, data in enumerate(vocabulary.tokens) if data}
        self._rank_of: dict[tuple[int, int], int] | None = None
        if vocabulary.merges is not None:
            self._rank_of = {}
            for rank, pair in enumerate(vocabulary.merges):
                self._rank_of.setdefault(pair, rank)

    def pieces(self, text: str) -> list[str]:
        """The different pieces of a text inside which merging happens, in order."""
        if self.vocabulary.nfc:
            text = unicodedata.normalize("NFC", text)
        return list(dict.fromkeys(split_text(self.vocabulary.rule, text)))

    def piece_at(self, text: str, byte: int) -> str | None:
        """The piece of `text` that the byte at that place is in; None behind the end."""
        if self.vocabulary.nfc:
            text = unicodedata.normalize("NFC", text)
        at = 0
        for piece in split_text(self.vocabulary.rule, text):
            at += len(piece.encode())
            if byte < at:
                return piece
        return None

    def steps(self, piece: str) -> list[Step]:
        """From bytes to tokens; the last step's ids are what the tokenizer gives. [] where a byte has no token."""
        tokens = self.vocabulary.tokens
        data = piece.encode()
        if any(bytes([byte]) not in self._id_of for byte in data):
            return []
        ids = [self._id_of[bytes([byte])] for byte in data]
        made = [Step(ids=tuple(ids))]
        # tiktoken's rule, and `ignore_merges`: a piece that is a token needs no merge. The merges are shown first all the same.
        whole = self._id_of.get(data) if self.vocabulary.whole_pieces or self._rank_of is None else None
        while True:
            best: tuple[int, int] | None = None
            for i, pair in enumerate(pairwise(ids)):
                rank = self._rank(pair)
                if rank is not None and (best is None or rank < best[0]):
                    best = rank, i
            if best is None:
                break
            rank, i = best
            pair = (ids[i], ids[i + 1])
            ids[i : i + 2] = [self._id_of[tokens[pair[0]] + tokens[pair[1]]]]
            made.append(Step(ids=tuple(ids), at=i, pair=pair, rank=rank))
        if whole is not None and ids != [whole]:
            made.append(Step(ids=(whole,), at=0))
        return made

    def _rank(self, pair: tuple[int, int]) -> int | None:
        if self._rank_of is not None:
            return self._rank_of.get(pair)
        tokens = self.vocabulary.tokens
        return self._id_of.get(tokens[pair[0]] + tokens[pair[1]])


def merges_of(tokenizer: Any) -> Merges | None:
    """The merges of a tokenizer; None for one of another kind."""
    return Merges(tokenizer.vocabulary) if isinstance(tokenizer, BPETokenizer) else None
