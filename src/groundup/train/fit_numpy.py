"""An image classifier trained in NumPy alone, on the autograd of groundup.foundations (stage `fit_numpy`).

A multi-layer perceptron or a convolutional network, mini-batches in an order of the seed's, SGD or Adam with a cosine schedule, accuracy
after every epoch. It is saved as a Predictor of type `numpy_network`, in which PyTorch has no part either. Left out: going on after a
kill (it takes a minute; the same seed makes the same weights again), several threads beyond those of the matrix product. The same shapes
in PyTorch go through the one loop: stage `fit`.

Letters: N images, H and W height and width, K labels.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from ..core.artifact import write_bytes
from ..core.config import node, parse, to_plain
from ..core.errors import ConfigError, TrainingError
from ..core.exhibits import Plot, Series, plain
from ..core.predictors import read_predictor, save_predictor
from ..core.recipe import StageContext
from ..core.types import Prediction, PredictorFacts
from ..data.images import as_input, read_images, read_label_names
from ..foundations import network as layers
from ..foundations.autograd import Tensor, cross_entropy, no_grad, softmax
from ..foundations.network import GAINS, Layer, Sequential, mean_squared_error
from ..foundations.optimise import SGD, Adam
from .label_figures import Labelling, calibration_plot, confusion_plot, mistaken_pictures

TYPE = "numpy_network"
ActivationName: TypeAlias = Literal["relu", "tanh", "sigmoid", "silu", "gelu", "gelu_tanh", "linear"]
NormName: TypeAlias = Literal["none", "batch", "layer", "rms"]
_PREDICTED_AT_ONCE = 500


@dataclass(frozen=True, kw_only=True)
class NumpyMLPConfig:
    """Fully connected layers over all pixels."""

    type: Literal["mlp"] = "mlp"
    hidden_sizes: tuple[int, ...] = (256, 128)
    activation: ActivationName = "relu"
    norm: NormName = "none"
    dropout: float = 0.0
    init: Literal["xavier", "he", "orthogonal"] = "he"
    init_scale: float = 1.0
    """Initial weights are multiplied by it: 1 is the scheme's own size."""

    def build(self, shape: tuple[int, int, int], labels: int, rng: np.random.Generator) -> Sequential:
        """shape: (channels, height, width)"""
        made: list[Layer] = [layers.Flatten()]
        size = math.prod(shape)
        gain = self.init_scale * GAINS.get(self.activation, 1.0)
        for width in self.hidden_sizes:
            made += [
                layers.Linear(size, width, rng, init=self.init, gain=gain),
                *_norm(self.norm, width),
                layers.Activation(self.activation),
            ]
            made += [layers.Dropout(self.dropout, rng)] if self.dropout else []
            size = width
        return Sequential(*made, layers.Linear(size, labels, rng))


@dataclass(frozen=True, kw_only=True)
class NumpyCNNConfig:
    """Convolutions of side 3 with max-pooling after each, then two fully connected layers (LeNet's plan, LeCun et al. 1998)."""

    type: Literal["cnn"] = "cnn"
    channels: tuple[int, ...] = (16, 32)
    kernel_size: int = 3
    hidden_size: int = 128
    activation: ActivationName = "relu"
    norm: Literal["none", "batch"] = "none"
    dropout: float = 0.0
    init: Literal["xavier", "he", "orthogonal"] = "he"

    def build(self, shape: tuple[int, int, int], labels: int, rng: np.random.Generator) -> Sequential:
        made: list[Layer] = []
        gain = GAINS.get(self.activation, 1.0)
        channels, height, width = shape
        for wider in self.channels:
            if min(height, width) < 2:
                raise ConfigError(f"{len(self.channels)} poolings leave nothing of {shape[1]}x{shape[2]} pixels",
                                  path="model.channels", hint="give fewer")  # fmt: skip
            made += [
                layers.Conv2d(
                    channels, wider, self.kernel_size, rng, padding=self.kernel_size // 2, init=self.init, gain=gain
                ),
                *_norm(self.norm, wider),
                layers.Activation(self.activation),
                layers.MaxPool2d(2),
            ]
            channels, height, width = wider, height // 2, width // 2
        made += [
            layers.Flatten(),
            layers.Linear(channels * height * width, self.hidden_size, rng, init=self.init, gain=gain),
            layers.Activation(self.activation),
        ]
        made += [layers.Dropout(self.dropout, rng)] if self.dropout else []
        return Sequential(*made, layers.Linear(self.hidden_size, labels, rng))


def _norm(name: NormName, size: int) -> list[Layer]:
    match name:
        case "batch":
            return [layers.BatchNorm(size)]
        case "layer":
            return [layers.LayerNorm(size)]
        case "rms":
            return [layers.RMSNorm(size)]
    return []


@dataclass(frozen=True, kw_only=True)
class NumpyOptimizerConfig:
    type: Literal["sgd", "adam"] = "adam"
    lr: float = 0.001
    """At the beginning; it falls to zero along half a cosine."""
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0

    def build(self, parameters: Sequence[np.ndarray]) -> SGD | Adam:
        if self.type == "adam":
            return Adam(parameters, lr=self.lr, weight_decay=self.weight_decay)
        return SGD(
            parameters, lr=self.lr, momentum=self.momentum, nesterov=self.nesterov, weight_decay=self.weight_decay
        )


NumpyModelNode = node(NumpyMLPConfig, NumpyCNNConfig)


@dataclass(frozen=True, kw_only=True)
class FitNumpyStage:
    data: str = "data"
    """Stage that made the images."""
    model: NumpyModelNode = NumpyMLPConfig()  # type: ignore[valid-type]
    optimizer: NumpyOptimizerConfig = NumpyOptimizerConfig()
    loss: Literal["cross_entropy", "mse"] = "cross_entropy"
    """mse: squared distance of the outputs from 1 for the right label and 0 for the others."""
    label_smoothing: float = 0.0
    num_epochs: int = 20
    batch_size: int = 64
    type: Literal["fit_numpy"] = "fit_numpy"
    kind = "predictor"

    def __post_init__(self) -> None:
        for name in ("num_epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"must be at least 1, not {getattr(self, name)}", path=name)
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"must be at least 0 and below 1, not {self.label_smoothing}", path="label_smoothing")

    def inputs(self) -> Sequence[str]:
        return (self.data,)

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> Mapping[str, Any]:
        directory = context.inputs[self.data]
        names = read_label_names(directory)
        images, labels = read_images(directory, "train")
        made = NumpyNetwork.begin(self.model, images, names, context.seed)
        held = "test" if len(read_images(directory, "test")[1]) else "validation"
        test_images, test_labels = read_images(directory, held)
        test = made.prepared(test_images)
        start = time.perf_counter()
        training = NumpyTraining(self, made, made.prepared(images), labels, context.seed)
        kept = context.scratch / "epoch.safetensors"
        if training.load(kept):
            context.tracker.rewind(training.epoch)
            context.progress.say(f"  goes on after epoch {training.epoch}")
        history = training.history
        while training.epoch < self.num_epochs:
            loss, right = training.run_epoch()
            history.append({"loss": loss, "train_accuracy": right})
            if len(test):
                history[-1]["accuracy"] = float((made.probabilities(test).argmax(1) == test_labels).mean())
            context.tracker.log(training.epoch, history[-1])
            training.save(kept)  # after the log, whose lines beyond a kept epoch are taken back
            context.progress.say(
                f"  epoch {training.epoch}: " + ", ".join(f"{k} {v:.4f}" for k, v in history[-1].items())
            )
        seconds = time.perf_counter() - start
        made.save(context.directory)
        figures: dict[str, Any] = {"parameters": made.num_parameters, "loss": history[-1]["loss"],
                                   "train_accuracy": history[-1]["train_accuracy"]}  # fmt: skip
        exhibits: list[Any] = [_curves(history)]
        if len(test):
            probabilities = made.probabilities(test)
            labelling = Labelling(labels=names, wanted=test_labels, given=probabilities.argmax(1), probabilities=probabilities,
                                  seconds=seconds)  # fmt: skip
            figures |= labelling.figures()
            exhibits += [confusion_plot(labelling), calibration_plot(labelling, "the network"),
                         mistaken_pictures(labelling, test_images)]  # fmt: skip
        return {**figures, "exhibits": plain(*(shown for shown in exhibits if shown is not None))}


class NumpyTraining:
    """A network on its way: an epoch at a time, kept after each, so that a killed run goes on as if nothing had been."""

    def __init__(
        self, stage: FitNumpyStage, made: NumpyNetwork, inputs: np.ndarray, labels: np.ndarray, seed: int
    ) -> None:
        self.stage, self.made, self.inputs, self.labels = stage, made, inputs, labels
        self.rng = np.random.default_rng([seed, 1])
        self.tensors = [p for _, p in made.network.named_parameters()]
        self.optimizer = stage.optimizer.build([p.data for p in self.tensors])
        self.epoch = 0
        """How many are done."""
        self.history: list[dict[str, float]] = []

    def run_epoch(self) -> tuple[float, float]:
        """Mean loss, and share of right answers, while training. TrainingError where the loss runs away."""
        stage, epoch = self.stage, self.epoch
        batches = -(-len(self.inputs) // stage.batch_size)
        self.made.network.train()
        total, right = 0.0, 0
        for number, rows in enumerate(np.array_split(self.rng.permutation(len(self.inputs)), batches)):
            done = (epoch * batches + number) / (stage.num_epochs * batches)
            self.optimizer.lr = stage.optimizer.lr * 0.5 * (1 + math.cos(math.pi * done))
            outputs = self.made.network(Tensor(self.inputs[rows]))
            loss = _loss(stage, outputs, self.labels[rows])
            if not math.isfinite(loss.item()):
                raise TrainingError(f"the loss became {loss.item()} in epoch {epoch + 1}, batch {number + 1}",
                                    hint=f"a smaller learning rate: optimizer.lr={stage.optimizer.lr / 10:g}")  # fmt: skip
            for tensor in self.tensors:
                tensor.grad = None
            loss.backward()
            self.optimizer.step([_grad(tensor) for tensor in self.tensors])
            total += loss.item() * len(rows)
            right += int((outputs.data.argmax(1) == self.labels[rows]).sum())
        self.made.network.train(False)
        self.epoch += 1
        return total / len(self.inputs), right / len(self.inputs)

    def save(self, path: Path) -> None:
        arrays = {f"network.{name}": array for name, array in self.made.network.state_dict().items()}
        arrays |= {f"optimizer.{i}": array for i, array in enumerate(self.optimizer.state)}
        draws = [rng.bit_generator.state for rng in (self.rng, self.made.rng)]
        facts = {"epoch": self.epoch, "history": self.history, "draws": draws}
        write_bytes(path, save(arrays, {"facts": json.dumps(facts)}))

    def load(self, path: Path) -> bool:
        """Whether there was anything to go on from."""
        if not path.is_file():
            return False
        with safe_open(path, "numpy") as file:
            facts = json.loads(file.metadata()["facts"])
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it has no iterator)
        self.made.network.load_state_dict(
            {n.removeprefix("network."): a for n, a in arrays.items() if n.startswith("network.")}
        )
        for i, array in enumerate(self.optimizer.state):
            array[...] = arrays[f"optimizer.{i}"]
        self.rng.bit_generator.state, self.made.rng.bit_generator.state = facts["draws"]
        self.epoch, self.history = facts["epoch"], facts["history"]
        return True


def _grad(tensor: Tensor) -> np.ndarray:
    assert tensor.grad is not None
    return tensor.grad


def _loss(stage: FitNumpyStage, outputs: Tensor, labels: np.ndarray) -> Tensor:
    if stage.loss == "cross_entropy":
        return cross_entropy(outputs, labels, label_smoothing=stage.label_smoothing)
    targets = np.eye(outputs.shape[1], dtype=np.float32)[labels]
    return mean_squared_error(outputs, targets * (1 - stage.label_smoothing) + stage.label_smoothing / len(targets[0]))


def _curves(history: Sequence[Mapping[str, float]]) -> Plot:
    epochs = list(range(1, len(history) + 1))
    wrong = {
        name: [1 - row[figure] for row in history if figure in row]
        for name, figure in (("training", "train_accuracy"), ("held out", "accuracy"))
    }
    return Plot(
        title="Share of wrong answers, by epoch",
        kind="lines",
        sentence="Where the held-out line stays above the training line, the network knows its examples better than the digits.",
        series=[
            Series(name=name, x=epochs, y=[max(v, 1e-4) for v in values]) for name, values in wrong.items() if values
        ],
        x_label="epoch",
        y_label="share wrong",
        log_y=True,
    )


class NumpyNetwork:
    """groundup.core.protocols.Predictor."""

    def __init__(
        self,
        config: Any,
        network: Sequential,
        names: Sequence[str],
        shape: tuple[int, int, int],
        mean: float,
        std: float,
        rng: np.random.Generator | None = None,
    ) -> None:
        """rng: what dropout draws from; None for a network that is trained no more."""
        self.rng = np.random.default_rng(0) if rng is None else rng
        self.config, self.network, self.names, self.shape = config, network, tuple(names), shape
        self.mean, self.std = mean, std

    @classmethod
    def begin(cls, config: Any, images: np.ndarray, names: Sequence[str], seed: int) -> NumpyNetwork:
        """With initial weights; mean and spread of the pixels are those of the training images."""
        shape = (3 if images.ndim == 4 else 1, images.shape[1], images.shape[2])
        pixels = images.astype(np.float32) / 255
        std = float(pixels.std()) or 1.0
        rng = np.random.default_rng([seed, 0])
        return cls(config, config.build(shape, len(names), rng), names, shape, float(pixels.mean()), std, rng)

    @property
    def num_parameters(self) -> int:
        return sum(p.data.size for _, p in self.network.named_parameters())

    @property
    def facts(self) -> PredictorFacts:
        return PredictorFacts(
            kind=TYPE,
            input="image",
            labels=self.names,
            summary=f"a network in NumPy ({self.config.type}) for {len(self.names)} labels of {self.shape[1]}x{self.shape[2]} images",
        )

    def prepared(self, images: np.ndarray) -> np.ndarray:
        """uint8 [N, H, W] or [N, H, W, 3] -> float32 [N, C, H, W], mean 0 and spread 1."""
        ordered = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
        return (ordered.astype(np.float32) / 255 - self.mean) / self.std

    def probabilities(self, inputs: np.ndarray) -> np.ndarray:
        """[N, K]"""
        self.network.train(False)
        with no_grad():
            parts = [softmax(self.network(Tensor(inputs[i : i + _PREDICTED_AT_ONCE]))).data
                     for i in range(0, len(inputs), _PREDICTED_AT_ONCE)]  # fmt: skip
        return np.concatenate(parts) if parts else np.empty((0, len(self.names)), np.float32)

    def predict(self, inputs: Sequence[Any]) -> list[Prediction]:
        if not inputs:
            return []
        images = [
            as_input(value, self.shape[1], self.shape[2], f"input {n}") for n, value in enumerate(inputs, start=1)
        ]
        values = (np.stack(images)[:, None] - self.mean) / self.std
        found = self.probabilities(np.repeat(values, self.shape[0], axis=1).astype(np.float32))
        return [
            Prediction(
                label=self.names[row.argmax()], scores={n: float(p) for n, p in zip(self.names, row, strict=True)}
            )
            for row in found
        ]

    def save(self, directory: Path) -> None:
        config = {"model": to_plain(self.config), "labels": list(self.names), "shape": list(self.shape),
                  "mean": self.mean, "std": self.std}  # fmt: skip
        save_predictor(directory, TYPE, config, self.network.state_dict())


def load_numpy_network(directory: Path) -> NumpyNetwork:
    facts, arrays = read_predictor(directory, TYPE)
    kinds: dict[str, Any] = {"mlp": NumpyMLPConfig, "cnn": NumpyCNNConfig}
    config = parse(kinds[facts["model"]["type"]], facts["model"], path="model")
    channels, height, width = facts["shape"]
    shape = (channels, height, width)
    network = config.build(shape, len(facts["labels"]), np.random.default_rng(0))
    network.load_state_dict(arrays)
    return NumpyNetwork(config, network, facts["labels"], shape, facts["mean"], facts["std"])
