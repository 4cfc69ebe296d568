"""Bits per byte through the engine are those of the model's own forward pass."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import pytest
import torch

from groundup.core.types import ScoreRequest
from groundup.engine import Engine, EngineConfig
from groundup.evals.text import text_score
from groundup.models.decoder import Decoder
from groundup.tokenizers.char import CharTokenizer
from tiny import tiny_config

pytestmark = pytest.mark.row("11.1")
LETTERS = "abc defghi\nklmé日🙂"


@pytest.fixture(scope="module", params=[True, False], ids=["beginning", "no beginning"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    tokenizer = CharTokenizer(LETTERS, special_tokens=("<s>",))
    torch.manual_seed(3)
    model = Decoder(tiny_config(vocab_size=tokenizer.vocab_size)).initialise(3)
    with torch.no_grad():  # away from the near-uniform start, so that every mistake shows
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    with Engine(model, tokenizer, config=EngineConfig(), bos_id=0 if request.param else None) as made:
        yield made


def direct(engine: Engine, text: str) -> float:
    """Nats of a text that fits, from logits; without a beginning token, after one line end (or space)."""
    tokenizer = engine.tokenizer
    before = [0] if engine.bos_id is not None else tokenizer.encode("\n" if "\n" in text else " ")
    ids = torch.tensor([before + tokenizer.encode(text)])
    with torch.no_grad():
        output = engine._model(ids[:, :-1])
        logprobs = output.head(output.hidden).float().log_softmax(-1)
    return -float(logprobs.gather(-1, ids[:, 1:, None]).sum())


def test_a_text_that_fits_has_the_nats_of_one_forward_pass(engine: Engine) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    for length in (1, 2, 17, 60):
        text = " " + "".join(rng.choice(LETTERS) for _ in range(length - 1))
        score = text_score(engine, text)
        assert score["nats"] == pytest.approx(direct(engine, text), rel=1e-4)
        assert score["tokens"] == length and score["unit"] == "character"
        assert score["bytes"] == len(text.encode())
        assert score["bits_per_byte"] == pytest.approx(score["nats"] / math.log(2) / len(text.encode()))


def test_a_longer_text_counts_every_token_once_with_context(engine: Engine) -> None:
    rng = random.Random(8)
    text = "\n" + "".join(rng.choice(LETTERS) for _ in range(700))
    score = text_score(engine, text)
    assert score["tokens"] == 701
    beginning = "" if engine.bos_id is not None else "\n"
    (whole,) = engine.logprobs([ScoreRequest(context=beginning, continuation=text)])
    assert score["nats"] == pytest.approx(-whole.total, rel=1e-6)
