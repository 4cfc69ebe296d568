"""Packed conversations are the separate conversations: same losses, same gradients, no leak (rows 8.2, 9.3)."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from groundup.models.decoder import BlockConfig, Decoder, DecoderConfig
from groundup.nn.ffn import GatedConfig
from groundup.nn.mixers.attention import AttentionConfig
from groundup.nn.protocols import IGNORE
from groundup.objectives.causal import CausalConfig, CausalLM, document_state
from groundup.objectives.sft import SFT, ChatExample, SFTConfig, encode_chat, pack
from groundup.tokenizers.char import CharTokenizer
from groundup.tokenizers.chat_template import DEFAULT_CHAT_TEMPLATE, DEFAULT_SPECIAL_TOKENS, ChatTemplate

VOCAB = 37


def tiny(*, learned_positions: bool = False, window: int | None = None) -> Decoder:
    return (
        Decoder(
            DecoderConfig(
                vocab_size=VOCAB,
                hidden_size=16,
                num_hidden_layers=2,
                max_position_embeddings=64,
                learned_positions=learned_positions,
                initializer_range=0.4,
                block=BlockConfig(
                    mixer=AttentionConfig(num_attention_heads=2, num_key_value_heads=1, sliding_window=window),
                    ffn=GatedConfig(intermediate_size=24),
                ),
            )
        )
        .initialise(3)
        .double()
    )


def random_examples(rng: random.Random, count: int, longest: int = 30) -> list[ChatExample]:
    made = []
    for _ in range(count):
        n = rng.choice([0, 1, 2, *range(3, longest)])
        mask = np.array([rng.random() < 0.5 for _ in range(n)], bool) & (rng.random() < 0.9)
        made.append(ChatExample(np.array([rng.randrange(VOCAB) for _ in range(n)], np.int32), mask))
    return made


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in model.named_parameters()}


@pytest.mark.row("8.2")
@pytest.mark.parametrize("model_kind", [{}, {"learned_positions": True}, {"window": 5}], ids=str)
@pytest.mark.parametrize("config", [
    SFTConfig(context_tokens=40, packing=True, pad_multiple_tokens=8),
    SFTConfig(context_tokens=40, packing=True, fixed_shape=True, chunk_tokens=7),
    SFTConfig(context_tokens=40, packing=False, pad_multiple_tokens=8),
    SFTConfig(context_tokens=40, packing=False, fixed_shape=True, chunk_tokens=16),
], ids=["packed", "packed-fixed-chunked", "padded", "padded-fixed-chunked"])  # fmt: skip
def test_a_batch_is_the_weighted_mean_of_its_examples(config, model_kind):
    seed = random.randrange(1 << 30)
    print("seed", seed)
    model = tiny(**model_kind)
    examples = random_examples(random.Random(seed), 9)
    weight = sum(e.weight for e in examples)
    objective = SFT(config, pad_id=5)
    batch = objective.collate(examples)
    assert batch.weight == weight
    model.zero_grad()
    together = objective.loss(model, batch)
    together.loss.backward()
    packed = gradients(model)

    alone = SFT(SFTConfig(context_tokens=40, packing=False, pad_multiple_tokens=1, chunk_tokens=0))
    model.zero_grad()
    total, right = 0.0, 0.0
    for example in examples:
        if example.weight:
            part = alone.loss(model, alone.collate([example]))
            (part.loss * (example.weight / weight)).backward()
            total += part.loss.item() * example.weight / weight
            right += float(part.metrics["accuracy"]) * example.weight / weight
    assert together.loss.item() == pytest.approx(total, rel=1e-6)
    assert float(together.metrics["accuracy"]) == pytest.approx(right, abs=1e-6)
    for name, expected in gradients(model).items():
        torch.testing.assert_close(packed[name], expected, rtol=2e-5, atol=1e-7, msg=name)


@pytest.mark.row("8.2")
def test_nothing_leaks_between_packed_conversations():
    """Changing any id of one conversation changes no hidden state of another: 0 leaks, to the last bit."""
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng = random.Random(seed)
    model = tiny().eval()
    objective = SFT(SFTConfig(context_tokens=48, fixed_shape=True))
    examples = [e for e in random_examples(rng, 12) if e.positions >= 2]
    batch = objective.collate(examples)
    leaks = changed = 0
    with torch.no_grad():
        before = model(batch.input_ids, document_state(model, batch.documents)).hidden
        for _ in range(40):
            row, at = rng.randrange(batch.input_ids.shape[0]), rng.randrange(batch.input_ids.shape[1])
            ids = batch.input_ids.clone()
            ids[row, at] = (ids[row, at] + 1) % VOCAB
            moved = (model(ids, document_state(model, batch.documents)).hidden != before).any(-1)
            same = torch.zeros_like(moved)
            same[row] = batch.documents[row] == batch.documents[row, at]
            leaks += int((moved & ~same).sum())
            changed += int((moved & same).sum())
    print(f"{changed} positions of the changed conversations moved, {leaks} of others")
    assert leaks == 0 and changed > 0


def conversations(rng: random.Random, count: int) -> list[ChatExample]:
    """Conversations of several turns, as a template and a tokenizer make them, with tools, thoughts and control tokens in them."""
    tokenizer = CharTokenizer.train([DEFAULT_CHAT_TEMPLATE, "abc"], special_tokens=DEFAULT_SPECIAL_TOKENS)
    template = ChatTemplate(DEFAULT_CHAT_TEMPLATE)
    made = []
    for _ in range(count):
        talk = []
        for _ in range(rng.randint(2, 3)):
            talk.append({"role": "user", "content": rng.choice(["ab", "c<|im_end|>", ""])})
            answer = {"role": "assistant", "content": rng.choice(["a", "bca", ""])}
            talk.append(answer | rng.choice([{}, {"reasoning_content": "c"}]))
        made.append(encode_chat(talk, tokenizer, template))
    return made


@pytest.mark.row("8.2")
def test_what_else_is_in_the_row_moves_nothing_of_a_conversation():
    """Every other conversation of the row is changed in every id: the logits, the loss and the gradients of this one stay, to
    the last bit where nothing is summed over the row.
    """
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng = random.Random(seed)
    objective = SFT(SFTConfig(context_tokens=640, fixed_shape=True, chunk_tokens=0))
    batch = objective.collate(conversations(rng, 14))
    ids = int(batch.input_ids.max()) + 1
    torch.manual_seed(seed)
    config = replace(tiny().config, vocab_size=ids, max_position_embeddings=640)
    model = Decoder(config).initialise(5).double()
    together = 0
    for row in range(batch.input_ids.shape[0]):
        documents = batch.documents[row]
        numbers = sorted(set(documents.tolist()) - {-1})
        together += len(numbers) > 1
        for number in numbers:
            own = torch.zeros_like(batch.documents, dtype=torch.bool)
            own[row] = documents == number
            found = []
            for change in (0, 1 + rng.randrange(ids - 2)):
                inputs = torch.where(own, batch.input_ids, (batch.input_ids + change) % ids)
                model.zero_grad()
                logits = model(inputs, document_state(model, batch.documents)).logits[own]
                targets = batch.targets[own]
                loss = torch.nn.functional.cross_entropy(logits, targets, ignore_index=IGNORE)
                loss.backward()
                found.append((logits.detach(), loss.detach(), gradients(model)))
            (logits, loss, grads), (logits2, loss2, grads2) = found
            assert torch.equal(logits, logits2) and torch.equal(loss, loss2)
            for name, grad in grads.items():
                torch.testing.assert_close(grads2[name], grad, rtol=1e-12, atol=1e-15, msg=name)
    assert together >= 1, "no row held two conversations"


@pytest.mark.row("8.2")
def test_every_example_is_in_a_row_once_and_in_order():
    rng = random.Random(5)
    examples = random_examples(rng, 40)
    rows = pack(examples, 48)
    assert sorted(id(e) for row in rows for e in row) == sorted(map(id, examples))
    assert all(sum(e.positions for e in row) <= 48 for row in rows)
    total = sum(e.positions for e in examples)
    assert len(rows) <= -(-total // 48) * 11 / 9 + 1
    batch = SFT(SFTConfig(context_tokens=48, fixed_shape=True)).collate(rows)
    assert batch.input_ids.shape == (len(rows), 48)
    for r, row in enumerate(rows):
        at = 0
        for number, example in enumerate(row):
            n = example.positions
            assert batch.input_ids[r, at : at + n].tolist() == example.input_ids[:-1].tolist()
            assert (batch.documents[r, at : at + n] == number).all()
            at += n
        assert (batch.documents[r, at:] == -1).all() and (batch.targets[r, at:] == IGNORE).all()


@pytest.mark.row("8.2")
@pytest.mark.parametrize("packing", [True, False])
def test_rows_without_targets_give_no_nan(packing):
    model = tiny()
    objective = SFT(SFTConfig(context_tokens=8, packing=packing, fixed_shape=True))
    nothing = ChatExample(np.array([1, 2, 3], np.int32), np.zeros(3, bool))
    out = objective.loss(model, objective.collate([nothing, ChatExample(np.zeros(0, np.int32), np.zeros(0, bool))]))
    out.loss.backward()
    assert out.loss.item() == 0.0
    assert all(torch.isfinite(g).all() and not g.any() for g in gradients(model).values())
    something = ChatExample(np.array([1, 2, 3], np.int32), np.array([False, True, True]))
    out = objective.loss(model, objective.collate([nothing, something]))
    out.loss.backward()
    assert torch.isfinite(out.loss) and all(torch.isfinite(g).all() for g in gradients(model).values())


@pytest.mark.row("7.1")
def test_windows_of_documents_are_the_separate_documents():
    model = tiny()
    rng = np.random.default_rng(11)
    ids = rng.integers(0, VOCAB, 25)
    numbers = np.repeat([4, 5, 9], [7, 1, 17])
    objective = CausalLM(CausalConfig(chunk_tokens=6))
    batch = objective.collate([(ids, numbers)])
    assert batch.weight == 25 - 3
    assert batch.targets[0, 6] == IGNORE and batch.targets[0, 7] == IGNORE
    together = objective.loss(model, batch)
    total = sum(objective.loss(model, objective.collate([ids[numbers == n]])).loss.item() * (c - 1)
                for n, c in ((4, 7), (9, 17)))  # fmt: skip
    assert together.loss.item() == pytest.approx(total / 22, rel=1e-6)
