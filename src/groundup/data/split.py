"""Train, validation and test, without a document in two of them.

By document: a hash of its id says where it belongs, so it stays there whatever else is added. By position: the last part of
each text is held out (the usual way for one long text, such as a book). `auto` takes documents where there are enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

from ..core.errors import ConfigError

SPLITS = ("train", "validation", "test")
# With fewer documents, one long one can be most of a split by hash.
_ENOUGH_DOCUMENTS = 20


@dataclass(frozen=True, kw_only=True)
class Split:
    """Fractions of the documents (by: document) or of each document's characters (by: position)."""

    by: Literal["auto", "document", "position"] = "auto"
    validation: float = 0.03
    test: float = 0.03

    def __post_init__(self) -> None:
        if self.validation < 0 or self.test < 0 or self.validation + self.test >= 1:
            raise ConfigError(
                f"validation {self.validation} and test {self.test} must be at least 0 and below 1 together",
                path="split",
            )

    @property
    def fractions(self) -> tuple[float, float, float]:
        return 1.0 - self.validation - self.test, self.validation, self.test

    def way(self, num_documents: int) -> str:
        """document or position."""
        if self.by == "auto":
            return "document" if num_documents >= _ENOUGH_DOCUMENTS else "position"
        return self.by

    def assign(self, positions: Sequence[float]) -> list[int]:
        """Index into SPLITS for documents with these `hash_position`s. A held-out split that would stay empty takes
        the document nearest to it, as long as train keeps one; a single document is for training.
        """
        if len(positions) == 1:
            return [0]
        test, validation = self.test, self.test + self.validation
        where = [2 if p < test else 1 if p < validation else 0 for p in positions]
        for split, low in ((2, 0.0), (1, test)):
            train = [i for i, s in enumerate(where) if s == 0]
            if self.fractions[split] > 0 and split not in where and len(train) > 1:
                where[min(train, key=lambda i: (abs(positions[i] - low), i))] = split
        return where

    def cut(self, text: str) -> tuple[str, str, str]:
        """Train, validation and test parts of one text, in that order in it, at whole characters."""
        first = int(len(text) * self.fractions[0])
        second = len(text) if self.test == 0 else first + round(len(text) * self.validation)
        return text[:first], text[first:second], text[second:]


def hash_position(document_id: str) -> float:
    """A number in [0, 1) that depends on nothing but the id."""
    digest = blake2b(document_id.encode("utf-8", errors="surrogatepass"), digest_size=8, person=b"split").digest()
    return int.from_bytes(digest, "big") / 2**64
