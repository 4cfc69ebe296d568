"""Objectives of small networks: labels of pictures and texts, the variational bound, and the two players of a GAN as one loss.

Labels: cross-entropy with label smoothing, and L1 and L2 penalties on weight matrices. VAE: the negative evidence lower bound
(Kingma and Welling 2014, equation 10). GAN: the discriminator's loss plus the generator's non-saturating one (Goodfellow et al. 2014,
section 3). The generator's share goes through the discriminator with its weights detached, and the discriminator's share sees detached
pictures, so each player's gradient is its own loss's alone and one step of one optimizer is a step of both.

Letters: B examples, C channels, H height, W width, T words, L labels, Z codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..models.networks import GAN, PADDING, VAE
from ..nn.protocols import Batch, LossOutput


class Example(NamedTuple):
    input: np.ndarray
    """A picture, uint8 [H, W] or [H, W, 3]; or a text's word numbers, int64 [t]."""
    label: int


def picture_batch(examples: Sequence[Example]) -> Tensor:
    """float32 [B, C, H, W] in [0, 1]"""
    stacked = torch.from_numpy(np.stack([example.input for example in examples]))
    stacked = stacked.unsqueeze(1) if stacked.dim() == 3 else stacked.permute(0, 3, 1, 2)
    return stacked.float() / 255


def text_batch(examples: Sequence[Example]) -> Tensor:
    """int64 [B, T], PADDING behind each text."""
    longest = max(1, *(len(example.input) for example in examples)) if examples else 1
    ids = np.full((len(examples), longest), PADDING, np.int64)
    for row, example in zip(ids, examples, strict=True):
        row[: len(example.input)] = example.input
    return torch.from_numpy(ids)


def _batch(inputs: Tensor, examples: Sequence[Example]) -> Batch:
    labels = torch.tensor([[example.label] for example in examples], dtype=torch.int64)
    return Batch(labels, labels, extras={"inputs": inputs}, count=len(examples))


@dataclass(frozen=True, kw_only=True)
class Penalties:
    """What is added to the loss for the size of weight matrices (embeddings and convolutions too, never of vectors)."""

    l1: float = 0.0
    l2: float = 0.0

    def __call__(self, model: Any) -> Tensor | float:
        if not self.l1 and not self.l2:
            return 0.0
        matrices = [p for p in model.parameters() if p.dim() >= 2]
        absolute = torch.stack([p.abs().sum() for p in matrices]).sum() if self.l1 else 0.0
        squares = torch.stack([p.square().sum() for p in matrices]).sum() if self.l2 else 0.0
        return self.l1 * absolute + 0.5 * self.l2 * squares


class LabelObjective:
    """groundup.nn.protocols.Objective over Examples. Metrics: accuracy."""

    def __init__(self, *, texts: bool, label_smoothing: float = 0.0, penalties: Penalties = Penalties()) -> None:
        self.batch_of = text_batch if texts else picture_batch
        self.label_smoothing, self.penalties = label_smoothing, penalties

    def collate(self, examples: Sequence[Example]) -> Batch:
        return _batch(self.batch_of(examples), examples)

    def loss(self, model: Any, batch: Batch) -> LossOutput:
        scores, wanted = model(batch.extras["inputs"]).float(), batch.targets.squeeze(1)
        loss = F.cross_entropy(scores, wanted, label_smoothing=self.label_smoothing)
        right = (scores.detach().argmax(1) == wanted).float().mean()
        return LossOutput(loss + self.penalties(model), {"accuracy": right})


class VAEObjective:
    """Metrics in nats a picture: reconstruction, kl. kl_weight other than 1: the beta of Higgins et al. 2017."""

    def __init__(self, *, kl_weight: float = 1.0) -> None:
        self.kl_weight = kl_weight

    def collate(self, examples: Sequence[Example]) -> Batch:
        return _batch(picture_batch(examples), examples)

    def loss(self, model: VAE, batch: Batch) -> LossOutput:
        pictures = batch.extras["inputs"]
        logits, mean, log_variance = (part.float() for part in model(pictures))
        lost = F.binary_cross_entropy_with_logits(logits, pictures, reduction="sum") / len(pictures)
        kl = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum() / len(pictures)
        return LossOutput(lost + self.kl_weight * kl, {"reconstruction": lost.detach(), "kl": kl.detach()})


class GANObjective:
    """Metrics: discriminator_loss, generator_loss, and the probability of being real that real and made pictures get."""

    def __init__(self, *, real_target: float = 0.9) -> None:
        self.real_target = real_target
        """What the discriminator is to say of real pictures; below 1 it stays unsure (one-sided smoothing, Salimans et al. 2016)."""

    def collate(self, examples: Sequence[Example]) -> Batch:
        return _batch(picture_batch(examples), examples)

    def loss(self, model: GAN, batch: Batch) -> LossOutput:
        real = batch.extras["inputs"]
        made = model.generator(torch.randn(len(real), model.latent_size))
        of_real, of_made = model.discriminator(real).float(), model.discriminator(made.detach()).float()
        discriminator = _says(of_real, self.real_target) + _says(of_made, 0.0)
        generator = _says(_frozen(model.discriminator, made).float(), 1.0)
        metrics = {
            "discriminator_loss": discriminator.detach(),
            "generator_loss": generator.detach(),
            "real_score": of_real.detach().sigmoid().mean(),
            "made_score": of_made.detach().sigmoid().mean(),
        }
        return LossOutput(discriminator + generator, metrics)


def _says(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def _frozen(module: nn.Module, x: Tensor) -> Tensor:
    """The module at x, with no gradient for its parameters."""
    detached = {name: parameter.detach() for name, parameter in module.named_parameters()}
    made: Tensor = torch.func.functional_call(module, detached, (x,))
    return made
