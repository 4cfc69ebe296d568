"""Normal form and the basic quality rules, as document steps.

Rules for source code and for prose differ where their texts do; `meta["format"]` says which a document is. Thresholds are
those of the papers named beside them. Learned and perplexity filters are other steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from ..core.types import Document
from ..text.measures import blob_share, character_shares, compressed_share, duplicate_line_share, longest_line
from ..text.normalise import normalise
from .formats import CODE


def noted(document: Document, **facts: Any) -> Mapping[str, Any]:
    return {**document.meta, **facts}


def counted(document: Document, name: str, amount: int) -> Mapping[str, Any]:
    """Meta with `amount` added to a count that the stage sums over all documents."""
    counts = dict(document.meta.get("counts", {}))
    counts[name] = counts.get(name, 0) + amount
    return noted(document, counts=counts)


@dataclass(frozen=True, kw_only=True)
class Normalise:
    """Newlines, control characters, byte-order marks, lone surrogates, Unicode NFC (groundup.text.normalise)."""

    type: Literal["normalise"] = "normalise"

    def __call__(self, documents: Iterable[Document]) -> Iterator[Document]:
        for document in documents:
            text = document.text if document.dropped else normalise(document.text)
            if text == document.text:
                yield document
            else:
                yield replace(document, text=text, meta=counted(document, "normalise: documents changed", 1))


@dataclass(frozen=True, kw_only=True)
class BasicFilters:
    """Drop what is too short or long, is not written language or code, repeats itself, or is an encoded blob."""

    min_characters: int = 50
    """After stripping. An empty `__init__.py` teaches nothing."""
    max_characters: int = 20_000_000
    """Longer than any book; such a file is a log or a dump."""
    min_letters: float = 0.25
    """Letters per non-space character. Li et al. 2023 (StarCoder), 3.1, drop code below 0.25 alphanumeric."""
    max_unprintable: float = 0.02
    """Control, private-use and unassigned characters and U+FFFD, per character."""
    max_code_line_characters: int = 1000
    """Longest line of source code. Chen et al. 2021 (Codex), 3.1: above it, code is generated or minified."""
    max_mean_code_line_characters: int = 100
    """Mean line of source code; the same place."""
    max_duplicate_lines: float = 0.3
    """Share of repeated lines in prose. Rae et al. 2021 (Gopher), table A1."""
    min_compressed: float = 0.03
    """Bytes after DEFLATE per byte. Prose and code lie between 0.2 and 0.6, tables near 0.1, one repeated line below 0.02."""
    max_blob: float = 0.25
    """Share of characters in unbroken runs of 60 or more of the base64 alphabet."""
    type: Literal["basic_filters"] = "basic_filters"

    def __call__(self, documents: Iterable[Document]) -> Iterator[Document]:
        for document in documents:
            if document.dropped:
                yield document
                continue
            verdict = self.judge(document.text, code=document.meta.get("format") in CODE)
            if verdict is None:
                yield document
            else:
                reason, measured = verdict
                marked = replace(document, meta=noted(document, detail=measured))
                yield marked.drop(f"{self.type}: {reason}")

    def judge(self, text: str, *, code: bool = False) -> tuple[str, str] | None:
        """(reason, what was measured against which limit), or None for a text that passes. Cheap rules first."""
        solid = len(text.strip())
        if solid < self.min_characters:
            return "too short", f"{solid} characters, at least {self.min_characters}"
        if solid > self.max_characters:
            return "too long", f"{solid} characters, at most {self.max_characters}"
        letters, unprintable = character_shares(text)
        if unprintable > self.max_unprintable:
            return "unprintable characters", f"share {unprintable:.3f}, at most {self.max_unprintable}"
        if letters < self.min_letters:
            return "few letters", f"share {letters:.3f}, at least {self.min_letters}"
        if code:
            longest, mean = longest_line(text), len(text) / (text.count("\n") + 1)
            if longest > self.max_code_line_characters:
                return "long lines", f"longest {longest} characters, at most {self.max_code_line_characters}"
            if mean > self.max_mean_code_line_characters:
                return "long lines", f"mean {mean:.0f} characters, at most {self.max_mean_code_line_characters}"
        else:
            repeated = duplicate_line_share(text)
            if repeated > self.max_duplicate_lines:
                return "repeated lines", f"share {repeated:.3f}, at most {self.max_duplicate_lines}"
        blob = blob_share(text)
        if blob > self.max_blob:
            return "encoded blob", f"share {blob:.3f}, at most {self.max_blob}"
        compressed = compressed_share(text)
        if compressed < self.min_compressed:
            return "repeats itself", f"compresses to {compressed:.3f} of its size, at least {self.min_compressed}"
        return None
