"""Preference objectives against trl's own trainers on the same weights, and against the papers' formulas where trl has none."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from groundup.models.decoder import Decoder
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
from groundup.objectives.sft import ChatExample
from llama_peers import CONTEXT, Peers

pytestmark = [pytest.mark.row("10.4"), pytest.mark.filterwarnings("ignore")]


def text(rng: random.Random, longest: int) -> str:
    return "".join(f" w{rng.randrange(60)}" for _ in range(rng.randint(1, longest)))


def chat(prompt: list[int], completion: list[int]) -> ChatExample:
    return ChatExample(
        np.array(prompt + completion, np.int32), np.array([False] * len(prompt) + [True] * len(completion))
    )


@pytest.fixture(scope="module")
def seed() -> int:
    drawn = random.SystemRandom().randrange(2**31)
    print(f"seed {drawn}")
    return drawn


@pytest.fixture(scope="module")
def dpo(tmp_path_factory: pytest.TempPathFactory, seed: int) -> tuple[Peers, Any]:
    from datasets import Dataset
    from trl import DPOConfig as TheirConfig
    from trl import DPOTrainer

    peers, rng = Peers(tmp_path_factory.mktemp("dpo"), seed), random.Random(seed)
    rows = [{"prompt": text(rng, 9), "chosen": text(rng, 14), "rejected": text(rng, 14)} for _ in range(12)]
    trainer = DPOTrainer(
        model=peers.policy, ref_model=peers.reference, processing_class=peers.tokenizer,
        train_dataset=Dataset.from_list(rows), args=TheirConfig(**_arguments(peers)),
    )  # fmt: skip
    return peers, trainer


def _arguments(peers: Peers) -> dict[str, Any]:
    return {
        "output_dir": str(peers.directory / "trl"),
        "report_to": [],
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
    }


def pairs(rows: list[dict[str, Any]]) -> list[PairExample]:
    return [PairExample(chat(r["prompt_ids"], r["chosen_ids"]), chat(r["prompt_ids"], r["rejected_ids"])) for r in rows]


def referenced(peers: Peers, examples: list[Any]) -> list[Any]:
    values = reference_logprobs(peers.ours[1], sequences_of(examples), context_tokens=CONTEXT, batch_tokens=100)
    return with_reference(examples, values)


PAIR_CASES: list[tuple[str, Callable[[float], Any]]] = [
    ("sigmoid", lambda beta: DPOConfig(beta=beta, context_tokens=CONTEXT)),
    ("ipo", lambda beta: IPOConfig(beta=beta, context_tokens=CONTEXT)),
    ("sigmoid_norm", lambda beta: DPOConfig(beta=beta, length_normalised=True, context_tokens=CONTEXT)),
]


@pytest.mark.parametrize(("loss_type", "config"), PAIR_CASES, ids=[name for name, _ in PAIR_CASES])
def test_pair_losses_rewards_and_gradients_are_trls(
    dpo: tuple[Peers, Any], seed: int, loss_type: str, config: Callable[[float], Any]
) -> None:
    peers, trainer = dpo
    rng = random.Random(f"{seed} {loss_type}")
    for _ in range(4):
        beta = rng.choice([0.05, 0.1, 0.7])
        rows = [trainer.train_dataset[i] for i in rng.sample(range(12), rng.randint(1, 7))]
        trainer.loss_types, trainer.beta = [loss_type], beta
        trainer._metrics["train"].clear()
        theirs = trainer.compute_loss(trainer.model.train(), trainer.data_collator(rows))
        theirs.backward()
        objective = PairPreference(config(beta), pad_id=60)
        batch = objective.collate(referenced(peers, pairs(rows)))
        made = objective.loss(peers.ours[0].train(), batch)
        made.loss.backward()
        assert batch.weight == len(rows)
        assert math.isclose(made.loss.item(), theirs.item(), rel_tol=2e-5, abs_tol=1e-6)
        told = {name: values[0] for name, values in trainer._metrics["train"].items()}
        for name in (
            "rewards/rejected",
            "rewards/chosen",
            "rewards/accuracies",
            "rewards/margins",
            "logps/chosen",
            "logps/rejected",
        ):
            if loss_type == "sigmoid_norm" and name in (
                "rewards/rejected",
                "rewards/chosen",
                "rewards/margins",
                "rewards/accuracies",
            ):
                continue  # there trl's rewards are not those of its loss
            assert math.isclose(float(made.metrics[name]), told[name], rel_tol=2e-4, abs_tol=2e-5), name
        peers.same_gradients()


def test_smoothed_labels_are_a_share_of_pairs_turned_round(dpo: tuple[Peers, Any], seed: int) -> None:
    """cDPO is no loss of trl: it is its sigmoid loss on the pairs, and on the pairs turned round, in the shares 1 - e and e."""
    peers, trainer = dpo
    rows = [trainer.train_dataset[i] for i in range(5)]
    turned = [{**r, "chosen_ids": r["rejected_ids"], "rejected_ids": r["chosen_ids"]} for r in rows]
    trainer.loss_types, trainer.beta = ["sigmoid"], 0.3
    plain, other = (trainer.compute_loss(trainer.model.train(), trainer.data_collator(r)) for r in (rows, turned))
    theirs = 0.8 * plain + 0.2 * other
    theirs.backward()
    objective = PairPreference(DPOConfig(beta=0.3, label_smoothing=0.2, context_tokens=CONTEXT))
    made = objective.loss(peers.ours[0].train(), objective.collate(referenced(peers, pairs(rows))))
    made.loss.backward()
    assert math.isclose(made.loss.item(), theirs.item(), rel_tol=2e-5)
    peers.same_gradients()


@pytest.mark.parametrize("kinds", ["both", "desirable", "undesirable"])
def test_kto_is_trls(tmp_path: Path, seed: int, kinds: str) -> None:
    from datasets import Dataset
    from trl import KTOConfig as TheirConfig
    from trl import KTOTrainer

    peers, rng = Peers(tmp_path, seed), random.Random(f"{seed} kto {kinds}")
    labels = {"both": [True, False], "desirable": [True], "undesirable": [False]}[kinds]
    rows = [{"prompt": text(rng, 9), "completion": text(rng, 14), "label": rng.choice(labels)} for _ in range(8)]
    beta, desirable, undesirable = rng.choice([0.1, 0.6]), 1.3, 0.7
    trainer = KTOTrainer(
        model=peers.policy, ref_model=peers.reference, processing_class=peers.tokenizer,
        train_dataset=Dataset.from_list(rows),
        args=TheirConfig(
            **_arguments(peers), beta=beta, desirable_weight=desirable, undesirable_weight=undesirable,
            per_device_train_batch_size=8,
        ),
    )  # fmt: skip
    taken = [trainer.train_dataset[i] for i in range(8)]
    theirs = trainer.compute_loss(trainer.model.train(), trainer.data_collator(taken))
    theirs.backward()
    examples = feedback_examples([(chat(r["prompt_ids"], r["completion_ids"]), bool(r["label"])) for r in taken])
    for row, example in zip(taken, examples, strict=True):
        assert example.mismatched.input_ids.tolist() == row["prompt_ids"] + row["KL_completion_ids"]
    objective = KTO(
        KTOConfig(beta=beta, desirable_weight=desirable, undesirable_weight=undesirable, context_tokens=CONTEXT)
    )
    batch = objective.collate(referenced(peers, examples))
    made = objective.loss(peers.ours[0].train(), batch)
    made.loss.backward()
    assert math.isclose(made.loss.item(), theirs.item(), rel_tol=2e-5)
    told = {name: values[0] for name, values in trainer._metrics["train"].items()}
    assert math.isclose(float(made.metrics["reference_point"]), told["kl"], rel_tol=1e-4, abs_tol=1e-4)
    for ours, name in (("rewards/desirable", "rewards/chosen"), ("rewards/undesirable", "rewards/rejected")):
        if name in told:
            assert math.isclose(float(made.metrics[ours]), told[name], rel_tol=2e-4, abs_tol=2e-5)
    peers.same_gradients()


# ------------------------------------------------------------------------------- against the papers, in float64


def plain_logprobs(model: Decoder, example: ChatExample) -> torch.Tensor:
    """Log-probabilities of the learned ids of one sequence, the direct way."""
    ids = torch.from_numpy(example.input_ids.astype(np.int64))
    logs = torch.log_softmax(model(ids[None, :-1]).logits[0], dim=-1)
    return logs.gather(1, ids[1:, None]).squeeze(1)[torch.from_numpy(example.mask[1:])]


def simpo(w: torch.Tensor, l: torch.Tensor) -> torch.Tensor:
    return -torch.log(torch.sigmoid(2.5 / len(w) * w.sum() - 2.5 / len(l) * l.sum() - 0.8))


def orpo(w: torch.Tensor, l: torch.Tensor) -> torch.Tensor:
    p_w, p_l = torch.exp(w.mean()), torch.exp(l.mean())
    ratio = (p_w / (1 - p_w)) / (p_l / (1 - p_l))
    return -w.mean() - 0.3 * torch.log(torch.sigmoid(torch.log(ratio)))


def dpo_nll(w: torch.Tensor, l: torch.Tensor) -> torch.Tensor:
    return -torch.log(torch.sigmoid(0.4 * (w.sum() - l.sum()))) - 0.6 * w.sum() / len(w)


FORMULAS = [
    (SimPOConfig(beta=2.5, gamma=0.8, context_tokens=CONTEXT), simpo),
    (ORPOConfig(beta=0.3, context_tokens=CONTEXT), orpo),
    (DPOConfig(beta=0.4, nll_weight=0.6, reference_free=True, context_tokens=CONTEXT), dpo_nll),
]


@pytest.mark.parametrize(("config", "formula"), FORMULAS, ids=["simpo", "orpo", "dpo+nll"])
def test_the_papers_formula(tmp_path: Path, seed: int, config: Any, formula: Any) -> None:
    model = Peers(tmp_path, seed).ours[0].double()
    rng = random.Random(f"{seed} {type(config)}")
    examples = []
    for _ in range(6):
        prompt = [rng.randrange(60) for _ in range(rng.randint(1, 8))]
        sides = [[rng.randrange(60) for _ in range(rng.randint(1, 12))] for _ in range(2)]
        examples.append(PairExample(*(chat(prompt, side) for side in sides)))
    wanted = torch.stack(
        [formula(plain_logprobs(model, e.chosen), plain_logprobs(model, e.rejected)) for e in examples]
    ).mean()
    expected = torch.autograd.grad(wanted, list(model.parameters()))
    objective = PairPreference(config)
    made = objective.loss(model, objective.collate(examples))
    assert math.isclose(made.loss.item(), wanted.item(), rel_tol=1e-12)
    for got, want in zip(torch.autograd.grad(made.loss, list(model.parameters())), expected, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-12)
