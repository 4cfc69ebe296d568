"""Where documents come from, as config nodes: the running Python's standard library, the user's files, a data set by name.

A source is any class with `name`, `licence`, `documents()` and `fingerprint()`; a recipe can name the user's own
(`use: mine.py:MySource`).
"""

from __future__ import annotations

import ast
import os
import platform
import sysconfig
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

from ..core.artifact import hash_json
from ..core.config import node
from ..core.errors import DataError, GroundupError, MissingDependency
from ..core.types import Document
from .documents import HELD_OUT
from .files import SKIPPED_FOLDERS, FoundFile, find_files, fingerprint
from .formats import FORMATS, FileReading, read_file

_PSF = "Python Software Foundation License 2.0 (the licence of the Python that is running)"
_UNSTATED = "not stated; see to it that you may use this text (data.source.licence=...)"


class Source(Protocol):
    @property
    def name(self) -> str:
        """Short, for the card and for `Document.source`."""
        ...

    @property
    def licence(self) -> str: ...

    def documents(self) -> Iterator[Document]:
        """Every document, always in the same order."""
        ...

    def fingerprint(self) -> str:
        """Identity of what `documents` will read."""
        ...


@dataclass(frozen=True, kw_only=True)
class FilesSource(FileReading):
    """A file, a folder or a glob of txt, md, rst, html, source code, jsonl, csv and parquet, plain or compressed."""

    path: str
    """`~` is the home folder. In a folder, files whose suffix is not known are left out and counted."""
    type: Literal["files"] = "files"

    @property
    def name(self) -> str:
        path = Path(self.path).expanduser()
        home = Path.home()  # cards are published; whose home it was is nobody's business
        return f"files under {Path('~', path.relative_to(home)) if path.is_relative_to(home) else path}"

    def documents(self) -> Iterator[Document]:
        found = find_files(self.path)
        alone = len(found) == 1
        for file in found:
            if not alone and file.suffix not in FORMATS:
                yield Document(
                    id=file.name, text="", source="files", dropped=f"read: unknown suffix {file.suffix[:16]}"
                )
            else:
                yield from read_file(file, self, source="files")

    def fingerprint(self) -> str:
        return fingerprint(f for f in find_files(self.path) if f.suffix in FORMATS)


@dataclass(frozen=True, kw_only=True)
class StdlibSource(FileReading):
    """Source and documentation of the running Python's standard library: text that every machine has, about 30 MB.

    Data that only looks like source is left out: the test suite's data folders, the build's own variables. The pages of
    `help()` become documents of their own.
    """

    path: str | None = None
    """Read this file, folder or glob instead."""
    type: Literal["stdlib"] = "stdlib"

    @property
    def name(self) -> str:
        return self._files.name if self.path else f"standard library of Python {platform.python_version()}"

    def __post_init__(self) -> None:
        if not self.licence:
            object.__setattr__(self, "licence", "" if self.path else _PSF)

    @property
    def _files(self) -> FilesSource:
        shared = {name: getattr(self, name) for name in FileReading.__dataclass_fields__}
        return FilesSource(path=str(self.path), **shared)

    def documents(self) -> Iterator[Document]:
        if self.path:
            yield from self._files.documents()
            return
        for file in stdlib_files():
            for document in read_file(file, self, source="stdlib"):
                yield from _help_pages(document) if file.name == "pydoc_data/topics.py" else (document,)

    def fingerprint(self) -> str:
        if self.path:
            return self._files.fingerprint()
        return f"python {platform.python_version()} {fingerprint(stdlib_files())}"


@dataclass(frozen=True, kw_only=True)
class HuggingFaceSource:
    """A text data set of the Hugging Face hub by name; needs the network, or a filled cache, and the extra `hub`."""

    dataset: str
    """For example roneneldan/TinyStories."""
    config: str | None = None
    split: str = "train"
    revision: str | None = None
    """Commit of the data set; without it, whatever the hub has today, and a rerun does not notice a change."""
    text_field: str = "text"
    max_documents: int | None = None
    licence: str = "as stated on the data set's page"
    type: Literal["huggingface"] = "huggingface"

    @property
    def name(self) -> str:
        return f"Hugging Face data set {self.dataset}"

    def documents(self) -> Iterator[Document]:
        try:
            import datasets
        except ImportError:
            raise MissingDependency("datasets", extra="hub", purpose=f"reading the data set {self.dataset}") from None
        try:
            rows = datasets.load_dataset(
                self.dataset, self.config, split=self.split, revision=self.revision, streaming=True
            )
            for number, row in enumerate(rows):
                if self.max_documents is not None and number >= self.max_documents:
                    return
                yield self._document(number, row)
        except GroundupError:
            raise
        except Exception as error:  # the library raises its own, requests', fsspec's and the operating system's
            raise DataError(
                f"the data set {self.dataset!r} cannot be read: {type(error).__name__}: {error}",
                hint="check the name and the network, or use your own text: data.source.type=files data.source.path=...",
            ) from error

    def _document(self, number: int, row: Any) -> Document:
        text = row.get(self.text_field)
        if not isinstance(text, str):
            raise DataError(
                f"{self.dataset}, row {number}: has no text in {self.text_field!r}; it has {', '.join(map(repr, row))}",
                hint="name the column: data.source.text_field=NAME",
            )
        return Document(id=f"{self.dataset}:{number}", text=text, source="huggingface", meta={"format": "text"})

    def fingerprint(self) -> str:
        return ""


@dataclass(frozen=True, kw_only=True)
class WithHeldOut:
    """A source, and after it files that are validation or test text because the user says so."""

    source: Source
    held_out: Mapping[str, FilesSource]
    """validation, test -> the files."""

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def licence(self) -> str:
        return self.source.licence

    def documents(self) -> Iterator[Document]:
        yield from self.source.documents()
        for split, files in self.held_out.items():
            for document in files.documents():
                yield replace(document, id=f"{split}:{document.id}", meta={**document.meta, HELD_OUT: split})

    def fingerprint(self) -> str:
        return hash_json([self.source.fingerprint(), {k: files.fingerprint() for k, files in self.held_out.items()}])


SourceNode = node(StdlibSource, FilesSource, HuggingFaceSource)


def stated_licence(source: Source) -> str:
    return source.licence or _UNSTATED


def stdlib_files() -> list[FoundFile]:
    """Every source file of the standard library, by relative path. Raises DataError where Python ships none."""
    root = Path(sysconfig.get_path("stdlib"))
    found: list[FoundFile] = []
    for folder, names, files in os.walk(root):
        here = Path(folder).relative_to(root)
        tests = bool({"test", "tests"} & set(here.parts))
        names[:] = [n for n in names if n not in SKIPPED_FOLDERS and not (tests and _is_data(n))]
        for file in files:
            if file.endswith(".py") and not file.startswith("_sysconfigdata"):
                found.append(FoundFile((here / file).as_posix(), Path(folder, file)))
    if not found:
        raise DataError(
            f"this Python keeps no source of its standard library under {root}",
            hint="use your own text: data.source.path=~/notes",
        )
    return sorted(found)


def _is_data(folder: str) -> bool:
    return folder.endswith("data") or folder in ("encoded_modules", "crashers")


def _help_pages(document: Document) -> Iterator[Document]:
    """The pages of `help("...")`, which are stored as one dictionary of strings; the file as it is, if it changes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(document.text)
            pages = next(ast.literal_eval(n.value) for n in tree.body if isinstance(n, ast.Assign))
            entries = sorted(pages.items())
        except (SyntaxError, ValueError, StopIteration, AttributeError, TypeError):
            yield document
            return
    for topic, text in entries:
        yield Document(
            id=f"{document.id}#{topic}", text=text, source=document.source, meta={"format": "rst", "title": topic}
        )
