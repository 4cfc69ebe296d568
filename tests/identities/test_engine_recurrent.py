"""Models with a memory that cannot go back in the engine's continuous batch: any company, prompts in chunks, new weights."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from groundup.core.protocols import complete
from groundup.core.types import Request, SamplingParams, ScoreRequest
from groundup.engine import Engine, EngineConfig
from groundup.models.rnn import FeedForwardConfig, FeedForwardLM, RecurrentConfig, RecurrentLM
from tiny_engine import ByteTokenizer, greedy_by_full_forward


def network(kind: str, seed: int) -> Any:
    if kind == "feedforward":
        config: Any = FeedForwardConfig(vocab_size=257, window_tokens=4, embedding_size=8, hidden_size=24, direct=True)
        made: Any = FeedForwardLM(config)
    else:
        config = RecurrentConfig(vocab_size=257, cell=kind, hidden_size=24, num_hidden_layers=2, initializer_range=0.6)  # type: ignore[arg-type]
        made = RecurrentLM(config)
    return made.initialise(seed).eval()


@pytest.mark.row("2.3")
@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn", "feedforward"])
def test_rows_in_any_company_are_the_full_forward(kind: str) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)
    rng = random.Random(seed)
    model = network(kind, seed)
    prompts = [tuple(rng.randrange(256) for _ in range(rng.randint(1, 40))) for _ in range(9)]
    prompts += prompts[:2]  # of equal prompts one is read and copied
    counts = [rng.randint(1, 20) for _ in prompts]
    requests = [
        Request(prompt=p, params=SamplingParams(max_tokens=n, temperature=0.0)) for p, n in zip(prompts, counts)
    ]
    with Engine(model, ByteTokenizer(), config=EngineConfig(max_batch_size=3, prefill_chunk_tokens=7)) as engine:
        made = complete(engine, requests)
        assert not engine.compiled
        for prompt, count, completion in zip(prompts, counts, made, strict=True):
            assert list(completion.token_ids) == greedy_by_full_forward(model, prompt, count)
        with torch.no_grad():
            logits = model(torch.tensor([prompts[0]])).logits.log_softmax(-1)
        [scored] = engine.logprobs([ScoreRequest(context=prompts[0][:1], continuation=prompts[0][1:])])
        wanted = [float(logits[0, i, t]) for i, t in enumerate(prompts[0][1:])]
        assert scored.logprobs == pytest.approx(wanted, abs=1e-4)


@pytest.mark.row("2.3")
def test_new_weights_of_a_live_model_are_used_from_the_next_token_on() -> None:
    model = network("lstm", 1)
    request = Request(prompt=(1, 2, 3), params=SamplingParams(max_tokens=8, temperature=0.0))
    with Engine(model, ByteTokenizer()) as engine:
        complete(engine, [request])
        model.initialise(2)
        engine.sync_weights()
        [again] = complete(engine, [request])
    assert list(again.token_ids) == greedy_by_full_forward(model, (1, 2, 3), 8)
