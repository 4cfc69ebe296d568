"""Labelled images: sources, splits that lose nothing, and what a bad file is told."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from groundup.cli.wiring import STAGES
from groundup.core.errors import ConfigError, DataError
from groundup.core.recipe import load_recipe, run_recipe
from groundup.data.images import ImageSplit, as_input, grey, read_idx, read_image, read_images, read_label_names
from groundup.data.split import SPLITS

pytestmark = pytest.mark.row("1.7")


def idx_bytes(array: np.ndarray, kind: int = 8) -> bytes:
    head = bytes([0, 0, kind, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return head + array.tobytes()


def run(tmp_path: Path, source: dict[str, Any], **more: Any) -> tuple[dict[str, Any], Path]:
    import json

    recipe = tmp_path / "images.yaml"
    recipe.write_text(json.dumps({"data": {"type": "images", "source": source, **more}}))
    report = run_recipe(load_recipe(recipe, STAGES), tmp_path / "run")
    return report["stages"]["data"]["figures"], tmp_path / "run" / "data"


def test_bundled_digits_are_split_whole(tmp_path: Path) -> None:
    figures, directory = run(tmp_path, {"type": "digits"}, split={"test": 0.25, "validation": 97})
    assert figures["images"] == {"train": 1251, "validation": 97, "test": 449}
    parts = [read_images(directory, split) for split in SPLITS]
    assert all(images.dtype == np.uint8 and images.shape[1:] == (8, 8) for images, _ in parts)
    assert read_label_names(directory) == tuple("0123456789")
    keys = [{image.tobytes() for image in images} for images, _ in parts]
    assert not keys[0] & keys[2] and not keys[0] & keys[1] and not keys[1] & keys[2]


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_idx_files_by_position(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (10, 4, 3), np.uint8), np.arange(10, dtype=np.uint8) % 3
    pack = gzip.compress if suffix else bytes
    (tmp_path / f"i.idx{suffix}").write_bytes(pack(idx_bytes(images)))
    (tmp_path / f"l.idx{suffix}").write_bytes(pack(idx_bytes(labels)))
    source = {"type": "idx", "images": str(tmp_path / f"i.idx{suffix}"), "labels": str(tmp_path / f"l.idx{suffix}")}
    figures, directory = run(tmp_path, source, split={"by": "position", "test": 3, "validation": 2})
    assert figures["images"] == {"train": 5, "validation": 2, "test": 3}
    for split, rows in (("train", slice(0, 5)), ("validation", slice(5, 7)), ("test", slice(7, 10))):
        found, names = read_images(directory, split)
        np.testing.assert_array_equal(found, images[rows])
        np.testing.assert_array_equal(names, labels[rows])
    swapped = {**source, "images": source["labels"], "labels": source["images"]}
    with pytest.raises(DataError, match="dimensions") as raised:
        run(tmp_path, swapped)
    assert "right way round" in raised.value.hint


def pictures(folder: Path, *, sizes: tuple[tuple[int, int], ...] = ((5, 4),) * 6) -> None:
    for number, (width, height) in enumerate(sizes):
        place = folder / ("cat" if number % 2 else "dog")
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (width, height), (40 * number, 10, 200)).save(place / f"{number}.png")


def test_folders_and_zips_of_pictures(tmp_path: Path) -> None:
    pictures(tmp_path / "animals")
    figures, directory = run(
        tmp_path, {"type": "folder", "path": str(tmp_path / "animals"), "colour": True}, split={"test": 2}
    )
    assert read_label_names(directory) == ("cat", "dog") and figures["images"]["train"] == 4
    with zipfile.ZipFile(tmp_path / "animals.zip", "w") as archive:
        for file in sorted((tmp_path / "animals").rglob("*.png")):
            archive.write(file, file.relative_to(tmp_path))
    before = read_images(directory, "train")[0]
    run(tmp_path, {"type": "folder", "path": str(tmp_path / "animals.zip"), "colour": True}, split={"test": 2})
    np.testing.assert_array_equal(read_images(directory, "train")[0], before)
    assert before.shape == (4, 4, 5, 3)
    run(tmp_path, {"type": "folder", "path": str(tmp_path / "animals"), "size": [8, 6]})
    assert read_images(directory, "train")[0].shape[1:] == (8, 6)


@pytest.mark.faults
def test_bad_files_are_named(tmp_path: Path) -> None:
    pictures(tmp_path / "mixed", sizes=((5, 4), (5, 4), (6, 4)))
    with pytest.raises(DataError, match=r"dog/2\.png is 4x6") as raised:
        run(tmp_path, {"type": "folder", "path": str(tmp_path / "mixed")})
    assert "source.size" in raised.value.hint
    (tmp_path / "mixed" / "dog" / "2.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    with pytest.raises(DataError, match=r"dog/2\.png is no picture"):
        run(tmp_path, {"type": "folder", "path": str(tmp_path / "mixed")})
    (tmp_path / "loose").mkdir()
    Image.new("L", (3, 3)).save(tmp_path / "loose" / "one.png")
    with pytest.raises(DataError, match="in no folder"):
        run(tmp_path, {"type": "folder", "path": str(tmp_path / "loose")})
    (tmp_path / "bad.zip").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(DataError, match="zip"):
        run(tmp_path, {"type": "folder", "path": str(tmp_path / "bad.zip")})


@pytest.mark.faults
def test_every_cut_of_an_idx_file_is_an_error(tmp_path: Path) -> None:
    whole = idx_bytes(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    path = tmp_path / "cut.idx"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            read_idx(path)
    for length, zipped in ((n, gzip.compress(whole)) for n in (5, 20)):
        (tmp_path / "cut.gz").write_bytes(zipped[:length])
        with pytest.raises(DataError):
            read_idx(tmp_path / "cut.gz")
    path.write_bytes(idx_bytes(np.zeros(3, np.uint8), kind=0x0D))
    with pytest.raises(DataError, match="0x0d"):
        read_idx(path)


def test_splits_that_leave_nothing() -> None:
    with pytest.raises(DataError, match="leave none"):
        ImageSplit(test=6, validation=4).assign(np.zeros((10, 2, 2), np.uint8))
    with pytest.raises(ConfigError, match=r"split|share"):
        ImageSplit(test=1.5)


def test_pictures_as_inputs(tmp_path: Path) -> None:
    Image.new("L", (4, 2), 51).save(tmp_path / "dark.png")
    rows = read_image(tmp_path / "dark.png")
    assert rows == [[0.2] * 4] * 2
    assert as_input(rows, 2, 4, "it").shape == (2, 4)
    np.testing.assert_allclose(as_input(rows, 8, 8, "it"), np.full((8, 8), 0.2), atol=1e-6)
    small = np.random.default_rng(0).random((4, 5))
    np.testing.assert_allclose(
        as_input(np.kron(small, np.ones((8, 8))), 4, 5, "it"), small, atol=1e-6
    )  # shrinks without blur
    assert grey(np.full((1, 1, 3), 255, np.uint8)).item() == pytest.approx(1)
    for wrong in ([[0.1], [0.2, 0.3]], [], [[2.0]], "text", [[float("nan")]]):
        with pytest.raises(DataError, match="input 1"):
            as_input(wrong, 2, 2, "input 1")


def test_mnist_has_its_published_shape(shared_data: Path) -> None:
    images = read_idx(shared_data / "mnist" / "t10k-images-idx3-ubyte.gz")
    labels = read_idx(shared_data / "mnist" / "t10k-labels-idx1-ubyte.gz")
    assert images.shape == (10000, 28, 28) and labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
