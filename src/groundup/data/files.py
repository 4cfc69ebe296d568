"""Which files a path means, and their bytes: one file, a folder, or a glob; plain or compressed.

Order is that of the relative paths, so that two machines read the same files in the same order. Links to folders are not
followed, hidden files and the caches of tools are left out.
"""

from __future__ import annotations

import bz2
import glob
import gzip
import hashlib
import lzma
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.artifact import hash_json
from ..core.errors import DataError

_OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
COMPRESSED = frozenset(_OPENERS)
SKIPPED_FOLDERS = frozenset(("__pycache__", "site-packages", "dist-packages", "node_modules"))


@dataclass(frozen=True, slots=True, order=True)
class FoundFile:
    name: str
    """Path relative to what the user named, with forward slashes; the document id."""
    path: Path

    @property
    def suffix(self) -> str:
        """Lower-case suffix of the contents: that of `notes.txt.gz` is .txt."""
        suffixes = [s.lower() for s in self.path.suffixes]
        if suffixes and suffixes[-1] in COMPRESSED:
            suffixes.pop()
        return suffixes[-1] if suffixes else ""


def find_files(path: str) -> list[FoundFile]:
    """Every file that `path` means: a file, a folder (all below it), or a glob with `*`, `?`, `[...]` and `**`.

    Raises DataError when there is none.
    """
    wanted = Path(path).expanduser()
    if wanted.is_file():
        return [FoundFile(wanted.name, wanted)]
    if wanted.is_dir():
        found = [FoundFile(file.relative_to(wanted).as_posix(), file) for file in _walk(wanted)]
    elif any(mark in path for mark in "*?["):
        root = Path(*_fixed_parts(wanted))
        matches = sorted(set(glob.glob(str(wanted), recursive=True)))
        files = {file for match in map(Path, matches) for file in (_walk(match) if match.is_dir() else [match])}
        found = [FoundFile(file.relative_to(root).as_posix(), file) for file in files if file.is_file()]
        found = [file for file in found if not SKIPPED_FOLDERS & set(file.name.split("/")[:-1])]
    else:
        raise DataError(
            f"{path} does not exist (looked in {Path.cwd()})",
            hint="give a file, a folder or a quoted glob, for example data.source.path='~/notes/**/*.md'",
        )
    if not found:
        raise DataError(f"there is no file under {path}", hint="check the path; hidden files are left out")
    return sorted(found)


def _fixed_parts(path: Path) -> list[str]:
    fixed: list[str] = []
    for part in path.parts[:-1]:
        if any(mark in part for mark in "*?["):
            break
        fixed.append(part)
    return fixed or ["."]


def _walk(root: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(root):
        names[:] = sorted(n for n in names if not n.startswith(".") and n not in SKIPPED_FOLDERS)
        for file in sorted(files):
            if not file.startswith("."):
                yield Path(folder, file)


def read_bytes(file: FoundFile, *, limit_bytes: int) -> bytes:
    """Contents of a file, decompressed. Reads at most `limit_bytes`, whatever a small compressed file unfolds to.

    Raises DataError when there is more, or the file is cut or damaged.
    """
    opener: Callable[..., Any] = _OPENERS.get(file.path.suffix.lower(), open)
    try:
        with opener(file.path, "rb") as handle:
            data: bytes = handle.read(limit_bytes + 1)
    except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{file.path} cannot be read: {error}", hint="copy it again, or leave it out") from None
    if len(data) > limit_bytes:
        raise DataError(
            f"{file.path} unfolds to more than {limit_bytes:,} bytes, the limit for one file",
            hint="split the file, or raise data.source.max_file_bytes",
        )
    return data


def fingerprint(files: Iterable[FoundFile]) -> str:
    """One hash over the names, sizes and contents of `files`."""
    rows = []
    for file in files:
        try:
            with open(file.path, "rb") as handle:
                digest = hashlib.file_digest(handle, "sha256").hexdigest()
            rows.append([file.name, file.path.stat().st_size, digest])
        except OSError as error:
            rows.append([file.name, -1, str(error.strerror)])
    return hash_json(rows)
