"""A request gives the same tokens alone and in any company, and the same as the whole text through the model."""

from __future__ import annotations

import random
import threading

import pytest
import torch
from torch import nn

from groundup.core.protocols import complete
from groundup.core.types import Completion, Request, SamplingParams, ScoreRequest
from groundup.engine import Engine, EngineConfig
from groundup.models.decoder import Decoder
from groundup.nn.state import Replay
from tiny_engine import EOS, ByteTokenizer, greedy_by_full_forward, tiny_decoder


class RunningMean(nn.Module):
    """A learner's causal mixer without any memory of its own."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.out = nn.Linear(hidden_size, hidden_size)

    def forward(self, x, state=None):  # type: ignore[no-untyped-def]
        count = torch.arange(1, x.shape[1] + 1)[:, None]
        return self.out(x.cumsum(dim=1) / count), state


def with_replay(seed: int) -> Decoder:
    model = tiny_decoder(seed=seed)
    torch.manual_seed(seed)
    model.blocks[0].mixer = Replay(RunningMean(32), 32)
    return model.eval()


def windowed(seed: int) -> Decoder:
    return tiny_decoder(seed=seed, sliding_window=5)


def request_of(rng: random.Random, *, greedy: bool) -> Request:
    prompt = tuple(rng.randrange(256) for _ in range(rng.randint(1, 40)))
    params = SamplingParams(
        max_tokens=rng.randint(1, 24),
        temperature=0.0 if greedy else rng.choice([0.7, 1.0, 1.3]),
        top_k=rng.choice([0, 5]),
        top_p=rng.choice([1.0, 0.9]),
        min_p=rng.choice([0.0, 0.05]),
        repetition_penalty=rng.choice([1.0, 1.2]),
        seed=rng.randrange(2**40),
    )
    return Request(prompt=prompt, params=params)


@pytest.mark.row("14.1")
@pytest.mark.parametrize(
    "make", [lambda s: tiny_decoder(seed=s), with_replay, windowed], ids=["plain", "replay", "window"]
)
def test_greedy_through_the_engine_is_the_full_forward(make) -> None:  # type: ignore[no-untyped-def]
    rng = random.Random(11)
    model = make(3)
    with Engine(model, ByteTokenizer(), config=EngineConfig(max_batch_size=3, prefill_chunk_tokens=7)) as engine:
        prompts = [tuple(rng.randrange(256) for _ in range(rng.randint(1, 40))) for _ in range(8)]
        requests = [
            Request(prompt=p, params=SamplingParams(max_tokens=15, temperature=0.0, ignore_eos=True)) for p in prompts
        ]
        for prompt, completion in zip(prompts, complete(engine, requests)):
            assert list(completion.token_ids) == greedy_by_full_forward(model, prompt, 15)
            assert completion.usage.prompt_tokens == len(prompt)


@pytest.mark.row("14.1")
@pytest.mark.parametrize("make", [lambda s: tiny_decoder(seed=s), with_replay], ids=["plain", "replay"])
def test_alone_equals_many_from_many_threads(make) -> None:  # type: ignore[no-untyped-def]
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)
    rng = random.Random(seed)
    requests = [request_of(rng, greedy=i % 3 == 0) for i in range(36)]
    model = make(5)
    with Engine(model, ByteTokenizer(), eos_ids=[EOS], config=EngineConfig(max_batch_size=1)) as alone:
        expected = [complete(alone, [r])[0] for r in requests]
    got: dict[int, Completion] = {}
    config = EngineConfig(max_batch_size=5, prefill_chunk_tokens=16)
    with Engine(model, ByteTokenizer(), eos_ids=[EOS], config=config) as engine:

        def caller(numbers: list[int]) -> None:
            for first in range(0, len(numbers), 3):
                some = numbers[first : first + 3]
                for number, completion in zip(some, complete(engine, [requests[n] for n in some])):
                    got[number] = completion

        numbers = list(range(len(requests)))
        rng.shuffle(numbers)
        threads = [threading.Thread(target=caller, args=(numbers[i::6],)) for i in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert engine.stats.running == engine.stats.waiting == 0
    for number, completion in enumerate(expected):
        assert got[number].token_ids == completion.token_ids, f"request {number}"
        assert got[number].text == completion.text


@pytest.mark.row("14.1")
def test_scorer_is_the_full_forward_and_agrees_with_generated_logprobs() -> None:
    rng = random.Random(2)
    model = tiny_decoder(seed=2)
    with Engine(model, ByteTokenizer()) as engine:
        texts = [tuple(rng.randrange(256) for _ in range(rng.randint(2, 100))) for _ in range(9)]
        cuts = [rng.randint(1, len(t) - 1) for t in texts]
        found = engine.logprobs([ScoreRequest(context=t[:c], continuation=t[c:]) for t, c in zip(texts, cuts)])
        for text, cut, result in zip(texts, cuts, found):
            with torch.no_grad():
                logits = model(torch.tensor([text])).logits[0].float()
            full = logits.log_softmax(-1)[:-1].gather(1, torch.tensor(text)[1:, None])[cut - 1 :, 0]
            torch.testing.assert_close(torch.tensor(result.logprobs), full, atol=2e-5, rtol=1e-5)
            assert list(result.greedy) == (logits.argmax(-1)[:-1] == torch.tensor(text)[1:])[cut - 1 :].tolist()
            assert result.token_ids == text[cut:]
        params = SamplingParams(max_tokens=12, logprobs=3, seed=4, temperature=0.5, top_k=4, ignore_eos=True)
        made = complete(engine, [Request(prompt=texts[0], params=params)])[0]
        scored = engine.logprobs([ScoreRequest(context=texts[0], continuation=made.token_ids)])[0]
        torch.testing.assert_close(
            torch.tensor([t.logprob for t in made.logprobs]), torch.tensor(scored.logprobs), atol=2e-5, rtol=1e-5
        )
        for entry in made.logprobs:
            assert len(entry.top) == 3
            assert entry.top[0][2] >= entry.top[1][2] >= entry.top[2][2] and entry.top[0][2] >= entry.logprob - 1e-6


@pytest.mark.row("14.1")
@pytest.mark.parametrize("stride", [None, 1, 7, 16])
def test_long_texts_are_scored_in_windows_each_token_once(stride: int | None) -> None:
    rng = random.Random(9)
    context = 16
    model = tiny_decoder(seed=8, context=context)
    text = tuple(rng.randrange(256) for _ in range(75))
    with Engine(model, ByteTokenizer(), bos_id=EOS) as engine:
        result = engine.logprobs([ScoreRequest(continuation=text)], stride_tokens=stride)[0]
    assert result.token_ids == text and len(result.logprobs) == len(text)
    whole = (EOS, *text)
    step = stride or context // 2
    # Written out: the first window is full; each later one moves on by the stride and scores only what is new.
    expected: list[float] = []
    done, end = 1, context + 1
    while done < len(whole):
        end = min(end, len(whole))
        start = max(0, end - context - 1)
        with torch.no_grad():
            logprobs = model(torch.tensor([whole[start : end - 1]])).logits[0].float().log_softmax(-1)
        expected += [float(logprobs[i - start - 1, whole[i]]) for i in range(done, end)]
        done, end = end, end + step
    torch.testing.assert_close(torch.tensor(result.logprobs), torch.tensor(expected), atol=2e-5, rtol=1e-5)


@pytest.mark.row("14.1")
def test_new_weights_apply_from_the_next_token_on() -> None:
    """A request in the middle of its completion goes on as if its text so far had been read by the new weights."""
    model, other = tiny_decoder(seed=1), tiny_decoder(seed=2)
    prompt = (1, 2, 3, 4, 5)
    with Engine(model, ByteTokenizer()) as engine:
        params = SamplingParams(max_tokens=60, temperature=0.0, ignore_eos=True)
        stream = engine.generate([Request(prompt=prompt, params=params)])
        ids: list[int] = []
        versions: list[int] = []
        for number, (_, chunk) in enumerate(stream):
            ids += chunk.token_ids
            versions += [chunk.weights_version] * len(chunk.token_ids)
            if number == 0:
                assert engine.sync_weights(other) == 1
    old = versions.count(0)
    assert versions == sorted(versions) and len(ids) == 60
    first = tiny_decoder(seed=1)
    assert ids[:old] == greedy_by_full_forward(first, prompt, old)
    if old < 60:
        assert ids[old:] == greedy_by_full_forward(other, (*prompt, *ids[:old]), 60 - old)
