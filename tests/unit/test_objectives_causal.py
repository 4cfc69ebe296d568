"""Causal collation, cross-entropy in chunks, example sources."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from groundup.core.errors import ConfigError, DataError
from groundup.nn.protocols import IGNORE, LMOutput
from groundup.objectives.causal import CausalConfig, CausalLM
from groundup.objectives.cross_entropy import chunked_cross_entropy
from groundup.objectives.sft import SFT, ChatExample, SFTConfig
from groundup.objectives.sources import ChatSource, WindowSource

pytestmark = pytest.mark.row("7.1")


def test_targets_are_the_next_ids():
    batch = CausalLM().collate([np.array([1, 2, 3, 4], np.uint16), np.array([5, 6, 7, 8], np.uint16)])
    assert batch.input_ids.tolist() == [[1, 2, 3], [5, 6, 7]]
    assert batch.targets.tolist() == [[2, 3, 4], [6, 7, 8]]
    assert batch.documents is None and batch.weight == 6


def test_windows_must_be_of_one_length():
    for examples in ([np.arange(4), np.arange(5)], [np.arange(1)]):
        with pytest.raises(DataError, match="one length"):
            CausalLM().collate(examples)


def test_uniform_model_has_the_loss_of_its_vocabulary():
    def model(ids, state=None):
        return LMOutput(torch.zeros(*ids.shape, 2, requires_grad=True), lambda h: h @ torch.zeros(2, 50))

    out = CausalLM().loss(model, CausalLM().collate([np.arange(9)]))
    assert out.loss.item() == pytest.approx(np.log(50), rel=1e-6)
    assert float(out.metrics["tokens"]) == 8


def test_auxiliary_loss_is_added():
    def model(ids, state=None):
        return LMOutput(torch.zeros(*ids.shape, 2), lambda h: h @ torch.zeros(2, 50), aux_loss=torch.tensor(2.0))

    out = CausalLM().loss(model, CausalLM().collate([np.arange(9)]))
    assert out.loss.item() == pytest.approx(np.log(50) + 2, rel=1e-6)
    assert float(out.metrics["loss"]) == pytest.approx(np.log(50), rel=1e-6)


@pytest.mark.parametrize("chunk_tokens", [0, 1, 7, 100])
@pytest.mark.parametrize("z_loss", [0.0, 0.01])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("softcap", [None, 3.0])
@pytest.mark.parametrize("ignored", [0.0, 0.3, 1.0])
def test_chunks_equal_the_whole(chunk_tokens, z_loss, label_smoothing, softcap, ignored):
    generator = torch.Generator().manual_seed(7)
    head = torch.nn.Linear(12, 33, bias=False, dtype=torch.float64)
    bias = torch.nn.Parameter(torch.randn(33, dtype=torch.float64, generator=generator))
    hidden = torch.randn(2, 12, 12, dtype=torch.float64, generator=generator)
    targets = torch.randint(0, 33, (2, 12), generator=generator)
    targets[torch.rand(2, 12, generator=generator) < ignored] = IGNORE

    def logits(h):
        made = head(h) * 4 + bias
        return made if softcap is None else softcap * torch.tanh(made / softcap)

    def run(loss_of):
        inputs = hidden.clone().requires_grad_()
        head.weight.grad = bias.grad = None
        loss, figures = loss_of(inputs)
        (loss * 3).backward()
        return loss.item(), figures, [inputs.grad, head.weight.grad, bias.grad]

    def plain(inputs):
        made, wanted = logits(inputs).flatten(0, 1), targets.flatten()
        count = (wanted != IGNORE).sum().clamp(min=1)
        loss = (
            F.cross_entropy(made, wanted, ignore_index=IGNORE, reduction="sum", label_smoothing=label_smoothing) / count
        )
        extra = (torch.logsumexp(made, -1) ** 2)[wanted != IGNORE].sum() * z_loss / count
        right = (made.argmax(-1) == wanted).sum() / count
        return loss + extra, (right.item(), extra.item())

    expected, (right, extra), expected_grads = run(plain)
    found, figures, grads = run(
        lambda h: chunked_cross_entropy(
            h, logits, targets, chunk_tokens=chunk_tokens, z_loss=z_loss, label_smoothing=label_smoothing
        )
    )
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert float(figures["accuracy"]) == pytest.approx(right, abs=1e-6)
    assert float(figures["z_loss"]) == pytest.approx(extra, rel=1e-9, abs=1e-12)
    for have, want in zip(grads, expected_grads, strict=True):
        have = torch.zeros_like(want) if have is None else have
        torch.testing.assert_close(have, want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("chunk_tokens", [0, 2])
def test_equally_likely_ids_share_an_answer(chunk_tokens):
    logits = torch.tensor([[1.0, 1.0, 0.0, 0.0], [2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [3.0, 1.0, 1.0, 1.0]])
    targets = torch.tensor([0, 0, 3, 1])
    _, figures = chunked_cross_entropy(logits, lambda h: h, targets, chunk_tokens=chunk_tokens)
    assert float(figures["accuracy"]) == pytest.approx((0.5 + 1 + 0.25 + 0) / 4)


def test_large_logits_are_never_whole():
    """With chunks, no call of the head sees more rows than asked for."""
    seen = []
    weight = torch.randn(4, 11, requires_grad=True)

    def head(h):
        seen.append(h.shape[0])
        return h @ weight

    loss, _ = chunked_cross_entropy(
        torch.randn(100, 4, requires_grad=True), head, torch.randint(0, 11, (100,)), chunk_tokens=16
    )
    loss.backward()
    assert max(seen) <= 16


def test_window_source_reads_one_after_another():
    class Windows:
        def example(self, index):
            return index

    source = WindowSource(Windows(), offset=100)
    assert [*source.take(0, 3), *source.take(1, 3)] == [100, 101, 102, 103, 104, 105]
    assert source.take(1, 3) == source.take(1, 3)


@pytest.mark.parametrize("count", [1, 3, 7, 20])
def test_chat_source_shows_each_example_once_an_epoch(count):
    examples = list(range(10))
    source = ChatSource(examples, seed=4)
    flat = [x for step in range(60) for x in source.take(step, count)]
    for epoch in range(len(flat) // 10):
        assert sorted(flat[epoch * 10 : epoch * 10 + 10]) == examples
    if len(flat) >= 20:
        assert flat[:10] != flat[10:20]
    fresh = ChatSource(examples, seed=4)
    fresh.load_state_dict(source.state_dict())
    assert [fresh.take(step, count) for step in (31, 5, 30)] == [source.take(step, count) for step in (31, 5, 30)]
    assert [x for step in range(60) for x in ChatSource(examples, seed=5).take(step, count)] != flat


def test_chat_source_without_examples():
    with pytest.raises(DataError, match="no examples"):
        ChatSource([], seed=0)


def test_a_conversation_that_does_not_fit_is_named():
    long = ChatExample(np.arange(20, dtype=np.int32), np.ones(20, bool))
    with pytest.raises(DataError, match=r"19 positions.*context_tokens = 16"):
        SFT(SFTConfig(context_tokens=16)).collate([long])
    with pytest.raises(ConfigError, match="context_tokens"):
        SFTConfig(context_tokens=0)


def test_first_id_is_no_target_and_learn_all_learns_the_rest():
    example = ChatExample(np.array([3, 4, 5], np.int32), np.array([True, False, True]))
    batch = SFT(SFTConfig(context_tokens=8, packing=False, pad_multiple_tokens=1)).collate([example])
    assert batch.targets.tolist() == [[IGNORE, 5]] and example.weight == batch.weight == 1
    batch = SFT(SFTConfig(context_tokens=8, learn="all", pad_multiple_tokens=4)).collate([example])
    assert batch.targets.tolist() == [[4, 5, IGNORE, IGNORE]]


def test_default_configs():
    assert CausalConfig().type == "causal" and SFTConfig().type == "sft"
