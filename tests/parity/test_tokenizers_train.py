"""BPE training: merges and ids equal to Hugging Face `tokenizers` and to the plain-Python reference."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from groundup.core.errors import DataError, TokenizerError
from groundup.tokenizers import BPETokenizer, BPETrainConfig, Progress, reference
from groundup.tokenizers.bpe_train import learn, learn_from_counts
from groundup.tokenizers.patterns import rule_of, split_text
from groundup.tokenizers.piece_counts import count_texts
from groundup.tokenizers.splitter import Splitter
from tokenizer_peers import learned, trainer, untrained
from tokenizer_texts import HOSTILE, mixed_text, random_text

pytestmark = pytest.mark.row("3.2")
SPECIAL = ("<|endoftext|>", "<|im_start|>")


def assert_equals_tokenizers(texts: list[str], config: BPETrainConfig) -> None:
    ours = learn(texts, config)
    peer = untrained(config.pattern)
    peer.train_from_iterator(texts, trainer(config.vocab_size, config.min_frequency, config.special_tokens))
    tokens, merges = learned(peer, config.special_tokens)
    assert ours.merges == merges
    assert ours.tokens == tokens


@pytest.mark.parametrize("pattern", ["gpt2", "cl100k", "o200k", "qwen2", "smollm", r"\w+|[^\w\s]+|\s+"])
def test_merges_equal_tokenizers_on_mixed_real_text(pattern: str, shared_data: Path) -> None:
    text = mixed_text(shared_data, 400_000, seed=11)
    texts = [text[i : i + 9_973] for i in range(0, len(text), 9_973)]
    assert_equals_tokenizers(texts, BPETrainConfig(vocab_size=3000, pattern=pattern, special_tokens=SPECIAL))


def test_merges_equal_tokenizers_down_to_the_rarest_pairs(shared_data: Path) -> None:
    """Ties are broken alike: with no least frequency, tens of thousands of pairs have the same count."""
    text = mixed_text(shared_data, 150_000, seed=12)
    assert_equals_tokenizers([text], BPETrainConfig(vocab_size=25_000, min_frequency=0, special_tokens=()))


def test_merges_equal_tokenizers_and_reference_on_random_words() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(120):
        letters = rng.choice(["a", "ab", "abc", "abcdefgh"])
        longest = rng.choice([4, 12, 60])
        words = [
            "".join(rng.choice(letters) for _ in range(rng.randrange(1, longest))) for _ in range(rng.randrange(1, 200))
        ]
        text = " ".join(words)
        config = BPETrainConfig(vocab_size=257 + rng.randrange(150), pattern="gpt2", min_frequency=rng.randrange(4))
        counts = count_texts([text], Splitter(rule_of("gpt2")), num_threads=1)
        ours = learn_from_counts(counts, config, config.special_tokens)
        assert ours == reference.train(
            dict(counts.items()),
            vocab_size=config.vocab_size,
            special_tokens=config.special_tokens,
            min_frequency=config.min_frequency,
        )
        assert_equals_tokenizers([text], config)


def test_merges_equal_tokenizers_on_hostile_text() -> None:
    texts = [text[:3000] for text in HOSTILE.values()]
    assert_equals_tokenizers(texts, BPETrainConfig(vocab_size=800, min_frequency=0))


def test_counts_equal_a_dictionary_on_any_number_of_threads() -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    texts = [random_text(rng, 4000) for _ in range(60)] + ["word number " * 300_000]
    expected: dict[bytes, int] = {}
    for text in texts:
        for piece in split_text(rule_of("cl100k"), text):
            expected[piece.encode()] = expected.get(piece.encode(), 0) + 1
    for threads in (1, 2, 3):
        counts = count_texts(iter(texts), Splitter(rule_of("cl100k")), num_threads=threads)
        assert dict(counts.items()) == expected


def test_counts_of_many_distinct_pieces_survive_growth() -> None:
    words = [f" {i:x}" for i in range(150_000)]
    rule = (r" [0-9a-f]+",)
    counts = count_texts(["".join(words), "".join(words[::2])], Splitter(rule))
    expected = {word.encode(): 1 + (i % 2 == 0) for i, word in enumerate(words)}
    assert dict(counts.items()) == expected


def test_a_file_counts_like_its_text(tmp_path: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("groundup.tokenizers.piece_counts._FILE_BYTES", 1000)
    text = mixed_text(shared_data, 100_000, seed=3)
    path = tmp_path / "text.txt"
    path.write_bytes(text.encode("utf-8"))
    splitter = Splitter(rule_of("cl100k"))
    assert dict(count_texts([path], splitter).items()) == dict(count_texts([text], splitter).items())
    with pytest.raises(DataError, match=r"missing\.txt"):
        count_texts([tmp_path / "missing.txt"], splitter)


def test_special_tokens_come_first_and_are_never_spelled_by_a_merge() -> None:
    texts = ["special special special <|endoftext|>"] * 10
    tokenizer = BPETokenizer.train(
        texts, BPETrainConfig(vocab_size=300, pattern=r"\S+|\s+", special_tokens=("<|endoftext|>", "special"))
    )
    assert tokenizer.special_ids == {"<|endoftext|>": 0, "special": 1}
    assert 0 not in tokenizer.encode(texts[0]) and 1 not in tokenizer.encode(texts[0])
    assert tokenizer.encode("<|endoftext|>special", allow_special=True) == [0, 1]
    assert tokenizer.decode(tokenizer.encode(texts[0])) == texts[0]


def test_progress_counts_bytes_then_merges() -> None:
    seen: list[Progress] = []
    BPETokenizer.train(["some words and more words " * 200], BPETrainConfig(vocab_size=270), seen.append)
    assert [p.done for p in seen if p.phase == "count"][-1] == 26 * 200
    merged = [p for p in seen if p.phase == "merge"]
    assert merged[-1].done == merged[-1].total == 270


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (BPETrainConfig(vocab_size=256), "at least 257"),
        (BPETrainConfig(special_tokens=("a",)), "'a' is a single character"),
        (BPETrainConfig(special_tokens=("",)), "empty string"),
        (BPETrainConfig(pattern="(["), "valid regular expression"),
    ],
)
def test_a_config_that_cannot_be_met_is_refused(config: BPETrainConfig, message: str) -> None:
    with pytest.raises(TokenizerError, match=message):
        learn(["text"], config)


def test_no_text_is_an_error() -> None:
    with pytest.raises(DataError, match="no text"):
        learn([], BPETrainConfig())


def test_work_per_merge_is_the_number_of_its_positions() -> None:
    """A word of 60,000 symbols is trained on by visiting positions, not by walking the word: counted by what was noted."""
    from groundup.tokenizers.merge_state import MergeState

    rng = random.Random(1)
    used = []
    for size in (30_000, 60_000):
        text = "".join(rng.choice("abcdefghij") for _ in range(size))
        counts = count_texts([text], Splitter(rule_of("gpt2")))
        assert counts.num_words == 1
        tokens = [bytes([byte]) for byte in range(256)]
        state = MergeState(counts, tokens, np.arange(256), 0, 2000)
        while state.advance(1000, 2):
            pass
        used.append(int(state._state[3]))
    assert used[0] <= 3 * 30_000 and used[1] <= 3 * 60_000
