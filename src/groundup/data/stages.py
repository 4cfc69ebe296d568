"""The data stages of a recipe: documents, train_tokenizer, pack, instruct. Each is its own config."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..core.artifact import read_json, read_seal, write_json
from ..core.config import Use, user_function
from ..core.errors import ConfigError, DataError
from ..core.protocols import Tokenizer
from ..core.recipe import StageContext
from ..core.types import Document
from .card import read_card, write_card
from .documents import Written, read_documents, write_documents
from .formats import FileReading
from .instruct import Pairs, build_pairs, write_pairs
from .shards import FORMAT, Index, Shard, ShardWriter, describe, dtype_for, write_index
from .sources import FilesSource, SourceNode, StdlibSource, WithHeldOut, stated_licence
from .split import SPLITS, Split
from .steps import STANDARD_STEPS, Pipeline, StepNode, build
from .tokens import encode_texts, pack, share_of, tokenizer_identity

END_OF_TEXT = "<|endoftext|>"
CHAT_TOKENS = ("<|im_start|>", "<|im_end|>")


@dataclass(frozen=True, kw_only=True)
class DocumentsStage:
    """Read a source, clean it, split it; keep account of every document."""

    source: SourceNode = field(default_factory=StdlibSource)
    steps: tuple[StepNode, ...] = STANDARD_STEPS
    split: Split = field(default_factory=Split)
    validation_path: str | None = None
    """A file, folder or glob that is the validation split, read as the source is; `split.validation` is then not taken."""
    test_path: str | None = None
    type: Literal["documents"] = "documents"
    kind = "documents"

    def inputs(self) -> Sequence[str]:
        return ()

    def fingerprint(self) -> str:
        if isinstance(self.source, Use):
            return ""
        return str((self._with_held_out(self.source) if self.held_out else self.source).fingerprint())

    @property
    def held_out(self) -> dict[str, str]:
        paths = {"validation": self.validation_path, "test": self.test_path}
        return {split: path for split, path in paths.items() if path is not None}

    def _with_held_out(self, source: Any) -> WithHeldOut:
        how = {n: getattr(source, n) for n in FileReading.__dataclass_fields__ if isinstance(source, FileReading)}
        return WithHeldOut(
            source=source, held_out={split: FilesSource(path=path, **how) for split, path in self.held_out.items()}
        )

    def run(self, context: StageContext) -> Mapping[str, Any]:
        source = build(self.source, context.recipe_directory)
        split = self.split
        if self.held_out:
            source = self._with_held_out(source)
            split = Split(
                by=split.by,
                validation=0.0 if self.validation_path else split.validation,
                test=0.0 if self.test_path else split.test,
            )
        pipeline = Pipeline([(part.type, build(part, context.recipe_directory)) for part in self.steps])
        with context.progress.task("documents") as task:
            documents = _shown(pipeline(source.documents()), task)
            written = write_documents(documents, context.directory, split, spool=context.scratch / "documents")
        table = pipeline.table()
        if not written.documents:
            raise DataError(
                f"no document was left of {sum(written.dropped.values())} from {source.name}",
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


@dataclass(frozen=True, kw_only=True)
class TokenizerStage:
    """Train a tokenizer on the train split."""

    algorithm: Literal["bpe", "char", "word"] = "bpe"
    """bpe: byte-level BPE. char: one id per character that the documents have, held-out splits included, since a
    character without an id could not be read at all. word: the most frequent words of the train split, `<unk>` for the others,
    and `<eos>` for the end of a line (groundup.tokenizers.word); they are ordinary ids, not special tokens."""
    documents: str = "data"
    """The stage whose documents are read."""
    vocab_size: int = 8192
    """Of bpe; special tokens and the 256 bytes included. Of word: special tokens, `<unk>` and `<eos>` included; 0 takes every
    word."""
    pattern: str = "cl100k"
    """How bpe cuts text into pieces: gpt2, cl100k, o200k, ... or a regular expression."""
    special_tokens: tuple[str, ...] = (END_OF_TEXT, *CHAT_TOKENS)
    min_frequency: int = 2
    """Of a merge (bpe), or of a word."""
    lower_case: bool = False
    """Of word: read texts in lower case."""
    marks_apart: bool = False
    """Of word: punctuation marks are words of their own, for text that is not already cut up so."""
    max_bytes: int | None = None
    """Train on an even selection of the documents of about this size; None takes all."""
    num_threads: int = 0
    """0 takes every core."""
    trainer: Use | None = None
    """A function of your own that learns the merges of bpe: (words, num_merges) -> [(left, right), ...]; see
    groundup.tokenizers.own_trainer."""
    type: Literal["train_tokenizer"] = "train_tokenizer"
    kind = "tokenizer"

    def __post_init__(self) -> None:
        if self.trainer is not None and self.algorithm != "bpe":
            raise ConfigError(f"algorithm: {self.algorithm} learns no merges, so it takes no trainer", path="trainer")

    def inputs(self) -> Sequence[str]:
        return (self.documents,)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        documents = _input(context, self.documents, "documents")
        total = int(read_card(documents)["splits"]["train"]["text_bytes"])
        start = time.perf_counter()
        tokenizer = self._train(documents, total, context)
        seconds = time.perf_counter() - start
        tokenizer.save(context.directory)
        _begin_texts(context.directory, tokenizer)
        trained = min(total, self.max_bytes or total)
        return {
            "vocab_size": tokenizer.vocab_size,
            "train_bytes": trained,
            "train_seconds": round(seconds, 3),
            "train_mb_per_second": round(trained / 1e6 / seconds, 2) if seconds else 0.0,
            "bytes_per_token": _bytes_per_token(tokenizer, documents),
            "identity": tokenizer_identity(tokenizer),
        }

    def _train(self, documents: Path, total_bytes: int, context: StageContext) -> Any:
        from ..tokenizers import BPETokenizer, BPETrainConfig, CharTokenizer, WordTokenizer
        from ..tokenizers.own_trainer import merges_of

        if self.algorithm == "char":
            every = (document.text for split in SPLITS for document in read_documents(documents, split))
            return CharTokenizer.train(every, special_tokens=self.special_tokens)
        texts = share_of(read_documents(documents, "train"), total_bytes, self.max_bytes)
        if self.algorithm == "word":
            return WordTokenizer.train(
                texts,
                vocab_size=self.vocab_size,
                min_frequency=self.min_frequency,
                special_tokens=self.special_tokens,
                lower_case=self.lower_case,
                marks_apart=self.marks_apart,
            )
        config = BPETrainConfig(
            vocab_size=self.vocab_size,
            pattern=self.pattern,
            min_frequency=self.min_frequency,
            special_tokens=self.special_tokens,
            num_threads=self.num_threads,
        )
        merge = None
        if self.trainer is not None:
            function = user_function(self.trainer, ("words", "num_merges"), root=context.recipe_directory)
            merge = merges_of(function, self.trainer.use)
        with context.progress.task("tokenizer") as task:

            def show(progress: Any) -> None:
                facts = f"{progress.phase} {progress.done:,}"
                if progress.phase == "merge":
                    task.update(completed=progress.done, total=progress.total, facts=facts)
                else:
                    task.update(facts=facts)

            return BPETokenizer.train(texts, config, on_progress=show, merge=merge)


@dataclass(frozen=True, kw_only=True)
class PackStage:
    """Encode the documents into token shards."""

    documents: str = "data"
    tokenizer: str = "tokenizer"
    """The stage that made the tokenizer, or one whose directory holds one."""
    shard_tokens: int = 100_000_000
    """About 200 MB a file; a shard ends at a document's end."""
    eos_token: str | None = END_OF_TEXT
    """Special token put after every document; null for none."""
    type: Literal["pack"] = "pack"
    kind = "tokens"

    def inputs(self) -> Sequence[str]:
        return (self.documents, self.tokenizer)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        from ..tokenizers import load_tokenizer

        documents = _input(context, self.documents, "documents")
        tokenizer = load_tokenizer(context.inputs[self.tokenizer])
        eos_id = self._eos_id(tokenizer, context.name)
        card = read_card(documents)
        dtype = dtype_for(tokenizer.vocab_size)
        start = time.perf_counter()
        total = sum(row["text_bytes"] for row in card["splits"].values())
        shards: dict[str, tuple[Shard, ...]] = {}
        with context.progress.task("pack", total=total) as task:
            for split in SPLITS:
                writer = ShardWriter(context.scratch, split, dtype=dtype, shard_tokens=self.shard_tokens)
                rows = read_documents(documents, split)
                shards[split] = pack(rows, tokenizer, writer, eos_id=eos_id, on_bytes=task.advance)
                writer.move_to(context.directory)
        seconds = time.perf_counter() - start
        index = Index(
            format=FORMAT,
            dtype=dtype,
            vocab_size=tokenizer.vocab_size,
            eos_id=eos_id,
            tokenizer=tokenizer_identity(tokenizer),
            splits=shards,
        )
        write_index(context.directory, index)
        rows_by_split = describe(index)
        write_card(
            context.directory,
            {
                "kind": "tokens",
                "source": card["source"],
                "licence": card["licence"],
                "vocab_size": index.vocab_size,
                "dtype": dtype,
                "eos_token": self.eos_token or "none",
                "tokenizer_identity": index.tokenizer,
                "splits": rows_by_split,
            },
            title=f"Tokens: {card['source']}",
            text="Token shards; open them with `groundup.data.TokenShards.open(directory, split)`.",
        )
        return {
            "tokens": {s: row["tokens"] for s, row in rows_by_split.items()},
            "text_bytes": {s: row["text_bytes"] for s, row in rows_by_split.items()},
            "bytes_per_token": {s: row["bytes_per_token"] for s, row in rows_by_split.items()},
            "pack_mb_per_second": round(total / 1e6 / seconds, 2) if seconds else 0.0,
        }

    def _eos_id(self, tokenizer: Tokenizer, stage: str) -> int | None:
        if self.eos_token is None:
            return None
        if self.eos_token not in tokenizer.special_ids:
            known = ", ".join(tokenizer.special_ids) or "none"
            raise ConfigError(
                f"the tokenizer has no special token {self.eos_token!r}; it has {known}",
                path=f"{stage}.eos_token",
                hint=f"name one of them, or {stage}.eos_token=null for no mark between documents",
            )
        return tokenizer.special_ids[self.eos_token]


@dataclass(frozen=True, kw_only=True)
class InstructStage:
    """Build instruction pairs from the documents (see `groundup.data.instruct`)."""

    documents: str = "data"
    min_python_pairs: int = 500
    """With fewer pairs from Python source in train, pairs are made from the texts too."""
    max_per_kind: int = 4000
    max_ratio: float = 3.0
    """No kind has more than this many times the pairs of the scarcest kind."""
    type: Literal["instruct"] = "instruct"
    kind = "instruct"

    def inputs(self) -> Sequence[str]:
        return (self.documents,)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        documents = _input(context, self.documents, "documents")
        card = read_card(documents)
        total = sum(row["documents"] for row in card["splits"].values())
        with context.progress.task("instruction pairs", total=total) as task:
            pairs = build_pairs(
                lambda split: read_documents(documents, split),
                seed=context.seed,
                min_python_pairs=self.min_python_pairs,
                max_per_kind=self.max_per_kind,
                max_ratio=self.max_ratio,
                on_document=task.advance,
            )
        if not pairs.by_split["train"]:
            raise DataError(
                f"no instruction pair could be made from {card['source']}: its train documents have neither "
                "documented Python functions nor passages of 120 characters",
                hint="use more text, or your own pairs (prompt and completion, or messages, one JSON object a line)",
            )
        characters = write_pairs(pairs, context.directory, seed=context.seed)
        _instruct_card(context.directory, card, pairs)
        return {
            "examples": {split: len(rows) for split, rows in pairs.by_split.items()},
            "kinds": pairs.counts(),
            "answer_characters": dict(characters),
            "left_out": dict(pairs.left_out),
        }


def _instruct_card(directory: Path, card: Mapping[str, Any], pairs: Pairs) -> None:
    counts = pairs.counts()
    kinds = sorted({kind for row in counts.values() for kind in row})
    write_card(
        directory,
        {
            "kind": "instruct",
            "source": card["source"],
            "licence": card["licence"],
            "splits": {split: {"examples": len(rows)} for split, rows in pairs.by_split.items()},
            "kinds": {kind: {split: counts[split].get(kind, 0) for split in SPLITS} for kind in kinds},
            "left_out": dict(pairs.left_out),
        },
        title=f"Instruction pairs: {card['source']}",
        text="Questions and answers built by rules from the documents; held-out pairs are from held-out documents.",
    )


def _input(context: StageContext, name: str, kind: str) -> Path:
    """Directory of an earlier stage. Raises ConfigError when that stage makes something else."""
    found = read_seal(context.inputs[name]).kind
    if found != kind:
        raise ConfigError(f"stage {name!r} makes {found}, not {kind}", path=context.name, hint="name the right stage")
    return context.inputs[name]


def _begin_texts(directory: Path, tokenizer: Tokenizer) -> None:
    """Say in tokenizer_config.json that a text begins with END_OF_TEXT: the pack stage ends every document with it, so that
    is what a model has seen before a first word.
    """
    path = directory / "tokenizer_config.json"
    if END_OF_TEXT in tokenizer.special_ids and path.is_file():
        write_json(path, {**read_json(path), "bos_token": END_OF_TEXT, "add_bos_token": True})


def _bytes_per_token(tokenizer: Any, documents: Path) -> float:
    """On the validation split, or train where there is no validation text; over at most 4 MB."""
    for split in ("validation", "train"):
        tokens = text_bytes = 0
        for document in read_documents(documents, split):
            tokens += len(encode_texts(tokenizer, [document.text])[0])
            text_bytes += len(document.text.encode())
            if text_bytes > 4 << 20:
                break
        if tokens:
            return round(text_bytes / tokens, 4)
    return 0.0


def _shown(documents: Iterable[Document], task: Any) -> Iterator[Document]:
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
