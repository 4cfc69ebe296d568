"""The reference libraries' tokenizers, made the way ours are: for parity tests and benchmarks."""

from __future__ import annotations

import base64
import gzip
import json
import unittest.mock
from pathlib import Path
from typing import Any

from groundup.tokenizers.alphabet import to_bytes
from groundup.tokenizers.patterns import GPT2, rule_of


def tiktoken_encoding(name: str, ranks_file: Path) -> Any:
    """A tiktoken Encoding of a published name, over ranks on disk."""
    import tiktoken
    from tiktoken_ext import openai_public

    data = ranks_file.read_bytes()
    data = gzip.decompress(data) if ranks_file.suffix == ".gz" else data
    ranks = {base64.b64decode(form): int(rank) for form, rank in (line.split() for line in data.splitlines())}
    with unittest.mock.patch.object(openai_public, "load_tiktoken_bpe", return_value=ranks):
        return tiktoken.Encoding(**getattr(openai_public, name)())


def untrained(pattern: str) -> Any:
    """A Hugging Face byte-level BPE tokenizer with this pre-tokenization."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE())
    rule = rule_of(pattern)
    if rule == (GPT2,):
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                *(pre_tokenizers.Split(Regex(each), "isolated") for each in rule),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def trainer(vocab_size: int, min_frequency: int, special_tokens: tuple[str, ...]) -> Any:
    from tokenizers import pre_tokenizers, trainers

    return trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=list(special_tokens),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )


def learned(tokenizer: Any, special_tokens: tuple[str, ...]) -> tuple[list[bytes], list[tuple[int, int]]]:
    """(bytes of each id, merges as ids) of a trained Hugging Face tokenizer, in the form of our LearnedVocabulary."""
    model = json.loads(tokenizer.to_str())["model"]
    tokens = [b""] * len(model["vocab"])
    for form, i in model["vocab"].items():
        if form not in special_tokens:
            data = to_bytes(form)
            assert data is not None
            tokens[i] = data
    return tokens, [(model["vocab"][a], model["vocab"][b]) for a, b in model["merges"]]
