"""The data stages of a recipe: documents, train_tokenizer, pack, instruct. Each is its own config."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..core.config import Use
from ..core.errors import DataError
from ..core.progress import Task
from ..core.recipe import StageContext
from ..core.types import Document
from .card import write_card
from .documents import Written, write_documents
from .sources import SourceNode, StdlibSource, stated_licence
from .split import SPLITS, Split
from .steps import STANDARD_STEPS, Pipeline, StepNode, build


@dataclass(frozen=True, kw_only=True)
class DocumentsStage:
    """Read a source, clean it, split it; keep account of every document."""

    source: SourceNode = field(default_factory=StdlibSource)
    steps: tuple[StepNode, ...] = STANDARD_STEPS
    split: Split = field(default_factory=Split)
    type: Literal["documents"] = "documents"
    kind = "documents"

    def inputs(self) -> Sequence[str]:
        return ()

    def fingerprint(self) -> str:
        return "" if isinstance(self.source, Use) else str(self.source.fingerprint())

    def run(self, context: StageContext) -> Mapping[str, Any]:
        source = build(self.source, context.recipe_directory)
        pipeline = Pipeline([(part.type, build(part, context.recipe_directory)) for part in self.steps])
        with context.progress.task("documents") as task:
            documents = _shown(pipeline(source.documents()), task)
            written = write_documents(documents, context.directory, self.split, spool=context.scratch / "documents")
        table = pipeline.table()
        if not written.documents:
            raise DataError(
                f"no document was left of {table[0]['documents'] + sum(written.dropped.values())} from {source.name}",
                hint=f"most were dropped for: {_most(written.dropped)}; loosen that step in the recipe",
            )
        card = _documents_card(source, written, table)
        write_card(
            context.directory,
            card,
            title=f"Documents: {source.name}",
            text="Made by `groundup run`; `groundup data DIRECTORY --dropped` lists what was left out and why.",
        )
        return {
            "documents_in": card["documents_in"],
            "documents_kept": card["documents_kept"],
            "documents_dropped": card["documents_dropped"],
            "dropped": dict(written.dropped),
            "changed": dict(written.counts),
            "documents": {s: written.documents[s] for s in SPLITS},
            "text_bytes": {s: written.text_bytes[s] for s in SPLITS},
        }


def _shown(documents: Iterable[Document], task: Task) -> Iterator[Document]:
    kept = 0
    for number, document in enumerate(documents, start=1):
        kept += document.dropped is None
        yield document
        if number % 200 == 0:
            task.update(completed=number, facts=f"{kept:,} kept of {number:,}")


def _most(dropped: Counter[str]) -> str:
    return dropped.most_common(1)[0][0] if dropped else "nothing; the source was empty"


def _documents_card(source: Any, written: Written, table: list[dict[str, Any]]) -> dict[str, Any]:
    dropped = sum(written.dropped.values())
    return {
        "kind": "documents",
        "source": source.name,
        "licence": stated_licence(source),
        "documents_in": table[0]["documents"] + sum(table[0]["dropped"].values()),
        "documents_kept": table[-1]["documents"],
        "documents_dropped": dropped,
        "split_by": written.way,
        "splits": {s: {"documents": written.documents[s], "text_bytes": written.text_bytes[s]} for s in SPLITS},
        "steps": table,
        "dropped": dict(written.dropped.most_common()),
        "changed": dict(written.counts),
        "formats": dict(written.formats.most_common()),
    }
