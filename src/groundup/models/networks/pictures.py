"""Classifiers of pictures: the multi-layer perceptron, a convolutional network after LeNet, and residual networks.

MLP: Rumelhart et al. 1986. CNN: LeCun et al. 1998, with the max pooling and ReLU of later years. ResNet: He et al. 2016, "Deep
residual learning", section 4.2 (the CIFAR shape: three stages, each half the size and twice as wide); pre_activation: He et al.
2016, "Identity mappings". Shortcuts that change shape are 1x1 convolutions. Left out: bottleneck blocks, squeeze-and-excitation,
data augmentation.

Letters: B pictures, C channels, H height, W width, L labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from ...core.errors import ConfigError
from ...nn.init import GAINS, initialise
from ...nn.linear import Linear
from .parts import Activation, NormName, activation, image_norm, vector_norm
from .shapes import Pictures, a_share, at_least_one


@dataclass(frozen=True, kw_only=True)
class MLPConfig:
    type: Literal["mlp"] = "mlp"
    hidden_size: int = 256
    num_hidden_layers: int = 1
    activation: Activation = "relu"
    norm: NormName = "none"
    """After each hidden layer's product, before its activation."""
    dropout: float = 0.0
    """After each hidden layer."""

    def __post_init__(self) -> None:
        at_least_one(self, "hidden_size")
        a_share(self, "dropout")

    def build(self, shape: Pictures) -> nn.Module:
        return MLP(self, shape)


@dataclass(frozen=True, kw_only=True)
class CNNConfig:
    type: Literal["cnn"] = "cnn"
    channels: tuple[int, ...] = (16, 32)
    """Of each convolution; every one halves height and width, while they are at least 2."""
    kernel_size: int = 3
    hidden_size: int = 128
    activation: Activation = "relu"
    norm: NormName = "none"
    dropout: float = 0.0
    """Before the hidden and the last layer."""

    def __post_init__(self) -> None:
        at_least_one(self, "hidden_size")
        a_share(self, "dropout")
        if not self.channels or min(self.channels) < 1:
            raise ConfigError(f"must be numbers of at least 1, not {list(self.channels)}", path="channels")
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ConfigError(f"must be odd, not {self.kernel_size}", path="kernel_size")

    def build(self, shape: Pictures) -> nn.Module:
        return CNN(self, shape)


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    type: Literal["resnet"] = "resnet"
    channels: tuple[int, ...] = (16, 32, 64)
    """Of each stage; every stage but the first halves height and width."""
    num_blocks: int = 2
    """Of each stage: 6 n + 2 layers with three stages."""
    norm: NormName = "batch"
    pre_activation: bool = False
    shortcuts: bool = True
    """False leaves the shortcuts out: the plain network that the paper compares with."""

    def __post_init__(self) -> None:
        at_least_one(self, "num_blocks")
        if not self.channels or min(self.channels) < 1:
            raise ConfigError(f"must be numbers of at least 1, not {list(self.channels)}", path="channels")

    def build(self, shape: Pictures) -> nn.Module:
        return ResNet(self, shape)


class MLP(nn.Module):
    """[B, C, H, W] -> [B, L]"""

    def __init__(self, config: MLPConfig, shape: Pictures) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        size = shape.numbers
        for _ in range(config.num_hidden_layers):
            layers += [
                Linear(size, config.hidden_size),
                *vector_norm(config.norm, config.hidden_size),
                activation(config.activation),
                nn.Dropout(config.dropout),
            ]
            size = config.hidden_size
        self.hidden = nn.Sequential(*layers)
        self.score = Linear(size, shape.num_labels)
        initialise(self, "he_uniform", gain=GAINS.get(config.activation, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.score(self.hidden(x.flatten(1)))
        return scores


class CNN(nn.Module):
    """[B, C, H, W] -> [B, L]"""

    def __init__(self, config: CNNConfig, shape: Pictures) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels, height, width = shape.channels, shape.height, shape.width
        for size in config.channels:
            layers += [
                nn.Conv2d(channels, size, config.kernel_size, padding=config.kernel_size // 2),
                *image_norm(config.norm, size),
                activation(config.activation),
            ]
            channels = size
            if min(height, width) >= 2:
                layers.append(nn.MaxPool2d(2))
                height, width = height // 2, width // 2
        self.features = nn.Sequential(*layers)
        self.hidden = nn.Sequential(
            nn.Dropout(config.dropout),
            Linear(channels * height * width, config.hidden_size),
            activation(config.activation),
            nn.Dropout(config.dropout),
        )
        self.score = Linear(config.hidden_size, shape.num_labels)
        initialise(self, "he_uniform", gain=GAINS.get(config.activation, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.score(self.hidden(self.features(x).flatten(1)))
        return scores


class ResidualBlock(nn.Module):
    """[B, C, H, W] -> [B, size, H / stride, W / stride]: x + f(x), f two convolutions."""

    def __init__(self, channels: int, size: int, stride: int, config: ResNetConfig) -> None:
        super().__init__()
        before = channels if config.pre_activation else size
        self.norm1 = nn.Sequential(*image_norm(config.norm, before))
        self.conv1 = nn.Conv2d(channels, size, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.Sequential(*image_norm(config.norm, size))
        self.conv2 = nn.Conv2d(size, size, 3, padding=1, bias=False)
        self.shortcut: nn.Module | None = None
        if config.shortcuts:
            same = channels == size and stride == 1
            self.shortcut = nn.Identity() if same else nn.Conv2d(channels, size, 1, stride=stride, bias=False)
        self.pre_activation = config.pre_activation

    def forward(self, x: Tensor) -> Tensor:
        if self.pre_activation:
            made = self.conv2(self.norm2(self.conv1(self.norm1(x).relu())).relu())
        else:
            made = self.norm2(self.conv2(self.norm1(self.conv1(x)).relu()))
        added: Tensor = made if self.shortcut is None else made + self.shortcut(x)
        return added if self.pre_activation else added.relu()


class ResNet(nn.Module):
    """[B, C, H, W] -> [B, L]"""

    def __init__(self, config: ResNetConfig, shape: Pictures) -> None:
        super().__init__()
        first = config.channels[0]
        self.stem = nn.Sequential(nn.Conv2d(shape.channels, first, 3, padding=1, bias=False))
        if not config.pre_activation:
            self.stem.extend([*image_norm(config.norm, first), nn.ReLU()])
        blocks: list[nn.Module] = []
        channels = first
        for stage, size in enumerate(config.channels):
            for block in range(config.num_blocks):
                blocks.append(ResidualBlock(channels, size, 2 if stage > 0 and block == 0 else 1, config))
                channels = size
        if config.pre_activation:
            blocks += [*image_norm(config.norm, channels), nn.ReLU()]
        self.blocks = nn.Sequential(*blocks)
        self.score = Linear(channels, shape.num_labels)
        initialise(self, "he_normal")

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.score(self.blocks(self.stem(x)).mean((2, 3)))
        return scores
