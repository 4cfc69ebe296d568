"""Fill-in-the-middle: both orders give the document back, cuts are uniform, and a model learns to use the suffix."""

from __future__ import annotations

import ast
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundup.core.errors import ConfigError, DataError
from groundup.data.code_holes import holes
from groundup.nn.protocols import IGNORE
from groundup.objectives.infill import (
    END_OF_TEXT,
    FIM_TOKENS,
    FillTokens,
    Infill,
    InfillConfig,
    InfillSource,
    encode_document,
    fill_prompt,
    pieces,
)
from groundup.tokenizers import BPETokenizer, BPETrainConfig

pytestmark = pytest.mark.row("9.3")

SEED = int(os.environ.get("GROUNDUP_TEST_SEED") or random.SystemRandom().randrange(2**32))
SOURCE = Path(os.__file__).read_text()


@pytest.fixture(scope="module")
def tokenizer() -> BPETokenizer:
    config = BPETrainConfig(vocab_size=600, special_tokens=(END_OF_TEXT, *FIM_TOKENS), num_threads=1)
    return BPETokenizer.train([SOURCE, "naïve größe 日本語 😀"], config)


def parts_of(ids: list[int], tokenizer: BPETokenizer, tokens: FillTokens) -> tuple[str, str, str, str]:
    """(order, prefix, middle with the end mark's place known, suffix), read back as the paper writes the two orders."""
    assert ids[-1] == tokens.end
    body = ids[:-1]
    if tokens.prefix not in body:
        return "plain", tokenizer.decode(body), "", ""
    assert body[0] == tokens.prefix and body.count(tokens.suffix) == body.count(tokens.middle) == 1
    s, m = body.index(tokens.suffix), body.index(tokens.middle)
    assert s < m
    if s == 1:  # suffix first; prefix and middle have no border
        return "spm", tokenizer.decode(body[m + 1 :]), "", tokenizer.decode(body[s + 1 : m])
    return "psm", tokenizer.decode(body[1:s]), tokenizer.decode(body[m + 1 :]), tokenizer.decode(body[s + 1 : m])


def test_every_order_gives_the_document_back(tokenizer: BPETokenizer) -> None:
    print(f"GROUNDUP_TEST_SEED={SEED}")
    draw, tokens = random.Random(SEED), FillTokens.of(tokenizer)
    config = InfillConfig(rate=0.6, spm_rate=0.3)
    seen: Counter[str] = Counter()
    lengths = []
    for number in range(1500):
        start = draw.randrange(len(SOURCE) - 60)
        text = SOURCE[start : start + draw.randrange(1, 60)] + draw.choice(["", "é日", "😀"])
        example = encode_document(text, tokenizer, tokens, np.random.default_rng([SEED, number]), config)
        order, prefix, middle, suffix = parts_of(example.input_ids.tolist(), tokenizer, tokens)
        assert prefix + middle + suffix == text and example.mask.all()
        seen[order] += 1
        if order == "psm":
            lengths.append((len(prefix) / len(text), len(middle) / len(text)))
    # Binomial: 5 standard deviations are 0.065 of 1,500 at most.
    assert abs(seen["plain"] / 1500 - 0.4) < 0.065 and abs(seen["spm"] / 1500 - 0.18) < 0.065
    # Two uniform cuts leave three parts of a third each on average.
    assert all(abs(mean - 1 / 3) < 0.06 for mean in np.mean(lengths, axis=0))


def test_prompt_and_example_agree(tokenizer: BPETokenizer) -> None:
    tokens = FillTokens.of(tokenizer)
    for spm in (False, True):
        config = InfillConfig(rate=1.0, spm_rate=float(spm), learn="middle")
        text = "def f(x):\n    return x + 1\n"
        example = encode_document(text, tokenizer, tokens, np.random.default_rng(3), config)
        n = int((~example.mask).sum())
        assert not example.mask[:n].any() and example.mask[n:].all()
        middle = tokenizer.decode(example.input_ids[n:-1].tolist())
        cut = np.random.default_rng(3)
        _ = cut.random(), cut.random()
        first, second = sorted(cut.integers(0, len(text) + 1, size=2).tolist())
        assert middle == text[first:second]
        assert example.input_ids[:n].tolist() == fill_prompt(text[:first], text[second:], tokenizer, tokens, spm=spm)


def test_written_tokens_in_a_text_are_text(tokenizer: BPETokenizer) -> None:
    tokens = FillTokens.of(tokenizer)
    text = 'SUFFIX = "<|fim_suffix|>"'
    example = encode_document(text, tokenizer, tokens, np.random.default_rng(1), InfillConfig(rate=1.0, spm_rate=0.0))
    assert example.input_ids.tolist().count(tokens.suffix) == 1


def test_pieces_are_the_text(tokenizer: BPETokenizer) -> None:
    text = SOURCE[:6000] + "é日本😀" * 50
    for size in (40, 200, 100_000):
        made = list(pieces(text, tokenizer, size))
        assert "".join(made) == text
        # Cut at other places, a piece may have a token or two more than its share.
        assert all(len(tokenizer.encode(part)) <= size + 3 for part in made)
        assert size == 100_000 or sum(part.endswith("\n") for part in made[:-1]) > len(made) / 3
    assert list(pieces("  \n", tokenizer, 10)) == []


def test_rows_and_source(tokenizer: BPETokenizer) -> None:
    tokens = FillTokens.of(tokenizer)
    config = InfillConfig(context_tokens=64, learn="middle", rate=1.0)
    texts = list(pieces(SOURCE[:8000], tokenizer, 20))
    source = InfillSource(texts, tokenizer, tokens, config, seed=5)
    again = InfillSource(texts, tokenizer, tokens, config, seed=5)
    for step in (3, 0, 9):
        one, other = source.take(step, 4), again.take(step, 4)
        assert all(np.array_equal(a.input_ids, b.input_ids) for a, b in zip(one, other, strict=True))
    epochs = [[source.example(e * len(texts) + i).input_ids.tobytes() for i in range(len(texts))] for e in (0, 1)]
    assert len(set(epochs[0]) & set(epochs[1])) < len(texts) / 2  # other cuts each time
    batch = Infill(config).collate(source.take(0, 12))
    assert batch.input_ids.shape[1] <= 64 and batch.input_ids.shape[0] < 12 and batch.documents is not None
    assert 0 < batch.weight == int((batch.targets != IGNORE).sum()) < batch.input_ids.numel()
    with pytest.raises(DataError, match="no text"):
        InfillSource([], tokenizer, tokens, config, seed=0)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        InfillConfig(rate=1.5)
    plain = BPETokenizer.train(["a b c"], BPETrainConfig(vocab_size=260, special_tokens=(END_OF_TEXT,), num_threads=1))
    with pytest.raises(ConfigError, match="fim_prefix"):
        FillTokens.of(plain)


def test_holes_are_bodies_of_functions() -> None:
    found = list(holes(SOURCE))
    assert len(found) > 15
    for hole in found:
        assert hole.prefix + hole.middle + hole.suffix in SOURCE
        assert hole.parses(hole.middle) and not hole.parses("") and not hole.parses("    return (\n")
        before = hole.prefix[hole.prefix.rfind(f"def {hole.name}") :]
        assert "def " in before and ast.parse(
            before.split("\n")[0].rstrip() + " pass" if before.split("\n")[0].rstrip().endswith(":") else "0"
        )
    assert not list(holes("def f(:")) and not list(holes("x = 1"))


def test_a_model_uses_what_stands_behind(tmp_path: Path) -> None:
    """The middle copies a digit that only the suffix holds: learned, it is certain; from the prefix alone it is a guess."""
    import torch

    from groundup.models.decoder import Decoder
    from groundup.objectives.sft import ChatExample
    from groundup.tokenizers import CharTokenizer
    from groundup.train.optim import build_optimizer
    from groundup.train.optim.build import AdamWConfig
    from tiny import tiny_config

    torch.manual_seed(0)
    tokenizer = CharTokenizer.train(["0123456789=;"], special_tokens=(END_OF_TEXT, *FIM_TOKENS))
    tokens = FillTokens.of(tokenizer)
    model = Decoder(tiny_config(vocab_size=tokenizer.vocab_size, hidden_size=32)).initialise(0)
    objective = Infill(InfillConfig(context_tokens=64))
    (optimizer,) = build_optimizer(AdamWConfig(lr=0.01), model)
    rng = np.random.default_rng(0)

    def example(suffix: bool) -> Any:
        digit = str(rng.integers(0, 10))
        prompt = fill_prompt("=", ";" + digit, tokenizer, tokens) if suffix else tokenizer.encode("=")
        ids = [*prompt, *tokenizer.encode(digit), tokens.end]
        mask = np.zeros(len(ids), bool)
        mask[len(prompt)] = True
        return ChatExample(np.asarray(ids), mask)

    for _ in range(120):
        loss = objective.loss(model, objective.collate([example(bool(i % 2)) for i in range(16)])).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        known, guessed = (
            objective.loss(model, objective.collate([example(s) for _ in range(64)])).loss.item() for s in (True, False)
        )
    assert known < 0.3 and guessed > 2.0
