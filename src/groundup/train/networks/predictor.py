"""A trained network as a Predictor (groundup.core.protocols): labels for pictures and texts, and what a VAE or a GAN thinks of a picture.

Files: predictor.json (the network's config, its shape, labels, and the words of a vocabulary) and its weights and running statistics
in model.safetensors. A VAE gives the bound on a picture's negative log-likelihood in nats: much more than usual is not of its kind. A GAN
gives its discriminator's probability of being real.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...core.config import Use, to_plain
from ...core.errors import ArtifactError, DataError
from ...core.predictors import read_predictor, save_predictor
from ...core.types import Prediction, PredictorFacts
from ...data.images import as_input
from ...models.networks import GAN, UNKNOWN, VAE, Pictures, Texts, build_network, network_config
from ...objectives.networks import Example, VAEObjective, picture_batch, text_batch
from ...text.words import cut
from .labels import probabilities

TYPE = "network"


def save_network(
    directory: Path,
    config: Any,
    shape: Pictures | Texts,
    labels: Sequence[str],
    model: nn.Module,
    *,
    words: Sequence[str] = (),
    cut_by: str = "",
    max_words: int = 0,
) -> None:
    """words: of the vocabulary, from number 2 on."""
    described = {"use": config.use} if isinstance(config, Use) else to_plain(config)
    given = {"model": described, "shape": asdict(shape), "labels": list(labels)}
    if isinstance(shape, Texts):
        given |= {"words": list(words), "cut": cut_by, "max_words": max_words}
    save_predictor(directory, TYPE, given, {name: t.numpy() for name, t in model.state_dict().items()})


def load_network(directory: Path) -> NetworkPredictor:
    config, arrays = read_predictor(directory, TYPE)
    if "use" in config["model"]:
        raise ArtifactError(
            f"{directory} was trained with a part of your own ({config['model']['use']})",
            hint="its weights are in model.safetensors; code is never loaded from a model directory",
        )
    shape = (Texts if "words" in config else Pictures)(**config["shape"])
    model = build_network(network_config(config["model"], str(directory)), shape)
    try:
        model.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    except RuntimeError as error:
        raise ArtifactError(f"{directory}: its weights do not fit its config: {error}") from None
    return NetworkPredictor(model.eval(), shape, config)


class NetworkPredictor:
    def __init__(self, model: nn.Module, shape: Pictures | Texts, config: dict[str, Any]) -> None:
        self.model, self.shape, self.config = model, shape, config
        self.labels = tuple(config["labels"])
        self._numbers = {word: number for number, word in enumerate(config.get("words", ()), start=2)}

    @property
    def facts(self) -> PredictorFacts:
        unit = {VAE: "nats", GAN: "probability of being real"}.get(type(self.model), "")
        if isinstance(self.shape, Texts):
            kind, summary = "text", f"a {self.config['model']['type']} over {self.shape.vocab_size:,} words"
        else:
            kind = "image"
            summary = f"a {self.config['model']['type']} of {self.shape.height}x{self.shape.width} pixels"
        return PredictorFacts(kind=TYPE, input=kind, labels=self.labels, unit=unit, summary=summary)

    def predict(self, inputs: Sequence[Any]) -> list[Prediction]:
        texts = isinstance(self.shape, Texts)
        examples = [Example((self._text if texts else self._picture)(value, i), 0) for i, value in enumerate(inputs)]
        if isinstance(self.model, (VAE, GAN)):
            return [Prediction(value=value) for value in self._values(examples)]
        made = probabilities(self.model, text_batch if texts else picture_batch, examples) if examples else ()
        return [
            Prediction(label=self.labels[int(row.argmax())], scores=dict(zip(self.labels, row.tolist(), strict=True)))
            for row in made
        ]

    def _values(self, examples: Sequence[Example]) -> list[float]:
        with torch.no_grad():
            if isinstance(self.model, GAN):
                return self.model.discriminator(picture_batch(examples)).sigmoid().tolist() if examples else []
            objective = VAEObjective()
            return [float(objective.loss(self.model, objective.collate([e])).loss) for e in examples]  # type: ignore[arg-type]

    def _text(self, value: Any, number: int) -> np.ndarray:
        if not isinstance(value, str):
            raise DataError(f"input {number + 1}: this model takes texts, not {type(value).__name__}")
        return word_numbers(value, self._numbers, self.config["cut"], self.config["max_words"])

    def _picture(self, value: Any, number: int) -> np.ndarray:
        assert isinstance(self.shape, Pictures)
        made = as_input(value, self.shape.height, self.shape.width, f"input {number + 1}")
        made = np.rint(made * 255).astype(np.uint8)
        return made if self.shape.channels == 1 else np.repeat(made[..., None], self.shape.channels, 2)


def word_numbers(text: str, numbers: dict[str, int], cut_by: str, max_words: int) -> np.ndarray:
    """int64 [words]; UNKNOWN for words that have no number, and for a text without any."""
    found = [numbers.get(word, UNKNOWN) for word in cut(text, cut_by)[:max_words]]
    return np.array(found or [UNKNOWN], np.int64)
