"""Documents to token shards: encode in batches, close each document, write (see `groundup.data.shards`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any

import numpy as np

from ..core.protocols import Tokenizer
from ..core.types import Document
from .shards import Shard, ShardWriter

# Encoders work best on megabytes at a time; more only costs memory.
_BATCH_BYTES = 4 << 20


def tokenizer_identity(tokenizer: Tokenizer) -> str:
    """sha256 over the bytes of every id and the special tokens: equal means the same ids stand for the same text."""
    digest = sha256()
    for number in range(tokenizer.vocab_size):
        form = tokenizer.token_bytes(number)
        digest.update(len(form).to_bytes(4, "little") + form)
    for written, number in sorted(tokenizer.special_ids.items()):
        digest.update(f"{number}={written}\n".encode())
    return digest.hexdigest()


def encode_texts(tokenizer: Any, texts: Sequence[str]) -> list[np.ndarray]:
    """Ids of each text. Special tokens written out in a text are text. Uses the tokenizer's batch form where it has one."""
    many = getattr(tokenizer, "encode_many", None)
    if many is not None:
        return list(many(texts))
    one = getattr(tokenizer, "encode_array", tokenizer.encode)
    return [np.asarray(one(text), dtype=np.int64) for text in texts]


def pack(
    documents: Iterable[Document],
    tokenizer: Tokenizer,
    writer: ShardWriter,
    *,
    eos_id: int | None,
    on_bytes: Callable[[int], None],
) -> tuple[Shard, ...]:
    """Write the documents as shards, each ended by `eos_id`. Documents that the writer already has are skipped.

    on_bytes(n) is called with the bytes of text done since the last call.
    """
    end = np.array([] if eos_id is None else [eos_id], dtype=np.int64)
    for texts, sizes in _batches(documents, writer.num_documents, on_bytes):
        for ids, size in zip(encode_texts(tokenizer, texts), sizes):
            writer.add(np.concatenate([ids, end]).astype(np.uint32), size)
        on_bytes(sum(sizes))
    return writer.finish()


def _batches(
    documents: Iterable[Document], skip: int, on_bytes: Callable[[int], None]
) -> Iterator[tuple[list[str], list[int]]]:
    texts: list[str] = []
    sizes: list[int] = []
    total = 0
    for number, document in enumerate(documents):
        size = len(document.text.encode())
        if number < skip:
            on_bytes(size)
            continue
        texts.append(document.text)
        sizes.append(size)
        total += size
        if total >= _BATCH_BYTES:
            yield texts, sizes
            texts, sizes, total = [], [], 0
    if texts:
        yield texts, sizes


def share_of(documents: Iterable[Document], total_bytes: int, max_bytes: int | None) -> Iterator[str]:
    """Texts of an even selection of the documents: about `max_bytes` of `total_bytes`, from all over the corpus."""
    seen = taken = 0
    for document in documents:
        seen += len(document.text.encode())
        if max_bytes is None or total_bytes <= max_bytes or taken <= seen * max_bytes / total_bytes:
            taken += len(document.text.encode())
            yield document.text
