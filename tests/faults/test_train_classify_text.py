"""Bad files, bad recipes and damaged classifiers: each says what is wrong, where, and what to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from groundup.cli.wiring import STAGES
from groundup.core.errors import ArtifactError, ConfigError, DataError, GroundupError
from groundup.core.recipe import load_recipe, run_recipe
from groundup.foundations.text_classifier import load_text_classifier

pytestmark = [pytest.mark.row("0.8"), pytest.mark.faults]

METHOD = {"nb": {"features": {}, "model": {"type": "naive_bayes"}}}
ROWS = "".join(
    f'{{"text": "{word} {i}", "label": "{label}"}}\n'
    for i in range(6)
    for word, label in (("good", "up"), ("bad", "down"))
)


def run(tmp_path: Path, rows: dict[str, Any], content: bytes | str = ROWS, **stage: Any) -> Path:
    file = tmp_path / rows.pop("name", "rows.jsonl")
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    rows = {"type": "labelled", "path": str(file), "split": {"validation": 0, "test": 0}, **rows}
    fit = {"type": "classify_text", "data": "rows", "folds": 3, "methods": METHOD, **stage}
    (tmp_path / "r.yaml").write_text(json.dumps({"name": "r", "rows": rows, "fit": fit}))
    run_recipe(load_recipe(tmp_path / "r.yaml", STAGES), tmp_path / "run")
    return tmp_path / "run" / "fit"


@pytest.mark.parametrize(
    ("rows", "content", "error", "message"),
    [
        ({}, "", DataError, "tasks"),
        ({}, '{"text": "a", "label": "x"}\nnot json\n', DataError, "rows.jsonl, row 2"),
        ({}, '{"text": "a"}\n', DataError, "row 1: has no 'label'"),
        ({}, '{"text": 5, "label": "x"}\n', DataError, "row 1: text must be text, not int"),
        ({"name": "rows.csv"}, "text,label\na,x\nb,y,z\n", DataError, "row 3: has more fields than the 2 columns"),
        ({"name": "rows.csv"}, "body,kind\na,x\n", DataError, "row 2: has no 'text'; it has 'body', 'kind'"),
        ({"name": "rows.xyz"}, "a", DataError, "the suffix '.xyz' does not say"),
        ({}, '{"words": ["a"], "labels": ["O"]}\n', DataError, "of the task tagging"),
        ({}, '{"text": "a", "label": "x"}\n{"text": "b", "label": "x"}\n', DataError, "all 2 texts have the label 'x'"),
        ({}, '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n', ConfigError, "rows of the rarest label"),
        (
            {},
            ROWS.replace("good", "!").replace("bad", "?").translate(str.maketrans("012345", "!?.,;:")),
            DataError,
            "none is left",
        ),
    ],
)
def test_bad_files(
    tmp_path: Path, rows: dict[str, Any], content: str, error: type[GroundupError], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(tmp_path, dict(rows), content)
    assert not (tmp_path / "run" / "fit" / "predictor.json").exists()


@pytest.mark.parametrize(
    ("stage", "message"),
    [
        ({"folds": 7}, "from 2 to 6"),
        ({"folds": 1}, "from 2 to 6"),
        ({"methods": {}}, "names no method"),
        ({"methods": {"majority": METHOD["nb"]}}, "the baseline that is always there"),
        ({"save": "other"}, "'other' is none of nb"),
        ({"positive": "sideways"}, "must be one of two labels"),
        ({"methods": {"a": {"features": {}, "model": {"type": "naive_bayes_svm"}}}}, "must be binary"),
        (
            {"methods": {"a": {"features": {"cut": "syllables"}, "model": {"type": "naive_bayes"}}}},
            "fit.methods.a.features.cut",
        ),
        ({"methods": {"a": {"model": {"type": "naive_base"}}}}, "naive_bayes"),
        ({"methods": {"a": {"mean_of": ["b"]}, "b": METHOD["nb"]}}, "'b' is no method before it"),
    ],
)
def test_bad_recipes(tmp_path: Path, stage: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        run(tmp_path, {}, **stage)
    assert message in f"{error.value} {error.value.hint}"


def test_damaged_classifiers_are_refused(tmp_path: Path) -> None:
    directory = run(tmp_path, {})
    assert load_text_classifier(directory).predict(["good"])[0].label == "up"
    config, arrays = directory / "predictor.json", directory / "model.safetensors"
    whole, numbers = config.read_text(), arrays.read_bytes()
    for broken in (
        "",
        "[]",
        whole.replace('"labels"', '"names"'),
        whole.replace('"good"', '"good", "more"'),
        whole.replace("words", "wards"),
    ):
        config.write_text(broken)
        with pytest.raises(GroundupError):
            load_text_classifier(directory)
    config.write_text(whole)
    for broken in (b"", numbers[: len(numbers) // 2], numbers[:-3]):
        arrays.write_bytes(broken)
        with pytest.raises(ArtifactError, match="cannot be read"):
            load_text_classifier(directory)
    arrays.write_bytes(numbers)
    fewer = {name: np.ascontiguousarray(value[..., :-1]) for name, value in load_file(arrays).items()}
    save_file(fewer, arrays)
    with pytest.raises(ArtifactError, match="no whole text classifier"):
        load_text_classifier(directory)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    classifier = load_text_classifier(run(tmp_path, {}))
    with pytest.raises(DataError, match="input 2 is no text but int"):
        classifier.predict(["good", 5])
    empty, unseen, long = classifier.predict(["", "zzz ☕ \x00", "good " * 20_000])
    assert sum(empty.scores.values()) == pytest.approx(1) == sum(unseen.scores.values())
    assert long.label == "up"
    assert classifier.predict([]) == []
