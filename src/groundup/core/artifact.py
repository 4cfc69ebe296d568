"""Files that survive a crash at any moment, and directories that prove they are whole.

Every file is written to a temporary sibling, fsynced and renamed. A directory artifact is built beside its final name
(`<name>.partial`), sealed with `groundup.json` (format version, kind, sha256 and size per file, parents, facts) written
last as the commit mark, and renamed into place. Readers verify before they trust. The scheme is SQLite's and Git's:
rename is the only commit, and what came before stays until it has happened.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from .errors import ArtifactError

SEAL = "groundup.json"
_UNFINISHED = (".partial", ".old")
"""Suffixes of a directory that is being written, and of one that is being replaced (`commit_directory`)."""
FORMAT = 1
_BLOCK_BYTES = 1 << 20
_TEMPORARY = ".writing"
_OLD = ".old"


def hash_file(path: Path) -> str:
    """sha256 of a file, hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_json(value: Any) -> str:
    """sha256 of a JSON-able value in canonical form (sorted keys, no spaces), hex."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sync_directory(path: Path) -> None:
    """Make a rename inside `path` durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _space_error(path: Path, error: OSError, wanted_bytes: int | None) -> ArtifactError:
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError:
        free = -1
    wanted = f"; {wanted_bytes:,} bytes were to be written" if wanted_bytes else ""
    return ArtifactError(
        f"cannot write {path}: {error.strerror or error} ({free:,} bytes free on that disk{wanted})",
        hint="free some space or choose another place with --out; what was there before is unchanged",
    )


@contextmanager
def atomic_write(path: Path | str, *, expected_bytes: int | None = None) -> Iterator[IO[bytes]]:
    """Open a file for writing; it appears under its name whole, or not at all.

    Raises ArtifactError when the disk is full or not writable; the old file, if any, is then untouched.
    """
    path = Path(path)
    temporary = path.with_name(path.name + _TEMPORARY)
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync_directory(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise _space_error(path, error, expected_bytes) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path | str, data: bytes) -> None:
    with atomic_write(path, expected_bytes=len(data)) as file:
        file.write(data)


def write_text(path: Path | str, text: str) -> None:
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path | str, value: Any, *, indent: int | None = 2) -> None:
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def read_json(path: Path | str) -> Any:
    """Parse a JSON file; ArtifactError names the file and position when it is not JSON."""
    try:
        return json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise ArtifactError(f"{path} does not exist") from None
    except (ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{path} is not valid JSON: {error}", hint="the file was cut or edited; make it again"
        ) from None


@dataclass(frozen=True, kw_only=True)
class Seal:
    """The contents of `groundup.json`."""

    kind: str
    """What the directory is: documents, tokenizer, tokens, model, checkpoint, report, ..."""
    files: Mapping[str, Mapping[str, Any]]
    """Relative path -> {sha256, bytes}."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Anything the writer wants to keep: figures, recipe hash, swapped parts, versions."""
    parents: Mapping[str, str] = field(default_factory=dict)
    """Name of each input -> its identity (see `identity`)."""
    key: str = ""
    """Hash of the config and inputs that made it; a rerun with the same key is not run again."""
    format: int = FORMAT


def seal(
    directory: Path | str,
    *,
    kind: str,
    facts: Mapping[str, Any] | None = None,
    parents: Mapping[str, str] | None = None,
    key: str = "",
    skip: Callable[[str], bool] | None = None,
) -> Seal:
    """Hash every file under `directory` (subdirectories too), fsync them, and write `groundup.json` last.

    `skip(relative_path)` leaves scratch files out of the seal.
    """
    directory = Path(directory)
    files: dict[str, dict[str, Any]] = {}
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory).as_posix()
        if not path.is_file() or name == SEAL or name.endswith(_TEMPORARY) or (skip and skip(name)):
            continue
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        files[name] = {"sha256": digest, "bytes": path.stat().st_size}
    made = Seal(kind=kind, files=files, facts=dict(facts or {}), parents=dict(parents or {}), key=key)
    body = {
        "format": made.format,
        "kind": kind,
        "key": key,
        "parents": made.parents,
        "facts": made.facts,
        "files": files,
    }
    write_json(directory / SEAL, {**body, "sha256": hash_json(body)})
    return made


def read_seal(directory: Path | str) -> Seal:
    """Read `groundup.json` without checking the files it names."""
    directory = Path(directory)
    path = directory / SEAL
    if not directory.is_dir():
        raise ArtifactError(f"{directory} is not a directory", hint="groundup runs lists the runs that exist")
    if not path.is_file():
        raise ArtifactError(
            f"{directory} has no {SEAL}: it was never finished, or groundup did not write it",
            hint="run the command that makes it again; it goes on where it was",
        )
    raw = read_json(path)
    own_hash = raw.pop("sha256", None) if isinstance(raw, dict) else None
    if not isinstance(raw, dict) or own_hash != hash_json(raw) or not path.read_bytes().endswith(b"}\n"):
        raise ArtifactError(f"{path} does not agree with its own hash: it was damaged or edited",
                            hint="copy it again from where it came, or make the artifact again")  # fmt: skip
    if raw.get("format") != FORMAT:
        raise ArtifactError(
            f"{path} has format {raw.get('format')!r}; this version of groundup reads {FORMAT}",
            hint="pip install --upgrade groundup, or make the artifact again",
        )
    return Seal(
        kind=str(raw.get("kind", "")),
        files=raw["files"],
        facts=raw.get("facts", {}),
        parents=raw.get("parents", {}),
        key=str(raw.get("key", "")),
    )


def sealed_in(directory: Path) -> list[tuple[Path, Seal]]:
    """The finished artifacts in a folder (a run's stages) with their seals, the newest first. What is being written, was replaced, or
    is broken is left out."""
    found: list[tuple[int, Path, Seal]] = []
    for mark in directory.glob(f"*/{SEAL}"):
        if mark.parent.suffix in _UNFINISHED:
            continue
        try:
            found.append((mark.stat().st_mtime_ns, mark.parent, read_seal(mark.parent)))
        except (ArtifactError, OSError, ValueError):
            continue
    return [(path, seal) for _, path, seal in sorted(found, key=lambda one: (-one[0], one[1].name))]


def verify(directory: Path | str, *, kind: str | None = None, contents: bool = True) -> Seal:
    """Check that every sealed file is there, has its size and (unless contents=False) its sha256.

    Raises ArtifactError naming the first file that does not agree.
    """
    directory = Path(directory)
    found = read_seal(directory)
    if kind is not None and found.kind != kind:
        raise ArtifactError(f"{directory} is a {found.kind!r} artifact, not a {kind!r}")
    for name, facts in found.files.items():
        path = directory / name
        if not path.is_file():
            raise ArtifactError(f"{path} is missing from a sealed {found.kind}", hint="restore it or make it again")
        size = path.stat().st_size
        if size != facts["bytes"]:
            raise ArtifactError(
                f"{path} has {size:,} bytes, its seal says {facts['bytes']:,}: it was truncated or changed",
                hint="copy it again from where it came, or make it again",
            )
        if contents and hash_file(path) != facts["sha256"]:
            raise ArtifactError(
                f"{path} does not have the sha256 of its seal: it was damaged or edited",
                hint="copy it again from where it came, or make it again",
            )
    return found


def identity(found: Seal) -> str:
    """One hash for the contents of a sealed directory."""
    return hash_json({name: facts["sha256"] for name, facts in found.files.items()})


def commit_directory(partial: Path | str, final: Path | str) -> None:
    """Rename a sealed directory into place; the one it replaces is kept until that has happened, then removed."""
    partial, final = Path(partial), Path(final)
    read_seal(partial)
    old = final.with_name(final.name + _OLD)
    sync_directory(partial)
    if final.exists():
        if old.exists():
            shutil.rmtree(old)
        os.rename(final, old)
    os.rename(partial, final)
    sync_directory(final.parent)
    if old.exists():
        shutil.rmtree(old)


def recover_directory(final: Path | str) -> None:
    """Finish or undo a commit that a crash cut in two: if only the old directory is left, put it back."""
    final = Path(final)
    old = final.with_name(final.name + _OLD)
    if not old.exists():
        return
    if final.exists():
        shutil.rmtree(old)
    else:
        os.rename(old, final)


def copy_into(source: Path, target: Path) -> None:
    """Copy one file durably."""
    with open(source, "rb") as reader, atomic_write(target, expected_bytes=source.stat().st_size) as writer:
        while block := reader.read(_BLOCK_BYTES):
            writer.write(block)
