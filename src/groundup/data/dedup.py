"""Exact duplicates: whole documents, and lines that stand in very many places (licence headers, menus, footers).

One pass, in order: the first copy stays. Memory is 8 or 16 bytes of hash per distinct document or line, not its text. Near
duplicates (MinHash, suffix arrays) are other steps. Lee et al. 2022 show what duplicates cost a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Literal

from ..core.types import Document
from .filters import counted, noted
from .formats import CODE

# Line comments only: taking away one line of a block comment or string could unbalance it.
_COMMENTS = ("#", "//", "--", ";;")


@dataclass(frozen=True, kw_only=True)
class ExactDuplicates:
    """Drop a document whose text, spaces apart, was seen before. The detail names the document that stays."""

    type: Literal["exact_duplicates"] = "exact_duplicates"

    def __call__(self, documents: Iterable[Document]) -> Iterator[Document]:
        seen: dict[bytes, str] = {}
        for document in documents:
            if document.dropped:
                yield document
                continue
            squeezed = " ".join(document.text.split()).encode("utf-8", errors="surrogatepass")
            key = blake2b(squeezed, digest_size=16).digest()
            if key in seen:
                marked = replace(document, meta=noted(document, detail=f"same as {seen[key]}"))
                yield marked.drop(f"{self.type}: copy of another document")
            else:
                seen[key] = document.id
                yield document


@dataclass(frozen=True, kw_only=True)
class DuplicateLines:
    """Remove a line once it has been seen in `max_copies` documents. What was removed is counted.

    In source code only lines that are comments are removed, so that what parsed before still parses.
    """

    max_copies: int = 10
    min_characters: int = 30
    """Shorter lines are left alone: they repeat because language does."""
    min_left: int = 50
    """Drop a document of which fewer characters than this are left."""
    type: Literal["duplicate_lines"] = "duplicate_lines"

    def __call__(self, documents: Iterable[Document]) -> Iterator[Document]:
        seen: dict[bytes, int] = {}
        for document in documents:
            if document.dropped:
                yield document
                continue
            text, removed = self._thin(document, seen)
            if not removed:
                yield document
                continue
            meta = counted(document, f"{self.type}: lines removed", removed)
            changed = replace(document, text=text, meta=meta)
            if len(text.strip()) < self.min_left:
                yield changed.drop(f"{self.type}: nothing left but lines of other documents")
            else:
                yield changed

    def _thin(self, document: Document, seen: dict[bytes, int]) -> tuple[str, int]:
        code = document.meta.get("format") in CODE
        lines = document.text.split("\n")
        kept: list[str] = []
        here: set[bytes] = set()
        for line in lines:
            bare = line.strip()
            if len(bare) < self.min_characters or (code and not bare.startswith(_COMMENTS)):
                kept.append(line)
                continue
            key = blake2b(bare.encode("utf-8", errors="surrogatepass"), digest_size=8).digest()
            copies = seen.get(key, 0)
            if key not in here:
                here.add(key)
                seen[key] = copies = copies + 1
            if copies <= self.max_copies:
                kept.append(line)
        return ("\n".join(kept), len(lines) - len(kept)) if len(kept) < len(lines) else (document.text, 0)
