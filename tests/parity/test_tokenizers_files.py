"""Files of tokenizers: what we write opens in tokenizers, transformers and tiktoken with the same ids, and theirs opens here."""

from __future__ import annotations

import base64
import copy
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from groundup.core.errors import TokenizerError
from groundup.tokenizers import BPETokenizer, BPETrainConfig, load_tokenizer, read_tiktoken, write_tiktoken
from groundup.tokenizers.bpe_files import from_tokenizer_json, to_tokenizer_json
from tokenizer_peers import tiktoken_encoding, untrained
from tokenizer_texts import mixed_text

pytestmark = pytest.mark.row("3.5")
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_start|>long", "<|pad|>")


@pytest.fixture(scope="module")
def text(shared_data: Path) -> str:
    return mixed_text(shared_data, 200_000, seed=41)


@pytest.fixture(scope="module")
def trained(text: str) -> BPETokenizer:
    return BPETokenizer.train([text], BPETrainConfig(vocab_size=1500, special_tokens=SPECIAL))


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "cl100k_base", "o200k", "qwen2", "tekken", "smollm", r"\w+|\W"])
def test_our_tokenizer_json_gives_the_same_ids_in_tokenizers(pattern: str, text: str, tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Peer

    ours = BPETokenizer.train([text[:60_000]], BPETrainConfig(vocab_size=700, pattern=pattern, special_tokens=SPECIAL))
    ours.save(tmp_path)
    peer = Peer.from_file(str(tmp_path / "tokenizer.json"))
    sample = text[50_000:90_000] + "<|im_start|>long<|im_start|> end \n "
    ids = ours.encode(sample, allow_special=True)
    assert ids == peer.encode(sample).ids
    assert peer.decode(ids, skip_special_tokens=False) == sample == ours.decode(ids)
    again = load_tokenizer(tmp_path)
    assert isinstance(again, BPETokenizer) and again.vocabulary == ours.vocabulary
    assert again.encode(sample) == ours.encode(sample)


def test_our_directory_opens_in_transformers(trained: BPETokenizer, text: str, tmp_path: Path) -> None:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    trained.save(tmp_path)
    for peer in (AutoTokenizer.from_pretrained(tmp_path), PreTrainedTokenizerFast.from_pretrained(tmp_path)):
        assert peer(text)["input_ids"] == trained.encode(text)
        assert (peer.eos_token, peer.pad_token) == ("<|endoftext|>", "<|pad|>")
        assert len(peer) == trained.vocab_size
        ids = trained.encode("<|im_start|>a  b .", allow_special=True)
        assert peer.decode(ids) == "<|im_start|>a  b ."
        assert peer.decode(ids, skip_special_tokens=True) == trained.decode(ids, skip_special=True) == "a  b ."


def test_a_tokenizer_json_of_theirs_opens_here(text: str, tmp_path: Path) -> None:
    from tokenizer_peers import trainer

    for pattern in ("gpt2", "cl100k"):
        peer = untrained(pattern)
        peer.train_from_iterator([text], trainer(900, 2, ("<s>",)))
        peer.save(str(tmp_path / "tokenizer.json"))
        assert load_tokenizer(tmp_path).encode(text) == peer.encode(text).ids


@pytest.mark.parametrize("name", ["r50k_base", "cl100k_base"])
def test_tiktoken_ranks_written_as_tokenizer_json(name: str, text: str, shared_data: Path, tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Peer

    ours = BPETokenizer.load(shared_data / "tokenizers" / f"{name}.tiktoken.gz")
    ours.save(tmp_path)
    peer = Peer.from_file(str(tmp_path / "tokenizer.json"))
    assert peer.encode(text).ids == ours.encode(text) == load_tokenizer(tmp_path).encode(text)
    assert load_tokenizer(tmp_path).special_ids == ours.special_ids


def test_tiktoken_opens_the_ranks_we_write(shared_data: Path, text: str, tmp_path: Path) -> None:
    source = shared_data / "tokenizers" / "cl100k_base.tiktoken.gz"
    ours = BPETokenizer.load(source)
    for name in ("cl100k_base.tiktoken", "cl100k_base.tiktoken.gz"):
        write_tiktoken(ours.vocabulary, tmp_path / name)
        assert tiktoken_encoding("cl100k_base", tmp_path / name).encode_ordinary(text) == ours.encode(text)
        assert BPETokenizer.load(tmp_path / name).vocabulary == ours.vocabulary
    assert (tmp_path / "cl100k_base.tiktoken").read_bytes() == gzip.decompress(source.read_bytes())


def test_tiktoken_opens_the_ranks_of_a_trained_tokenizer(text: str, tmp_path: Path) -> None:
    import tiktoken

    ours = BPETokenizer.train([text], BPETrainConfig(vocab_size=1200, special_tokens=()))
    write_tiktoken(ours.vocabulary, tmp_path / "mine.tiktoken")
    lines = (tmp_path / "mine.tiktoken").read_bytes().splitlines()
    ranks = {base64.b64decode(form): int(rank) for form, rank in (line.split() for line in lines)}
    peer = tiktoken.Encoding("mine", pat_str=ours.vocabulary.rule[0], mergeable_ranks=ranks, special_tokens={})
    assert peer.encode_ordinary(text) == ours.encode(text)
    vocabulary = read_tiktoken(tmp_path / "mine.tiktoken", pattern="cl100k", special_tokens={"<|end|>": 1200})
    assert BPETokenizer(vocabulary).encode(text + "<|end|>", allow_special=True) == [*ours.encode(text), 1200]
    with pytest.raises(TokenizerError, match="no pattern is known"):
        BPETokenizer.load(tmp_path / "mine.tiktoken")


def test_gpt2_files_plain_and_gzipped(shared_data: Path, text: str, tmp_path: Path) -> None:
    for name in ("vocab.json", "merges.txt"):
        data = gzip.decompress((shared_data / "tokenizers" / f"gpt2_{name}.gz").read_bytes())
        (tmp_path / name).write_bytes(data)
    ours = load_tokenizer(tmp_path)
    assert ours.special_ids == {"<|endoftext|>": 50256} and ours.vocab_size == 50257
    ranks = BPETokenizer.load(shared_data / "tokenizers" / "r50k_base.tiktoken.gz")
    assert ours.encode(text) == ranks.encode(text)


def test_merges_as_strings_and_as_pairs_are_the_same(trained: BPETokenizer) -> None:
    raw = to_tokenizer_json(trained.vocabulary)
    old = copy.deepcopy(raw)
    old["model"]["merges"] = [" ".join(pair) for pair in raw["model"]["merges"]]
    assert from_tokenizer_json(old, "old") == from_tokenizer_json(raw, "new") == trained.vocabulary


def test_nfc_is_applied_before_encoding(trained: BPETokenizer) -> None:
    from tokenizers import Tokenizer as Peer

    raw = to_tokenizer_json(trained.vocabulary)
    raw["normalizer"] = {"type": "NFC"}
    ours = BPETokenizer(from_tokenizer_json(raw, "nfc"))
    decomposed = "cafe\u0301 e\u0301"
    assert (
        ours.encode(decomposed)
        == trained.encode("caf\u00e9 \u00e9")
        == Peer.from_str(json.dumps(raw)).encode(decomposed).ids
    )
    assert ours.decode(ours.encode(decomposed)) == "caf\u00e9 \u00e9"


def test_the_post_processor_is_kept_but_not_applied(trained: BPETokenizer, tmp_path: Path) -> None:
    raw = to_tokenizer_json(trained.vocabulary)
    raw["post_processor"] = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    ours = BPETokenizer(from_tokenizer_json(raw, "post"))
    ours.save(tmp_path)
    assert json.loads((tmp_path / "tokenizer.json").read_text())["post_processor"] == raw["post_processor"]
    assert ours.encode("a b") == trained.encode("a b")


def _set(path: str, value: Any) -> Any:
    def change(raw: dict[str, Any]) -> None:
        *parents, last = path.split(".")
        for key in parents:
            raw = raw[int(key)] if isinstance(raw, list) else raw[key]
        raw[last] = value

    return change


_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("model.type", "Unigram"), "'Unigram'"),
        (_set("model.type", "WordPiece"), "'WordPiece'"),
        (_set("model.byte_fallback", True), "byte_fallback"),
        (_set("model.dropout", 0.1), "dropout"),
        (_set("model.continuing_subword_prefix", "##"), "continuing_subword_prefix"),
        (_set("normalizer", {"type": "Lowercase"}), "'Lowercase'"),
        (_set("normalizer", {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Replace"}]}), "'Replace'"),
        (_set("pre_tokenizer", {"type": "Metaspace"}), "'Metaspace'"),
        (_set("pre_tokenizer", None), "no pre_tokenizer"),
        (_set("pre_tokenizer", {**_BYTE_LEVEL, "add_prefix_space": True}), "add_prefix_space"),
        (_set("pre_tokenizer", {"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, _BYTE_LEVEL]}), "'Whitespace'"),
        (
            _set(
                "pre_tokenizer",
                {
                    "type": "Sequence",
                    "pretokenizers": [
                        {"type": "Split", "pattern": {"Regex": "a"}, "behavior": "Removed", "invert": False},
                        _BYTE_LEVEL,
                    ],
                },
            ),
            "'Removed'",
        ),
        (_set("decoder", {"type": "BPEDecoder"}), "'BPEDecoder'"),
        (_set("decoder", None), "decoder None"),
        (_set("added_tokens.0.lstrip", True), "lstrip"),
        (_set("added_tokens.0.id", -1), "content and id"),
        (_set("added_tokens.0.id", 300), "added token"),
        (_set("model.vocab", []), "vocabulary is missing"),
        (_set("model.vocab.a", 5), "not a fresh number"),
        (_set("model.vocab.a", "7"), "not a fresh number"),
        (_set("model.merges", None), "'merges' is missing"),
        (_set("model.merges", [["a"]]), "not two tokens"),
        (_set("model.merges", ["a b c"]), "not two tokens"),
        (_set("model.merges", [["\u0100", "\u0100"]]), "not in the vocabulary"),
        (_set("model.merges", [["<|endoftext|>", "a"]]), "never merged"),
        (_set("model.vocab.\u6f22", 1499), "not a fresh number"),
        (_set("model.vocab.\u6f22", 1500), "byte alphabet"),
        (_set("model.vocab.aaaaaaaa", 9_000_000), "ids go up to"),
        (_set("model", None), "'model' is missing"),
    ],
)  # fmt: skip
def test_what_is_not_supported_is_refused_by_name(trained: BPETokenizer, change: Any, message: str) -> None:
    raw = to_tokenizer_json(trained.vocabulary)
    change(raw)
    with pytest.raises(TokenizerError, match=message) as caught:
        from_tokenizer_json(raw, "some/tokenizer.json")
    assert "some/tokenizer.json" in str(caught.value)


def test_other_kinds_of_tokenizer_are_refused_by_name(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "tokenizers"
    for name, message in [
        ("llama2-tokenizer.model", "SentencePiece"),
        ("t5-small-tokenizer.json.gz", "'Unigram'"),
        ("bert-base-uncased-tokenizer.json.gz", "'WordPiece'"),
    ]:
        with pytest.raises(TokenizerError, match=message):
            load_tokenizer(folder / name)
    with pytest.raises(TokenizerError, match=r"has no tokenizer\.json"):
        load_tokenizer(tmp_path)
    with pytest.raises(TokenizerError, match="cannot read"):
        load_tokenizer(tmp_path / "nothing.json")


def test_a_byte_that_no_token_spells_is_an_error_when_it_comes(trained: BPETokenizer) -> None:
    raw = to_tokenizer_json(trained.vocabulary)
    del raw["model"]["vocab"]["\u00c3"]  # byte 0xC3, which begins e acute
    raw["model"]["merges"] = [pair for pair in raw["model"]["merges"] if "\u00c3" not in "".join(pair)]
    ours = BPETokenizer(from_tokenizer_json(raw, "holes"))
    assert ours.decode(ours.encode("plain text")) == "plain text"
    with pytest.raises(TokenizerError, match="byte 0xc3"):
        ours.encode("plain \u00e9")
