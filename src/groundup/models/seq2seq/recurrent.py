"""Recurrent encoder-decoder with attention (Bahdanau et al. 2015, Luong et al. 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from .state import DecodingState, Encoded


@dataclass(frozen=True, kw_only=True)
class RecurrentConfig:
    type: Literal["recurrent"] = "recurrent"
    num_decoder_layers: int = 1


class RecurrentNetwork(nn.Module):
    def __init__(self, hidden_size: int, config: RecurrentConfig) -> None:
        super().__init__()
        raise NotImplementedError

    def encode(self, x: Tensor, mask: Tensor) -> Encoded:
        raise NotImplementedError

    def begin(self, encoded: Encoded) -> DecodingState:
        raise NotImplementedError

    def decode(self, y: Tensor, state: DecodingState, *, explain: bool) -> tuple[Tensor, DecodingState, Tensor | None]:
        raise NotImplementedError
