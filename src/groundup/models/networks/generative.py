"""Networks that make pictures: the variational autoencoder and the generative adversarial network.

VAE: Kingma and Welling 2014, with Gaussian codes and Bernoulli pixels, one hidden layer each way as in its appendix C. GAN:
Goodfellow et al. 2014 in the shape of Radford et al. 2016 (DCGAN): transposed convolutions with batch norm up, strided
convolutions with leaky ReLU down. Pictures of any size: the generator's are cut to it. Left out: labels as a condition, several
steps of the discriminator for one of the generator, spectral norm.

Letters: B pictures, C channels, H height, W width, Z codes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from ...nn.init import initialise
from ...nn.linear import Linear
from .parts import Activation, activation
from .shapes import Pictures, a_share, at_least_one


@dataclass(frozen=True, kw_only=True)
class VAEConfig:
    type: Literal["vae"] = "vae"
    latent_size: int = 8
    hidden_size: int = 256
    activation: Activation = "tanh"

    def __post_init__(self) -> None:
        at_least_one(self, "latent_size", "hidden_size")

    def build(self, shape: Pictures) -> VAE:
        return VAE(self, shape)


@dataclass(frozen=True, kw_only=True)
class GANConfig:
    type: Literal["gan"] = "gan"
    latent_size: int = 32
    channels: int = 32
    """Of the widest picture-sized layer; the layer below has twice as many."""
    dropout: float = 0.1
    """In the discriminator: with few pictures it would learn them by heart."""

    def __post_init__(self) -> None:
        at_least_one(self, "latent_size", "channels")
        a_share(self, "dropout")

    def build(self, shape: Pictures) -> GAN:
        return GAN(self, shape)


class VAE(nn.Module):
    def __init__(self, config: VAEConfig, shape: Pictures) -> None:
        super().__init__()
        self.shape, self.latent_size = shape, config.latent_size
        self.encoder = nn.Sequential(Linear(shape.numbers, config.hidden_size), activation(config.activation))
        self.mean = Linear(config.hidden_size, config.latent_size)
        self.log_variance = Linear(config.hidden_size, config.latent_size)
        self.decoder = nn.Sequential(
            Linear(config.latent_size, config.hidden_size),
            activation(config.activation),
            Linear(config.hidden_size, shape.numbers),
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x [B, C, H, W] -> mean and log variance of its codes, both [B, Z]."""
        hidden = self.encoder(x.flatten(1))
        return self.mean(hidden), self.log_variance(hidden)

    def decode(self, codes: Tensor) -> Tensor:
        """[B, Z] -> logits of each pixel, [B, C, H, W]."""
        made: Tensor = self.decoder(codes).unflatten(1, (self.shape.channels, self.shape.height, self.shape.width))
        return made

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(logits [B, C, H, W], mean [B, Z], log variance [B, Z]); codes are drawn while training, else the mean is taken."""
        mean, log_variance = self.encode(x)
        codes = mean + torch.randn_like(mean) * (0.5 * log_variance).exp() if self.training else mean
        return self.decode(codes), mean, log_variance

    def pictures(self, codes: Tensor) -> Tensor:
        """[B, Z] -> [B, C, H, W] in [0, 1]"""
        return self.decode(codes).sigmoid()


class Generator(nn.Module):
    """Codes [B, Z] -> pictures [B, C, H, W] in [0, 1]."""

    def __init__(self, config: GANConfig, shape: Pictures) -> None:
        super().__init__()
        self.shape = shape
        self.start = (2 * config.channels, -(-shape.height // 4), -(-shape.width // 4))
        size = self.start[0] * self.start[1] * self.start[2]
        self.spread = nn.Sequential(Linear(config.latent_size, size, bias=False), nn.BatchNorm1d(size), nn.ReLU())
        self.grow = nn.Sequential(
            nn.ConvTranspose2d(2 * config.channels, config.channels, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(config.channels),
            nn.ReLU(),
            nn.ConvTranspose2d(config.channels, shape.channels, 4, stride=2, padding=1),
        )

    def forward(self, codes: Tensor) -> Tensor:
        made: Tensor = self.grow(self.spread(codes).unflatten(1, self.start))
        return made[:, :, : self.shape.height, : self.shape.width].sigmoid()


class Discriminator(nn.Module):
    """Pictures [B, C, H, W] -> logits of being real, [B]."""

    def __init__(self, config: GANConfig, shape: Pictures) -> None:
        super().__init__()
        height, width = -(-shape.height // 4), -(-shape.width // 4)
        self.shrink = nn.Sequential(
            nn.Conv2d(shape.channels, config.channels, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Dropout(config.dropout),
            nn.Conv2d(config.channels, 2 * config.channels, 3, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Dropout(config.dropout),
        )
        self.score = Linear(2 * config.channels * height * width, 1)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.score(self.shrink(x).flatten(1)).squeeze(1)
        return made


class GAN(nn.Module):
    """Both players; the objective (objectives/networks.py) calls them in turn."""

    def __init__(self, config: GANConfig, shape: Pictures) -> None:
        super().__init__()
        self.shape, self.latent_size = shape, config.latent_size
        self.generator = Generator(config, shape)
        self.discriminator = Discriminator(config, shape)
        # Not DCGAN's 0.02, which suits layers of hundreds of channels: through few the discriminator's signal would fade.
        initialise(self, "he_normal")

    def forward(self, codes: Tensor) -> Tensor:
        return self.pictures(codes)

    def pictures(self, codes: Tensor) -> Tensor:
        """[B, Z] -> [B, C, H, W] in [0, 1]"""
        made: Tensor = self.generator(codes)
        return made
