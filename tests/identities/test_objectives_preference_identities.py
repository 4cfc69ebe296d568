"""Pairs in packed rows are pairs on their own; micro-batches add up to the batch; the mask is the completion's."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from groundup.core.errors import ConfigError, DataError
from groundup.models.decoder import BlockConfig, Decoder, DecoderConfig
from groundup.nn.ffn import GatedConfig
from groundup.nn.mixers.attention import AttentionConfig
from groundup.objectives.preference import (
    KTO,
    DPOConfig,
    IPOConfig,
    KTOConfig,
    ORPOConfig,
    PairExample,
    PairPreference,
    SimPOConfig,
    feedback_examples,
    reference_logprobs,
    sequences_of,
    with_reference,
)
from groundup.objectives.sequences import encode_completion, last_positions, sequence_batch, sequence_logprobs
from groundup.objectives.sft import ChatExample
from groundup.tokenizers.char import CharTokenizer
from groundup.tokenizers.chat_template import DEFAULT_CHAT_TEMPLATE, ChatTemplate

pytestmark = pytest.mark.row("10.4")

VOCAB, CONTEXT = 41, 48
CONFIGS = [
    DPOConfig(beta=0.3, label_smoothing=0.1, nll_weight=0.2, context_tokens=CONTEXT),
    DPOConfig(length_normalised=True, context_tokens=CONTEXT),
    IPOConfig(context_tokens=CONTEXT),
    ORPOConfig(context_tokens=CONTEXT),
    SimPOConfig(context_tokens=CONTEXT),
]


def tiny() -> Decoder:
    block = BlockConfig(mixer=AttentionConfig(num_attention_heads=2), ffn=GatedConfig(intermediate_size=24))
    config = DecoderConfig(
        vocab_size=VOCAB, hidden_size=16, num_hidden_layers=2, max_position_embeddings=64, initializer_range=0.3, block=block
    )  # fmt: skip
    return Decoder(config).initialise(3).double()


def random_chat(rng: random.Random, prompt: list[int], *, longest: int = 20) -> ChatExample:
    completion = [rng.randrange(VOCAB) for _ in range(rng.randint(1, longest))]
    ids = np.array(prompt + completion, np.int32)
    return ChatExample(ids, np.arange(len(ids)) >= len(prompt))


def random_pairs(rng: random.Random, count: int) -> list[PairExample]:
    made = []
    for _ in range(count):
        prompt = [rng.randrange(VOCAB) for _ in range(rng.randint(1, 12))]
        sides = random_chat(rng, prompt), random_chat(rng, prompt)
        made.append(PairExample(*sides, reference_chosen=-30 * rng.random(), reference_rejected=-30 * rng.random()))
    return made


def gradients(model: Decoder) -> list[torch.Tensor]:
    found = [p.grad.clone() if p.grad is not None else torch.zeros_like(p) for p in model.parameters()]
    model.zero_grad(set_to_none=True)
    return found


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.type)
def test_micro_batches_add_up_to_the_batch_and_to_single_pairs(config: object) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    rng, model = random.Random(seed), tiny()
    objective = PairPreference(config)  # type: ignore[arg-type]
    examples = random_pairs(rng, 9)
    results = []
    for size in (9, 4, 1):
        batches = [objective.collate(examples[i : i + size]) for i in range(0, 9, size)]
        total, rewards = 0.0, 0.0
        for batch in batches:
            made = objective.loss(model, batch)
            share = batch.weight / sum(b.weight for b in batches)
            (made.loss * share).backward()
            total += made.loss.item() * share
            rewards += float(made.metrics["rewards/margins"]) * share
        results.append((total, rewards, gradients(model)))
    for total, rewards, found in results[1:]:
        assert total == pytest.approx(results[0][0], rel=1e-9)
        assert rewards == pytest.approx(results[0][1], rel=1e-6)
        for got, expected in zip(found, results[0][2], strict=True):
            torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-9)


def test_rows_hold_several_sequences_and_none_sees_another() -> None:
    rng, model = random.Random(5), tiny()
    sequences = [random_chat(rng, [1, 2], longest=n) for n in (3, 30, 5, 7, 2, 9)]
    sequences.append(sequences[0])
    batch = sequence_batch(sequences, context_tokens=CONTEXT)
    assert batch.input_ids.shape[0] < len(sequences)
    packed, _ = sequence_logprobs(model, batch)
    for sequence, found, last in zip(sequences, packed, last_positions(batch).tolist(), strict=True):
        alone, _ = sequence_logprobs(model, sequence_batch([sequence], context_tokens=CONTEXT))
        torch.testing.assert_close(found, alone[0], rtol=1e-9, atol=1e-9)
        assert batch.input_ids.flatten()[last] == sequence.input_ids[-2]


@pytest.mark.parametrize("batch_tokens", [1, 60, 10_000])
def test_reference_does_not_depend_on_how_it_is_batched(batch_tokens: int) -> None:
    rng, model = random.Random(6), tiny().train()
    examples = random_pairs(rng, 7)
    values = reference_logprobs(model, sequences_of(examples), context_tokens=CONTEXT, batch_tokens=batch_tokens)
    assert model.training
    for e in with_reference(examples, values):
        for sequence, value in ((e.chosen, e.reference_chosen), (e.rejected, e.reference_rejected)):
            alone, _ = sequence_logprobs(model, sequence_batch([sequence], context_tokens=CONTEXT))
            assert value == pytest.approx(alone[0].item(), rel=1e-9)


def test_at_the_start_nothing_has_moved() -> None:
    rng, model = random.Random(7), tiny()
    examples = random_pairs(rng, 5)
    examples = with_reference(examples, reference_logprobs(model, sequences_of(examples), context_tokens=CONTEXT))
    objective = PairPreference(DPOConfig(context_tokens=CONTEXT))
    made = objective.loss(model, objective.collate(examples))
    assert made.loss.item() == pytest.approx(np.log(2), rel=1e-5)
    assert float(made.metrics["kl"]) == pytest.approx(0, abs=1e-4)
    judged = feedback_examples([(e.chosen, i % 2 == 0) for i, e in enumerate(examples)])
    judged = with_reference(judged, reference_logprobs(model, sequences_of(judged), context_tokens=CONTEXT))
    kto = KTO(KTOConfig(context_tokens=CONTEXT))
    assert kto.loss(model, kto.collate(judged)).loss.item() == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.type)
def test_a_few_steps_raise_the_margin(config: object) -> None:
    rng, model = random.Random(8), tiny().float()
    examples = random_pairs(rng, 6)
    examples = with_reference(examples, reference_logprobs(model, sequences_of(examples), context_tokens=CONTEXT))
    objective = PairPreference(config)  # type: ignore[arg-type]
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    first = None
    for _ in range(25):
        made = objective.loss(model, objective.collate(examples))
        first = made if first is None else first
        optimizer.zero_grad()
        made.loss.backward()
        optimizer.step()
    assert first is not None
    assert made.loss.item() < first.loss.item()
    assert float(made.metrics["rewards/margins"]) > float(first.metrics["rewards/margins"]) + 0.01
    assert float(made.metrics["rewards/accuracies"]) >= float(first.metrics["rewards/accuracies"])


def test_only_what_follows_the_prompt_is_learned() -> None:
    template = ChatTemplate(DEFAULT_CHAT_TEMPLATE)
    prompt = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "earlier answer"},
        {"role": "user", "content": "two"},
    ]
    completion = [{"role": "assistant", "content": "the answer"}]
    text = template.render([*prompt, *completion])
    tokenizer = CharTokenizer.train([text])
    example = encode_completion(prompt, completion, tokenizer, template)
    learned = tokenizer.decode(example.input_ids[example.mask].tolist())
    assert learned.startswith("the answer") and "earlier" not in learned
    assert learned in text[len(template.render(prompt, add_generation_prompt=True)) :]
    with pytest.raises(DataError, match="assistant"):
        encode_completion(prompt, [{"role": "user", "content": "x"}], tokenizer, template)


def test_mistakes_are_named() -> None:
    examples = random_pairs(random.Random(1), 1)
    bare = [PairExample(e.chosen, e.rejected) for e in examples]
    with pytest.raises(DataError, match="reference"):
        PairPreference(DPOConfig()).collate(bare)
    PairPreference(DPOConfig(reference_free=True)).collate(bare)
    PairPreference(SimPOConfig()).collate(bare)
    with pytest.raises(DataError, match="context_tokens"):
        PairPreference(SimPOConfig(context_tokens=2)).collate(bare)
    with pytest.raises(DataError, match="at least 2"):
        feedback_examples([(examples[0].chosen, True)])
    for wrong in ({"beta": 0.0}, {"label_smoothing": 0.5}, {"nll_weight": -1.0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            DPOConfig(**wrong)  # type: ignore[arg-type]
