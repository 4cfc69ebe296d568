"""Labelled images: small grey or colour pictures of one size, each with a label (stage `images`).

Read from scikit-learn's bundled digits (8x8), from IDX files as MNIST has them, or from a folder (or zip) with a folder for each label.
Every split is a file `<split>.safetensors` with `images` uint8 [N, H, W] (grey) or [N, H, W, 3] and `labels` int64 [N]; the names of the
labels, in the order that numbers them, are on the card. Left out: pictures of mixed sizes (they are resized to one), boxes,
several labels for a picture, changing pictures while training (a source's business, not the data's).

IDX: LeCun, Cortes and Burges, "The MNIST database" (two zero bytes, type, number of dimensions, sizes as big-endian int32, values).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from ..core.artifact import atomic_write
from ..core.config import Use, load_user_part, node
from ..core.errors import ArtifactError, ConfigError, DataError, MissingDependency
from ..core.exhibits import Plot, Table, plain
from ..core.recipe import StageContext
from .card import read_card, write_card
from .files import find_files, fingerprint, read_bytes
from .split import SPLITS

SUFFIXES = frozenset((".png", ".pgm", ".ppm", ".jpg", ".jpeg", ".bmp", ".gif"))
_LIMIT_BYTES = 1 << 31
_MOST_PIXELS = 1 << 26
"""Of one picture: a small file can unfold to gigabytes."""
_SHOWN = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledImages:
    """What a source read."""

    images: np.ndarray
    """uint8 [N, H, W] or [N, H, W, 3]"""
    labels: np.ndarray
    """int64 [N]"""
    names: tuple[str, ...]
    """Of the labels, by number."""


@dataclass(frozen=True, kw_only=True)
class DigitsSource:
    """1,797 handwritten digits of 8x8 pixels that come with scikit-learn (Alpaydin and Kaynak 1998). No download."""

    type: Literal["digits"] = "digits"

    def fingerprint(self) -> str:
        return ""

    def read(self) -> LabelledImages:
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise MissingDependency("scikit-learn", extra="digits", purpose="the bundled digits") from None
        found = load_digits()
        grey = np.rint(found.images * (255 / 16)).astype(np.uint8)
        return LabelledImages(images=grey, labels=found.target.astype(np.int64), names=tuple("0123456789"))


@dataclass(frozen=True, kw_only=True)
class IdxSource:
    """A pair of IDX files, plain or .gz: MNIST, Fashion-MNIST, EMNIST."""

    images: str
    labels: str
    type: Literal["idx"] = "idx"

    def fingerprint(self) -> str:
        return fingerprint([*find_files(self.images), *find_files(self.labels)])

    def read(self) -> LabelledImages:
        images, labels = read_idx(self.images), read_idx(self.labels)
        if images.ndim not in (3, 4) or labels.ndim != 1:
            raise DataError(
                f"{self.images} has {images.ndim} dimensions and {self.labels} {labels.ndim}; images have 3, labels 1",
                hint="are the two paths the right way round?",
            )
        if len(images) != len(labels):
            raise DataError(
                f"{self.images} has {len(images):,} images and {self.labels} {len(labels):,} labels",
                hint="take both files from the same set (train with train, t10k with t10k)",
            )
        count = int(labels.max()) + 1 if len(labels) else 0
        names = tuple(str(number) for number in range(count))
        return LabelledImages(images=images, labels=labels.astype(np.int64), names=names)


@dataclass(frozen=True, kw_only=True)
class FolderSource:
    """A folder (or a zip of one) with a folder for each label: cats/1.png, dogs/2.jpg."""

    path: str
    size: tuple[int, int] | None = None
    """Height and width to resize to; None: the pictures have one size already."""
    colour: bool = False
    type: Literal["folder"] = "folder"

    def fingerprint(self) -> str:
        return fingerprint(find_files(self.path))

    def read(self) -> LabelledImages:
        found = sorted(self._files(), key=lambda item: item[0])
        named = [(PurePosixPath(name).parent.name, name, data) for name, data in found]
        if not named:
            raise DataError(
                f"{self.path} holds no pictures ({', '.join(sorted(SUFFIXES))})", hint="one folder for each label"
            )
        loose = next((name for label, name, _ in named if not label), None)
        if loose is not None:
            raise DataError(f"{self.path}: {loose} is in no folder, so it has no label", hint="label/picture.png")
        names = tuple(sorted({label for label, _, _ in named}))
        number = {name: i for i, name in enumerate(names)}
        pictures: list[np.ndarray] = []
        for _, name, data in named:
            picture = _decoded(data, f"{self.path}: {name}", colour=self.colour, size=self.size)
            if pictures and picture.shape != pictures[0].shape:
                wanted, got = _sides(pictures[0]), _sides(picture)
                raise DataError(
                    f"{self.path}: {name} is {got}, the pictures before it are {wanted}",
                    hint=f"set source.size, for example [{wanted.replace('x', ', ')}]",
                )
            pictures.append(picture)
        labels = np.array([number[label] for label, _, _ in named], np.int64)
        return LabelledImages(images=np.stack(pictures), labels=labels, names=names)

    def _files(self) -> Iterator[tuple[str, bytes]]:
        for file in find_files(self.path):
            if file.suffix == ".zip":
                yield from _members(file.path)
            elif file.suffix in SUFFIXES:
                yield file.name, read_bytes(file, limit_bytes=_LIMIT_BYTES)


ImageSourceNode = node(DigitsSource, IdxSource, FolderSource)


@dataclass(frozen=True, kw_only=True)
class ImageSplit:
    """Below 1: that share of the images; from 1 on: so many images."""

    validation: int | float = 0
    test: int | float = 0.2
    by: Literal["hash", "position"] = "hash"
    """hash: by the pixels, so that the same picture twice is not parted and the order of the files plays no part. position: the last ones
    are the test, those before them validation."""

    def __post_init__(self) -> None:
        for name in ("validation", "test"):
            value = getattr(self, name)
            if value < 0 or (value > 1 and value != int(value)):
                raise ConfigError(f"must be a share below 1 or a whole number of images, not {value}", path=name)

    def assign(self, images: np.ndarray) -> np.ndarray:
        """Number of the split (of SPLITS) of each image, [N]. DataError when nothing is left to train on."""
        count = len(images)
        test, validation = (round(v * count) if v < 1 else int(v) for v in (self.test, self.validation))
        if test + validation >= count:
            raise DataError(f"{test:,} test and {validation:,} validation images of {count:,} leave none to train on",
                            hint="make split.test or split.validation smaller")  # fmt: skip
        order = np.arange(count)
        if self.by == "hash":
            keys = [blake2b(np.ascontiguousarray(image).tobytes(), digest_size=8).digest() for image in images]
            order = np.array(sorted(range(count), key=lambda i: (keys[i], i)))
        where = np.zeros(count, np.int64)
        where[order[count - test :]] = 2
        where[order[count - test - validation : count - test]] = 1
        return where


@dataclass(frozen=True, kw_only=True)
class ImagesStage:
    """Read labelled images and split them."""

    source: ImageSourceNode = DigitsSource()  # type: ignore[valid-type]
    split: ImageSplit = ImageSplit()
    limit: int | None = None
    """Take only the first ones."""
    licence: str = ""
    """What may be done with the data; written on its card."""
    type: Literal["images"] = "images"
    kind = "images"

    def inputs(self) -> Sequence[str]:
        return ()

    def fingerprint(self) -> str:
        return "" if isinstance(self.source, Use) else str(self.source.fingerprint())

    def run(self, context: StageContext) -> Mapping[str, Any]:
        source: Any = self.source
        if isinstance(source, Use):
            source = load_user_part(source)(**source.args)
        read: LabelledImages = source.read()
        kind = str(getattr(source, "type", type(source).__name__))
        images, labels = read.images[: self.limit], read.labels[: self.limit]
        where = self.split.assign(images)
        counts = {}
        for number, split in enumerate(SPLITS):
            chosen = where == number
            write_images(context.directory / f"{split}.safetensors", images[chosen], labels[chosen])
            counts[split] = np.bincount(labels[chosen], minlength=len(read.names))
        card = {
            "kind": "images",
            "source": kind,
            "licence": self.licence or "not stated",
            "height": images.shape[1],
            "width": images.shape[2],
            "channels": 3 if images.ndim == 4 else 1,
            "labels": list(read.names),
            "splits": {split: {"images": int(counts[split].sum())} for split in SPLITS},
            "images_per_label": {n: {s: int(counts[s][i]) for s in SPLITS} for i, n in enumerate(read.names)},
        }
        write_card(
            context.directory,
            card,
            title=f"Images: {kind}",
            text="One safetensors file a split: images uint8 [N, H, W] or [N, H, W, 3], labels int64 [N].",
        )
        rows = [[name, *(int(counts[s][i]) for s in SPLITS)] for i, name in enumerate(read.names)]
        shown = np.flatnonzero(where == 0)[:_SHOWN]
        return {
            "images": {split: int(counts[split].sum()) for split in SPLITS},
            "height": images.shape[1],
            "width": images.shape[2],
            "labels": len(read.names),
            "exhibits": plain(
                Table(title="Images of each label", columns=["label", *SPLITS], rows=rows),
                Plot(
                    title="Some of the training images",
                    kind="images",
                    matrices=[grey(images[i]).tolist() for i in shown],
                    captions=[read.names[labels[i]] for i in shown],
                ),
            ),
        }


def write_images(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    from safetensors.numpy import save

    with atomic_write(path) as file:
        file.write(save({"images": np.ascontiguousarray(images), "labels": np.ascontiguousarray(labels)}))


def read_images(directory: Path | str, split: str) -> tuple[np.ndarray, np.ndarray]:
    """(images uint8 [N, H, W] or [N, H, W, 3], labels int64 [N]) of one split of an `images` directory."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    path = Path(directory) / f"{split}.safetensors"
    try:
        found = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}", hint="make it again with a stage `images`") from None
    return found["images"], found["labels"]


def read_label_names(directory: Path | str) -> tuple[str, ...]:
    """Names of the labels of an `images` directory, in the order that numbers them."""
    card = read_card(directory)
    if card.get("kind") != "images" or not isinstance(card.get("labels"), list):
        raise DataError(f"{directory} has no card of images", hint="make it again with a stage `images`")
    return tuple(card["labels"])


def read_idx(path: Path | str) -> np.ndarray:
    """The array of unsigned bytes in an IDX file, plain or compressed. DataError says what its head claims and what is there."""
    (file, *more) = find_files(str(path))
    if more:
        raise DataError(f"{path} means {1 + len(more)} files; an IDX source takes one")
    data = read_bytes(file, limit_bytes=_LIMIT_BYTES)
    if len(data) < 4 or data[:2] != b"\0\0":
        raise DataError(f"{path} is no IDX file: it begins with {data[:4].hex(' ') or 'nothing'}, not 00 00")
    kind, dimensions = data[2], data[3]
    if kind != 0x08:
        raise DataError(f"{path}: values of type 0x{kind:02x}; only unsigned bytes (0x08) are read")
    start = 4 + 4 * dimensions
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(dimensions)]
    wanted = int(np.prod(shape, dtype=object)) if shape else 0
    if len(data) - start != wanted:
        raise DataError(
            f"{path}: its head says {' x '.join(map(str, shape))} bytes, there are {max(0, len(data) - start):,}",
            hint="the file is cut; copy it again",
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def read_image(path: Path | str) -> list[list[float]]:
    """One picture as grey in [0, 1], [height][width]. What takes it brings it to the size it was trained on (`as_input`)."""
    (file, *_) = find_files(str(path))
    made = grey(_decoded(read_bytes(file, limit_bytes=_LIMIT_BYTES), str(path), colour=False, size=None))
    rows: list[list[float]] = made.tolist()
    return rows


def grey(image: np.ndarray) -> np.ndarray:
    """uint8 [H, W] or [H, W, 3] -> float [H, W] in [0, 1], by the luminance of ITU-R BT.601."""
    values = image.astype(np.float64) / 255
    return values if values.ndim == 2 else values @ np.array([0.299, 0.587, 0.114])


def as_input(value: Any, height: int, width: int, where: str) -> np.ndarray:
    """An image as a predictor is given it, [h][w] in [0, 1], as float32 [height, width]; resized where its size is another.

    DataError, naming `where`, when it is no rectangle of numbers or they lie outside of [0, 1].
    """
    try:
        made = np.asarray(value, np.float32)
    except (TypeError, ValueError):
        made = np.empty(0, np.float32)
    if made.ndim != 2 or not made.size:
        raise DataError(
            f"{where}: an image is rows of numbers, all as long", hint="or give a picture: --input FILE.png"
        )
    low, high = float(made.min()), float(made.max())
    if not (low >= 0 and high <= 1):  # NaN as well
        raise DataError(
            f"{where}: its numbers lie in [{low:g}, {high:g}]; [0, 1] is needed", hint="divide bytes by 255"
        )
    if made.shape == (height, width):
        return made
    from PIL import Image

    return np.asarray(_resized(Image.fromarray(made), height, width), np.float32).clip(0, 1)


def _resized(picture: Any, height: int, width: int) -> Any:
    """A pillow image in another size. Means of areas where it shrinks: interpolation there blurs (of bundled digits enlarged eightfold and
    brought back, a network reads 92 % after bilinear shrinking, 98 % after means, as of the originals).
    """
    from PIL import Image

    shrinks = height < picture.height and width < picture.width
    return picture.resize((width, height), Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR)


def _sides(image: np.ndarray) -> str:
    return f"{image.shape[0]}x{image.shape[1]}"


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if PurePosixPath(entry.filename).suffix.lower() not in SUFFIXES:
                    continue
                if entry.file_size > _LIMIT_BYTES:
                    raise DataError(f"{path}: {entry.filename} unfolds to {entry.file_size:,} bytes")
                yield entry.filename, archive.read(entry)
    except (zipfile.BadZipFile, OSError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path} cannot be read as a zip: {error}") from None


def _decoded(data: bytes, where: str, *, colour: bool, size: tuple[int, int] | None) -> np.ndarray:
    """uint8 [H, W] or [H, W, 3]; size is (height, width)."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                raise DataError(f"{where}: {picture.width}x{picture.height} pixels, the limit is {_MOST_PIXELS:,}")
            made = picture.convert("RGB" if colour else "L")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{where} is no picture that can be read: {error}") from None
    if size is not None:
        made = _resized(made, *size)
    return np.asarray(made, np.uint8)
