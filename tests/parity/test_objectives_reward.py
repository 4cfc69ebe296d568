"""Reward models: trl's loss and gradients on the same weights, the cumulative link written out, calibration counted by hand."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from groundup.core.errors import ConfigError, DataError
from groundup.models.heads import load_headed
from groundup.objectives.reward import (
    BradleyTerry,
    BradleyTerryConfig,
    ComparedExample,
    GradedExample,
    MultiObjective,
    MultiObjectiveConfig,
    Ordinal,
    OrdinalConfig,
    OrdinalModel,
    grade_logprobs,
    reliability,
    scores_of,
)
from groundup.objectives.sft import ChatExample

pytestmark = [pytest.mark.row("10.2"), pytest.mark.filterwarnings("ignore")]

CONTEXT = 48


def conversation(rng: random.Random, longest: int = 20) -> ChatExample:
    ids = np.array([rng.randrange(59) for _ in range(rng.randint(1, longest))], np.int32)
    return ChatExample(ids, np.zeros(len(ids), bool))


@pytest.fixture(scope="module")
def seed() -> int:
    drawn = random.SystemRandom().randrange(2**31)
    print(f"seed {drawn}")
    return drawn


def their_model(seed: int, num_labels: int = 1) -> Any:
    from transformers import LlamaConfig, LlamaForSequenceClassification

    torch.manual_seed(seed)
    return LlamaForSequenceClassification(
        LlamaConfig(
            vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, max_position_embeddings=CONTEXT, initializer_range=0.15, pad_token_id=60,
            eos_token_id=61, bos_token_id=None, num_labels=num_labels,
        )
    )  # fmt: skip


@pytest.mark.parametrize("center", [0.0, 0.05])
@pytest.mark.parametrize("margins", [False, True])
def test_bradley_terry_is_trls(tmp_path: Path, seed: int, center: float, margins: bool) -> None:
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    from trl import RewardConfig, RewardTrainer

    words = {f"w{i}": i for i in range(60)} | {"<pad>": 60, "<eos>": 61, "<unk>": 62}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
    theirs, rng = their_model(seed), random.Random(f"{seed} {center} {margins}")
    theirs.save_pretrained(tmp_path / "model")
    ours = load_headed(tmp_path / "model").train()
    rows = [
        {side: " ".join(f"w{i}" for i in conversation(rng).input_ids) for side in ("chosen", "rejected")}
        | ({"margin": rng.random()} if margins else {})
        for _ in range(7)
    ]
    trainer = RewardTrainer(
        model=theirs, processing_class=tokenizer, train_dataset=Dataset.from_list(rows),
        args=RewardConfig(
            output_dir=str(tmp_path / "trl"), report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False,
            disable_tqdm=True, center_rewards_coefficient=center or None, disable_dropout=True,
        ),
    )  # fmt: skip
    taken = [trainer.train_dataset[i] for i in range(7)]
    expected = trainer.compute_loss(trainer.model.train(), trainer.data_collator(taken))
    expected.backward()
    examples = []
    for row in taken:
        ids = (np.array(row[f"{side}_ids"], np.int32) for side in ("chosen", "rejected"))
        chosen, rejected = (ChatExample(i, np.zeros(len(i), bool)) for i in ids)
        examples.append(ComparedExample(chosen, rejected, row.get("margin", 0.0)))
    objective = BradleyTerry(BradleyTerryConfig(center_rewards_coefficient=center, context_tokens=CONTEXT))
    batch = objective.collate(examples)
    made = objective.loss(ours, batch)
    made.loss.backward()
    assert batch.weight == 7
    assert made.loss.item() == pytest.approx(expected.item(), rel=2e-5)
    told = {name: values[0] for name, values in trainer._metrics["train"].items()}
    assert float(made.metrics["accuracy"]) == pytest.approx(told["accuracy"])
    assert float(made.metrics["rewards/margins"]) == pytest.approx(told["margin"], rel=1e-4, abs=1e-5)
    for name, parameter in ours.decoder.named_parameters():
        if name == "embed_tokens.weight":
            torch.testing.assert_close(parameter.grad, theirs.model.embed_tokens.weight.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(ours.score.weight.grad, theirs.score.weight.grad, rtol=1e-4, atol=1e-5)


def test_scores_are_transformers_whatever_the_batch(tmp_path: Path, seed: int) -> None:
    theirs, rng = their_model(seed, num_labels=3).eval(), random.Random(seed)
    theirs.save_pretrained(tmp_path)
    conversations = [conversation(rng) for _ in range(9)]
    for batch_tokens in (1, 50, 10_000):
        found = scores_of(load_headed(tmp_path), conversations, batch_tokens=batch_tokens)
        for c, row in zip(conversations, found, strict=True):
            with torch.no_grad():
                wanted = theirs(torch.from_numpy(c.input_ids.astype(np.int64))[None]).logits[0].numpy()
            np.testing.assert_allclose(row, wanted, rtol=2e-4, atol=2e-5)


def test_grades_are_the_cumulative_link(seed: int) -> None:
    torch.manual_seed(seed)
    for num_grades in (2, 3, 6):
        scores = torch.randn(20, dtype=torch.float64) * 3
        thresholds = torch.sort(torch.randn(num_grades - 1, dtype=torch.float64)).values
        above = torch.sigmoid(scores[:, None] - thresholds)
        edges = torch.cat([torch.ones(20, 1), above, torch.zeros(20, 1)], dim=1)
        wanted = edges[:, :-1] - edges[:, 1:]
        found = grade_logprobs(scores, thresholds).exp()
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-12)
    far = grade_logprobs(torch.tensor([90.0, -90.0]), torch.tensor([-1.0, 0.0, 1.0]))
    assert torch.isfinite(far).all()


class Line(nn.Module):
    """Scores a conversation by its last id: a model small enough to reason about."""

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))
        self.config = type("Config", (), {"num_hidden_layers": 1})()

    def forward(self, input_ids: torch.Tensor, state: Any = None, *, last: torch.Tensor) -> torch.Tensor:
        return self.slope * input_ids[last[:, 0], last[:, 1]][:, None].float()


def test_thresholds_are_learned_and_rise() -> None:
    """Grades drawn from the model's own law are found again."""
    generator = torch.Generator().manual_seed(1)
    cuts = torch.tensor([0.5, 1.5, 3.5])
    values = torch.rand(1500, generator=generator) * 6
    noise = torch.logit(torch.rand(1500, generator=generator).clamp(1e-6, 1 - 1e-6))
    grades = ((values + noise)[:, None] > cuts).sum(1)
    model = OrdinalModel(Line(0.1), 4)  # type: ignore[arg-type]
    ids = (values * 10).round().int().numpy()
    examples = [
        GradedExample(ChatExample(np.array([i], np.int32), np.zeros(1, bool)), (float(g),))
        for i, g in zip(ids, grades, strict=True)
    ]
    objective = Ordinal(OrdinalConfig(num_grades=4, context_tokens=8))
    batch, optimizer = objective.collate(examples), torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(300):
        optimizer.zero_grad()
        made = objective.loss(model, batch)
        made.loss.backward()
        optimizer.step()
    assert (model.thresholds.diff() > 0).all()
    torch.testing.assert_close(model.thresholds.detach(), cuts, rtol=0, atol=0.35)
    assert model.scorer.slope.item() * 10 == pytest.approx(1.0, abs=0.15)  # type: ignore[union-attr]
    with pytest.raises(DataError, match=r"0 \.\. 3"):
        objective.collate([GradedExample(examples[0].conversation, (4.0,))])


def test_unknown_marks_are_not_learned_from(tmp_path: Path, seed: int) -> None:
    their_model(seed, num_labels=2).save_pretrained(tmp_path)
    model, rng = load_headed(tmp_path).train(), random.Random(seed)
    conversations = [conversation(rng) for _ in range(4)]
    marks = [(1.0, math.nan), (math.nan, -2.0), (0.5, 3.0), (math.nan, math.nan)]
    objective = MultiObjective(MultiObjectiveConfig(attributes=("a", "b"), context_tokens=CONTEXT))
    examples = [GradedExample(c, m) for c, m in zip(conversations, marks, strict=True)]
    batch = objective.collate(examples)
    made = objective.loss(model, batch)
    out = scores_of(model, conversations)
    wanted = ((out[0, 0] - 1) ** 2 + (out[1, 1] + 2) ** 2 + ((out[2, 0] - 0.5) ** 2 + (out[2, 1] - 3) ** 2) / 2) / 4
    assert made.loss.item() == pytest.approx(wanted, rel=1e-4)
    made.loss.backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    assert objective.weights == (0.5, 0.5)
    with pytest.raises(ConfigError, match="weights"):
        MultiObjectiveConfig(attributes=("a", "b"), weights=(1.0,))


def test_micro_batches_add_up(tmp_path: Path, seed: int) -> None:
    their_model(seed).save_pretrained(tmp_path)
    model, rng = load_headed(tmp_path).double(), random.Random(seed)
    examples = [ComparedExample(conversation(rng), conversation(rng), rng.random()) for _ in range(8)]
    objective = BradleyTerry(BradleyTerryConfig(center_rewards_coefficient=0.1, context_tokens=CONTEXT))
    found = []
    for size in (8, 3):
        for i in range(0, 8, size):
            batch = objective.collate(examples[i : i + size])
            (objective.loss(model, batch).loss * batch.weight / 8).backward()
        found.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
        model.zero_grad(set_to_none=True)
    for got, wanted in zip(*found, strict=True):
        torch.testing.assert_close(got, wanted, rtol=1e-8, atol=1e-10)


def test_calibration_is_counted() -> None:
    logit = lambda p: math.log(p / (1 - p))  # noqa: E731
    sure, unsure = logit(0.95), logit(0.62)
    margins = [sure] * 9 + [-sure] + [unsure] * 3 + [-unsure] * 2
    made = reliability(margins)
    assert made.accuracy == pytest.approx(12 / 15)
    assert [count for *_, count in made.curve] == [5, 10]
    assert made.curve[0][:2] == pytest.approx((0.62, 0.6))
    assert made.curve[1][:2] == pytest.approx((0.95, 0.9))
    assert made.expected_calibration_error == pytest.approx((0.02 * 5 + 0.05 * 10) / 15)
    assert reliability([0.0, 0.0]).accuracy == 0.5
    rng = np.random.default_rng(0)
    drawn = rng.normal(0, 2, 20_000)
    honest = np.where(rng.random(20_000) < 1 / (1 + np.exp(-np.abs(drawn))), np.abs(drawn), -np.abs(drawn))
    assert reliability(honest.tolist()).expected_calibration_error < 0.015
    assert reliability((3 * honest).tolist()).expected_calibration_error > 0.08
    with pytest.raises(DataError):
        reliability([])
