"""Real mixed text for the tokenizer benchmarks, from what is on the machine: data sets beside the checkout, Python sources."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import sysconfig
import zipfile
from collections.abc import Iterator
from pathlib import Path

_SUFFIXES = (".txt", ".md", ".jsonl", ".json", ".csv", ".html", ".htm", ".py", ".rst", ".tsv")
_SEED = 20_260


def data_folder() -> Path:
    """../shared/data, or $GROUNDUP_SHARED_DATA."""
    named = os.environ.get("GROUNDUP_SHARED_DATA")
    return Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"


def _data_texts(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.parent.name == "tokenizers":
            continue
        name = path.name
        if name.endswith(".zip"):
            with zipfile.ZipFile(path) as archive:
                for member in sorted(archive.namelist()):
                    if member.endswith(_SUFFIXES):
                        yield _decode(archive.read(member))
            continue
        for suffix, opener in ((".gz", gzip.decompress), (".xz", lzma.decompress), (".bz2", bz2.decompress)):
            if name.endswith(suffix):
                if name.removesuffix(suffix).endswith(_SUFFIXES):
                    yield _decode(opener(path.read_bytes()))
                break
        else:
            if name.endswith(_SUFFIXES):
                yield _decode(path.read_bytes())


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\ufffd", " ")


def _source_texts() -> Iterator[str]:
    for folder in (sysconfig.get_paths()["stdlib"], sysconfig.get_paths()["purelib"]):
        for path in sorted(Path(folder).rglob("*.py")):
            if path.is_file():
                yield _decode(path.read_bytes())


def mixed_texts(megabytes: float) -> list[str]:
    """About that many megabytes of UTF-8, half data sets and half Python sources where there is enough of each.

    The same every time. Texts are at most 200 kB, so that no one file outweighs the rest.
    """
    wanted = int(megabytes * 1e6)
    chosen: list[str] = []
    total = 0
    rng = random.Random(_SEED)
    for source, share in ((list(_data_texts(data_folder())), wanted // 2), (list(_source_texts()), wanted)):
        pieces = [text[i : i + 200_000] for text in source for i in range(0, len(text), 200_000)]
        rng.shuffle(pieces)
        for piece in pieces:
            if total >= share:
                break
            chosen.append(piece)
            total += len(piece.encode("utf-8"))
    rng.shuffle(chosen)
    return chosen
