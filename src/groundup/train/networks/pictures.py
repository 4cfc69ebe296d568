"""Pictures for the `fit` stage: networks that label them, and networks that make them (VAE, GAN)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ...core.exhibits import Plot, Table
from ...core.recipe import StageContext
from ...data.images import grey, read_images, read_label_names
from ...models.networks import Pictures, build_network
from ...models.networks.generative import GANConfig, VAEConfig
from ...objectives.networks import Example, GANObjective, LabelObjective, Penalties, VAEObjective, picture_batch
from ..label_figures import mistaken_pictures
from .labels import LabelFigures
from .predictor import save_network
from .task import Exhibits, Part, Task, judged_and_watched

if TYPE_CHECKING:
    from ..fit import FitStage

_SHOWN = 32
_COMPARED = 256
"""Pictures that a maker's samples are compared with."""


def open_pictures(stage: FitStage, context: StageContext) -> Task:
    directory = context.inputs[stage.data]
    split = {name: _examples(*read_images(directory, name)) for name in ("train", "validation", "test")}
    train = split["train"][: stage.limit]
    held_out, watched = judged_and_watched(stage, context.name, split["validation"], split["test"])
    first = train[0].input
    names = read_label_names(directory)
    shape = Pictures(
        height=first.shape[0], width=first.shape[1], channels=3 if first.ndim == 3 else 1, num_labels=len(names)
    )

    def build() -> nn.Module:
        return build_network(stage.model, shape)

    parts = [
        Part(
            name=f"run{number}", train=train, held_out=held_out, watched=watched,
            seed=context.seed + number, build=build,
        )
        for number in range(stage.repeats)
    ]  # fmt: skip
    if isinstance(stage.model, (VAEConfig, GANConfig)):
        return _maker(stage, parts, shape)
    figures = LabelFigures(picture_batch, names, parts)

    def judged(models: Sequence[nn.Module]) -> tuple[dict[str, Any], Exhibits]:
        found, shown, labelling = figures.judged(models)
        wrong = mistaken_pictures(labelling, np.stack([example.input for example in parts[0].held_out]), _SHOWN)
        if wrong is not None:
            shown.append(wrong)
        return found, shown

    return Task(
        objective=LabelObjective(
            texts=False, label_smoothing=stage.label_smoothing, penalties=Penalties(l1=stage.l1, l2=stage.l2)
        ),
        parts=parts,
        final=None,
        evaluate=figures.evaluate,
        judged=judged,
        save=lambda part, model, where: save_network(where, stage.model, shape, names, model),
    )


def _examples(images: np.ndarray, labels: np.ndarray) -> list[Example]:
    return [Example(image, int(label)) for image, label in zip(images, labels, strict=True)]


def _maker(stage: FitStage, parts: Sequence[Part], shape: Pictures) -> Task:
    vae = isinstance(stage.model, VAEConfig)
    objective: Any = VAEObjective(kl_weight=stage.kl_weight) if vae else GANObjective()

    def evaluate(model: Any, examples: Sequence[Example]) -> dict[str, float]:
        """nats a picture (the bound, codes at their mean not drawn) of a VAE; how easily its samples are told from examples of both."""
        found: dict[str, float] = {}
        model.eval()
        with torch.no_grad():
            if vae:
                batch = objective.collate(examples)
                model.train()  # codes are drawn, as the bound asks
                out = objective.loss(model, batch)
                model.eval()
                found = {"loss": float(out.loss), **{name: float(value) for name, value in out.metrics.items()}}
            real = picture_batch(examples[:_COMPARED])
            made = model.pictures(torch.randn(len(real), model.latent_size))
        return found | {"told_apart": told_apart(real.flatten(1).numpy(), made.flatten(1).numpy())}

    def judged(models: Sequence[nn.Module]) -> tuple[dict[str, Any], Exhibits]:
        model: Any = models[0]
        torch.manual_seed(parts[0].seed)
        figures: dict[str, Any] = dict(evaluate(model, parts[0].held_out))
        model.eval()
        with torch.no_grad():
            shown: Exhibits = [
                _pictures("Samples", model.pictures(torch.randn(_SHOWN, model.latent_size)), "Codes drawn at random.")
            ]
            ends = _ends(model, parts[0]) if vae else torch.randn(8, model.latent_size)
            steps = torch.linspace(0, 1, 8)[:, None]
            walks = torch.cat([a + (b - a) * steps for a, b in zip(ends[:4], ends[4:8], strict=True)])
            words = "From the codes of one held-out picture to another's" if vae else "From one random code to another"
            shown.append(_pictures("Walks between codes", model.pictures(walks), f"{words}, a walk a row."))
            if vae:
                real = picture_batch(parts[0].held_out[: _SHOWN // 2])
                again = model.pictures(model.encode(real)[0])
                pairs = torch.stack([real, again], 1).flatten(0, 1)
                shown.append(
                    _pictures("Held-out pictures, each with its reconstruction", pairs, "In pairs: given, made again.")
                )
                mean = np.clip(np.mean([e.input / 255 for e in parts[0].train], axis=0), 1e-4, 1 - 1e-4)
                held = np.stack([e.input / 255 for e in parts[0].held_out])
                each = -(held * np.log(mean) + (1 - held) * np.log(1 - mean))
                figures |= {"loss_of_mean_picture": float(each.reshape(len(held), -1).sum(1).mean())}
        named = {
            "loss": "bound, nats a picture",
            "loss_of_mean_picture": "the same for pixels drawn from the mean training picture",
            "told_apart": "samples told from held-out pictures by the nearest neighbour (0.5: not at all)",
        }
        table = Table(
            title="How well it makes pictures",
            columns=["figure", "value"],
            rows=[[words, figures[name]] for name, words in named.items() if name in figures],
        )
        return figures, [table, *shown]

    return Task(
        objective=objective,
        parts=parts,
        final=None,
        evaluate=evaluate,
        judged=judged,
        save=lambda part, model, where: save_network(where, stage.model, shape, (), model),
    )


def _ends(model: Any, part: Part) -> torch.Tensor:
    codes: torch.Tensor = model.encode(picture_batch(part.held_out[:8]))[0]
    return codes


def _pictures(title: str, made: torch.Tensor, sentence: str) -> Plot:
    images = (made * 255).round().byte().permute(0, 2, 3, 1).squeeze(-1).numpy()
    return Plot(title=title, kind="images", matrices=[grey(image).tolist() for image in images], sentence=sentence)


def told_apart(real: np.ndarray, made: np.ndarray) -> float:
    """Share of both sets whose nearest neighbour among all is of their own set: 0.5 if they cannot be told apart, 1 if they can.

    real, made: [N, numbers], as many of each. Lopez-Paz and Oquab 2017, "Revisiting classifier two-sample tests".
    """
    every = np.concatenate([real, made]).astype(np.float64)
    squares = (every**2).sum(1)
    distances = squares[:, None] + squares[None] - 2 * every @ every.T
    np.fill_diagonal(distances, np.inf)
    is_real = np.arange(len(every)) < len(real)
    return float((is_real[distances.argmin(1)] == is_real).mean())
