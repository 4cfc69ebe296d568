"""The `documents` artifact: one JSON-lines file per split, and one of everything that was dropped.

    train.jsonl validation.jsonl test.jsonl   {"id", "text", "source", "meta"}
    dropped.jsonl                             {"id", "reason", "detail", "source", "characters", "head"}
    card.json README.md                       counts per step and reason, bytes, licence

Documents go through a spool on disk before they are split, so memory holds one document and eight bytes for each.
"""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from ..core.artifact import atomic_write
from ..core.errors import DataError
from ..core.types import Document
from .split import SPLITS, Split, hash_position

DROPPED = "dropped.jsonl"
HELD_OUT = "held_out"
"""Key of `Document.meta`: validation or test, of documents that the user has held out himself."""
_HEAD_CHARACTERS = 200


@dataclass
class Written:
    """What `write_documents` counted."""

    way: str = ""
    documents: Counter[str] = field(default_factory=Counter)
    """Per split."""
    text_bytes: Counter[str] = field(default_factory=Counter)
    """UTF-8 bytes of text per split."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Per reason."""
    counts: Counter[str] = field(default_factory=Counter)
    """What steps changed without dropping."""
    formats: Counter[str] = field(default_factory=Counter)


def write_documents(documents: Iterable[Document], directory: Path, split: Split, *, spool: Path) -> Written:
    """Read `documents` to their end and write them, split, into `directory`. `spool` is a scratch file. A document whose
    meta has HELD_OUT goes whole into the split that it names.
    """
    written = Written()
    positions = array("d")
    given: dict[int, int] = {}
    with atomic_write(directory / DROPPED) as dropped, open(spool, "wb") as kept:
        for document in documents:
            if document.dropped is None:
                kept.write(_line(_row(document)))
                if HELD_OUT in document.meta:
                    given[len(positions) + len(given)] = SPLITS.index(document.meta[HELD_OUT])
                else:
                    positions.append(hash_position(document.id))
                written.formats[str(document.meta.get("format", "other"))] += 1
            else:
                dropped.write(_line(_dropped_row(document)))
                written.dropped[document.dropped] += 1
            written.counts.update(document.meta.get("counts", {}))
    written.way = split.way(len(positions))
    with ExitStack() as stack:
        outputs = [stack.enter_context(atomic_write(directory / f"{name}.jsonl")) for name in SPLITS]
        where = iter(split.assign(positions)) if written.way == "document" else None
        with open(spool, "rb") as kept:
            for number, line in enumerate(kept):
                row = json.loads(line)
                if number in given or where is not None:
                    part = given[number] if number in given else next(where)  # type: ignore[arg-type]
                    _put(outputs, part, line, row["text"], written)
                    continue
                for part, text in enumerate(split.cut(row["text"])):
                    if text:
                        name = row["id"] if part == 0 else f"{row['id']}@{SPLITS[part]}"
                        _put(outputs, part, _line({**row, "id": name, "text": text}), text, written)
    spool.unlink()
    return written


def _put(outputs: list[IO[bytes]], split: int, line: bytes, text: str, written: Written) -> None:
    outputs[split].write(line)
    written.documents[SPLITS[split]] += 1
    written.text_bytes[SPLITS[split]] += len(text.encode())


def _line(row: Mapping[str, Any]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode("utf-8", errors="replace") + b"\n"


def _row(document: Document) -> dict[str, Any]:
    meta = {key: value for key, value in document.meta.items() if key != "counts"}
    return {"id": document.id, "text": document.text, "source": document.source, "meta": meta}


def _dropped_row(document: Document) -> dict[str, Any]:
    return {
        "id": document.id,
        "reason": document.dropped,
        "detail": str(document.meta.get("detail", "")),
        "source": document.source,
        "characters": len(document.text),
        "head": document.text[:_HEAD_CHARACTERS],
    }


def read_documents(directory: Path | str, split: str) -> Iterator[Document]:
    """The documents of one split, in order. DataError names the file and row that is wrong."""
    for number, row in read_rows(Path(directory) / f"{split}.jsonl"):
        if not isinstance(row.get("id"), str) or not isinstance(row.get("text"), str):
            raise DataError(f"{directory}/{split}.jsonl, row {number}: needs id and text, both text")
        yield Document(id=row["id"], text=row["text"], source=str(row.get("source", "")), meta=row.get("meta") or {})


def read_dropped(directory: Path | str) -> Iterator[dict[str, Any]]:
    """Rows of the dropped documents: id, reason, detail, source, characters, head."""
    return (row for _, row in read_rows(Path(directory) / DROPPED))


def read_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(row number from 1, object) of a JSON-lines file; DataError names the file and the first row that is wrong."""
    try:
        file = open(path, "rb")
    except OSError as error:
        hint = "groundup data DIRECTORY shows what is there"
        raise DataError(f"{path} cannot be read: {error.strerror}", hint=hint) from None
    with file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}, row {number}: not valid JSON: {error}") from None
            if not isinstance(row, dict):
                raise DataError(f"{path}, row {number}: must be an object, not {type(row).__name__}")
            yield number, row
