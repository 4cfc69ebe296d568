"""The small parts: special tokens, decoding, streams, characters, measures, lazy imports."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from groundup.core.errors import DataError, TokenizerError
from groundup.core.protocols import Tokenizer
from groundup.tokenizers import (
    BPETokenizer,
    BPETrainConfig,
    BPEVocabulary,
    CharTokenizer,
    StreamDecoder,
    compare,
    describe,
    load_tokenizer,
    measure,
)
from groundup.tokenizers.patterns import NAMED
from tokenizer_texts import random_text


def _bytes_only(special: dict[str, int] | None = None) -> BPETokenizer:
    """256 bytes, no merges: ids are bytes."""
    tokens = [bytes([byte]) for byte in range(256)]
    return BPETokenizer(BPEVocabulary(tokens=tokens, merges=[], rule=NAMED["cl100k"], added=special or {}))


@pytest.mark.row("3.5")
def test_special_tokens_are_text_unless_allowed_and_the_longest_wins() -> None:
    tokenizer = _bytes_only({"<|a|>": 300, "<|a|>b": 301, "<|": 302})
    text = "x<|a|>b<|a|>c<|d"
    assert tokenizer.encode(text) == list(text.encode())
    assert tokenizer.encode(text, allow_special=True) == [120, 301, 300, 99, 302, 100]
    assert tokenizer.decode(tokenizer.encode(text, allow_special=True)) == text
    assert tokenizer.decode([120, 301, 99], skip_special=True) == "xc"
    assert tokenizer.special_ids == {"<|a|>": 300, "<|a|>b": 301, "<|": 302}
    assert tokenizer.vocab_size == 303
    assert tokenizer.token_bytes(301) == b"<|a|>b" and tokenizer.token_bytes(260) == b""


@pytest.mark.row("3.5")
@pytest.mark.parametrize("bad", [-1, 256, 10**9])
def test_an_id_outside_the_vocabulary_is_named(bad: int) -> None:
    with pytest.raises(TokenizerError, match=f"{bad} is not in 0 .. 255"):
        _bytes_only().decode([65, bad])


@pytest.mark.row("3.5")
def test_bytes_that_are_not_utf8_decode_to_the_replacement_character() -> None:
    assert _bytes_only().decode([0xE6, 0xBC, 65]) == b"\xe6\xbcA".decode("utf-8", "replace")


@pytest.mark.row("3.1")
def test_a_lone_surrogate_becomes_the_replacement_character() -> None:
    tokenizer = _bytes_only()
    assert tokenizer.decode(tokenizer.encode("a\ud800b")) == "a\ufffdb"
    assert tokenizer.decode(tokenizer.encode("\ud83d\ude00")) == "\U0001f600"


@pytest.mark.row("3.2")
def test_stream_never_gives_half_a_character() -> None:
    tokenizer = _bytes_only({"<|end|>": 256})
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(300):
        ids = tokenizer.encode(random_text(rng, 20))
        for _ in range(rng.randrange(3)):
            ids.insert(rng.randrange(len(ids) + 1), rng.randrange(256))  # damage some characters
        ids.append(256)
        stream = StreamDecoder(tokenizer, skip=[256])
        at = 0
        pieces = []
        while at < len(ids):
            step = rng.randrange(1, 4)
            pieces.append(stream.push(ids[at : at + step]))
            at += step
        pieces.append(stream.finish())
        assert "".join(pieces) == tokenizer.decode(ids, skip_special=True)
    stream = StreamDecoder(tokenizer)
    assert [stream.push([byte]) for byte in "\U0001f600".encode()] == ["", "", "", "\U0001f600"]
    assert stream.push([0xF0]) == "" and stream.finish() == "\ufffd" and stream.finish() == ""


@pytest.mark.row("3.1")
def test_characters(tmp_path: Path) -> None:
    tokenizer = CharTokenizer.train(["hello", "w\u00f6rld\n"], special_tokens=["<e>"])
    assert isinstance(tokenizer, Tokenizer)
    assert tokenizer.vocab_size == 1 + len(set("hellow\u00f6rld\n"))
    ids = tokenizer.encode("w\u00f6\n")
    assert tokenizer.decode(ids) == "w\u00f6\n"
    assert tokenizer.encode("h<e>h", allow_special=True)[1] == 0
    assert tokenizer.decode([0, *ids], skip_special=True) == "w\u00f6\n"
    assert tokenizer.token_bytes(ids[1]) == "\u00f6".encode()
    tokenizer.save(tmp_path)
    again = load_tokenizer(tmp_path)
    assert isinstance(again, CharTokenizer) and again.encode("hello") == tokenizer.encode("hello")
    with pytest.raises(TokenizerError, match=r"'z' \(U\+007A, at 2\)"):
        tokenizer.encode("hez")
    with pytest.raises(TokenizerError, match="'<'"):
        tokenizer.encode("<e>")
    with pytest.raises(TokenizerError, match="99 is not in"):
        tokenizer.decode([99])
    with pytest.raises(DataError):
        CharTokenizer.train([""])


@pytest.mark.row("3.1")
@pytest.mark.parametrize(
    "content",
    [
        '{"type": "other"}',
        "{",
        "[]",
        '{"type": "characters", "characters": ["ab"], "special_tokens": []}',
        '{"type": "characters", "characters": "ab", "special_tokens": []}',
        '{"type": "characters", "characters": ["a", "a"], "special_tokens": []}',
    ],
)
def test_a_damaged_character_file_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / "char_tokenizer.json").write_text(content)
    with pytest.raises(TokenizerError):
        load_tokenizer(tmp_path)


@pytest.mark.row("3.2")
def test_describe_and_measure() -> None:
    tokenizer = BPETokenizer.train(["the cat the cat " * 50], BPETrainConfig(vocab_size=262))
    text = "the cat \u00e9<|endoftext|>"
    spans = describe(tokenizer, text, allow_special=True)
    assert spans[-1].special and spans[-1].text == "<|endoftext|>"
    assert [span.start_byte for span in spans[1:]] == [span.end_byte for span in spans[:-1]]
    assert spans[-1].end_byte == len(text.encode())
    measured = measure(tokenizer, "the cat")
    assert (measured.num_bytes, measured.num_words, measured.num_tokens) == (7, 2, len(tokenizer.encode("the cat")))
    assert measured.bytes_per_token == 7 / measured.num_tokens
    both = compare({"trained": tokenizer, "bytes": _bytes_only()}, "the cat")
    assert both["bytes"].bytes_per_token == 1 < both["trained"].bytes_per_token
    assert measure(tokenizer, "").bytes_per_token == 0


@pytest.mark.row("3.2")
def test_importing_and_decoding_does_not_import_numba() -> None:
    code = (
        "import sys; import groundup.tokenizers as t; v = t.BPEVocabulary(tokens=[b'a'], merges=[], rule=('gpt2',));"
        "assert t.BPETokenizer(v).decode([0]) == 'a'; assert 'numba' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.row("3.2")
def test_everything_exported_exists() -> None:
    import groundup.tokenizers as package

    assert {name: getattr(package, name) for name in package.__all__}
    with pytest.raises(AttributeError):
        _ = package.nothing  # type: ignore[attr-defined]
