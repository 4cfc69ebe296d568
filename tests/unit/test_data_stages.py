"""The data stages run as a recipe: what they write, how it is accounted for, and what `groundup data` shows of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundup.core.artifact import verify
from groundup.core.errors import ConfigError, DataError
from groundup.core.recipe import load_recipe, run_recipe
from groundup.data import TokenShards, read_documents, read_dropped, read_examples, tokenizer_identity
from groundup.data.shards import read_index
from groundup.data.summary import data_directories, dropped_documents, show_document, summarise, summary_page
from groundup.tokenizers import load_tokenizer

_TABLE = {
    "documents": "groundup.data.stages:DocumentsStage",
    "train_tokenizer": "groundup.data.stages:TokenizerStage",
    "pack": "groundup.data.stages:PackStage",
    "instruct": "groundup.data.stages:InstructStage",
}
_RECIPE = """
name: small
data: {type: documents, source: {type: stdlib}}
tokenizer: {type: train_tokenizer, algorithm: char}
tokens: {type: pack, shard_tokens: 4000}
pairs: {type: instruct}
"""


def run(tmp_path: Path, out: Path, *overrides: str, recipe: str = _RECIPE) -> dict[str, Any]:
    path = tmp_path / "recipe.yaml"
    path.write_text(recipe)
    return run_recipe(load_recipe(path, _TABLE, overrides=overrides), out)


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("notes")
    for i in range(60):
        words = " ".join(f"word{(i * 31 + j * j) % 997}" for j in range(120))
        (folder / f"note{i:02d}.md").write_text(
            f"# Note {i}\n\nOn day {i} it was like this. {words}. End of note {i}.\n"
        )
    (folder / "copy.md").write_text((folder / "note07.md").read_text())
    (folder / "tiny.txt").write_text("tiny")
    (folder / "blob.txt").write_bytes(b"\0\1")
    return folder


@pytest.fixture(scope="module")
def made(notes: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    base = tmp_path_factory.mktemp("runs")
    return base / "run", run(base, base / "run", f"data.source.path={notes}")


@pytest.mark.row("6.8")
def test_every_document_is_accounted_for(made: tuple[Path, dict[str, Any]]) -> None:
    out, report = made
    figures = report["stages"]["data"]["figures"]
    assert (figures["documents_in"], figures["documents_kept"], figures["documents_dropped"]) == (63, 60, 3)
    kept = {d.id: d for split in ("train", "validation", "test") for d in read_documents(out / "data", split)}
    dropped = {row["id"]: row for row in read_dropped(out / "data")}
    assert len(kept) == 60 and len(dropped) == 3 and not kept.keys() & dropped.keys()
    assert dropped["tiny.txt"]["reason"] == "basic_filters: too short" and dropped["tiny.txt"]["head"] == "tiny"
    assert dropped["blob.txt"]["reason"] == "read: binary file"
    assert dropped["note07.md"]["detail"] == "same as copy.md"
    card = summarise(out / "data")
    assert sum(card["dropped"].values()) == 3 and card["split_by"] == "document"
    for split in ("train", "validation", "test"):
        rows = list(read_documents(out / "data", split))
        assert card["splits"][split] == {
            "documents": len(rows),
            "text_bytes": sum(len(d.text.encode()) for d in rows),
        }
        assert rows
    assert verify(out / "data", kind="documents")
    assert "licence: not stated" in (out / "data" / "README.md").read_text()


@pytest.mark.row("6.8")
def test_shards_hold_the_documents(made: tuple[Path, dict[str, Any]]) -> None:
    out, report = made
    tokenizer = load_tokenizer(out / "tokenizer")
    index = read_index(out / "tokens")
    eos = tokenizer.special_ids["<|endoftext|>"]
    assert (index.tokenizer, index.eos_id, index.vocab_size) == (
        tokenizer_identity(tokenizer),
        eos,
        tokenizer.vocab_size,
    )
    assert len(index.splits["train"]) > 2
    for split in ("train", "validation", "test"):
        shards = TokenShards.open(out / "tokens", split)
        documents = list(read_documents(out / "data", split))
        assert shards.num_documents == len(documents)
        for number, document in enumerate(documents):
            ids = shards.document(number).tolist()
            assert ids[-1] == eos and tokenizer.decode(ids[:-1]) == document.text
        assert report["stages"]["tokens"]["figures"]["tokens"][split] == shards.num_tokens
    assert not list((out / "tokens").glob("*progress*"))
    verify(out / "tokens", kind="tokens")


@pytest.mark.row("8.1")
def test_pairs_of_each_split_are_from_its_documents(made: tuple[Path, dict[str, Any]]) -> None:
    out, report = made
    for split in ("train", "validation", "test"):
        ids = {d.id for d in read_documents(out / "data", split)}
        examples = list(read_examples(out / "pairs", split))
        assert len(examples) == report["stages"]["pairs"]["figures"]["examples"][split] > 0
        assert {e["id"].partition("::")[0] for e in examples} <= ids


@pytest.mark.row("6.8")
def test_the_same_data_twice_is_the_same_bytes(made: tuple[Path, dict[str, Any]], notes: Path, tmp_path: Path) -> None:
    report = made[1]
    again = run(tmp_path, tmp_path / "again", f"data.source.path={notes}")
    for stage in ("data", "tokenizer", "tokens", "pairs"):
        assert again["stages"][stage]["identity"] == report["stages"][stage]["identity"], stage
    before = (tmp_path / "again" / "data" / "groundup.json").stat().st_mtime_ns
    run(tmp_path, tmp_path / "again", f"data.source.path={notes}")
    assert (tmp_path / "again" / "data" / "groundup.json").stat().st_mtime_ns == before


@pytest.mark.row("6.8")
def test_packing_goes_on_after_a_kill(
    made: tuple[Path, dict[str, Any]], notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import groundup.data.shards as shards_module

    written: list[str] = []
    original = shards_module.write_shard

    def killed(directory: Path, name: str, *args: Any, **kwargs: Any) -> Any:
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(name)
        return original(directory, name, *args, **kwargs)

    monkeypatch.setattr(shards_module, "write_shard", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, tmp_path / "run", f"data.source.path={notes}")
    rest: list[str] = []

    def counted(directory: Path, name: str, *args: Any, **kwargs: Any) -> Any:
        rest.append(name)
        return original(directory, name, *args, **kwargs)

    monkeypatch.setattr(shards_module, "write_shard", counted)
    report = run(tmp_path, tmp_path / "run", f"data.source.path={notes}")
    assert written == ["train-00000", "train-00001"] and not set(written) & set(rest)
    assert report["stages"]["tokens"]["identity"] == made[1]["stages"]["tokens"]["identity"]


@pytest.mark.row("6.8")
def test_a_byte_level_tokenizer_and_a_share_of_the_text(notes: Path, tmp_path: Path) -> None:
    report = run(
        tmp_path,
        tmp_path / "run",
        f"data.source.path={notes}",
        "tokenizer.algorithm=bpe",
        "tokenizer.vocab_size=400",
        "tokenizer.max_bytes=20000",
        "tokenizer.num_threads=1",
        "tokens.eos_token=null",
    )
    figures = report["stages"]["tokenizer"]["figures"]
    assert figures["vocab_size"] == 400 and figures["train_bytes"] == 20_000 and figures["bytes_per_token"] > 1.5
    tokenizer = load_tokenizer(tmp_path / "run" / "tokenizer")
    assert set(tokenizer.special_ids) == {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}
    shards = TokenShards.open(tmp_path / "run" / "tokens", "validation")
    text = "".join(d.text for d in read_documents(tmp_path / "run" / "data", "validation"))
    assert tokenizer.decode(shards.tokens(0, shards.num_tokens).tolist()) == text


@pytest.mark.row("6.8")
def test_one_long_text_is_split_by_position(tmp_path: Path) -> None:
    text = "".join(f"Line {i} of the one long text, which is all there is.\n" for i in range(400))
    (tmp_path / "book.txt").write_text(text)
    overrides = [f"data.source.path={tmp_path / 'book.txt'}", "data.split.validation=0.1", "data.split.test=0"]
    run(tmp_path, tmp_path / "run", *overrides, "tokenizer.special_tokens=[]", "tokens.eos_token=null")
    (train,) = read_documents(tmp_path / "run" / "data", "train")
    (validation,) = read_documents(tmp_path / "run" / "data", "validation")
    cut = int(0.9 * len(text))
    assert (train.text, validation.text) == (text[:cut], text[cut:])
    assert validation.id == "book.txt@validation"
    assert np.array_equal(
        TokenShards.open(tmp_path / "run" / "tokens", "validation").document(0),
        load_tokenizer(tmp_path / "run" / "tokenizer").encode(text[cut:]),
    )


def test_the_users_own_source_and_step(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from groundup.core.types import Document\n"
        "class Source:\n"
        "    name, licence = 'mine', 'my own'\n"
        "    def __init__(self, count): self.count = count\n"
        "    def documents(self):\n"
        "        for i in range(self.count): yield Document(id=str(i), text=f'document {i} ' * 20)\n"
        "    def fingerprint(self): return ''\n"
        "class Odd:\n"
        "    def __call__(self, documents):\n"
        "        for i, d in enumerate(documents): yield d.drop('odd: number') if i % 2 else d\n"
    )
    recipe = (
        "data:\n  type: documents\n  source: {use: 'mine.py:Source', args: {count: 50}}\n"
        "  steps: [{type: normalise}, {use: 'mine.py:Odd'}]\n"
    )
    report = run(tmp_path, tmp_path / "run", recipe=recipe)
    assert report["stages"]["data"]["figures"]["dropped"] == {"odd: number": 25}
    assert summarise(tmp_path / "run" / "data")["licence"] == "my own"


def test_mistakes_say_what_to_do(notes: Path, tmp_path: Path) -> None:
    path = f"data.source.path={notes}"
    with pytest.raises(ConfigError, match=r"tokens\.eos_token: the tokenizer has no special token '</s>'") as caught:
        run(tmp_path, tmp_path / "a", path, "tokens.eos_token=</s>")
    assert "tokens.eos_token=null" in caught.value.hint
    with pytest.raises(ConfigError, match="stage 'tokenizer' makes tokenizer, not documents"):
        run(tmp_path, tmp_path / "a", path, "pairs.documents=tokenizer")
    with pytest.raises(DataError, match="no document was left of 1 from files under") as empty:
        run(tmp_path, tmp_path / "b", f"data.source.path={notes / 'tiny.txt'}")
    assert "too short" in empty.value.hint


@pytest.mark.row("6.3")
def test_what_groundup_data_shows(made: tuple[Path, dict[str, Any]]) -> None:
    out, _ = made
    found = data_directories(out)
    assert set(found) == {"data", "tokens", "pairs"}
    assert data_directories(out / "data") == {"data": out / "data"}
    for directory in found.values():
        assert "| train |" in summary_page(directory) or "train" in summary_page(directory)
        json.dumps(summarise(directory))
    assert summarise(out / "tokens")["quarantined"] == []
    assert [row["id"] for row in dropped_documents(out / "data", "short")] == ["tiny.txt"]
    assert len(list(dropped_documents(out / "data"))) == 3
    with pytest.raises(DataError, match="dropped for 'basic_filters: to shrt'") as caught:
        list(dropped_documents(out / "data", "basic_filters: to shrt"))
    assert caught.value.hint == "did you mean 'basic_filters: too short'?"
    shown = show_document(out / "data", "note11.md")
    assert "On day 11" in shown["text"]
    assert show_document(out / "data", "tiny.txt")["split"] == "dropped"
    tokens = show_document(out / "tokens", "train:1")["token_ids"]
    assert tokens == TokenShards.open(out / "tokens", "train").document(1).tolist()
    example = next(read_examples(out / "pairs", "train"))
    assert show_document(out / "pairs", example["id"])["messages"] == example["messages"]
    for directory, name, message in (
        ("data", "note1", "no document 'note1'"),
        ("tokens", "train", "no document of token shards"),
        ("tokens", "train:10000", "outside"),
        ("tokens", "tests:1", "no split 'tests'"),
    ):
        with pytest.raises(DataError, match=message):
            show_document(out / directory, name)
    with pytest.raises(DataError, match="holds no documents, tokens, instruct"):
        data_directories(out / "tokenizer")


def test_a_damaged_row_is_named(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    lines = (made[0] / "data" / "train.jsonl").read_bytes().split(b"\n")
    for bad, message in (
        (b'{"id": "x"', "not valid JSON"),
        (b"[]", "must be an object"),
        (b'{"id": 1}', "needs id and text"),
    ):
        (tmp_path / "train.jsonl").write_bytes(b"\n".join([*lines[:3], bad, *lines[3:]]))
        with pytest.raises(DataError, match=f"train.jsonl, row 4: {message}"):
            list(read_documents(tmp_path, "train"))
    with pytest.raises(DataError, match="cannot be read"):
        list(read_documents(tmp_path, "validation"))
