"""The document steps a recipe can name, and the run of a list of them with every document accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.config import Use, load_user_part, node
from ..core.protocols import Step
from ..core.types import Document
from .dedup import DuplicateLines, ExactDuplicates
from .filters import BasicFilters, Normalise

StepNode = node(Normalise, BasicFilters, ExactDuplicates, DuplicateLines)
STANDARD_STEPS = (Normalise(), BasicFilters(), ExactDuplicates(), DuplicateLines())


def build(part: Any, root: Path) -> Any:
    """A source or step node as the object itself; the user's own class gets its `args`."""
    return load_user_part(part, root=root)(**part.args) if isinstance(part, Use) else part


@dataclass
class Passage:
    """What went past one point between two steps."""

    name: str
    documents: int = 0
    characters: int = 0
    dropped: Counter[str] = field(default_factory=Counter)

    def watch(self, documents: Iterable[Document]) -> Iterator[Document]:
        """Pass documents on, counting those still in, and the reasons of those that are not."""
        for document in documents:
            if document.dropped is None:
                self.documents += 1
                self.characters += len(document.text)
            else:
                self.dropped[document.dropped] += 1
            yield document


class Pipeline:
    """Steps in a row. After the documents have been read through, `table` says what each step let by and why not."""

    def __init__(self, steps: Sequence[tuple[str, Step]]) -> None:
        self._steps = steps
        self.passages: list[Passage] = []

    def __call__(self, documents: Iterable[Document]) -> Iterable[Document]:
        self.passages = [Passage("source")]
        documents = self.passages[0].watch(documents)
        for name, step in self._steps:
            self.passages.append(Passage(name))
            documents = self.passages[-1].watch(step(documents))
        return documents

    def table(self) -> list[dict[str, Any]]:
        """One row per point: name, documents and characters that went on, and newly dropped documents by reason."""
        rows = []
        before: Counter[str] = Counter()
        for passage in self.passages:
            rows.append(
                {
                    "step": passage.name,
                    "documents": passage.documents,
                    "characters": passage.characters,
                    "dropped": dict(sorted((passage.dropped - before).items())),
                }
            )
            before = passage.dropped
        return rows
