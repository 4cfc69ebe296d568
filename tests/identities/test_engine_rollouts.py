"""An engine inside a training loop: its log-probabilities are the trainer's, and its samples can be made again bit for bit."""

from __future__ import annotations

import random
import threading
from typing import ClassVar

import pytest
import torch
from test_engine_batch import with_replay
from test_engine_compiled import CASES
from torch import Tensor

from groundup.core.errors import ConfigError
from groundup.core.protocols import complete
from groundup.core.types import Completion, Request, SamplingParams, ScoreRequest
from groundup.engine import Engine, EngineConfig
from groundup.engine.runner import ModelRunner, Stems
from groundup.engine.sampling import mix_seeds, uniform, uniforms
from groundup.engine.wide_step import WideStep
from groundup.models.decoder import Decoder
from tiny_engine import EOS, ByteTokenizer, tiny_decoder


class SmallTokenizer(ByteTokenizer):
    vocab_size = 70
    special_ids: ClassVar[dict[str, int]] = {"<eos>": 69}

    def token_bytes(self, token_id: int) -> bytes:
        return bytes([97 + token_id % 26])


def engine_of(model: Decoder, **config: object) -> Engine:
    small = model.config.vocab_size == 70
    settings = {"max_batch_size": 12, "inline": True, **config}
    return Engine(
        model,
        SmallTokenizer() if small else ByteTokenizer(),
        eos_ids=[69 if small else EOS],
        config=EngineConfig(**settings),  # type: ignore[arg-type]
    )


def group_requests(rng: random.Random, *, below: int, groups: int = 3, samples: int = 4) -> list[Request]:
    prompts = [tuple(rng.randrange(below) for _ in range(rng.randint(2, 20))) for _ in range(groups)]
    return [
        Request(
            prompt=prompt,
            params=SamplingParams(max_tokens=rng.randint(1, 24), logprobs=0, seed=rng.randrange(2**60)),
        )
        for prompt in prompts
        for _ in range(samples)
    ]


def trainer_logprobs(model: Decoder, requests: list[Request], made: list[Completion]) -> list[Tensor]:
    """One padded batch without memory, as a policy objective makes it."""
    texts = [[*r.prompt, *c.token_ids] for r, c in zip(requests, made)]
    longest = max(map(len, texts))
    ids = torch.tensor([[*t, *([0] * (longest - len(t)))] for t in texts])
    with torch.no_grad():
        logprobs = model(ids[:, :-1]).logits.float().log_softmax(-1).gather(2, ids[:, 1:, None])[:, :, 0]
    return [logprobs[i, len(r.prompt) - 1 : len(t) - 1] for i, (r, t) in enumerate(zip(requests, texts))]


def check_against_trainer(model: Decoder, requests: list[Request], made: list[Completion]) -> None:
    for expected, completion in zip(trainer_logprobs(model, requests, made), made):
        got = torch.tensor([t.logprob for t in completion.logprobs])
        torch.testing.assert_close(got, expected, atol=1e-4, rtol=0)
        assert tuple(t.token_id for t in completion.logprobs) == completion.token_ids


@pytest.mark.row("10.5")
@pytest.mark.parametrize("compile", ["never", "always"])
@pytest.mark.parametrize("family", [*CASES, "window", "replay"])
def test_logprobs_are_the_trainers_also_after_updates(family: str, compile: str) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)
    torch.manual_seed(seed)
    rng = random.Random(seed)
    if family == "replay":
        model, compile = with_replay(seed), "never"
    else:
        model = tiny_decoder(seed=seed, sliding_window=5) if family == "window" else CASES[family]()
    below = 257 if family in ("window", "replay") else 70
    with engine_of(model, compile=compile) as engine:
        assert engine.compiled == (compile == "always")
        for round_number in range(3):
            requests = group_requests(rng, below=below)
            made = engine.complete(requests)
            check_against_trainer(model, requests, made)
            assert {c.weights_version for c in made} == {round_number}
            assert any(c.finish_reason == "length" for c in made)
            with torch.no_grad():  # an update, as an optimizer makes it: in place
                for parameter in model.parameters():
                    parameter += 0.05 * torch.randn_like(parameter)
            model.train()
            if round_number == 1:  # a state dict that replaces the storage, as a resumed run has it
                model.load_state_dict({k: v.clone() for k, v in model.state_dict().items()}, assign=True)
            engine.sync_weights()


@pytest.mark.row("10.5")
@pytest.mark.parametrize("compile", ["never", "always"])
def test_the_same_requests_give_the_same_bits_whatever_was_done_before(compile: str) -> None:
    rng = random.Random(4)
    model = CASES["llama"]()
    requests, others = group_requests(rng, below=70), group_requests(rng, below=70, groups=2, samples=9)
    with engine_of(model, compile=compile) as fresh:
        expected = fresh.complete(requests)
    with engine_of(model, compile=compile) as used:
        used.complete(others)
        cut = used.generate(others[:3])
        next(cut)
        cut.close()
        assert used.complete(requests) == expected
        assert complete(used, requests) == expected  # in chunks, too
        used.logprobs([ScoreRequest(continuation=(1, 2, 3))])
        used.sync_weights()
        again = used.complete(requests)
    for one, other in zip(again, expected):
        assert (one.token_ids, one.logprobs, one.text) == (other.token_ids, other.logprobs, other.text)


@pytest.mark.row("10.5")
def test_inline_gives_the_tokens_of_the_threaded_engine_and_of_each_request_alone() -> None:
    rng = random.Random(8)
    model = tiny_decoder(seed=8)
    requests = group_requests(rng, below=257, groups=4, samples=3)
    stops = ("a", "\x05")
    stopping = [
        Request(prompt=r.prompt, params=SamplingParams(max_tokens=30, seed=i, stop=stops))
        for i, r in enumerate(requests)
    ]
    with (
        engine_of(model, inline=False) as threaded,
        engine_of(model) as inline,
        engine_of(model, max_batch_size=1) as one,
    ):
        for asked in (requests, stopping):
            expected = complete(threaded, asked)
            assert [c.token_ids for c in inline.complete(asked)] == [c.token_ids for c in expected]
            assert [(c.text, c.finish_reason, c.usage) for c in threaded.complete(asked)] == [
                (c.text, c.finish_reason, c.usage) for c in expected
            ]
            for request, completion in zip(asked, expected):
                alone = one.complete([request])[0]
                assert (alone.token_ids, alone.text) == (completion.token_ids, completion.text)


@pytest.mark.row("10.5")
def test_a_prompt_asked_for_eight_times_is_read_once() -> None:
    model = tiny_decoder(seed=3)
    calls: list[tuple[int, ...]] = []
    model.register_forward_pre_hook(lambda _, args: calls.append(tuple(args[0].shape)))
    prompts = [tuple(range(1, n)) for n in (9, 4, 13)]
    requests = [
        Request(prompt=p, params=SamplingParams(max_tokens=3, seed=i, ignore_eos=True))
        for p in prompts
        for i in range(4)
    ]
    with engine_of(model) as engine:
        engine.complete(requests)
    # Three prompts of different lengths in one padded call, then two steps of all twelve rows.
    assert calls == [(3, 12), (12, 1), (12, 1)]


@pytest.mark.row("10.5")
def test_prompts_of_other_lengths_wait_where_a_memory_cannot_forget() -> None:
    model = tiny_decoder(seed=3)
    calls: list[tuple[int, ...]] = []
    model.register_forward_pre_hook(lambda _, args: calls.append(tuple(args[0].shape)))
    with engine_of(model) as engine:
        for memory in engine._runner.memories:
            memory.rewinds = False
        prompts = [(1, 2), (3, 4, 5), (6, 7, 8)]
        requests = [Request(prompt=p, params=SamplingParams(max_tokens=1, seed=1)) for p in prompts]
        engine.complete(requests)
    assert calls == [(1, 2), (2, 3)]


@pytest.mark.row("10.5")
def test_cancelled_requests_leave_their_prompt_to_the_others() -> None:
    model = tiny_decoder(seed=5)
    prompt = tuple(range(40))
    params = [SamplingParams(max_tokens=6, seed=i, ignore_eos=True) for i in range(4)]
    with engine_of(model, prefill_chunk_tokens=8) as engine:
        expected = engine.complete([Request(prompt=prompt, params=p) for p in params])
        requests = [Request(prompt=prompt, params=p) for p in params]
        calls = 0

        def cancel_first(*_: object) -> None:
            nonlocal calls
            calls += 1
            if calls == 2:  # the first, which reads, and one that waits for its row
                requests[0].cancel.set()
                requests[2].cancel.set()

        hook = model.register_forward_pre_hook(cancel_first)
        made = engine.complete(requests)
        hook.remove()
        assert [c.finish_reason for c in made] == ["cancelled", "length", "cancelled", "length"]
        assert [made[1].token_ids, made[3].token_ids] == [expected[1].token_ids, expected[3].token_ids]
        assert engine.stats.running == engine.stats.waiting == 0


@pytest.mark.row("10.5")
def test_other_threads_wait_their_turn_and_an_interrupt_leaves_a_working_engine() -> None:
    rng = random.Random(3)
    model = tiny_decoder(seed=5)
    requests = group_requests(rng, below=257)
    with engine_of(model) as engine:
        expected = [c.token_ids for c in engine.complete(requests)]
        got: list[list[tuple[int, ...]]] = []
        threads = [
            threading.Thread(target=lambda: got.append([c.token_ids for c in engine.complete(requests)]))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got == [expected] * 3

        def interrupt(*_: object) -> None:
            raise KeyboardInterrupt

        hook = model.register_forward_pre_hook(interrupt)
        with pytest.raises(KeyboardInterrupt):
            engine.complete(requests)
        hook.remove()
        assert engine.probe()
        assert [c.token_ids for c in engine.complete(requests)] == expected


def test_inline_takes_the_callers_threads() -> None:
    with pytest.raises(ConfigError, match="inline"):
        EngineConfig(inline=True, threads=2)


@pytest.mark.row("10.5")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_the_wide_step_is_the_module_also_with_shared_beginnings(name: str, dtype: torch.dtype) -> None:
    model = CASES[name]().to(dtype)
    reference, runner = ModelRunner(CASES[name]().to(dtype).float(), 6), ModelRunner(model, 6)
    step = WideStep.of(model, 5, 1)
    assert isinstance(step, WideStep), step
    generator = torch.Generator().manual_seed(5)
    for row, length in ((0, 9), (2, 6)):
        prompt = torch.randint(0, 70, (1, length), generator=generator).tolist()
        reference.step(prompt, [0], row, logits=False)
    reference.copy([0, 2, 2], [1, 3, 4], 9)
    for mine, theirs in zip(runner.memories, reference.memories):
        mine.restart(64)
        mine.keys[:, :, :9] = theirs.keys[:, :, :9]  # type: ignore[attr-defined]
        mine.values[:, :, :9] = theirs.values[:, :, :9]  # type: ignore[attr-defined]
        # What is shared is read from the first row of each group only.
        mine.keys[[1, 3, 4], :, :5] = 99.0  # type: ignore[attr-defined]
    import numpy as np

    stems = Stems(np.array([0, 0, 2, 2, 2]), np.array([5, 5, 5, 5, 5]))
    lengths = [9, 9, 6, 6, 6]
    for _ in range(4):
        ids = torch.randint(0, 70, (5,), generator=generator).tolist()
        expected = reference.step([[i] for i in ids], lengths, 0, logits=True)
        got = step(runner.memories, ids, lengths, 0, stems)
        assert expected is not None
        if dtype == torch.float32:
            torch.testing.assert_close(got, expected, atol=2e-4, rtol=2e-4)
        else:  # activations are rounded before the products
            assert float((got - expected).abs().mean()) < 0.03 * float(expected.abs().max())
        lengths = [length + 1 for length in lengths]


@pytest.mark.row("5.5")
def test_uniform_numbers_of_many_rows_are_those_of_each() -> None:
    rng = random.Random(1)
    seeds = [rng.randrange(-(2**63), 2**64) for _ in range(50)]
    positions = [rng.randrange(10_000) for _ in range(50)]
    expected = [uniform(s, p) for s, p in zip(seeds, positions)]
    assert uniforms(mix_seeds(seeds), positions).tolist() == expected
