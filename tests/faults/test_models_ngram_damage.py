"""A damaged n-gram directory is refused by name, and never sends the compiled loops outside of an array."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from groundup.core.artifact import seal
from groundup.core.errors import ArtifactError, GroundupError, ModelError
from groundup.engine.ngram import open_ngram
from groundup.models.ngram.counting import count_ngrams, lay_out
from groundup.models.ngram.directory import load_ngram, save_ngram
from groundup.models.ngram.model import NGramModel
from groundup.models.ngram.smoothing import ModifiedKneserNey
from groundup.tokenizers import WordTokenizer

pytestmark = [pytest.mark.row("2.1"), pytest.mark.faults]
TEXT = "a b c a b d\nb a\nc a b\n" * 5


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    tokenizer = WordTokenizer.train([TEXT])
    end = tokenizer.end_of_line_id
    trie = count_ngrams(lay_out([tokenizer.encode(TEXT)], tokenizer.vocab_size, end), 3, tokenizer.vocab_size)
    model = NGramModel.of(trie, ModifiedKneserNey().estimate(trie), end)
    save_ngram(model, tmp_path / "model", tokenizer=tokenizer)
    return tmp_path / "model"


def test_arrays_that_do_not_fit_together(directory: Path) -> None:
    file = directory / "model.safetensors"
    arrays = load_file(file)
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    ids = WordTokenizer.load(directory).encode(TEXT)
    for _ in range(60):
        changed = {name: value.copy() for name, value in arrays.items()}
        name = rng.choice(list(changed))
        kind, at = rng.integers(4), rng.integers(len(changed[name]))
        if kind == 0:
            changed[name] = changed[name][:-1].copy()
        elif kind == 1:
            changed[name] = changed[name].astype(np.float64)
        else:
            changed[name][at] = (
                rng.choice([-5, 7, 10**6]) if changed[name].dtype != np.float32 else rng.choice([np.nan, 3.0])
            )
        save_file(changed, file)
        try:
            model = load_ngram(directory)
        except ArtifactError as error:
            assert "model.safetensors" in str(error)
            continue
        # What is let through may be another model, but it is one: it scores within its arrays and comes to an end.
        scores, _ = model.score(ids)
        assert len(scores) == len(ids) and not np.isnan(scores).any()


def test_files_cut_missing_or_sealed_and_changed(directory: Path) -> None:
    file, config = directory / "model.safetensors", directory / "config.json"
    whole, raw = file.read_bytes(), json.loads(config.read_text())
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_ngram(directory)
    file.write_bytes(whole)
    for change in ({"vocab_size": 99}, {"vocab_size": "5"}, {"end_of_line_id": 99}, {"model_type": "llama"}):
        config.write_text(json.dumps({**raw, **change}))
        with pytest.raises(ArtifactError):
            load_ngram(directory)
    config.write_text(json.dumps(raw))
    load_ngram(directory)
    seal(directory, kind="model")
    load_ngram(directory)
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ArtifactError, match="sha256"):
        load_ngram(directory)
    file.unlink()
    with pytest.raises(ArtifactError, match="missing"):
        load_ngram(directory)


def test_a_tokenizer_of_another_model(directory: Path) -> None:
    WordTokenizer(["only"]).save(directory)
    with pytest.raises(ModelError, match="has 3 ids, the model 6"):
        open_ngram(directory)
    (directory / "word_tokenizer.json").unlink()
    with pytest.raises(GroundupError):
        open_ngram(directory)
