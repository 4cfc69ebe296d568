"""The first waist: token shards, from which every training reads.

    index.json                what the shards are (see `Index`)
    train-00000.tokens        32 bytes of header, then token ids, little-endian uint16 or uint32
    train-00000.starts.npy    int64 [documents + 1]: where each document starts in that file, and where the last one ends

A document is never cut by a shard border, so a shard that is damaged takes only its own documents with it: it is left out and
reported, and the rest keep their order. Readers map the files; nothing is loaded.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..core.artifact import atomic_write, hash_file, read_json, write_json
from ..core.config import parse, to_plain
from ..core.errors import ArtifactError, ConfigError, DataError

INDEX = "index.json"
MAGIC = b"GUTOKENS"
FORMAT = 1
_HEADER = struct.Struct("<8sIIQQ")  # magic, format, bytes per token, tokens, documents


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One row of the index."""

    name: str
    tokens: int
    documents: int
    text_bytes: int
    sha256: str
    """Of the .tokens file."""
    starts_sha256: str


@dataclass(frozen=True, kw_only=True)
class Index:
    """`index.json`"""

    format: int
    dtype: Literal["uint16", "uint32"]
    vocab_size: int
    eos_id: int | None
    """Id at the end of every document, if any."""
    tokenizer: str
    """Identity of the tokenizer that made the ids."""
    splits: dict[str, tuple[Shard, ...]]


def dtype_for(vocab_size: int) -> Literal["uint16", "uint32"]:
    return "uint16" if vocab_size <= 1 << 16 else "uint32"


def write_shard(directory: Path, name: str, documents: Sequence[np.ndarray], *, dtype: str, text_bytes: int) -> Shard:
    """Write one shard; `documents` are its documents' ids. Returns its row for the index."""
    kind = np.dtype(dtype).newbyteorder("<")
    starts = np.zeros(len(documents) + 1, dtype="<i8")
    np.cumsum([len(ids) for ids in documents], out=starts[1:])
    total = int(starts[-1])
    tokens, offsets = directory / f"{name}.tokens", directory / f"{name}.starts.npy"
    with atomic_write(tokens, expected_bytes=_HEADER.size + total * kind.itemsize) as file:
        file.write(_HEADER.pack(MAGIC, FORMAT, kind.itemsize, total, len(documents)))
        for ids in documents:
            file.write(np.ascontiguousarray(ids, dtype=kind).tobytes())
    with atomic_write(offsets) as file:
        np.save(file, starts, allow_pickle=False)
    return Shard(
        name=name,
        tokens=total,
        documents=len(documents),
        text_bytes=text_bytes,
        sha256=hash_file(tokens),
        starts_sha256=hash_file(offsets),
    )


def write_index(directory: Path, index: Index) -> None:
    write_json(directory / INDEX, to_plain(index))


def read_index(directory: Path | str) -> Index:
    """Raises ArtifactError when it is missing or not an index of this format."""
    path = Path(directory) / INDEX
    raw = read_json(path)
    try:
        if not isinstance(raw, dict) or raw.get("format") != FORMAT:
            raise ConfigError(f"format must be {FORMAT}")
        return parse(Index, raw)
    except ConfigError as error:
        raise ArtifactError(f"{path} is no index of token shards: {error}", hint="pack the data again") from None


@dataclass(frozen=True)
class _Mapped:
    shard: Shard
    ids: np.ndarray
    """[tokens], mapped"""
    starts: np.ndarray
    """[documents + 1]"""


class TokenShards:
    """All whole shards of one split as one long row of token ids. Open with `TokenShards.open`."""

    def __init__(self, index: Index, mapped: Sequence[_Mapped], quarantined: Sequence[tuple[str, str]]) -> None:
        self.index = index
        self.quarantined = tuple(quarantined)
        """(shard, what is wrong with it) of every shard that was left out."""
        self._mapped = tuple(mapped)
        self._ends = np.cumsum([m.shard.tokens for m in self._mapped], dtype=np.int64)

    @classmethod
    def open(cls, directory: Path | str, split: str, *, contents: bool = True) -> TokenShards:
        """Map the shards of `split`. Each is checked first: sizes, header, and (contents=True) its sha256.

        Raises DataError when the split is not there, or no shard of it is whole.
        """
        directory = Path(directory)
        index = read_index(directory)
        if split not in index.splits:
            raise DataError(f"{directory} has no split {split!r}; it has {', '.join(index.splits)}")
        mapped: list[_Mapped] = []
        quarantined: list[tuple[str, str]] = []
        for shard in index.splits[split]:
            try:
                mapped.append(_open_shard(directory, shard, index, contents=contents))
            except (OSError, ValueError) as error:
                quarantined.append((shard.name, str(error)))
        if quarantined and not mapped:
            raise DataError(
                f"no shard of {split!r} in {directory} is whole; {quarantined[0][0]}: {quarantined[0][1]}",
                hint="remove the directory and run the recipe again; the data will be packed again",
            )
        return cls(index, mapped, quarantined)

    @property
    def vocab_size(self) -> int:
        return self.index.vocab_size

    @property
    def num_tokens(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def num_documents(self) -> int:
        return sum(m.shard.documents for m in self._mapped)

    @property
    def text_bytes(self) -> int:
        """UTF-8 bytes of the text that the tokens stand for."""
        return sum(m.shard.text_bytes for m in self._mapped)

    @cached_property
    def document_starts(self) -> np.ndarray:
        """int64 [num_documents + 1]: first token of each document; the last entry is num_tokens."""
        befores = (0, *self._ends[:-1])
        parts = [m.starts[:-1] + before for m, before in zip(self._mapped, befores)]
        return np.concatenate([*parts, np.array([self.num_tokens], dtype=np.int64)])

    def tokens(self, start: int, stop: int) -> np.ndarray:
        """int64 [stop - start]: a copy of the ids at those places. IndexError outside 0 <= start <= stop <= num_tokens."""
        if not 0 <= start <= stop <= self.num_tokens:
            raise IndexError(f"tokens {start}:{stop} are outside 0:{self.num_tokens}")
        pieces: list[np.ndarray] = []
        number = int(np.searchsorted(self._ends, start, side="right"))
        while start < stop:
            mapped = self._mapped[number]
            before = int(self._ends[number]) - mapped.shard.tokens
            end = min(stop, int(self._ends[number]))
            pieces.append(mapped.ids[start - before : end - before])
            start, number = end, number + 1
        return np.concatenate(pieces).astype(np.int64) if pieces else np.zeros(0, dtype=np.int64)

    def document(self, number: int) -> np.ndarray:
        """int64 [tokens of the document], its end-of-text id included."""
        if not 0 <= number < self.num_documents:
            raise IndexError(f"document {number} is outside 0:{self.num_documents}")
        return self.tokens(int(self.document_starts[number]), int(self.document_starts[number + 1]))

    def document_numbers(self, positions: np.ndarray) -> np.ndarray:
        """int64, shape of `positions`: the document in which each token stands."""
        return np.searchsorted(self.document_starts, positions, side="right") - 1


def _open_shard(directory: Path, shard: Shard, index: Index, *, contents: bool) -> _Mapped:
    """Raises ValueError or OSError saying what is wrong."""
    path, offsets = directory / f"{shard.name}.tokens", directory / f"{shard.name}.starts.npy"
    kind = np.dtype(index.dtype).newbyteorder("<")
    wanted = _HEADER.size + shard.tokens * kind.itemsize
    size = path.stat().st_size
    if size != wanted:
        raise ValueError(f"{path.name} has {size:,} bytes instead of {wanted:,}: it was cut or changed")
    with open(path, "rb") as file:
        magic, version, itemsize, tokens, documents = _HEADER.unpack(file.read(_HEADER.size))
    if magic != MAGIC:
        raise ValueError(f"{path.name} starts with {magic!r} instead of {MAGIC!r}: it is no token shard")
    if (version, itemsize, tokens, documents) != (FORMAT, kind.itemsize, shard.tokens, shard.documents):
        raise ValueError(f"the header of {path.name} does not agree with {INDEX}")
    if contents and hash_file(path) != shard.sha256:
        raise ValueError(f"{path.name} does not have the sha256 of {INDEX}: it was damaged or edited")
    if contents and hash_file(offsets) != shard.starts_sha256:
        raise ValueError(f"{offsets.name} does not have the sha256 of {INDEX}: it was damaged or edited")
    starts = np.load(offsets, allow_pickle=False)
    if starts.shape != (shard.documents + 1,) or starts.dtype != np.int64 or int(starts[-1]) != shard.tokens:
        raise ValueError(f"{offsets.name} does not hold the starts of {shard.documents:,} documents")
    ids = np.memmap(path, dtype=kind, mode="r", offset=_HEADER.size, shape=(tokens,)) if tokens else np.zeros(0, kind)
    return _Mapped(shard, ids, starts)


class ShardWriter:
    """Gathers documents of one split into shards of about `shard_tokens` tokens, each written as soon as it is full.

    The state after each shard is kept beside it, so that a writer opened again over the same directory goes on behind the
    last whole shard: skip the first `num_documents` documents and add the rest.
    """

    def __init__(self, directory: Path, split: str, *, dtype: str, shard_tokens: int) -> None:
        self.directory = directory
        self.split = split
        self._dtype = dtype
        self._shard_tokens = shard_tokens
        self._waiting: list[np.ndarray] = []
        self._waiting_tokens = 0
        self._waiting_bytes = 0
        self._state = directory / f"{split}.progress.json"
        self.shards: list[Shard] = list(self._recorded())

    def _recorded(self) -> Iterator[Shard]:
        if self._state.is_file():
            for row in read_json(self._state):
                yield parse(Shard, row)

    @property
    def num_documents(self) -> int:
        """Documents in shards that are written."""
        return sum(shard.documents for shard in self.shards)

    def add(self, ids: np.ndarray, text_bytes: int) -> None:
        if self._waiting and self._waiting_tokens + len(ids) > self._shard_tokens:
            self._write()
        self._waiting.append(ids)
        self._waiting_tokens += len(ids)
        self._waiting_bytes += text_bytes

    def finish(self) -> tuple[Shard, ...]:
        if self._waiting:
            self._write()
        return tuple(self.shards)

    def _write(self) -> None:
        name = f"{self.split}-{len(self.shards):05d}"
        shard = write_shard(self.directory, name, self._waiting, dtype=self._dtype, text_bytes=self._waiting_bytes)
        self.shards.append(shard)
        write_json(self._state, [to_plain(s) for s in self.shards])
        self._waiting, self._waiting_tokens, self._waiting_bytes = [], 0, 0

    def move_to(self, directory: Path) -> None:
        """Move the written shards to where they belong (the same file system)."""
        for shard in self.shards:
            for suffix in (".tokens", ".starts.npy"):
                os.replace(self.directory / f"{shard.name}{suffix}", directory / f"{shard.name}{suffix}")


def describe(index: Index) -> dict[str, Any]:
    """Tokens, documents, text bytes and bytes per token of every split."""
    rows: dict[str, Any] = {}
    for split, shards in index.splits.items():
        tokens, text_bytes = sum(s.tokens for s in shards), sum(s.text_bytes for s in shards)
        rows[split] = {
            "shards": len(shards),
            "documents": sum(s.documents for s in shards),
            "tokens": tokens,
            "text_bytes": text_bytes,
            "bytes_per_token": round(text_bytes / tokens, 4) if tokens else 0.0,
        }
    return rows
