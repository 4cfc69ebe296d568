"""What is said of a head, on weights whose figures are known; and the picture of them, read back pixel by pixel."""

from __future__ import annotations

import base64
import math
import os
import threading
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from groundup.studio.head_figures import HeadFigures, head_figures, picture, read_text
from groundup.studio.kept import KeptOpen

pytestmark = pytest.mark.row("L.8")
AGAIN = ["the", "cat", "sat", "the", "cat", "sat"]


def looks_at(targets: list[int]) -> np.ndarray:
    """Row t gives everything to position targets[t]."""
    weights = np.zeros((len(targets), len(targets)), np.float32)
    weights[np.arange(len(targets)), targets] = 1.0
    return weights


def test_heads_that_do_one_thing_are_called_by_it() -> None:
    cases: list[tuple[list[int], str]] = [
        ([0, 0, 1, 2, 3, 4], "previous"),
        ([0, 0, 0, 0, 0, 0], "first token"),
        ([0, 1, 2, 3, 4, 5], "itself"),
        ([0, 1, 1, 1, 2, 3], "induction"),
        ([0, 1, 2, 0, 1, 2], "same token"),
    ]
    for targets, name in cases:
        figures = head_figures(looks_at(targets), AGAIN)
        assert figures.kind == name
        assert figures.entropy_bits == 0.0
        distance = np.mean([t - s for t, s in enumerate(targets)][1:])
        assert figures.distance_tokens == pytest.approx(distance)
    induction = head_figures(looks_at([0, 1, 1, 1, 2, 3]), AGAIN)
    assert (induction.induction, induction.same_token) == (1.0, 0.0)


def test_even_weights_have_the_entropy_of_their_number() -> None:
    size = 9
    weights = np.tril(np.ones((size, size), np.float32)) / np.arange(1, size + 1)[:, None]
    figures = head_figures(weights, [str(i) for i in range(size)])
    assert figures.entropy_bits == pytest.approx(np.mean([math.log2(t + 1) for t in range(1, size)]))
    assert figures.distance_tokens == pytest.approx(np.mean([t / 2 for t in range(1, size)]))
    assert figures.first_token == pytest.approx(np.mean([1 / (t + 1) for t in range(1, size)]))
    assert (figures.induction, figures.same_token) == (None, None)  # no token comes again
    assert figures.kind == ""


def test_scores_are_means_over_the_tokens_that_have_a_copy() -> None:
    weights = np.zeros((4, 4), np.float32)
    weights[0, 0] = weights[1, 1] = 1.0
    weights[2] = [0.25, 0.75, 0, 0]  # "a" again: its copy is 0, behind which is 1
    weights[3] = [0, 0, 0.5, 0.5]  # "b" again: its copy is 1, behind which is 2
    figures = head_figures(weights, ["a", "b", "a", "b"])
    assert figures.same_token == pytest.approx((0.25 + 0) / 2)
    assert figures.induction == pytest.approx((0.75 + 0.5) / 2)
    # In a run of one token, what is behind the copy is the token itself and does not count.
    run = head_figures(looks_at([0, 1]), ["a", "a"])
    assert (run.induction, run.same_token) == (None, 0.0)


def test_a_null_character_is_not_an_empty_piece() -> None:
    assert head_figures(looks_at([0, 0, 0]), ["\0", "", "x"]).same_token is None


def test_a_picture_holds_the_square_roots_of_the_weights() -> None:
    weights = np.random.default_rng(0).random((5, 7)).astype(np.float32)
    weights[0, 0], weights[4, 6] = 0.0, 1.0
    head, data = picture(weights).split(",")
    assert head == "data:image/png;base64"
    image = Image.open(BytesIO(base64.b64decode(data)))
    assert image.size == (7, 5)
    pixels = np.asarray(image.convert("RGBA"))
    np.testing.assert_array_equal(pixels[..., 3], np.round(np.sqrt(weights) * 255))
    assert len(np.unique(pixels[..., :3].reshape(-1, 3), axis=0)) == 1


class Fixed:
    """An inspector of two layers, the second without heads."""

    heads = (2, 0)
    closed = False

    def pieces(self, text: str) -> list[str]:
        return text.split(" ") if text else []

    def attention(self, text: str) -> list[np.ndarray]:
        size = len(self.pieces(text))
        return [np.stack([looks_at(list(range(size)))] * 2), np.zeros((0, size, size), np.float32)]

    def losses(self, text: str, *, without: Any = ()) -> np.ndarray:
        return np.arange(1, len(self.pieces(text)), dtype=np.float32) + len(without)

    def close(self) -> None:
        self.closed = True


def test_a_reading_is_all_that_the_page_shows() -> None:
    reading = read_text(Fixed(), "a b\t c")
    assert reading is not None
    assert (list(reading.pieces), list(reading.shown)) == (["a", "b\t", "c"], ["a", "b⇥", "c"])
    assert reading.loss == pytest.approx(1.5)
    assert [len(layer) for layer in reading.figures] == [2, 0] == [len(layer) for layer in reading.pictures]
    assert isinstance(reading.figures[0][0], HeadFigures)
    assert read_text(Fixed(), "alone") is None and read_text(Fixed(), "") is None


def test_two_models_are_kept_open_and_one_written_anew_is_opened_again(tmp_path: Path) -> None:
    made: list[tuple[str, Fixed]] = []

    def opener(path: Path) -> Fixed:
        made.append((path.name, Fixed()))
        return made[-1][1]

    models = KeptOpen(opener, Fixed.close)
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "groundup.json").write_text("{}")
    a = models.get(tmp_path / "a")
    assert models.get(tmp_path / "a") is a and models.get(tmp_path / "b" / ".." / "a") is a
    models.get(tmp_path / "b")
    models.get(tmp_path / "a")
    models.get(tmp_path / "c")  # b was used least recently
    assert [name for name, _ in made] == ["a", "b", "c"]
    assert [model.closed for _, model in made] == [False, True, False]
    (tmp_path / "a" / "groundup.json").write_text("{ }")
    os.utime(tmp_path / "a" / "groundup.json", ns=(time.time_ns(), time.time_ns() + 10**9))
    assert models.get(tmp_path / "a") is not a and made[0][1].closed
    models.close()
    assert all(model.closed for _, model in made)


def test_one_model_is_opened_once_by_many_threads(tmp_path: Path) -> None:
    made: list[Fixed] = []

    def opener(path: Path) -> Fixed:
        made.append(Fixed())
        return made[-1]

    models = KeptOpen(opener, Fixed.close)
    threads = [threading.Thread(target=models.get, args=(tmp_path,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
