"""The tokenizer of words: what it gives back and what it cannot, its file, its place in the data stages."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import numpy as np
import pytest

from groundup.core.errors import DataError, TokenizerError
from groundup.core.protocols import Tokenizer
from groundup.core.recipe import load_recipe, run_recipe
from groundup.data import TokenShards, read_documents
from groundup.tokenizers import StreamDecoder, WordTokenizer, load_tokenizer, unit_of

_TABLE = {
    "documents": "groundup.data.stages:DocumentsStage",
    "train_tokenizer": "groundup.data.stages:TokenizerStage",
    "pack": "groundup.data.stages:PackStage",
}


@pytest.mark.row("2.1")
def test_words_in_and_out(tmp_path: Path) -> None:
    tokenizer = WordTokenizer.train([" the cat <unk> the dog \n the cat \n"], special_tokens=["<|x|>"])
    assert isinstance(tokenizer, Tokenizer) and unit_of(tokenizer) == "word"
    assert tokenizer.vocab_size == 6  # <|x|> <unk> <eos> the cat dog
    ids = tokenizer.encode(" the dog  bird <|x|>\nthe <unk>\n")
    assert ids == [3, 5, 1, 1, 2, 3, 1, 2]
    assert tokenizer.decode(ids) == " the dog <unk> <unk>\n the <unk>\n"
    assert tokenizer.encode(tokenizer.decode(ids)) == ids
    assert tokenizer.encode("cat <|x|>", allow_special=True) == [4, 0]
    assert tokenizer.decode([4, 0], skip_special=True) == " cat"
    assert dict(tokenizer.special_ids) == {"<|x|>": 0}
    tokenizer.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert isinstance(again, WordTokenizer) and again.encode("the dog\n") == [3, 5, 2]
    for bad in (-1, 6):
        with pytest.raises(TokenizerError, match=f"{bad} is not in 0 .. 5"):
            tokenizer.decode([bad])


@pytest.mark.row("2.1")
def test_vocabulary_is_the_most_frequent_words() -> None:
    text = ["b a c a b a D d , d"]
    assert WordTokenizer.train(text).decode(range(8)) == " <unk>\n a b d , D c"
    assert WordTokenizer.train(text, vocab_size=4).decode(range(4)) == " <unk>\n a b"
    assert WordTokenizer.train(text, min_frequency=2).vocab_size == 5
    lower = WordTokenizer.train(["Don't, DON't <unk> x_1"], lower_case=True, marks_apart=True)
    assert lower.decode(lower.encode("DON'T <unk> x_1,")) == " don ' t <unk> x_1 ,"
    with pytest.raises(TokenizerError, match="no room"):
        WordTokenizer.train(text, vocab_size=2)
    with pytest.raises(DataError, match="no word"):
        WordTokenizer.train([" \n"])
    with pytest.raises(DataError, match="9 times"):
        WordTokenizer.train(text, min_frequency=9)


@pytest.mark.row("2.1")
def test_streamed_words_are_the_decoded_words() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    tokenizer = WordTokenizer(["w\u00f6rd", "\U0001f600", "a", ","], ["<e>"])
    ids = [rng.randrange(tokenizer.vocab_size) for _ in range(200)]
    stream = StreamDecoder(tokenizer, skip=[0])
    assert "".join(stream.push([i]) for i in ids) + stream.finish() == tokenizer.decode(ids, skip_special=True)


@pytest.mark.row("2.1")
@pytest.mark.parametrize(
    "change",
    [
        {"type": "characters"},
        {"words": "ab"},
        {"unknown": 3},
        {"lower_case": 1},
        {"words": ["a", "a"]},
        {"words": ["a b"]},
        {"words": ["<unk>"]},
    ],
)
def test_a_damaged_word_file_is_refused(change: dict[str, object], tmp_path: Path) -> None:
    WordTokenizer(["a", "b"]).save(tmp_path)
    file = tmp_path / "word_tokenizer.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(TokenizerError):
        load_tokenizer(tmp_path)


@pytest.mark.row("2.1")
@pytest.mark.parametrize("validation", [True, False])
def test_one_file_of_lines_is_all_training_text_and_its_validation_file_is_given(
    validation: bool, tmp_path: Path
) -> None:
    train, held_out = " a b c \n a <unk> \n", " c a \n"
    (tmp_path / "train.txt.gz").write_bytes(gzip.compress(train.encode()))
    (tmp_path / "valid.txt").write_text(held_out)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "data: {type: documents, source: {type: stdlib}, steps: [], split: {by: document, validation: 0.9, test: 0}}\n"
        "tokenizer: {type: train_tokenizer, algorithm: word, vocab_size: 0, min_frequency: 1, special_tokens: []}\n"
        "tokens: {type: pack, eos_token: null}\n"
    )
    overrides = [f"data.source.path={tmp_path / 'train.txt.gz'}"]
    overrides += [f"data.validation_path={tmp_path / 'valid.txt'}"] if validation else []
    out = tmp_path / "run"
    report = run_recipe(load_recipe(recipe, _TABLE, overrides=overrides), out)
    assert [d.text for d in read_documents(out / "data", "train")] == [train]
    assert [d.text for d in read_documents(out / "data", "validation")] == [held_out] * validation
    assert report["stages"]["tokenizer"]["figures"]["vocab_size"] == 5
    shards = TokenShards.open(out / "tokens", "train")
    tokenizer = load_tokenizer(out / "tokenizer")
    assert np.array_equal(shards.tokens(0, shards.num_tokens), tokenizer.encode(train))
