"""Weights on disk: safetensors files, checked before they are read and written so that a crash leaves no half of one.

The header of every file is parsed here, without torch, so that a missing shard, a stale index, a truncated file or a wrong
shape is refused by name before any memory is allocated. Left out on purpose: every format that runs code when it is opened
(pickle: .bin, .pt, .pth, .ckpt).

Format: 8 bytes little-endian header length, JSON header {name: {dtype, shape, data_offsets}}, then the bytes
(https://github.com/huggingface/safetensors).
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.artifact import atomic_write, read_json, write_json
from ..core.errors import ArtifactError, ModelError

if TYPE_CHECKING:
    from torch import Tensor

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
MAX_HEADER_BYTES = 100_000_000
"""The limit of the reference implementation; a longer header is a damaged file."""
DTYPE_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
DTYPE_NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64",
               "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool"}  # fmt: skip
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_AGAIN = "copy the file again from where it came, or make the model again"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """Where one tensor lies, as its file's header says."""

    file: Path
    dtype: str
    """safetensors' own name: F32, BF16, ..."""
    shape: tuple[int, ...]

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.numel * DTYPE_BYTES[self.dtype]


def read_header(path: Path) -> dict[str, StoredTensor]:
    """Name -> place of every tensor in one file. ArtifactError if the header, the offsets and the file size disagree."""
    try:
        size = path.stat().st_size
        with open(path, "rb") as file:
            prefix = file.read(8)
            if len(prefix) < 8:
                raise ArtifactError(f"{path} has {size} bytes, too few for a safetensors file", hint=_AGAIN)
            (length,) = struct.unpack("<Q", prefix)
            if length > min(MAX_HEADER_BYTES, size - 8):
                raise ArtifactError(
                    f"{path} says its header has {length:,} bytes, but the file has {size:,}: truncated or not safetensors",
                    hint=_AGAIN,
                )
            text = file.read(length)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}") from None
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"the header of {path} is not valid JSON: {error}", hint=_AGAIN) from None
    if not isinstance(header, dict):
        raise ArtifactError(f"the header of {path} is not a mapping", hint=_AGAIN)
    header.pop("__metadata__", None)
    return _check_header(path, header, size - 8 - length)


def _check_header(path: Path, header: Mapping[str, Any], data_bytes: int) -> dict[str, StoredTensor]:
    found: dict[str, StoredTensor] = {}
    spans: list[tuple[int, int, str]] = []
    for name, facts in header.items():
        try:
            dtype, shape, (start, end) = facts["dtype"], facts["shape"], facts["data_offsets"]
            whole = all(type(n) is int and n >= 0 for n in (*shape, start, end))
        except (KeyError, TypeError, ValueError):
            whole = False
        if not whole:
            raise ArtifactError(f"tensor {name!r} in {path} has no valid dtype, shape and data_offsets", hint=_AGAIN)
        if dtype not in DTYPE_BYTES:
            raise ModelError(
                f"tensor {name!r} in {path} has dtype {dtype!r}; groundup reads {', '.join(DTYPE_BYTES)}",
                hint="convert the weights to BF16 or F32 first",
            )
        stored = StoredTensor(file=path, dtype=dtype, shape=tuple(shape))
        if end - start != stored.numel * DTYPE_BYTES[dtype]:
            raise ArtifactError(
                f"tensor {name!r} in {path} has {end - start:,} bytes, "
                f"but {dtype} {list(shape)} needs {stored.numel * DTYPE_BYTES[dtype]:,}",
                hint=_AGAIN,
            )
        spans.append((start, end, name))
        found[name] = stored
    position = 0
    for start, end, name in sorted(spans):
        if start != position:
            raise ArtifactError(f"tensor {name!r} in {path} starts at byte {start:,}, not {position:,}", hint=_AGAIN)
        position = end
    if position != data_bytes:
        kind = "truncated" if data_bytes < position else "longer than its header says"
        raise ArtifactError(
            f"{path} is {kind}: its tensors need {position:,} bytes, it holds {data_bytes:,}", hint=_AGAIN
        )
    return found


def inspect_weights(directory: Path) -> dict[str, StoredTensor]:
    """Every tensor of a model directory, from the headers alone. The index and the shards must agree."""
    index_path, single = directory / INDEX, directory / SINGLE
    if not index_path.is_file():
        if single.is_file():
            return read_header(single)
        _refuse_directory(directory)
    index = read_json(index_path)
    weight_map = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(weight_map, dict) or not all(isinstance(f, str) for f in weight_map.values()):
        raise ArtifactError(f"{index_path} has no weight_map of tensor name to file", hint=_AGAIN)
    headers: dict[str, dict[str, StoredTensor]] = {}
    found: dict[str, StoredTensor] = {}
    for name, file in weight_map.items():
        if file not in headers:
            if "/" in file or "\\" in file or file.startswith("."):
                raise ArtifactError(f"{index_path} names the file {file!r}, which is outside of the directory")
            if not (directory / file).is_file():
                raise ArtifactError(
                    f"{directory / file} is missing; {index_path.name} says it holds {name!r}", hint=_AGAIN
                )
            headers[file] = read_header(directory / file)
    for name, file in weight_map.items():
        if name not in headers[file]:
            others = [other for other, header in headers.items() if name in header]
            where = f"; it is in {others[0]}" if others else ""
            raise ArtifactError(
                f"{index_path.name} says tensor {name!r} is in {directory / file}, but it is not{where}", hint=_AGAIN
            )
        found[name] = headers[file][name]
    for file, header in headers.items():
        unknown = sorted(set(header) - set(weight_map))
        if unknown:
            raise ArtifactError(f"{directory / file} holds tensor {unknown[0]!r}, which {index_path.name} does not name",
                                hint=_AGAIN)  # fmt: skip
    return found


def _refuse_directory(directory: Path) -> None:
    pickles = sorted(p.name for p in directory.glob("*") if p.suffix in _PICKLES)
    if pickles:
        raise ModelError(
            f"{directory} has its weights in {pickles[0]}, a pickle: opening one can run any code, so groundup never does",
            hint="take the safetensors files of the same model, or convert it where you trust it",
        )
    have = ", ".join(sorted(p.name for p in directory.iterdir())[:12]) or "nothing"
    raise ArtifactError(f"{directory} has no {SINGLE} and no {INDEX}; it has: {have}", hint=_AGAIN)


def read_tensors(stored: Mapping[str, StoredTensor]) -> Iterator[tuple[str, Tensor]]:
    """(name, tensor) of each, file by file; the tensor may be mapped to the file, so copy what is kept."""
    from safetensors import safe_open

    by_file: dict[Path, list[str]] = {}
    for name, place in stored.items():
        by_file.setdefault(place.file, []).append(name)
    for path, names in by_file.items():
        with safe_open(path, framework="pt") as file:
            for name in names:
                yield name, file.get_tensor(name)


def write_tensors(
    directory: Path,
    tensors: Mapping[str, Callable[[], Tensor]],
    sizes: Mapping[str, tuple[str, tuple[int, ...]]],
    *,
    max_shard_bytes: int,
) -> None:
    """Write one file, or shards and their index. `sizes` gives (dtype, shape) of each tensor beforehand, so that only one
    tensor at a time is in memory beside the model.
    """
    shards = _split_shards(sizes, max_shard_bytes)
    if len(shards) == 1:
        _write_file(directory / SINGLE, shards[0], tensors, sizes)
        for stale in (directory / INDEX, *directory.glob("model-?????-of-?????.safetensors")):
            stale.unlink(missing_ok=True)
        return
    # Shards of an earlier save may have the same names: without an index, a save that is cut short is refused, not mixed.
    (directory / INDEX).unlink(missing_ok=True)
    weight_map: dict[str, str] = {}
    for i, names in enumerate(shards, start=1):
        file = f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        _write_file(directory / file, names, tensors, sizes)
        weight_map |= dict.fromkeys(names, file)
    total = sum(_nbytes(sizes[name]) for name in weight_map)
    parameters = sum(math.prod(sizes[name][1]) for name in weight_map)
    metadata = {"total_size": total, "total_parameters": parameters}
    write_json(directory / INDEX, {"metadata": metadata, "weight_map": weight_map})
    kept = set(weight_map.values())
    for stale in (directory / SINGLE, *directory.glob("model-?????-of-?????.safetensors")):
        if stale.name not in kept:
            stale.unlink(missing_ok=True)


def _nbytes(size: tuple[str, tuple[int, ...]]) -> int:
    return DTYPE_BYTES[size[0]] * math.prod(size[1])


def _split_shards(sizes: Mapping[str, tuple[str, tuple[int, ...]]], limit: int) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    filled = 0
    for name, size in sizes.items():
        if shards[-1] and filled + _nbytes(size) > limit:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += _nbytes(size)
    return shards


def _write_file(
    path: Path,
    names: Sequence[str],
    tensors: Mapping[str, Callable[[], Tensor]],
    sizes: Mapping[str, tuple[str, tuple[int, ...]]],
) -> None:
    import torch

    # Wide dtypes first, as the reference writer does: every tensor then starts at a multiple of its own item size.
    order = sorted(names, key=lambda name: (-DTYPE_BYTES[sizes[name][0]], name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    position = 0
    for name in order:
        dtype, shape = sizes[name]
        end = position + _nbytes(sizes[name])
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [position, end]}
        position = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path, expected_bytes=8 + len(text) + position) as file:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for name in order:
            tensor = tensors[name]().detach().cpu().contiguous()
            assert tuple(tensor.shape) == tuple(sizes[name][1]), name
            file.write(tensor.flatten().view(torch.uint8).numpy().data)
