"""Small networks for pictures and texts, each with the config that a recipe's `model` node is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from ...core.config import Use, load_user_part, node, parse
from ...core.errors import ArtifactError, ConfigError
from .generative import GAN, VAE, GANConfig, VAEConfig
from .pictures import CNNConfig, MLPConfig, ResNetConfig
from .shapes import PADDING, UNKNOWN, Pictures, Texts
from .texts import MeanOfEmbeddingsConfig, TextCNNConfig, TextRNNConfig

PICTURE_CLASSIFIERS = (MLPConfig, CNNConfig, ResNetConfig)
PICTURE_MAKERS = (VAEConfig, GANConfig)
TEXT_CLASSIFIERS = (MeanOfEmbeddingsConfig, TextCNNConfig, TextRNNConfig)
_ALL = (*PICTURE_CLASSIFIERS, *PICTURE_MAKERS, *TEXT_CLASSIFIERS)

NetworkNode = node(*_ALL)


def build_network(config: Any, shape: Pictures | Texts) -> nn.Module:
    """A new network for the shape. A user's is an nn.Module class given `shape` and the node's own arguments."""
    if isinstance(config, Use):
        cls = load_user_part(config)
        try:
            made = cls(shape, **config.args)
        except TypeError as error:
            raise ConfigError(f"{config.use} cannot be made: {error}",
                              hint="class Mine(nn.Module): __init__(self, shape), shape.num_labels ...") from error  # fmt: skip
        if not isinstance(made, nn.Module):
            raise ConfigError(f"{config.use} is no nn.Module")
        return made
    wanted = TEXT_CLASSIFIERS if isinstance(shape, Texts) else (*PICTURE_CLASSIFIERS, *PICTURE_MAKERS)
    if not isinstance(config, wanted):
        kind = "texts" if isinstance(shape, Texts) else "pictures"
        raise ConfigError(
            f"{config.type} is no network for {kind}", hint=f"for {kind}: {', '.join(cls().type for cls in wanted)}"
        )
    return config.build(shape)  # type: ignore[arg-type]


def network_config(data: Mapping[str, Any], where: str) -> Any:
    """The config that a saved network's `model` describes."""
    for cls in _ALL:
        if cls().type == data.get("type"):
            return parse(cls, data, path=where)
    raise ArtifactError(f"{where} is a network of type {data.get('type')!r}, which this version does not know")


__all__ = [
    "GAN",
    "PADDING",
    "PICTURE_CLASSIFIERS",
    "PICTURE_MAKERS",
    "TEXT_CLASSIFIERS",
    "UNKNOWN",
    "VAE",
    "NetworkNode",
    "Pictures",
    "Texts",
    "build_network",
    "network_config",
]
